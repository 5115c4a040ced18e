"""voge render as a user meets it: outputs, cameras of a file, scenes of several objects, backgrounds, videos."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from program import content, picture, refuse, run
from safetensors.torch import load_file
from scenes import random_ellipsoids

from voge import Cameras, orbit, render
from voge.errors import DataError
from voge.imaging import album
from voge.io.ellipsoids import save_ellipsoids
from voge.io.scenes import load_scene

SMALL = ["--size", "20x16"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with two models: `a.npz` with colors and normals, `many.npz` with 6 features."""
    monkeypatch.chdir(tmp_path)
    made = random_ellipsoids(40, dtype=torch.float32)
    save_ellipsoids("a.npz", replace(made, density=made.density + 5, extra={"normals": made.means}))
    save_ellipsoids("many.npz", random_ellipsoids(30, dtype=torch.float32, channels=6))
    return tmp_path


@pytest.fixture
def transforms():
    """Two views of different sizes, off-center, as instant-ngp and nerfstudio write them."""
    front = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4], [0, 0, 0, 1]]
    side = [[0, 0, 1, 4], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]
    first = {"file_path": "images/front.png", "transform_matrix": front}
    second = {"file_path": "images/side.png", "transform_matrix": side, "w": 12, "h": 18, "cx": 6, "cy": 9}
    document = {"fl_x": 30, "fl_y": 28, "cx": 9, "cy": 9, "w": 20, "h": 16, "frames": [first, second]}
    with open("transforms.json", "w") as file:
        json.dump(document, file)
    return "transforms.json"


def arrays(path):
    with np.load(path) as file:
        return dict(file)


# ---- Outputs ---------------------------------------------------------------------------------


def test_ids_are_numbers_and_a_picture():
    run("render", "a.npz", "--outputs", "id,alpha", *SMALL)
    made = arrays("a_render/id/0000.npz")
    assert (made["ellipsoid"].dtype, made["ellipsoid"].shape) == (np.int32, (16, 20))
    assert made["ellipsoid"].min() == -1
    assert 0 < made["ellipsoid"].max() < 40
    seen = made["ellipsoid"] >= 0
    assert (made["object"] == np.where(seen, 0, -1)).all()
    assert made["objects"].tolist() == ["a"]
    shown = picture("a_render/id/0000.png")
    assert (shown.any(axis=2) == seen).all()
    assert "object" not in content_of("a_render")


def content_of(name):
    from pathlib import Path

    return sorted(path.name for path in Path(name).iterdir())


def test_features_of_any_number_of_channels_are_exact_and_shown():
    run("render", "many.npz", "--outputs", "features", *SMALL)
    made = arrays("many_render/features/0000.npz")
    assert made["features"].shape == (16, 20, 6)
    assert not made["divided_by_alpha"]
    tensors = load_file("many_render/features/0000.safetensors")
    for name in ("features", "alpha"):
        assert (tensors[name].numpy() == made[name]).all()
    assert content_of("many_render") == ["config.yaml", "features", "sheet.png"]
    assert picture("many_render/features/0000.png").shape == (16, 20, 3)
    run("render", "many.npz", "--outputs", "features", *SMALL, "features.files=[npz]", "--overwrite")
    assert content_of("many_render/features") == ["0000.npz", "0000.png"]


def test_depth_along_the_axis_says_so():
    both = {}
    for kind in ("ray", "z"):
        run("render", "a.npz", "--outputs", "depth", *SMALL, f"depth.kind={kind}", "-o", kind)
        both[kind] = arrays(f"{kind}/depth/0000.npz")
        with Image.open(f"{kind}/depth/0000.png") as png:
            assert png.text["depth_kind"] == str(both[kind]["kind"]) == kind
            assert png.mode.startswith("I")
    seen = both["ray"]["depth"] > 0
    assert (both["z"]["depth"][seen] < both["ray"]["depth"][seen]).all()


def test_normals_in_the_frame_of_the_camera():
    for frame in ("world", "camera"):
        run("render", "a.npz", "--outputs", "normal", *SMALL, f"normal.frame={frame}", "-o", frame)
    world, camera = (arrays(f"{frame}/normal/0000.npz") for frame in ("world", "camera"))
    assert str(camera["frame"]) == "camera"
    turn = orbit(30.0, 20.0, 1.0)[:3, :3].numpy()
    assert camera["normal"] == pytest.approx(world["normal"] @ turn.T, abs=1e-4)


def test_color_space_changes_what_is_blended():
    for space in ("srgb", "linear"):
        run("render", "a.npz", *SMALL, f"color_space={space}", "-o", space)
    stored, linear = (picture(f"{space}/rgb/0000.png").astype(int) for space in ("srgb", "linear"))
    assert 1 < np.abs(stored - linear).max() < 80
    assert (stored[0, 0] == linear[0, 0]).all()


# ---- Backgrounds -----------------------------------------------------------------------------


def test_a_picture_behind_covers_the_view_and_is_cut_around_its_middle():
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 10:30] = [0, 200, 0]  # what is left of it in a picture as wide as twice its height
    Image.fromarray(wide).save("behind.png")
    run("render", "a.npz", "--size", "24x12", "--background", "behind.png", "--dist", "100", "--turntable", "2")
    made = picture("a_render/rgb/0000.png")
    assert made[0, :, 1].min() > 150
    assert made[..., [0, 2]][0].max() < 30


def test_a_background_that_is_none_is_bad_data():
    assert refuse(3, "render", "a.npz", "--background", "none.png", "-q") == "none.png: no such file"
    with open("bad.png", "w") as file:
        file.write("hello")
    assert refuse(3, "render", "a.npz", "--background", "bad.png", "-q").startswith("bad.png: cannot be read as a")


# ---- Cameras of a file -----------------------------------------------------------------------


def test_every_view_of_a_camera_file_in_its_own_size(folder, transforms):
    document = json.loads(run("render", "a.npz", "--cameras", transforms, "--outputs", "rgb,depth", "--json").stdout)
    assert document["views"] == [
        {"name": "front", "width": 20, "height": 16},
        {"name": "side", "width": 12, "height": 18},
    ]
    assert content(folder / "a_render" / "rgb") == ["front.png", "side.png"]
    assert picture("a_render/rgb/front.png").shape == (16, 20, 3)
    assert picture("a_render/rgb/side.png").shape == (18, 12, 3)
    depth = arrays("a_render/depth/side.npz")
    assert depth["K"].tolist() == [[30, 0, 6], [0, 28, 9], [0, 0, 1]]
    assert depth["viewmat"][:3, :3].tolist() == [[0, 0, -1], [0, -1, 0], [-1, 0, 0]]


def test_pictures_of_a_camera_file_are_those_of_its_cameras(transforms):
    run("render", "a.npz", "--cameras", transforms, "--outputs", "features", "--frame", "front")
    scene = replace(random_ellipsoids(40, dtype=torch.float32))
    scene = replace(scene, density=scene.density + 5)
    K = torch.tensor([[30.0, 0, 9], [0, 28, 9], [0, 0, 1]])
    expected = render(scene, Cameras(orbit(0.0, 0.0, 4.0)[None], K[None], 20, 16)).image[0]
    assert arrays("a_render/features/front.npz")["features"] == pytest.approx(expected.numpy(), abs=1e-4)


def test_size_scales_the_cameras_of_a_file(transforms):
    run("render", "a.npz", "--cameras", transforms, "--outputs", "depth", "--size", "40x8", "--frame", "1,front")
    assert arrays("a_render/depth/front.npz")["K"].tolist() == [[60, 0, 18], [0, 14, 4.5], [0, 0, 1]]
    assert arrays("a_render/depth/side.npz")["depth"].shape == (8, 40)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--cameras", "transforms.json", "--frame", "frnt"], 2, "has no view 'frnt'; did you mean 'front'?"),
        (["--cameras", "transforms.json", "--frame", "2"], 2, "no view '2'; there are front to side, or 0 to 1"),
        (["--cameras", "transforms.json", "--azim", "3", "--ortho"], 2, "--azim and --ortho cannot change the views"),
        (["--frame", "0"], 2, "--frame chooses from the views of a camera file; give one with --cameras"),
        (["--cameras", "transforms.json", "cameras.format=colmop"], 2, "cameras.format must be one of transforms,"),
        (["--cameras", "none.json"], 3, "none.json: no such file or folder"),
        (["--cameras", "transforms.json", "--film"], 2, "a film needs views of one size, these have 12x18, 20x16;"),
        (["--film", "--outputs", "depth"], 2, "a film is made of rgb; add it to --outputs, or leave --film out"),
    ],
)
def test_cameras_that_cannot_be_are_refused(folder, transforms, arguments, code, message):
    before = content(folder)
    assert message in refuse(code, "render", "a.npz", *arguments, "-q")
    assert content(folder) == before


def test_a_pose_file_brings_its_model():
    pose = {
        "model": "a.npz",
        "camera": {"width": 20, "height": 16, "fx": 30, "fy": 30, "cx": 10, "cy": 8},
        "pose": {"azimuth": 20, "elevation": 10, "theta": 0, "distance": 4},
    }
    with open("pose.json", "w") as file:
        json.dump(pose, file)
    run("render", "--cameras", "pose.json")
    assert len(content_of("pose_render/rgb")) == 1


def test_a_film_of_the_views(transforms):
    run("render", "a.npz", "--cameras", transforms, "--size", "16x16", "--film", "--video", "gif")
    with Image.open("a_render/film.gif") as film:
        assert (film.n_frames, film.size) == (2, (16, 16))


def test_millimeters_for_meters_and_an_object_behind_are_named(transforms):
    made = random_ellipsoids(40, dtype=torch.float32)
    middle = (made.means.amin(0) + made.means.amax(0)) / 2
    save_ellipsoids("mm.npz", replace(made, means=(made.means - middle) * 1000, scales=made.scales * 1000))
    told = run("render", "mm.npz", "--cameras", transforms, "--size", "8x8").stderr
    assert "warning: the object seems to be in millimeters and the cameras in meters" in told
    save_ellipsoids("behind.npz", replace(made, means=made.means + torch.tensor([30.0, 0, 30])))
    told = run("render", "behind.npz", "--cameras", transforms).stderr
    assert "warning: the object is behind all 2 cameras" in told


# ---- Scenes ----------------------------------------------------------------------------------

SCENE = {
    "objects": [
        {"model": "a.npz", "name": "left", "pose": {"translation": [-2, 0, 0], "rotation_euler": [0, 90, 0]}},
        {"model": "a.npz", "pose": {"translation": [2, 0, 0], "rotation_axis": [0, 1, 0, 90], "scale": 0.5}},
    ]
}


def write_scene(name, document):
    with open(name, "w") as file:
        file.write(json.dumps(document) if name.endswith("json") else yaml.safe_dump(document))
    return name


@pytest.mark.parametrize("name", ["scene.json", "scene.yaml"])
def test_objects_of_a_scene_are_told_apart(name):
    write_scene(name, SCENE)
    options = ["--outputs", "id", "--azim", "0", "--elev", "0", *SMALL, "--json"]
    document = json.loads(run("render", name, *options).stdout)
    assert document["objects"] == {"left": 40, "a": 40}
    made = arrays("scene_render/id/0000.npz")
    assert made["objects"].tolist() == ["left", "a"]
    assert made["object"][:, :10].max() == 0
    assert made["object"][:, 10:][made["object"][:, 10:] >= 0].min() == 1
    with Image.open("scene_render/object/0000.png") as png:
        assert png.mode == "P"
        assert (np.asarray(png) == made["object"] + 1).all()
        assert json.loads(png.text["objects"]) == ["left", "a"]
        assert np.asarray(png.convert("RGB"))[made["object"] < 0].max() == 0


def test_a_scene_may_name_cameras_and_be_joined_by_other_models(transforms):
    write_scene("scene.json", {"objects": ["a.npz"], "cameras": transforms})
    document = json.loads(run("render", "scene.json", "a.npz", "--json").stdout)
    assert [view["name"] for view in document["views"]] == ["front", "side"]
    assert document["objects"] == {"a": 40, "a_2": 40}


def test_a_matrix_is_the_same_pose():
    turned = {"translation": [1, 0.5, 0], "rotation_quat": [1, 0, 1, 0], "scale": 2}
    matrix = [[0, 0, 2, 1], [0, 2, 0, 0.5], [-2, 0, 0, 0], [0, 0, 0, 1]]
    for name, pose in (("keys", turned), ("matrix", matrix)):
        write_scene(f"{name}.json", {"objects": [{"model": "a.npz", "pose": pose}]})
        run("render", f"{name}.json", *SMALL, "--dist", "9")
    keys, rows = (picture(f"{name}_render/rgb/0000.png").astype(int) for name in ("keys", "matrix"))
    assert np.abs(keys - rows).max() <= 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"object": []}, "the scene has an unknown key 'object'; did you mean 'objects'?"),
        ({"frames": []}, "is no scene: it has no objects; write"),
        ({"objects": []}, "must have a list of objects; write"),
        ({"objects": [{"modl": "a.npz"}]}, "objects[0] has an unknown key 'modl'; did you mean 'model'?"),
        ({"objects": [{"name": "a"}]}, "objects[0] must have a model; name a file"),
        (
            {"objects": [3]},
            "objects[0] must have keys and values (model, primitive, pose, name, free, truth, center), got int",
        ),
        (
            {"objects": ["a.npz"], "cameras": 3},
            "cameras must name a file or have azimuth, elevation, distance, theta, at, up, size, focal, fov, got 3",
        ),
    ],
)
def test_a_wrong_scene_is_one_line(document, message):
    assert refused(write_scene("scene.json", document)).startswith(f"scene.json: {message}")


def refused(path):
    with pytest.raises(DataError) as caught:
        load_scene(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("pose", "message"),
    [
        ({"scal": 2}, "objects[0].pose has an unknown key 'scal'; did you mean 'scale'?"),
        ({"scale": -1}, "objects[0].pose scale must be one positive number, got -1"),
        ({"scale": [1, 2, 3]}, "objects[0].pose scale must be one positive number, got [1, 2, 3]"),
        ({"translation": [1, 2]}, "objects[0].pose translation must be 3 finite numbers, got [1, 2]"),
        ({"translation": [1, 2, "x"]}, "objects[0].pose translation must be 3 finite numbers, got [1, 2, 'x']"),
        ({"rotation_axis": [0, 0, 0, 9]}, "objects[0].pose rotation_axis must not be zero, got [0.0, 0.0, 0.0, 9.0]"),
        (
            {"rotation_euler": [0, 0, 0], "rotation_quat": [1, 0, 0, 0]},
            "objects[0].pose has rotation_euler and rotation_quat; give one rotation",
        ),
        ([[1, 0, 0, 0]], "objects[0].pose must be 4 rows of 4 numbers, from the object's to the world's frame"),
        (np.diag([1, 1, -1, 1]).tolist(), "objects[0].pose must keep the hand (determinant above 0, got -1)"),
        (np.diag([1, 2, 3, 1]).tolist(), "objects[0].pose must be a rotation, one scale and a translation"),
        ((np.eye(4) + np.eye(4, k=-3)).tolist(), "objects[0].pose must have the last row [0, 0, 0, 1], got [1.0,"),
    ],
)
def test_a_wrong_pose_is_one_line(pose, message):
    path = write_scene("scene.json", {"objects": [{"model": "a.npz", "pose": pose}]})
    assert refused(path).startswith(f"scene.json: {message}")


def test_scenes_that_do_not_parse_or_repeat_a_name_are_refused():
    twice = {"objects": [{"model": "a.npz", "name": "x"}, {"model": "a.npz", "name": "x"}]}
    write_scene("scene.json", twice)
    assert refuse(3, "render", "scene.json").startswith("scene.json: has several objects named 'x'; give each")
    for name, kind in (("bad.json", "JSON"), ("bad.yaml", "YAML")):
        with open(name, "w") as file:
            file.write("{objects: [")
        assert refused(name).startswith(f"{name}: is no {kind} (")
    assert refuse(3, "render", "none.yaml") == "none.yaml: no such file"


def test_features_must_be_there_and_alike():
    save_ellipsoids("plain.npz", replace(random_ellipsoids(5, dtype=torch.float32), features=None))
    options = ["--outputs", "features"]
    assert refuse(3, "render", "plain.npz", *options).startswith("plain.npz: has no features; leave features out")
    assert (
        refuse(3, "render", "a.npz", "many.npz", *options) == "many.npz: has 6 features, a.npz has 3; render them apart"
    )


# ---- Sheets and records ----------------------------------------------------------------------


def test_a_sheet_of_many_views_shows_some_of_them(monkeypatch):
    monkeypatch.setattr(album, "SHEET_VIEWS", 3)
    azimuths = ",".join(map(str, range(0, 360, 40)))
    run("render", "a.npz", "--azim", azimuths, *SMALL)
    assert len(content_of("a_render/rgb")) == 9
    assert picture("a_render/sheet.png").shape == (24, 76, 3)


def test_the_record_has_the_size_that_was_taken():
    run("render", "a.npz", "--outputs", "alpha")
    with open("a_render/config.yaml") as file:
        assert yaml.safe_load(file)["size"] == "512x512"
