"""Camera files as real tools write them: several COLMAP models, BOP sensors, transforms.json of other programs.

Every value was worked out by hand: cameras stand at EYES, look at the origin and have y up.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from test_camera_files import binary_cameras, binary_images

from voge.errors import DataError
from voge.io.cameras import load_cameras

EYES = [(0.0, 0, 3), (3.0, 0, 0), (0.0, 0, -3), (-3.0, 0, 0)]
ANGLES = [0, 90, 180, 270]  # about y, of a camera that stands at +z
TOP = {"w": 64, "h": 48, "fl_x": 60.0, "fl_y": 60.0, "cx": 32.0, "cy": 24.0}
FLIP = np.diag([1.0, -1, -1, 1])


def to_world(i):
    """Camera to world, OpenGL axes: x right, y up, z backward."""
    c, s = round(math.cos(math.radians(ANGLES[i]))), round(math.sin(math.radians(ANGLES[i])))
    return np.array([[c, 0, s, 3 * s], [0, 1, 0, 0], [-s, 0, c, 3 * c], [0, 0, 0, 1]], float)


def to_camera(i):
    """World to camera, OpenCV axes."""
    return np.linalg.inv(to_world(i) @ FLIP)


def quaternion(i):
    """(w, x, y, z) of `to_camera`: half a turn about x, and before it the angle about y backwards."""
    a = math.radians(-ANGLES[i]) / 2
    return 0.0, math.cos(a), 0.0, math.sin(a)


def centers(views):
    return [torch.linalg.inv(view.viewmat)[:3, 3].tolist() for view in views]


def stand(views, numbers=range(3)):
    """Whether the views are the cameras of the numbers, seeing the origin in the middle of 64 x 48 pixels."""
    assert len(views) == len(list(numbers))
    for view, i in zip(views, numbers, strict=True):
        np.testing.assert_allclose(view.viewmat.numpy(), to_camera(i), atol=1e-9)
        pixels, depth = view.cameras().project(torch.tensor([[0.0, 0, 0], [0, 0.5, 0]]).double())
        assert pixels[0].numpy() == pytest.approx(np.array([[32, 24], [32, 14]]), abs=1e-9)  # y is up
        assert float(depth[0, 0]) == pytest.approx(3)


def write_json(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def picture(path, size=(64, 48), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (9, 99, 199)).save(path, **options)


# ---- COLMAP ----------------------------------------------------------------------------------


def write_model(folder, numbers, points="", camera="1 PINHOLE 64 48 60 60 32 24\n", head=""):
    """A text model of views by number; `points` is the second line of each."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(head + camera, encoding="utf-8")
    lines = []
    for i in numbers:
        pose = " ".join(repr(float(x)) for x in (*quaternion(i), *to_camera(i)[:3, 3]))
        lines.append(f"{i + 1} {pose} 1 {i}.jpg\n{points}\n")
    (folder / "images.txt").write_text(head + "".join(lines), encoding="utf-8")


def write_binary_model(folder, numbers):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.bin").write_bytes(binary_cameras([(1, 1, 64, 48, (60, 60, 32, 24))]))
    images = [(i + 1, (*quaternion(i), *to_camera(i)[:3, 3]), 1, f"{i}.jpg") for i in numbers]
    (folder / "images.bin").write_bytes(binary_images(images))


def test_the_largest_of_several_colmap_models_is_read_and_the_others_are_named(tmp_path):
    write_model(tmp_path / "sparse" / "0", [3])
    write_model(tmp_path / "sparse" / "1", range(3))
    views = load_cameras(tmp_path)
    stand(views)
    (note,) = views.notes
    assert note.startswith("sparse/1 is read, the model with most images (3), and not 0 (1)")
    stand(load_cameras(tmp_path / "sparse" / "0"), [3])
    assert load_cameras(tmp_path / "sparse" / "0").notes == ()
    assert load_cameras(tmp_path / "sparse").notes != ()


def test_binary_colmap_models_without_number_zero(tmp_path):
    for name, numbers in (("2", [0]), ("10", range(3)), ("broken", [])):
        write_binary_model(tmp_path / "colmap" / "sparse" / name, numbers)
    (tmp_path / "colmap" / "sparse" / "broken" / "images.bin").write_bytes(b"")
    views = load_cameras(tmp_path)
    stand(views)
    assert "colmap/sparse/10 is read" in views.notes[0]
    assert "2 (1), broken (0)" in views.notes[0]


def test_a_single_colmap_model_needs_no_note(tmp_path):
    write_binary_model(tmp_path / "sparse" / "0", range(3))
    (tmp_path / "sparse" / "notes").mkdir()
    assert load_cameras(tmp_path).notes == ()


@pytest.mark.parametrize("place", ["", "sparse", "sparse/0", "colmap/sparse/0", "dense/sparse", "dense/0/sparse"])
def test_colmap_models_where_its_programs_put_them(tmp_path, place):
    write_model(tmp_path / place, range(3))
    stand(load_cameras(tmp_path))


def test_colmap_text_of_windows(tmp_path):
    """A byte order mark, and a comment after it."""
    write_model(tmp_path, range(3), points="1.5 2.5 -1 3 4 17", head="\ufeff# by a script\n")
    stand(load_cameras(tmp_path))


@pytest.mark.parametrize(
    ("kind", "line"),
    [("SIMPLE_FISHEYE", "1 SIMPLE_FISHEYE 64 48 50 32 24\n"), ("FISHEYE", "1 FISHEYE 64 48 50 51 32 24\n")],
)
def test_colmaps_equidistant_fisheyes(tmp_path, kind, line):
    """A point at 45 degrees to the right is 50 pi / 4 pixels from the middle."""
    write_model(tmp_path, [0], camera=line)
    (view,) = load_cameras(tmp_path)
    assert (view.model.value, view.distortion.tolist()) == ("fisheye", [0, 0, 0, 0])
    assert float(view.K[1, 1]) == (51 if kind == "FISHEYE" else 50)
    pixels, _ = view.cameras().project(torch.tensor([[3.0, 0, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([32 + 50 * math.pi / 4, 24])


# ---- BOP -------------------------------------------------------------------------------------


def write_scene(folder, shown, *, sensor="", pictures="rgb", world=True):
    """A scene of 3 images; `shown` gives the objects in each, None where an image has no ground truth."""
    cameras, poses = {}, {}
    for i in range(3):
        R, t = to_camera(i)[:3, :3].flatten().tolist(), (to_camera(i)[:3, 3] * 1000).tolist()
        cameras[str(i)] = {"cam_K": [60, 0, 32, 0, 60, 24, 0, 0, 1], "depth_scale": 0.1}
        if world:
            cameras[str(i)] |= {"cam_R_w2c": R, "cam_t_w2c": t}
        if shown[i] is not None:
            poses[str(i)] = [{"cam_R_m2c": R, "cam_t_m2c": t, "obj_id": number} for number in shown[i]]
        picture(folder / pictures / f"{i:06d}.png")
        picture(folder / f"mask_visib{sensor}" / f"{i:06d}_000000.png")
    write_json(folder / f"scene_camera{sensor}.json", cameras)
    write_json(folder / f"scene_gt{sensor}.json", poses)


def test_bop_images_without_the_object_are_left_out_and_counted(tmp_path):
    write_scene(tmp_path, [[1, 5], [1], [5]])
    views = load_cameras(tmp_path, object_id=5)
    assert [view.name for view in views] == ["000000", "000002"]
    assert views.notes == ("1 of 3 images do not show object 5 and are left out",)
    np.testing.assert_allclose(views[1].viewmat[:3, 3].numpy(), [0, 0, 3000], atol=1e-9)


@pytest.mark.parametrize("second", [None, []])
def test_bop_images_without_ground_truth_are_left_out(tmp_path, second):
    write_scene(tmp_path, [[7], second, [7]], world=False)
    views = load_cameras(tmp_path)
    assert ([view.name for view in views], views.object_id) == (["000000", "000002"], 7)
    assert views.notes == ("1 of 3 images do not show object 7 and are left out",)


def test_bop_images_without_a_place_in_the_world(tmp_path):
    write_scene(tmp_path, [None] * 3)
    cameras = json.loads((tmp_path / "scene_camera.json").read_text())
    del cameras["1"]["cam_R_w2c"]
    write_json(tmp_path / "scene_camera.json", cameras)
    (tmp_path / "scene_gt.json").unlink()
    views = load_cameras(tmp_path)
    assert ([view.name for view in views], views.object_id) == (["000000", "000002"], None)
    assert views.notes == ("1 of 3 images have no cam_R_w2c and are left out",)


@pytest.mark.parametrize(
    ("sensor", "pictures"), [("_cam1", "rgb_cam1"), ("_gray1", "gray1"), ("_rgb", "rgb"), ("_xyz", "gray_xyz")]
)
def test_bop_files_of_a_sensor(tmp_path, sensor, pictures):
    write_scene(tmp_path, [[1]] * 3, sensor=sensor, pictures=pictures)
    (tmp_path / f"scene_gt_info{sensor}.json").write_text("{}")
    for given in (tmp_path, tmp_path / f"scene_camera{sensor}.json", tmp_path / f"scene_gt{sensor}.json"):
        views = load_cameras(given)
        assert [view.image.parent.name for view in views] == [pictures] * 3
        assert all(view.image.is_file() for view in views)
        assert views.notes == ()
    chosen = load_cameras(tmp_path, object_id=1)
    assert [view.mask.parent.name for view in chosen] == [f"mask_visib{sensor}"] * 3


def test_a_bop_folder_of_several_sensors(tmp_path):
    for sensor in ("_cam1", "_cam2"):
        write_scene(tmp_path, [[1]] * 3, sensor=sensor, pictures=f"rgb{sensor}")
    views = load_cameras(tmp_path)
    assert views[0].image.parent.name == "rgb_cam1"
    (note,) = views.notes
    assert note.startswith(
        "scene_camera_cam1.json is read, one of 2 sensors; name the file for another: scene_camera_cam2"
    )
    write_scene(tmp_path, [[1]] * 3, sensor="_rgb", pictures="rgb")
    write_json(tmp_path / "scene_camera_aaa.json", {})  # without pictures
    assert load_cameras(tmp_path)[0].image.parent.name == "rgb"
    write_scene(tmp_path, [[1]] * 3)
    assert load_cameras(tmp_path).notes == ()  # the scene's own file


def test_bop_lenses_of_other_kinds_are_refused_by_name(tmp_path):
    entry = {"cam_model": {"projection_model_type": "CameraModelType.FISHEYE624"}, "cam_R_w2c": np.eye(3).tolist()}
    write_json(tmp_path / "scene_camera_rgb.json", {"0": {**entry, "cam_t_w2c": [0, 0, 0]}})
    with pytest.raises(DataError, match=r"0: has a cam_model \(CameraModelType.FISHEYE624\), which is not supported"):
        load_cameras(tmp_path)


# ---- transforms.json -------------------------------------------------------------------------


def frames(pattern="{i}.png", **more):
    return [{"file_path": pattern.format(i=i), "transform_matrix": to_world(i).tolist(), **more} for i in range(3)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_transforms_in_the_encodings_of_windows(tmp_path, encoding):
    (tmp_path / "transforms.json").write_text(json.dumps({**TOP, "frames": frames()}), encoding=encoding)
    stand(load_cameras(tmp_path))


@pytest.mark.parametrize(
    "pattern",
    ["images\\{i}.png", ".\\images\\{i}.png", "C:\\Users\\me\\set\\images\\{i}.png", "/home/me/set/images/{i}.png",
     "D:/set/images/{i}.png", "images\\{i}"],
)  # fmt: skip
def test_pictures_named_on_another_computer_are_found(tmp_path, pattern):
    for i in range(3):
        picture(tmp_path / "images" / f"{i}.png")
    views = load_cameras(write_json(tmp_path / "transforms.json", {**TOP, "frames": frames(pattern)}))
    stand(views)
    assert [view.name for view in views] == ["0", "1", "2"]
    assert [view.image.resolve() for view in views] == [tmp_path / "images" / f"{i}.png" for i in range(3)]


@pytest.mark.parametrize("kind", ["json", "pytorch3d", "npz"])
def test_so_are_those_of_own_files(tmp_path, kind):
    picture(tmp_path / "images" / "0.png")
    view = {"K": np.eye(3).tolist(), "matrix": np.eye(4).tolist(), "width": 64, "height": 48}
    stated = {"convention": "opencv", "direction": "world_to_camera"}
    if kind == "json":
        path = write_json(tmp_path / "m.json", {**stated, "views": [{**view, "image": "images\\0.png"}]})
    elif kind == "npz":
        path = tmp_path / "m.npz"
        np.savez(path, **{**view, "matrix": np.eye(4)[None], "images": np.array(["C:\\a\\images\\0.png"]), **stated})
    else:
        document = {"R": [np.eye(3).tolist()], "T": [[0, 0, 3]], "focal_length": 2.0, "image_size": [[48, 64]]}
        path = write_json(tmp_path / "m.json", {**document, "principal_point": [[0, 0]], "images": ["images\\0.png"]})
    (found,) = load_cameras(path)
    assert found.image.is_file()
    if kind != "npz":
        assert found.name in ("0", "0.png")


def test_a_backslash_may_be_part_of_a_name(tmp_path):
    picture(tmp_path / "a\\0.png")
    (view, *_) = load_cameras(write_json(tmp_path / "t.json", {**TOP, "frames": frames("a\\{i}.png")}))
    assert view.image == tmp_path / "a\\0.png"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"ftheta_p0": 0.0, "ftheta_p1": 0.0095, "ftheta_p5": 0.0}, r"an f-theta lens \(ftheta_p1\)"),
        ({"ftheta": {"p1": 0.0095}}, r"an f-theta lens \(ftheta\)"),
        ({"is_latlong": True}, r"a latitude-longitude picture \(is_latlong\)"),
        ({"latlong": True}, r"a latitude-longitude picture \(latlong\)"),
        ({"equirectangular": True}, "an equirectangular picture"),
        ({"orthographic": True}, "parallel rays"),
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"camera_model": "FISHEYE624"}, "FISHEYE624"),
    ],
)
@pytest.mark.parametrize("inner", [False, True])
def test_lenses_of_other_programs_are_refused_by_name(tmp_path, keys, name, inner):
    document = {**TOP, "frames": frames(**keys)} if inner else {**TOP, **keys, "frames": frames()}
    with pytest.raises(DataError, match=name):
        load_cameras(write_json(tmp_path / "t.json", document))


def test_lenses_that_are_off_are_passed_over(tmp_path):
    stand(load_cameras(write_json(tmp_path / "t.json", {**TOP, "latlong": False, "frames": frames()})))


def test_what_a_frame_says_beyond_a_view_is_noted(tmp_path):
    document = {**TOP, "rolling_shutter": [0, 0, 0.02, 0], "camera_model": "OPENCV", "is_fisheye": True}
    notes = load_cameras(write_json(tmp_path / "t.json", {**document, "frames": frames()})).notes
    assert [note.split(" frames ")[1] for note in notes] == [
        "have a rolling_shutter, which is passed over",
        "have an is_fisheye that contradicts camera_model, which is taken",
    ]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"fl_x": 176.0, "cx": 64.0, "cy": 64.0}, "cx = 64 lies far from the middle of the picture's 64x64 pixels"),
        ({"fl_x": 40.0, "cx": 24.0, "cy": 15.0}, "cy = 15 lies far from the middle"),
        ({"fl_x": 40.0, "cx": 16.0, "cy": 16.0}, "cx = 16 lies far from the middle"),
        ({"fl_x": 40.0, "cx": 42.7, "cy": 42.6}, "cx = 42.7 lies far from the middle"),
        (
            {"fl_x": 80.0, "camera_angle_x": 2 * math.atan(128 / 160)},
            "are of 128 pixels across, and the picture is 64x64",
        ),
    ],
)
def test_intrinsics_of_another_size_are_refused_where_the_picture_gives_the_size(tmp_path, keys, problem):
    for i in range(3):
        picture(tmp_path / f"{i}.png", (64, 64))
    with pytest.raises(DataError, match=problem):
        load_cameras(write_json(tmp_path / "t.json", {**keys, "frames": frames()}))


def test_intrinsics_of_the_pictures_size_are_read(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    for extra in ({}, {"camera_angle_x": 2 * math.atan(64 / 120)}, {"w": 64, "h": 48, "cx": 32, "cy": 24}):
        document = {key: value for key, value in TOP.items() if key not in "wh"}
        stand(load_cameras(write_json(tmp_path / "t.json", {**document, **extra, "frames": frames()})))


def test_pictures_of_another_size_than_their_cameras_are_counted(tmp_path):
    picture(tmp_path / "0.png")
    picture(tmp_path / "1.png", (32, 24))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "2.jpg", (48, 64), exif=exif)
    found = frames()
    found[2]["file_path"] = "2.jpg"
    notes = load_cameras(write_json(tmp_path / "t.json", {**TOP, "frames": found})).notes
    assert notes == ("1 of 3 pictures are not of their camera's size (1.png is 32x24, its camera 64x48)",)
