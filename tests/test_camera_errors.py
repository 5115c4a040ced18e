"""Malformed camera files: one line that names the file, what is wrong and what to do, exit code 3, nothing written."""

from __future__ import annotations

import copy
import json
import struct

import numpy as np
import pytest
from PIL import Image
from test_camera_files import BOP_K, CAMERA_LINES, IMAGE_LINES, POSE, TURN, binary_cameras, binary_images, gt
from typer.testing import CliRunner

from voge.errors import DataError
from voge.io.cameras import load_cameras
from voge_cli.main import app

EYE = np.eye(4).tolist()
MIRROR = np.diag([1.0, 1, -1, 1]).tolist()
SINGULAR = np.diag([1.0, 1, 0, 1]).tolist()
NAN = float("nan")


def changed(document, *path_and_value):
    """A copy with one value changed, or with one key removed where the value is ...."""
    *path, last, value = path_and_value
    made = copy.deepcopy(document)
    inner = made
    for key in path:
        inner = inner[key]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return made


NERF = {"w": 8, "h": 6, "fl_x": 9.0, "cx": 4, "cy": 3, "frames": [{"file_path": "0.png", "transform_matrix": EYE}]}
BOP = {"3": {"cam_K": BOP_K, "cam_R_w2c": TURN, "cam_t_w2c": [0, 0, 9], "width": 640, "height": 480}}
BOP_OBJECT = changed(BOP, "3", "cam_R_w2c", ...)
P3D = {
    "R": [np.eye(3).tolist()] * 2,
    "T": [[0, 0, 3]] * 2,
    "focal_length": 2.0,
    "image_size": [[6, 8]],
    "principal_point": [[0, 0]],
}
MATRICES = {
    "convention": "opencv",
    "direction": "world_to_camera",
    "views": [{"K": np.eye(3).tolist(), "matrix": EYE, "width": 8, "height": 6}],
}
ARRAYS = {"K": np.eye(3), "matrix": np.eye(4)[None], "width": 8, "height": 6, "convention": "opencv"}
ARRAYS = {**ARRAYS, "direction": "world_to_camera"}
BIN_CAMERAS = binary_cameras([(1, 1, 8, 6, (9, 9, 4, 3))])
BIN_IMAGES = binary_images([(1, (1, 0, 0, 0, 0, 0, 5), 1, "a.jpg")])


def nerf(*change):
    return {"transforms.json": changed(NERF, *change)}


def text_model(cameras=CAMERA_LINES, images=IMAGE_LINES):
    return {"sparse/cameras.txt": cameras, "sparse/images.txt": images}


def binary_model(cameras=BIN_CAMERAS, images=BIN_IMAGES):
    return {"sparse/cameras.bin": cameras, "sparse/images.bin": images}


def bop(camera, poses=None):
    files = {"scene/scene_camera.json": camera}
    return files if poses is None else {**files, "scene/scene_gt.json": poses}


FRAME = ("frames", 0)
# name: files, what the line must say. The first file or its folder is given to the command.
MALFORMED = {
    # any JSON
    "empty": ({"a.json": ""}, "a.json: is empty; is it complete?"),
    "no-json": ({"a.json": "camera 1 2 3"}, "a.json: is no JSON (line 1: Expecting value)"),
    "cut-json": ({"a.json": '{"frames": [{"file_path": "a"'}, "a.json: is no JSON (line 1"),
    "not-text": ({"a.json": b"\x89PNG\xff\xfe"}, "a.json: is no JSON (not text in UTF-8)"),
    "list": ({"a.json": [1, 2]}, "a.json: holds no cameras: it must be an object with keys"),
    "deep": ({"a.json": "[" * 200_000}, "a.json: is no camera file (nested too deep)"),
    "nothing-known": ({"a.json": {"poses": [], "x": 1}}, "a.json: holds no cameras that are known; it has poses, x"),
    "other-suffix": ({"a.yaml": "x: 1"}, "a.yaml: is no file of cameras that is known by its name; say what it is"),
    "empty-folder": ({"folder/note.md": ""}, "folder: has no transforms.json, no COLMAP model and no BOP scene"),
    "digits": ({"a.json": '{"frames": ' + "1" * 5000 + "}"}, "a.json: has a number of too many digits"),
    # transforms.json
    "nerf-huge-integer": (nerf("fl_x", 10**400), "fl_x: is not finite (inf)"),
    "nerf-zero-frames": (nerf("frames", []), "frames: is empty; there must be at least one view"),
    "nerf-frames-object": (nerf("frames", {"0": {}}), "frames: must be a list, got an object"),
    "nerf-frame-text": (nerf("frames", ["a"]), "frames[0]: must be an object with keys, got text"),
    "nerf-no-matrix": (nerf(*FRAME, "transform_matrix", ...), "frames[0]: has no 'transform_matrix'"),
    "nerf-matrix-shape": (nerf(*FRAME, "transform_matrix", EYE[:2]), "must have 4x4 or 3x4 numbers, got 2x4"),
    "nerf-matrix-ragged": (nerf(*FRAME, "transform_matrix", [[1, 0], [1]]), "must hold numbers only, as many in each"),
    "nerf-matrix-text": (nerf(*FRAME, "transform_matrix", "eye"), "transform_matrix: must hold numbers only"),
    "nerf-matrix-nan": (nerf(*FRAME, "transform_matrix", [[NAN] * 4] * 4), "has numbers that are not finite"),
    "nerf-mirrored": (nerf(*FRAME, "transform_matrix", MIRROR), "frames[0].transform_matrix: has a mirrored rotation"),
    "nerf-singular": (nerf(*FRAME, "transform_matrix", SINGULAR), "has no rotation (R R^T is off by 1, det R = 0)"),
    "nerf-scaled": (
        nerf(*FRAME, "transform_matrix", np.diag([2.0, 2, 2, 1]).tolist()),
        "has a rotation scaled by 2; divide",
    ),
    "nerf-transposed": (
        nerf(*FRAME, "transform_matrix", [*EYE[:3], [1, 2, 3, 1]]),
        "must have the last row 0 0 0 1, got 1 2 3 1; is it transposed?",
    ),
    "nerf-no-focal": (nerf("fl_x", ...), "has no 'camera_angle_x'; add fl_x (pixels) or camera_angle_x (radians)"),
    "nerf-negative-focal": (nerf("fl_x", -9), "fl_x: must be positive, got -9"),
    "nerf-focal-text": (nerf("fl_x", "9"), "fl_x: must be a number, got text"),
    "nerf-focal-true": (nerf("fl_x", True), "fl_x: must be a number, got true or false"),
    "nerf-focal-nan": (nerf("fl_x", NAN), "fl_x: is not finite (nan)"),
    "nerf-angle-degrees": (
        {"t.json": {**changed(NERF, "fl_x", ...), "camera_angle_x": 60}},
        "camera_angle_x: must be radians below pi, got 60",
    ),
    "nerf-no-size": (
        {"t.json": changed(changed(NERF, "w", ...), "h", ...)},
        "has no w and h, and no picture to take them from",
    ),
    "nerf-half-size": (nerf("h", ...), "frames[0]: has no 'h'"),
    "nerf-size-fraction": (nerf("w", 8.5), "w: must be a whole number of pixels from 1 to 65536, got 8.5"),
    "nerf-size-zero": (nerf("w", 0), "w: must be a whole number of pixels"),
    "nerf-model": (nerf("camera_model", "EQUIRECTANGULAR"), "unknown camera_model 'EQUIRECTANGULAR'; choose from"),
    "nerf-model-misspelt": (nerf("camera_model", "OPENCV_FISHEY"), "did you mean 'OPENCV_FISHEYE'?"),
    "nerf-pinhole-bent": (
        nerf("frames", [{**NERF["frames"][0], "camera_model": "PINHOLE", "k1": 0.1}]),
        "has camera_model PINHOLE and distortion",
    ),
    "nerf-k4": (nerf("frames", [{**NERF["frames"][0], "k4": 0.1}]), "k4: is not supported with perspective cameras"),
    "nerf-path-number": (nerf(*FRAME, "file_path", 3), "file_path: must be text, got a number"),
    # COLMAP, text
    "colmap-empty": (text_model(images="# none\n"), "images.txt: has no images"),
    "colmap-no-images": ({"sparse/cameras.txt": CAMERA_LINES}, "images.txt: no such file"),
    "colmap-model": (text_model("1 FOV 8 6 9 9 4 3 0.5\n"), "cameras.txt: line 1: unknown camera model 'FOV'; known"),
    "colmap-count": (text_model("7 PINHOLE 8 6 9 9 4\n"), "line 1: PINHOLE has 4 parameters, got 3"),
    "colmap-word": (text_model("7 PINHOLE 8 6 9 nine 4 3\n"), "line 1: has a word that is no number"),
    "colmap-short": (text_model("7 PINHOLE 8\n"), "must be CAMERA_ID MODEL WIDTH HEIGHT PARAMS, got 3 words"),
    "colmap-focal": (text_model("2 PINHOLE 8 6 -9 9 4 3\n" * 1 + "7 PINHOLE 8 6 9 9 4 3\n"), "positive focal length"),
    "colmap-nan": (text_model(CAMERA_LINES.replace("50.5", "nan")), "camera 2: has parameters that are not finite"),
    "colmap-size": (text_model(CAMERA_LINES.replace("64 48", "0 48")), "must have sides of 1 to 65536 pixels, got 0"),
    "colmap-camera": (text_model("7 PINHOLE 8 6 9 9 4 3\n"), "image 4: names camera 2, which cameras.txt does not"),
    "colmap-one-line": (
        text_model(images="4 1 0 0 0 0 0 5 2 a.jpg\n5 1 0 0 0 0 0 5 2 b.jpg\n6 1 0\n"),
        "images.txt: line 2: must be the points of an image as X Y POINT3D_ID, or empty, got '5 1 0 0 0 0 0 5 2 b.jpg'",
    ),
    "colmap-line": (
        text_model(images="4 1 0 0 0 0 0 5 2 a.jpg\n\n6 1 0\n"),
        "line 3: must be IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, got 3 words",
    ),
    # Without the second lines: a name of several words makes twelve of them, which are three points but for the words.
    "colmap-no-points-name": (
        text_model(images="4 1 0 0 0 0 0 5 2 a.jpg\n5 1 0 0 0 0 0 5 2 b c d.jpg\n"),
        "images.txt: line 2: must be the points of an image",
    ),
    "colmap-no-points-later": (
        text_model(images="4 1 0 0 0 0 0 5 2 a.jpg\n1 2 -1\n# remark\n5 1 0 0 0 0 0 5 2 b\n6 1 0 0 0 0 0 5 2 c.jpg\n"),
        "images.txt: line 5: must be the points of an image",
    ),
    "colmap-equirectangular": (
        text_model("1 EQUIRECTANGULAR 8 6 8 6\n"),
        "line 1: unknown camera model 'EQUIRECTANGULAR'; known",
    ),
    "colmap-bin-eucm": (binary_model(binary_cameras([(1, 16, 8, 6, (9,) * 6)])), "unknown camera model 'EUCM'"),
    "colmap-quaternion": (text_model(images="4 0 0 0 0 0 0 5 2 a.jpg\n\n"), "has a quaternion of length 0, not 1"),
    "colmap-translation": (text_model(images="4 1 0 0 0 0 inf 5 2 a.jpg\n\n"), "translation that is not finite"),
    "colmap-not-text": (text_model(cameras=b"\xff\xfe\x00"), "cameras.txt: is not text in UTF-8"),
    # COLMAP, binary
    "colmap-bin-empty": (binary_model(cameras=b""), "cameras.bin: ends after 0 bytes, in the middle of a record"),
    "colmap-bin-cut": (binary_model(images=BIN_IMAGES[:-5]), "images.bin: ends after"),
    "colmap-bin-name": (binary_model(images=BIN_IMAGES[:75]), "images.bin: ends in the middle of a name"),
    "colmap-bin-count": (binary_model(struct.pack("<Q", 2**60) + BIN_CAMERAS[8:]), "in the middle of a record"),
    "colmap-bin-more": (binary_model(images=BIN_IMAGES + b"1234"), "announces 1 records, and 4 bytes follow them"),
    "colmap-bin-model": (binary_model(binary_cameras([(1, 7, 8, 6, (9,) * 5)])), "unknown camera model 'FOV'"),
    "colmap-bin-number": (binary_model(binary_cameras([(1, 77, 8, 6, (9,))])), "unknown camera model 'number 77'"),
    "colmap-bin-none": (binary_model(images=struct.pack("<Q", 0)), "images.bin: has no images"),
    "colmap-bin-nan": (binary_model(binary_cameras([(1, 1, 8, 6, (NAN, 9, 4, 3))])), "that are not finite"),
    # BOP
    "bop-none": (bop({}), "scene_camera.json: has no images"),
    "bop-key": (bop({"first": BOP["3"]}), "keys must be image numbers, got 'first'"),
    "bop-no-K": (bop(changed(BOP, "3", "cam_K", ...)), "3: has no 'cam_K'"),
    "bop-K-short": (bop(changed(BOP, "3", "cam_K", BOP_K[:8])), "3.cam_K: must have 9 or 3x3 numbers, got 8"),
    "bop-K-transposed": (
        bop(changed(BOP, "3", "cam_K", np.reshape(BOP_K, (3, 3)).T.flatten().tolist())),
        "3.cam_K: must be fx s cx, 0 fy cy, 0 0 1; is it transposed?",
    ),
    "bop-K-negative": (bop(changed(BOP, "3", "cam_K", [-500, *BOP_K[1:]])), "positive focal length, got fx = -500"),
    "bop-mirrored": (bop(changed(BOP, "3", "cam_R_w2c", [1, 0, 0, 0, 1, 0, 0, 0, -1])), "mirrored rotation"),
    "bop-no-t": (bop(changed(BOP, "3", "cam_t_w2c", ...)), "3: has no 'cam_t_w2c'"),
    "bop-no-poses": (bop(BOP_OBJECT), "scene_gt.json: no such file, and some image has no cam_R_w2c"),
    "bop-no-size": (
        bop({"3": {"cam_K": BOP_K, "cam_R_w2c": TURN, "cam_t_w2c": [0, 0, 9]}}),
        "3: has no picture in rgb or gray to take the image size from; give --image-size WxH",
    ),
    "bop-objects": (bop(BOP_OBJECT, {"3": [gt(1), gt(2)]}), "has 2 objects; choose one of 1, 2 with --object"),
    "bop-no-image": (
        bop(BOP_OBJECT, {"4": [gt(1)]}),
        "scene_gt.json: shows object 1 in none of the images of scene_camera.json",
    ),
    "bop-pose-text": (bop(BOP_OBJECT, {"3": "none"}), "scene_gt.json: 3: must be a list, got text"),
    # PyTorch3D
    "p3d-no-T": ({"a.json": changed(P3D, "T", ...)}, "has no 'T'"),
    "p3d-rows": ({"a.json": changed(P3D, "T", [[0, 0, 3]] * 3)}, "T: has 3 rows for 2 views of R"),
    "p3d-zero": ({"a.json": changed(P3D, "R", [])}, "R: must have Nx3x3 or 3x3 numbers, got 0"),
    "p3d-mirrored": ({"a.json": changed(P3D, "R", 0, np.diag([1, 1, -1]).tolist())}, "R[0]: has a mirrored rotation"),
    "p3d-focal": ({"a.json": changed(P3D, "focal_length", [2.0, -2.0])}, "focal_length: must be positive, got -2"),
    "p3d-size": ({"a.json": changed(P3D, "image_size", ...)}, "has no 'image_size'; add it as (height, width)"),
    "p3d-size-fraction": ({"a.json": changed(P3D, "image_size", [[6.5, 8]])}, "image_size: must be whole pixels"),
    "p3d-ndc": ({"a.json": {**P3D, "in_ndc": "no"}}, "in_ndc: must be true or false, got text"),
    "p3d-key": ({"a.json": {**P3D, "focal_lenght": 2}}, "unknown key 'focal_lenght'; did you mean 'focal_length'?"),
    # Matrices
    "json-none": ({"a.json": changed(MATRICES, "views", [])}, "views: is empty"),
    "json-convention": ({"a.json": changed(MATRICES, "convention", ...)}, "does not say its convention; add"),
    "json-convention-other": ({"a.json": changed(MATRICES, "convention", "blender")}, "unknown convention 'blender'"),
    "json-key": ({"a.json": changed(MATRICES, "views", 0, "widht", 3)}, "unknown key 'widht'; did you mean 'width'?"),
    "json-lens": (
        {"a.json": changed(MATRICES, "views", 0, "distortion", [1, 2, 3, 4])},
        "distortion: is given with model pinhole; opencv and fisheye have it",
    ),
    "json-lens-missing": ({"a.json": changed(MATRICES, "views", 0, "model", "fisheye")}, "has no 'distortion'"),
    "npz-cut": (
        {"a.npz": b"PK\x03\x04 and no more"},
        "a.npz: cannot be read as .npz (it is a damaged zip file); is it complete?",
    ),
    "npz-cut-short": ({"a.npz": b"PK\x03\x04"}, "a.npz: cannot be read as .npz"),
    "npz-text": (
        {"a.npz": b"camera"},
        "a.npz: cannot be read as .npz (it is no zip file, as .npz are); is it the right",
    ),
    "npz-pickle": (
        {"a.npz": {"matrix": np.array([{"a": 1}], dtype=object)}},
        "a.npz: cannot be read as .npz (it holds objects of Python, not numbers); save arrays",
    ),
    "json-comma": ({"a.json": '{"frames": [1, 2,]}'}, "a.json: is no JSON (line 1: "),
    "json-cut-text": ({"a.json": '{"frames": "abc'}, "); is it complete?"),
    "colmap-word-image": (
        text_model(images="4 1 0 0 0 0 0 five 2 a.jpg\n\n"),
        "line 1: has a word that is no number ('five'); export",
    ),
    "colmap-word-id": (
        text_model(images="4.5 1 0 0 0 0 0 5 2 a.jpg\n\n"),
        "line 1: has a word that is no whole number ('4.5')",
    ),
    "npz-keys": ({"a.npz": {"points": np.zeros((3, 3))}}, "holds no cameras that are known; it has points"),
    "npz-shape": ({"a.npz": {**ARRAYS, "matrix": np.eye(3)}}, "matrix: must have Nx4x4 or Nx3x4 or 4x4 or 3x4 numbers"),
    "npz-zero": ({"a.npz": {**ARRAYS, "matrix": np.zeros((0, 4, 4))}}, "matrix: is empty"),
    "npz-counts": ({"a.npz": {**ARRAYS, "width": np.array([8, 8, 8])}}, "width: has shape (3,) for 1 views"),
    "npz-nan": ({"a.npz": {**ARRAYS, "matrix": np.full((4, 4), np.nan)}}, "has numbers that are not finite"),
    # pose.json
    "pose-key": ({"p.json": changed(POSE, "pose", "azimut", 3)}, "pose: unknown key 'azimut'; did you mean 'azimuth'?"),
    "pose-top-key": ({"p.json": {**POSE, "modle": "a"}}, "unknown key 'modle'; did you mean 'model'?"),
    "pose-camera-key": ({"p.json": changed(POSE, "camera", "f", 3)}, "camera: unknown key 'f'"),
    "pose-no-camera": ({"p.json": changed(POSE, "camera", ...)}, "has no 'camera'"),
    "pose-no-angle": ({"p.json": changed(POSE, "pose", "elevation", ...)}, "pose: has no 'elevation'"),
    "pose-distance": ({"p.json": changed(POSE, "pose", "distance", 0)}, "pose.distance: must be positive, got 0"),
    "pose-infinite": ({"p.json": changed(POSE, "pose", "azimuth", float("inf"))}, "azimuth: is not finite (inf)"),
    "pose-no-convention": (
        {"p.json": changed(POSE, "pose", {"world_to_camera": EYE})},
        "pose: has no 'convention'",
    ),
    "pose-mixed": (
        {"p.json": changed(POSE, "pose", {"world_to_camera": EYE, "azimuth": 3, "convention": "opencv"})},
        "pose: unknown key 'azimuth'",
    ),
    "pose-up": (
        {"p.json": changed(POSE, "pose", {**POSE["pose"], "convention": "pascal3d", "up": "y"})},
        "has convention pascal3d and up y",
    ),
    "pose-list": ({"p.json": changed(POSE, "pose", [1, 2, 3])}, "pose: must be an object with keys, got a list"),
}


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str):
            path.write_text(content)
        elif path.suffix == ".npz":
            np.savez(path, **content)
        else:
            path.write_text(json.dumps(content))
    first = next(iter(files))
    return first.split("/")[0]


def content(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_in_one_line(tmp_path, monkeypatch, name):
    files, message = MALFORMED[name]
    monkeypatch.chdir(tmp_path)
    given = write(tmp_path, files)
    before = content(tmp_path)
    result = CliRunner().invoke(app, ["cameras", given, "--to", "json", "-o", "new/out.json"])
    assert result.exit_code == 3, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {given}"), line
    assert message in line
    assert len(line) < 500
    assert content(tmp_path) == before


def test_there_are_many():
    assert len(MALFORMED) >= 45


def test_the_unchanged_files_are_read(tmp_path, monkeypatch):
    """So that each change above is what is refused."""
    monkeypatch.chdir(tmp_path)
    good = [
        {"transforms.json": NERF}, text_model(), binary_model(), bop(BOP), {"p3d.json": P3D}, {"m.json": MATRICES},
        {"m.npz": ARRAYS}, {"pose.json": POSE},
    ]  # fmt: skip
    for number, files in enumerate(good):
        (tmp_path / str(number)).mkdir()
        given = write(tmp_path / str(number), files)
        assert CliRunner().invoke(app, ["cameras", f"{number}/{given}"]).exit_code == 0, given


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["cameras", "none.json"])
    assert (result.exit_code, result.stderr) == (3, "error: none.json: no such file or folder\n")


@pytest.mark.parametrize("name", ["a" * 5000, "images/" + "b" * 300 + ".png", "a\\" + "é" * 200, "a\0.png"])
@pytest.mark.parametrize("key", ["file_path", "mask_path"])
def test_names_that_no_file_can_have_are_refused(tmp_path, name, key):
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]
    frame = {"file_path": "a.png", "transform_matrix": matrix, key: name}
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"camera_angle_x": 0.7, "w": 64, "h": 48, "frames": [frame]}))
    with pytest.raises(DataError, match=key) as caught:
        load_cameras(path)
    assert "Errno" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("suffix", [".JPEG", ".PNG", ".jpeg", ".png"])
def test_pictures_named_without_their_suffix_are_found(tmp_path, suffix):
    Image.new("RGB", (64, 48)).save(tmp_path / f"r_0{suffix}")
    matrix = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1]]
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps({"camera_angle_x": 0.7, "frames": [{"file_path": "./r_0", "transform_matrix": matrix}]}))
    [view] = load_cameras(path)
    assert view.image == tmp_path / f"r_0{suffix}"
    assert (view.width, view.height) == (64, 48)
