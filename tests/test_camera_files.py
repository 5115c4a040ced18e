"""Camera files: conventions by hand-made numbers, round trips, and one scene through every reader."""

from __future__ import annotations

import json
import math
import os
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import random_ellipsoids

import voge
from voge.errors import DataError
from voge.io.cameras import FORMATS, View, Views, load_cameras, save_cameras
from voge.io.cameras.pose import pascal3d
from voge.io.settings import CAMERA_FORMATS

# Largest difference of R, t (in units of 1), K and distortion; measured 4e-16, 4e-16 and 0 (docs/cameras.md).
ROUND_TRIP = 1e-14
LENSES = {
    "pinhole": ("pinhole", None),
    "skew": ("pinhole", None),
    "orthographic": ("orthographic", None),
    "opencv-4": ("opencv", [-0.1, 0.02, 0.001, -0.002]),
    "opencv-5": ("opencv", [-0.1, 0.02, 0.001, -0.002, 0.01]),
    "opencv-8": ("opencv", [-0.1, 0.02, 0.001, -0.002, 0.01, 0.02, 0.003, 0.004]),
    "fisheye": ("fisheye", [0.02, -0.01, 0.003, 0.001]),
}
# What each format cannot hold; everything else must come back.
CANNOT = {
    "transforms": {"skew", "orthographic", "opencv-8"},
    "colmap": {"skew", "orthographic"},
    "colmap-text": {"skew", "orthographic"},
    "bop": {"orthographic", "opencv-4", "opencv-5", "opencv-8", "fisheye"},
    "pytorch3d": {"skew", "orthographic", "opencv-4", "opencv-5", "opencv-8", "fisheye"},
    "npz": set(),
    "json": set(),
    "pose": set(),
}
SCALE = {"bop": 1000.0}  # meters to millimeters


def make_views(lens="pinhole", count=3, units="m"):
    """Wide and tall pictures, principal points off the middle, fx != fy; meters."""
    model, numbers = LENSES[lens]
    views = []
    for i in range(count):
        angles = [torch.tensor(a, dtype=torch.float64) for a in (40 * i + 11, 20 - 15 * i, 3 + 0.3 * i, 7 * i)]
        width, height = (36, 24) if i % 2 == 0 else (24, 30)
        focal = 12.0 if model == "orthographic" else 40.0 + i
        K = [[focal, 1.5 * (lens == "skew"), width / 2 + 5.3], [0, 0.9 * focal, height / 2 - 3.7], [0, 0, 1]]
        views.append(
            View(
                name=f"v{i:03d}",
                viewmat=voge.orbit(*angles, at=(0.1, 0.2, -0.1)),
                K=torch.tensor(K, dtype=torch.float64),
                width=width,
                height=height,
                model=voge.CameraModel(model),
                distortion=None if numbers is None else torch.tensor(numbers, dtype=torch.float64),
            )
        )
    return Views(tuple(views), units=units)


def out_path(folder, name, suffix=None):
    return folder / f"out{suffix or (FORMATS[name].suffixes or [''])[0]}"


def difference(given, found, scale=1.0):
    """The largest one over all views."""
    worst = 0.0
    for a, b in zip(given, found, strict=True):
        moved = b.viewmat.clone()
        moved[:3, 3] /= scale
        pairs = [(a.viewmat, moved), (a.K, b.K)]
        if a.distortion is not None:  # FULL_OPENCV fills up with zeros
            pairs.append(
                (torch.nn.functional.pad(a.distortion, (0, len(b.distortion) - len(a.distortion))), b.distortion)
            )
        worst = max(worst, *(float((x - y).abs().max()) for x, y in pairs))
        assert (a.width, a.height, a.model) == (b.width, b.height, b.model)
    return worst


# ---- Round trips -----------------------------------------------------------------------------


def test_settings_name_every_format():
    assert tuple(FORMATS) == CAMERA_FORMATS


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_what_it_can_hold_and_refuses_the_rest(tmp_path, name, lens):
    given = make_views(lens, 1 if name == "pose" else 3)
    path = out_path(tmp_path, name)
    if lens in CANNOT[name]:
        with pytest.raises(DataError, match=r"view v000 (has|is) .*; write npz or json"):
            save_cameras(path, given, name)
        assert list(tmp_path.iterdir()) == []
        return
    save_cameras(path, given, name)
    found = load_cameras(path)
    assert found.format == name
    assert difference(given, found, SCALE.get(name, 1.0)) < ROUND_TRIP
    if name != "bop":
        assert [view.name for view in found] == [view.name for view in given]


@pytest.mark.parametrize("first", FORMATS)
@pytest.mark.parametrize("second", FORMATS)
def test_cameras_go_from_every_format_to_every_other(tmp_path, first, second):
    given = make_views(count=1 if "pose" in (first, second) else 3)
    paths = [out_path(tmp_path / str(i), name) for i, name in enumerate((first, second))]
    save_cameras(paths[0], given, first)
    between = load_cameras(paths[0])
    if between.units == "unknown":  # COLMAP does not keep them
        between = replace(between, units=given.units)
    save_cameras(paths[1], between, second)
    scale = {"mm": 1000.0}.get(load_cameras(paths[1]).units, 1.0 if between.units == "m" else 1000.0)
    assert difference(given, load_cameras(paths[1]), scale) < ROUND_TRIP


def test_files_and_units_come_back(tmp_path):
    given = make_views()
    images = [tmp_path / "shots" / f"{view.name}.jpg" for view in given]
    masks = [tmp_path / "masks" / f"{view.name}.png" for view in given]
    given = replace(
        given, views=tuple(replace(v, image=i, mask=m) for v, i, m in zip(given, images, masks, strict=True))
    )
    for name in ("transforms", "npz", "json", "pytorch3d"):
        path = out_path(tmp_path / name, name)
        save_cameras(path, given, name)
        found = load_cameras(path)
        assert [Path(os.path.normpath(view.image)) for view in found] == images
        assert [Path(os.path.normpath(view.mask)) for view in found] == masks
        assert found.units == "m"


def test_pytorch3d_in_npz(tmp_path):
    save_cameras(tmp_path / "out.npz", make_views(), "pytorch3d")
    found = load_cameras(tmp_path / "out.npz")
    assert (found.format, found.units) == ("pytorch3d", "m")
    assert difference(make_views(), found) < ROUND_TRIP


def test_views_group_into_batches_of_one_size_and_lens():
    views = make_views(count=5)
    batches = views.batches()
    assert [batch.indices for batch in batches] == [(0, 2, 4), (1, 3)]
    assert torch.equal(batches[1].cameras.viewmats[1], views[3].viewmat)
    assert [batch.indices for batch in views.batches(2)] == [(0, 2), (4,), (1, 3)]
    mixed = replace(views, views=(*make_views("opencv-4", 1), *make_views("opencv-5", 1), *make_views("fisheye", 1)))
    assert [batch.cameras.distortion.shape for batch in mixed.batches()] == [(1, 4), (1, 5), (1, 4)]
    assert len(views[1:3]) == 2


# ---- One scene through every reader ----------------------------------------------------------


def render_all(scene, views):
    """Alpha-premultiplied pictures; through rays, so that every lens is rendered."""
    pictures = []
    for view in views:
        fragments = voge.trace(scene, view.cameras().rays())
        pictures.append(fragments.interpolate(scene.features))
    return pictures


@pytest.mark.parametrize("lens", ["pinhole", "opencv-4", "fisheye"])
def test_the_same_scene_through_all_readers(tmp_path, lens):
    """To 1e-4 a pixel in float64; measured 3e-13."""
    given, scene = make_views(lens), random_ellipsoids(12)
    expected = render_all(scene, given)
    assert min(float(picture.max()) for picture in expected) > 0.2
    for name in FORMATS:
        if lens in CANNOT[name]:
            continue
        views = replace(given, views=given.views[:1]) if name == "pose" else given
        path = out_path(tmp_path / name, name)
        save_cameras(path, views, name)
        scale = torch.diag(torch.tensor([*[SCALE.get(name, 1.0)] * 3, 1.0], dtype=torch.float64))
        for a, b in zip(expected, render_all(scene.transform(scale), load_cameras(path)), strict=False):
            assert float((a - b).abs().max()) < 1e-4, name


def test_distortion_moves_the_picture():
    """So that the test above would notice a lens that is dropped."""
    scene = random_ellipsoids(12)
    straight, bent = (render_all(scene, make_views(lens, 1))[0] for lens in ("pinhole", "opencv-4"))
    assert float((straight - bent).abs().max()) > 0.01


# ---- transforms.json -------------------------------------------------------------------------


def write_json(path, document):
    path.write_text(json.dumps(document))
    return path


def test_transforms_are_camera_to_world_with_y_up_and_z_backward(tmp_path):
    """A camera at (0, 0, 5) with the world's axes looks along -z and sees +x right and +y up."""
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]]
    shared = {"w": 200, "h": 100, "fl_x": 100, "fl_y": 50, "cx": 90, "cy": 60}
    path = write_json(
        tmp_path / "t.json", {**shared, "frames": [{"file_path": "a/r_7.png", "transform_matrix": matrix}]}
    )
    (view,) = load_cameras(path)
    pixels, depth = view.cameras().project(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]).double())
    assert pixels[0].tolist() == [[90, 60], [110, 60], [90, 50]]
    assert depth[0].tolist() == [5, 5, 5]
    assert (view.name, view.image) == ("r_7", tmp_path / "a/r_7.png")


def test_transforms_of_nerfs_synthetic_sets(tmp_path):
    """No size, no suffix, the focal length as an angle: the picture tells."""
    (tmp_path / "train").mkdir()
    Image.new("RGB", (80, 60)).save(tmp_path / "train" / "r_0.png")
    matrix = np.eye(4).tolist()
    document = {"camera_angle_x": math.pi / 2, "frames": [{"file_path": "./train/r_0", "transform_matrix": matrix}]}
    (view,) = load_cameras(write_json(tmp_path / "transforms_train.json", document))
    assert (view.width, view.height, view.image) == (80, 60, tmp_path / "train" / "r_0.png")
    assert view.K.numpy() == pytest.approx(np.array([[40, 0, 40], [0, 40, 30], [0, 0, 1]]))


def test_transforms_frames_win_over_shared_intrinsics(tmp_path):
    shared = {"w": 20, "h": 10, "fl_x": 9, "k1": 0.1, "camera_model": "OPENCV"}
    matrix = np.eye(4)[:3].tolist()
    frames = [
        {"file_path": "0.png", "transform_matrix": matrix},
        {"file_path": "1.png", "transform_matrix": matrix, "fl_x": 8, "fl_y": 7, "k1": 0, "mask_path": "m/1.png"},
        {"file_path": "2.png", "transform_matrix": matrix, "camera_model": "OPENCV_FISHEYE", "k4": 0.4},
        {"file_path": "3.png", "transform_matrix": matrix, "k3": 0.3},
    ]
    views = load_cameras(write_json(tmp_path / "t.json", {**shared, "frames": frames}))
    assert [view.model.value for view in views] == ["opencv", "pinhole", "fisheye", "opencv"]
    assert [float(view.K[1, 1]) for view in views] == [9, 7, 9, 9]
    assert views[0].distortion.tolist() == [0.1, 0, 0, 0]
    assert views[2].distortion.tolist() == [0.1, 0, 0, 0.4]
    assert views[3].distortion.tolist() == [0.1, 0, 0, 0, 0.3]
    assert views[1].mask == tmp_path / "m/1.png"


def test_names_are_unique(tmp_path):
    files = ["left/0.png", "right/0.png", "1.png", "right/2.png"]
    frames = [{"file_path": file, "transform_matrix": np.eye(4).tolist()} for file in files]
    views = load_cameras(write_json(tmp_path / "t.json", {"w": 4, "h": 4, "fl_x": 4, "frames": frames}))
    assert [view.name for view in views] == ["left_0", "right_0", "1", "2"]


def test_names_are_names_of_files(tmp_path):
    """Whatever a file says, pictures are written by these names."""
    names = ["../../etc/x", "..", "/abs/x", "", "ok"]
    view = {"K": np.eye(3).tolist(), "matrix": np.eye(4).tolist(), "width": 4, "height": 4}
    document = {"convention": "opencv", "direction": "world_to_camera", "views": [{**view, "name": n} for n in names]}
    found = [view.name for view in load_cameras(write_json(tmp_path / "m.json", document))]
    assert found == ["etc_x", "0001", "abs_x", "0003", "ok"]


# ---- COLMAP ----------------------------------------------------------------------------------

CAMERA_LINES = """# Camera list
2 SIMPLE_RADIAL 64 48 50.5 32 24.5 0.01
7 PINHOLE 64 48 50 51 32 24
"""
# The second camera is turned by 90 degrees about y: (w, x, y, z) = (sqrt 1/2, 0, sqrt 1/2, 0).
IMAGE_LINES = """# Image list
9 0.7071067811865476 0 0.7071067811865476 0 1 2 3 7 b/two.jpg

4 1 0 0 0 0 0 5 2 one.jpg
1.5 2.5 -1 3.5 4.5 12
"""


def write_colmap(folder, cameras=CAMERA_LINES, images=IMAGE_LINES):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cameras.txt").write_text(cameras)
    (folder / "images.txt").write_text(images)
    return folder


def binary_cameras(records):
    parts = [struct.pack("<Q", len(records))]
    return b"".join([*parts, *(struct.pack(f"<iiQQ{len(r[4])}d", *r[:4], *r[4]) for r in records)])


def binary_images(records, points=2):
    parts = [struct.pack("<Q", len(records))]
    for number, pose, camera, name in records:
        parts += [struct.pack("<i7di", number, *pose, camera), name.encode() + b"\0", struct.pack("<Q", points)]
        parts += [struct.pack("<ddq", 1.5, 2.5, -1)] * points
    return b"".join(parts)


def write_colmap_binary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    half = math.sqrt(0.5)
    cameras = [(2, 2, 64, 48, (50.5, 32, 24.5, 0.01)), (7, 1, 64, 48, (50, 51, 32, 24))]
    images = [(9, (half, 0, half, 0, 1, 2, 3), 7, "b/two.jpg"), (4, (1, 0, 0, 0, 0, 0, 5), 2, "one.jpg")]
    (folder / "cameras.bin").write_bytes(binary_cameras(cameras))
    (folder / "images.bin").write_bytes(binary_images(images))
    return folder


@pytest.mark.parametrize("write", [write_colmap, write_colmap_binary])
def test_colmaps_own_files(tmp_path, write):
    write(tmp_path / "sparse" / "0")
    (tmp_path / "images" / "b").mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "b" / "two.jpg")
    one, two = load_cameras(tmp_path)  # by number of the image
    assert (one.name, two.name) == ("one", "two")
    assert (one.model.value, one.distortion.tolist()) == ("opencv", [0.01, 0, 0, 0])
    assert one.K.tolist() == [[50.5, 0, 32], [0, 50.5, 24.5], [0, 0, 1]]
    assert (two.model.value, two.distortion) == ("pinhole", None)
    assert two.image == tmp_path / "images" / "b" / "two.jpg"
    # x_camera = R x + t, and a quarter turn about y takes z to x.
    assert (two.viewmat @ torch.tensor([0.0, 0, 1, 1]).double()).tolist() == pytest.approx([2, 2, 3, 1])


def test_colmap_names_in_any_place(tmp_path):
    write_colmap(tmp_path)
    for path in (tmp_path, tmp_path / "cameras.txt", tmp_path / "images.txt"):
        assert len(load_cameras(path)) == 2


def test_colmap_views_share_equal_cameras(tmp_path):
    save_cameras(tmp_path / "out", make_views(count=1)[:1], "colmap-text")
    views = make_views(count=1)
    save_cameras(tmp_path / "out", replace(views, views=views.views * 2), "colmap-text")
    lines = [line for line in (tmp_path / "out" / "cameras.txt").read_text().splitlines() if line[0] != "#"]
    assert len(lines) == 1


# ---- BOP -------------------------------------------------------------------------------------

BOP_K = [500, 0, 320, 0, 510, 240, 0, 0, 1]
TURN = [0, -1, 0, 1, 0, 0, 0, 0, 1]  # about z: x to y


def write_bop(folder, camera=None, poses=None):
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "scene_camera.json", camera or {"3": {"cam_K": BOP_K, "depth_scale": 0.1}})
    if poses is not None:
        write_json(folder / "scene_gt.json", poses)
    return folder


def gt(object_id, t=(0, 0, 800), R=TURN):
    return {"cam_R_m2c": R, "cam_t_m2c": list(t), "obj_id": object_id}


def test_bop_objects_are_seen_in_millimeters(tmp_path):
    write_bop(tmp_path / "000002", poses={"3": [gt(5)]})
    (tmp_path / "000002" / "rgb").mkdir()
    (tmp_path / "000002" / "mask_visib").mkdir()
    Image.new("RGB", (640, 480)).save(tmp_path / "000002" / "rgb" / "000003.png")
    Image.new("L", (640, 480)).save(tmp_path / "000002" / "mask_visib" / "000003_000000.png")
    views = load_cameras(tmp_path / "000002")
    (view,) = views
    assert (views.units, views.object_id, view.name, view.width, view.height) == ("mm", 5, "000003", 640, 480)
    assert view.mask.name == "000003_000000.png"
    pixels, _ = view.cameras().project(torch.tensor([[80.0, 0, 0]]).double())  # 80 mm along x are y in the camera
    assert pixels[0, 0].tolist() == [320, 240 + 510 / 10]


def test_bop_scenes_have_their_own_frame_unless_an_object_is_chosen(tmp_path):
    camera = {"0": {"cam_K": BOP_K, "cam_R_w2c": TURN, "cam_t_w2c": [1, 2, 3], "width": 640, "height": 480}}
    write_bop(tmp_path, camera, {"0": [gt(1, (0, 0, 10)), gt(2, (0, 0, 20)), gt(2, (0, 0, 30))]})
    scene = load_cameras(tmp_path / "scene_camera.json")
    assert scene.object_id is None
    assert scene[0].viewmat[:3, 3].tolist() == [1, 2, 3]
    chosen = load_cameras(tmp_path, object_id=2)
    assert chosen[0].viewmat[2, 3] == 20
    assert chosen.notes == ("image 0 shows object 2 2 times; the first is taken",)


def test_bop_objects_round_trip(tmp_path):
    given = replace(make_views(), units="mm", object_id=4)
    save_cameras(tmp_path / "out", given, "bop")
    found = load_cameras(tmp_path / "out")
    assert found.object_id == 4
    assert difference(given, found) < ROUND_TRIP


def test_bop_needs_units(tmp_path):
    with pytest.raises(DataError, match="BOP holds millimeters, and the units of the cameras are unknown"):
        save_cameras(tmp_path / "out", make_views(units="unknown"), "bop")


def test_bops_data_set_camera_gives_the_size(tmp_path):
    write_json(tmp_path / "camera.json", {"cx": 1, "width": 640, "height": 480})
    write_bop(tmp_path / "test" / "000001", poses={"3": [gt(5)]})
    assert load_cameras(tmp_path / "test" / "000001")[0].width == 640


# ---- PyTorch3D -------------------------------------------------------------------------------


def pytorch3d_document(**changes):
    """look_at_view_transform(3, 0, 0): the camera at (0, 0, 3), x left, y up, z forward; rows are multiplied."""
    base = {"R": [[[-1, 0, 0], [0, 1, 0], [0, 0, -1]]], "T": [[0, 0, 3]], "image_size": [[100, 200]]}
    return {**base, "focal_length": 2.0, **changes}


def test_pytorch3d_in_ndc(tmp_path):
    """The point (1, 0.5, 0) is at (1, 0.5, 0) R + T = (-1, 0.5, 3) in the camera.

    Projected with focal length 2 and no principal point: x = 2 * -1 / 3 = -2/3, y = 1/3. In NDC the shorter
    side, the height of 100 pixels, spans [-1, 1] and x runs to the left: u = 200/2 + 2/3 * 50, v = 100/2 - 50/3.
    """
    (view,) = load_cameras(write_json(tmp_path / "p.json", pytorch3d_document()))
    pixels, depth = view.cameras().project(torch.tensor([[1.0, 0.5, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([100 + 100 / 3, 50 - 50 / 3])
    assert depth.tolist() == [[3]]
    assert (view.width, view.height) == (200, 100)
    # A principal point of (0.1, 0.2) moves the picture left and up: by 0.1 and 0.2 times 50 pixels.
    document = pytorch3d_document(principal_point=[[0.1, 0.2]])
    (moved,) = load_cameras(write_json(tmp_path / "p.json", document))
    assert moved.K[:2, 2].tolist() == pytest.approx([95, 40])


def test_pytorch3d_in_screen_space(tmp_path):
    """u = px + fx (-x) / z with x = -1 and z = 3, v = py + fy (-y) / z with y = 0.5."""
    document = pytorch3d_document(in_ndc=False, focal_length=[[120, 90]], principal_point=[[110, 40]])
    (view,) = load_cameras(write_json(tmp_path / "p.json", document))
    pixels, _ = view.cameras().project(torch.tensor([[1.0, 0.5, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([110 + 40, 40 - 15])


def test_pytorch3d_multiplies_rows(tmp_path):
    """x R with R = [[0, 1, 0], [-1, 0, 0], [0, 0, 1]] takes (1, 0, 0) to (0, 1, 0), up in the camera."""
    document = pytorch3d_document(R=[[[0, 1, 0], [-1, 0, 0], [0, 0, 1]]])
    (view,) = load_cameras(write_json(tmp_path / "p.json", document))
    pixels, _ = view.cameras().project(torch.tensor([[1.0, 0, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([100, 50 - 100 / 3])


# ---- PASCAL3D+ and pose.json -----------------------------------------------------------------


def project_as_pascal3d(points, azimuth, elevation, theta, distance, principal, focal=1.0, viewport=3000.0):
    """The annotation's own projection, written out from its toolbox' formulas; points (P, 3), z up.

    C = d (cos e sin a, -cos e cos a, sin e)                     center of the camera
    R = Rx(-(pi/2 - e)) Rz(-a)                                   x right, y up, z backward
    P = [f 0 0; 0 f 0; 0 0 -1] [R, -R C],  f = focal * viewport
    (x, y) = P X divided by its third row, turned by theta, y flipped, plus the principal point
    """
    a, e, t = (math.radians(angle) for angle in (azimuth, elevation, theta))
    C = distance * np.array([math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)])
    turn, tilt = -a, -(math.pi / 2 - e)
    Rz = np.array([[math.cos(turn), -math.sin(turn), 0], [math.sin(turn), math.cos(turn), 0], [0, 0, 1]])
    Rx = np.array([[1, 0, 0], [0, math.cos(tilt), -math.sin(tilt)], [0, math.sin(tilt), math.cos(tilt)]])
    f = focal * viewport
    x, y, w = np.diag([f, f, -1.0]) @ (Rx @ Rz) @ (points - C).T
    flat = np.array([[math.cos(t), -math.sin(t)], [math.sin(t), math.cos(t)]]) @ np.stack([x / w, y / w])
    return np.stack([flat[0], -flat[1]], 1) + principal


def pascal_view(azimuth, elevation, theta, distance):
    K = torch.tensor([[3000.0, 0, 210], [0, 3000, 140], [0, 0, 1]], dtype=torch.float64)
    return View(name="car", viewmat=pascal3d(azimuth, elevation, theta, distance), K=K, width=400, height=300)


@pytest.mark.parametrize("angles", [(0, 0, 0), (266.5, -4.7, 0), (30, 20, 10), (123, 45, -170), (300, 89, 33)])
def test_pascal3d_angles_project_as_in_its_toolbox(angles):
    points = np.random.default_rng(0).normal(size=(20, 3)) * 0.3
    pixels, depth = pascal_view(*angles, 6.5).cameras().project(torch.from_numpy(points))
    assert (depth > 0).all()
    assert pixels[0].numpy() == pytest.approx(project_as_pascal3d(points, *angles, 6.5, (210, 140)), abs=1e-9)


@pytest.mark.parametrize(
    ("angles", "point", "pixel"),
    [
        ((0, 0, 0), (1, 0, 0), (210 + 1500, 140)),  # from -y: x is to the right, at distance 2
        ((0, 0, 0), (0, 0, 1), (210, 140 - 1500)),  # z is up
        ((90, 0, 0), (0, 1, 0), (210 + 1500, 140)),  # from +x: y is to the right
        ((0, 90, 0), (0, 1, 0), (210, 140 - 1500)),  # from above: y is up
        ((0, 0, 90), (1, 0, 0), (210, 140 - 1500)),  # theta turns counter-clockwise
        ((0, 0, 0), (0, -1, 0.5), (210, 140 - 1500)),  # nearer is larger: 0.5 * 3000 / 1
    ],
)
def test_pascal3d_by_hand(angles, point, pixel):
    pixels, _ = pascal_view(*angles, 2.0).cameras().project(torch.tensor([point], dtype=torch.float64))
    assert pixels[0, 0].tolist() == pytest.approx(pixel, abs=1e-9)


POSE = {
    "model": "car.safetensors",
    "camera": {"width": 672, "height": 256, "fx": 1800, "fy": 1810, "cx": 336, "cy": 128},
    "pose": {"azimuth": 266.5, "elevation": -4.7, "theta": 0.0, "distance": 3.0},
}


def test_pose_json_by_angles(tmp_path):
    views = load_cameras(write_json(tmp_path / "pose.json", POSE))
    assert (views.format, views.model_path, views[0].name) == ("pose", tmp_path / "car.safetensors", "pose")
    assert views[0].K.tolist() == [[1800, 0, 336], [0, 1810, 128], [0, 0, 1]]
    expected = voge.orbit(torch.tensor(266.5).double(), -4.7, 3.0)
    torch.testing.assert_close(views[0].viewmat, expected, rtol=0, atol=1e-6)
    pose = {**POSE["pose"], "convention": "pascal3d"}
    (view,) = load_cameras(write_json(tmp_path / "pose.json", {**POSE, "pose": pose}))
    torch.testing.assert_close(view.viewmat, pascal3d(266.5, -4.7, 0, 3))
    moved = {**POSE["pose"], "at": [1, 2, 3], "up": "z"}
    (view,) = load_cameras(write_json(tmp_path / "pose.json", {**POSE, "pose": moved}))
    assert (view.viewmat @ torch.tensor([1.0, 2, 3, 1]).double()).tolist() == pytest.approx([0, 0, 3, 1])


@pytest.mark.parametrize("key", ["world_to_camera", "camera_to_world"])
def test_pose_json_by_matrix_in_both_conventions(tmp_path, key):
    viewmat = make_views(count=1)[0].viewmat.numpy()
    for convention, matrix in (("opencv", viewmat), ("opengl", np.diag([1, -1, -1, 1]) @ viewmat)):
        written = matrix if key == "world_to_camera" else np.linalg.inv(matrix)
        pose = {key: written.tolist(), "convention": convention}
        (view,) = load_cameras(write_json(tmp_path / "pose.json", {**POSE, "pose": pose}))
        assert view.viewmat.numpy() == pytest.approx(viewmat, abs=1e-12)


# ---- Matrices --------------------------------------------------------------------------------


def test_matrices_need_a_convention_and_a_direction_from_file_or_caller(tmp_path):
    viewmat = make_views(count=1)[0].viewmat.numpy()
    flip = np.diag([1.0, -1, -1, 1])
    np.savez(tmp_path / "a.npz", K=np.eye(3), matrix=np.linalg.inv(flip @ viewmat), width=6, height=4)
    with pytest.raises(DataError, match="does not say its direction; add 'direction': world_to_camera or"):
        load_cameras(tmp_path / "a.npz")
    (view,) = load_cameras(tmp_path / "a.npz", convention="opengl", direction="camera_to_world")
    assert view.viewmat.numpy() == pytest.approx(viewmat, abs=1e-12)
    assert (view.name, view.width, view.height) == ("0000", 6, 4)


def test_pixel_centers_at_whole_numbers_are_moved(tmp_path):
    document = {"K": np.eye(3).tolist(), "matrix": np.eye(4).tolist(), "width": 4, "height": 4}
    stated = {"convention": "opencv", "direction": "world_to_camera", "pixel_center": 0}
    (view,) = load_cameras(write_json(tmp_path / "m.json", {**document, **stated}))
    assert view.K[:2, 2].tolist() == [0.5, 0.5]


def test_rounded_rotations_are_mended(tmp_path):
    viewmat = make_views(count=1)[0].viewmat
    document = {"K": np.eye(3).tolist(), "matrix": viewmat.numpy().round(5).tolist(), "width": 4, "height": 4}
    stated = {"convention": "opencv", "direction": "world_to_camera"}
    (view,) = load_cameras(write_json(tmp_path / "m.json", {**document, **stated}))
    R = view.viewmat[:3, :3]
    torch.testing.assert_close(R @ R.mT, torch.eye(3).double(), rtol=0, atol=1e-14)
    torch.testing.assert_close(R, viewmat[:3, :3], rtol=0, atol=1e-5)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="format must be one of transforms, colmap"):
        load_cameras("x", "nerf")
    with pytest.raises(ValueError, match="there must be at least one view"):
        save_cameras("x.json", Views(()), "json")
    with pytest.raises(ValueError, match=r"npz cameras are written to \.npz; got 'x\.json'"):
        save_cameras("x.json", make_views(), "npz")
