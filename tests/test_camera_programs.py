"""Cameras of other programs, each file written by hand from its documentation.

All hold the cameras of `test_camera_tools`: at (0, 0, 3), (3, 0, 0) and (0, 0, -3), y up, looking at the origin.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from test_camera_tools import centers, picture, stand, to_camera, to_world, write_json

from voge.errors import DataError
from voge.io.cameras import FORMATS, READ_ONLY, load_cameras, save_cameras
from voge.io.settings import CAMERA_READERS

FLIP = np.diag([1.0, -1, -1, 1])


# ---- Writers ---------------------------------------------------------------------------------


def splatting(folder):
    cameras = []
    for i in range(3):
        pose = to_world(i) @ FLIP
        cameras.append(
            {"id": i, "img_name": f"{i}", "width": 64, "height": 48, "position": pose[:3, 3].tolist(),
             "rotation": pose[:3, :3].tolist(), "fx": 60.0, "fy": 60.0}
        )  # fmt: skip
    return write_json(folder / "cameras.json", cameras)


def camera_path(folder):
    angle = math.degrees(2 * math.atan(24 / 60))
    path = [{"camera_to_world": to_world(i).flatten().tolist(), "fov": angle, "aspect": 1} for i in range(3)]
    document = {"camera_type": "perspective", "render_height": 48, "render_width": 64, "camera_path": path}
    return write_json(folder / "camera_path.json", {**document, "fps": 24, "seconds": 4, "crop": None, "keyframes": []})


def bundler(folder, numbers=range(3), focal=60.0, k="0 0"):
    lines = ["# Bundle file v0.3", f"{len(list(numbers))} 1"]
    for i in numbers:
        pose = FLIP @ to_camera(i)
        lines += [f"{focal} {k}", *(" ".join(map(repr, row.tolist())) for row in pose[:3, :3])]
        lines.append(" ".join(map(repr, pose[:3, 3].tolist())))
    path = folder / "bundle.out"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*lines, "0 0 0", "255 0 0", "1 0 0 1.5 2.5"]) + "\n")
    (folder / "list.txt").write_text("".join(f"./{i}.png 0 60\n" for i in numbers))
    return path


def vector(i):
    """Axis times angle of `to_camera`: half turns and quarters about y, after half a turn about x."""
    R = to_camera(i)[:3, :3]
    values, vectors = np.linalg.eig(R)
    axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
    angle = math.acos(max(-1.0, min(1.0, (np.trace(R) - 1) / 2)))
    return axis * angle


SFM_CAMERA = {"projection_type": "perspective", "width": 64, "height": 48, "focal": 60 / 64, "k1": 0.0, "k2": 0.0}


def opensfm(folder, camera=None):
    shots = {
        f"{i}.png": {"rotation": vector(i).tolist(), "translation": to_camera(i)[:3, 3].tolist(), "camera": "v2 a"}
        for i in range(3)
    }
    document = [{"cameras": {"v2 a": camera or SFM_CAMERA}, "shots": shots, "points": {}}]
    return write_json(folder / "reconstruction.json", document)


MVG_LENS = {
    "polymorphic_id": 2147483649,
    "polymorphic_name": "pinhole",
    "ptr_wrapper": {"id": 2147483649, "data": {"width": 64, "height": 48, "focal_length": 60.0,
                                               "principal_point": [32.0, 24.0]}},
}  # fmt: skip


def openmvg(folder, lens=None, numbers=range(3)):
    views = [
        {"key": i, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 2147483650 + i, "data": {
            "local_path": "", "filename": f"{i}.png", "width": 64, "height": 48, "id_view": i, "id_intrinsic": 0,
            "id_pose": i}}}}
        for i in range(3)
    ]  # fmt: skip
    poses = [
        {"key": i, "value": {"rotation": to_camera(i)[:3, :3].tolist(), "center": to_world(i)[:3, 3].tolist()}}
        for i in numbers
    ]
    document = {"sfm_data_version": "0.3", "root_path": "/home/me/images", "views": views, "extrinsics": poses}
    return write_json(
        folder / "sfm_data.json",
        {**document, "intrinsics": [{"key": 0, "value": lens or MVG_LENS}], "structure": [], "control_points": []},
    )


CALIBRATION = "<f>60</f><cx>0</cx><cy>0</cy>"


def metashape(folder, calibration=CALIBRATION, transform="", kind="frame", extra="", numbers=range(3)):
    cameras = "".join(
        f'<camera id="{i}" sensor_id="0" label="{i}"><transform>'
        f"{' '.join(map(repr, (to_world(i) @ FLIP).flatten().tolist()))}</transform></camera>"
        for i in numbers
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cameras.xml"
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?><document version="1.5.0"><chunk label="Chunk 1" enabled="true">'
        f'<sensors next_id="1"><sensor id="0" label="x" type="{kind}"><resolution width="64" height="48"/>'
        f'<calibration type="{kind}" class="initial"><resolution width="64" height="48"/><f>1</f></calibration>'
        f'<calibration type="{kind}" class="adjusted"><resolution width="64" height="48"/>{calibration}</calibration>'
        f'</sensor></sensors><cameras next_id="3"><group id="0" label="g">{cameras}</group>{extra}</cameras>{transform}'
        f"</chunk></document>"
    )
    return path


# Cameras that look level have a pitch of 90 degrees; north is y, and a heading goes clockwise from it.
RC_HEAD = "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"


def realitycapture(folder, more="0,0,0,0,0,0,0,0", rows=((0, -3, 0, 0), (3, 0, 0, -90), (0, 3, 0, 180))):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "cameras.csv"
    focal = 60 * 36 / 64
    lines = [f"{i}.png,{x},{y},{z},{heading},90,0,{focal},{more}" for i, (x, y, z, heading) in enumerate(rows)]
    path.write_text("\n".join(["#cameras 3", RC_HEAD, *lines]) + "\n")
    return path


WRITERS = {
    "3dgs": splatting,
    "camera-path": camera_path,
    "bundler": bundler,
    "opensfm": opensfm,
    "openmvg": openmvg,
    "metashape": metashape,
}


def pictures(folder, suffix=".png"):
    for i in range(3):
        picture(folder / "images" / f"{i}{suffix}")


# ---- All -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRITERS)
def test_they_are_read_from_their_names_and_folders(tmp_path, kind):
    pictures(tmp_path)
    path = WRITERS[kind](tmp_path)
    for views in (load_cameras(path), load_cameras(tmp_path), load_cameras(path, kind)):
        stand(views)
        assert views.format == kind
        assert [view.model.value for view in views] == ["pinhole"] * 3
    if kind != "camera-path":
        assert [view.name for view in views] == ["0", "1", "2"]
        assert [view.image for view in views] == [tmp_path / "images" / f"{i}.png" for i in range(3)]


@pytest.mark.parametrize("kind", WRITERS)
def test_they_become_what_is_written_here(tmp_path, kind):
    pictures(tmp_path)
    save_cameras(tmp_path / "out.json", load_cameras(WRITERS[kind](tmp_path)), "json")
    stand(load_cameras(tmp_path / "out.json"))


def test_every_format_that_is_only_read_is_tried():
    assert {*WRITERS, "realitycapture"} == set(READ_ONLY)
    assert (*FORMATS, *READ_ONLY) == CAMERA_READERS


def test_a_format_that_is_only_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="format must be one of transforms, colmap"):
        save_cameras(tmp_path / "x.json", load_cameras(camera_path(tmp_path)), "3dgs")


# ---- 3DGS ------------------------------------------------------------------------------------


def test_splatting_without_pictures_names_where_they_would_be(tmp_path):
    views = load_cameras(splatting(tmp_path))
    assert centers(views)[0] == [0, 0, 3]
    assert views[0].image == tmp_path / "images" / "0"


def test_splatting_with_suffixes_a_principal_point_and_other_sizes(tmp_path):
    cameras = json.loads(splatting(tmp_path).read_text())
    for i, camera in enumerate(cameras):
        camera |= {"img_name": f"a/frame.{i}.JPG", "cx": 30.0, "fy": 50.0}
        picture(tmp_path / "images" / "a" / f"frame.{i}.JPG")
    view = load_cameras(write_json(tmp_path / "cameras.json", cameras))[1]
    assert view.K.tolist() == [[60, 0, 30], [0, 50, 24], [0, 0, 1]]
    assert (view.name, view.image) == ("frame.1", tmp_path / "images" / "a" / "frame.1.JPG")


def test_splatting_with_a_mirror_is_refused(tmp_path):
    cameras = json.loads(splatting(tmp_path).read_text())
    cameras[2]["rotation"] = np.diag([1, 1, -1]).tolist()
    with pytest.raises(DataError, match=r"cameras.json: \[2\].rotation: has a mirrored rotation"):
        load_cameras(write_json(tmp_path / "cameras.json", cameras))


# ---- nerfstudio's film -----------------------------------------------------------------------


def test_a_film_of_nerfstudio_says_whose_frame_it_is_in(tmp_path):
    assert "nerfstudio's own frame" in load_cameras(camera_path(tmp_path)).notes[0]


def test_films_of_other_lenses(tmp_path):
    document = json.loads(camera_path(tmp_path).read_text())
    (view, *_) = load_cameras(write_json(tmp_path / "camera_path.json", {**document, "camera_type": "fisheye"}))
    assert (view.model.value, view.distortion.tolist()) == ("fisheye", [0] * 4)
    with pytest.raises(DataError, match="has camera_type 'equirectangular', which is not supported"):
        load_cameras(write_json(tmp_path / "camera_path.json", {**document, "camera_type": "equirectangular"}))
    document["camera_path"][0]["fov"] = 200
    with pytest.raises(DataError, match=r"camera_path\[0\].fov: must be degrees below 180"):
        load_cameras(write_json(tmp_path / "camera_path.json", document))


# ---- Bundler ---------------------------------------------------------------------------------


def test_bundlers_distortion_and_cameras_that_were_not_placed(tmp_path):
    pictures(tmp_path)
    path = bundler(tmp_path, k="0.1 0.02")
    text = path.read_text().splitlines()
    text[7] = "0 0 0"  # the second camera
    path.write_text("\n".join(text))
    views = load_cameras(path)
    assert [view.name for view in views] == ["0", "2"]
    assert views.notes == ("1 of 3 cameras have a focal length of 0 and are left out",)
    assert views[0].distortion.tolist() == [0.1, 0.02, 0, 0]
    # At 45 degrees up |p| = 1, so that the point is 60 x 1.12 pixels above the middle.
    pixels, _ = views[0].cameras().project(torch.tensor([[0.0, 3, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([32, 24 - 60 * 1.12])


def test_bundlers_list_may_lie_above_or_be_named_after_the_file(tmp_path):
    pictures(tmp_path)
    path = bundler(tmp_path / "bundle")
    (tmp_path / "bundle" / "list.txt").rename(tmp_path / "list.txt")
    assert [view.name for view in load_cameras(tmp_path)] == ["0", "1", "2"]
    (tmp_path / "list.txt").rename(tmp_path / "bundle" / "bundle.out.list.txt")
    assert [view.name for view in load_cameras(path)] == ["0", "1", "2"]


def test_bundler_without_names_needs_a_size(tmp_path):
    path = bundler(tmp_path)
    (tmp_path / "list.txt").unlink()
    with pytest.raises(DataError, match=r"camera 0: has no size, and no picture .* give --image-size WxH"):
        load_cameras(path)
    stand(load_cameras(path, size=(64, 48)))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.replace("v0.3", "v0.2"), "does not begin with '# Bundle file v0.3', got '# Bundle file v0.2"),
        (lambda t: "\n".join(t.splitlines()[:9]), "announces 3 cameras and ends after 1; is it complete"),
        (lambda t: t.replace("60.0 0 0", "sixty 0 0", 1), "has a word that is no number among its cameras"),
        (lambda t: t.replace("60.0 0 0", "nan 0 0", 1), "has numbers that are not finite"),
    ],
)
def test_malformed_bundler(tmp_path, change, problem):
    path = bundler(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=problem):
        load_cameras(path, size=(64, 48))


# ---- OpenSfM ---------------------------------------------------------------------------------

SFM_LENSES = {
    "brown": ({"focal_x": 1.0, "focal_y": 0.5, "c_x": 0.25, "c_y": -0.125, "k1": 1, "k2": 2, "k3": 3, "p1": 4, "p2": 5},
              ("opencv", [1, 2, 4, 5, 3], [64, 32, 48, 16])),
    "radial": ({"focal_x": 1.0, "focal_y": 0.5, "k1": 0.1, "k2": 0.2}, ("opencv", [0.1, 0.2, 0, 0], [64, 32, 32, 24])),
    "simple_radial": ({"focal_x": 1.0, "k1": 0.1}, ("opencv", [0.1, 0, 0, 0], [64, 64, 32, 24])),
    "fisheye": ({"focal": 0.5, "k1": 0.1, "k2": 0.2}, ("fisheye", [0.1, 0.2, 0, 0], [32, 32, 32, 24])),
    "fisheye_opencv": ({"focal_x": 0.5, "focal_y": 0.25, "k1": 1, "k2": 2, "k3": 3, "k4": 4},
                       ("fisheye", [1, 2, 3, 4], [32, 16, 32, 24])),
    "perspective": ({"focal": 1.0, "k1": 0.1, "k2": 0.2}, ("opencv", [0.1, 0.2, 0, 0], [64, 64, 32, 24])),
}  # fmt: skip


@pytest.mark.parametrize("kind", SFM_LENSES)
def test_lenses_of_opensfm(tmp_path, kind):
    numbers, (model, distortion, K) = SFM_LENSES[kind]
    (view, *_) = load_cameras(opensfm(tmp_path, {"projection_type": kind, "width": 64, "height": 48, **numbers}))
    assert (view.model.value, view.distortion.tolist()) == (model, distortion)
    assert [float(view.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))] == K


def test_the_largest_reconstruction_of_opensfm_is_read(tmp_path):
    (whole,) = json.loads(opensfm(tmp_path).read_text())
    part = {**whole, "shots": {"9.png": whole["shots"]["0.png"]}}
    views = load_cameras(write_json(tmp_path / "reconstruction.json", [part, whole]))
    stand(views)
    assert views.notes == ("the reconstruction with most shots (3) is read, and not those of 1",)


def test_opensfm_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"cameras.v2 a: has projection_type 'spherical', which is not supported"):
        load_cameras(opensfm(tmp_path, {**SFM_CAMERA, "projection_type": "spherical"}))
    (whole,) = json.loads(opensfm(tmp_path).read_text())
    whole["shots"]["1.png"]["camera"] = "v2 b"
    with pytest.raises(DataError, match="cameras: has no 'v2 b'"):
        load_cameras(write_json(tmp_path / "reconstruction.json", [whole]))


# ---- OpenMVG ---------------------------------------------------------------------------------

MVG_LENSES = {
    "pinhole_radial_k1": ({"disto_k1": [0.1]}, ("opencv", [0.1, 0, 0, 0])),
    "pinhole_radial_k3": ({"disto_k3": [1, 2, 3]}, ("opencv", [1, 2, 0, 0, 3])),
    "pinhole_brown_t2": ({"disto_t2": [1, 2, 3, 4, 5]}, ("opencv", [1, 2, 4, 5, 3])),
    "fisheye": ({"fisheye": [1, 2, 3, 4]}, ("fisheye", [1, 2, 3, 4])),
}


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", MVG_LENSES)
def test_lenses_of_openmvg(tmp_path, kind, nested):
    """Newer files put the numbers of the pinhole a level deeper."""
    numbers, expected = MVG_LENSES[kind]
    pinhole = MVG_LENS["ptr_wrapper"]["data"]
    data = {"value0": pinhole, **numbers} if nested else {**pinhole, **numbers}
    lens = {**MVG_LENS, "polymorphic_name": kind, "ptr_wrapper": {"id": 1, "data": data}}
    (view, *_) = load_cameras(openmvg(tmp_path, lens))
    assert (view.model.value, view.distortion.tolist()) == expected
    assert view.K.tolist() == [[60, 0, 32], [0, 60, 24], [0, 0, 1]]


def test_openmvg_with_several_lenses_of_one_name_and_views_without_pose(tmp_path):
    document = json.loads(openmvg(tmp_path, numbers=[0, 2]).read_text())
    second = {key: value for key, value in MVG_LENS.items() if key != "polymorphic_name"} | {"polymorphic_id": 1}
    document["intrinsics"].append({"key": 7, "value": second})
    document["views"][2]["value"]["ptr_wrapper"]["data"]["id_intrinsic"] = 7
    views = load_cameras(write_json(tmp_path / "sfm_data.json", document))
    stand(views, [0, 2])
    assert views.notes == ("1 of 3 cameras have no pose and are left out",)


def test_openmvg_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="is a spherical, which is not supported"):
        load_cameras(openmvg(tmp_path, {**MVG_LENS, "polymorphic_name": "spherical"}))
    document = json.loads(openmvg(tmp_path).read_text())
    with pytest.raises(DataError, match="extrinsics: is empty"):
        load_cameras(write_json(tmp_path / "sfm_data.json", {**document, "extrinsics": []}))


# ---- Metashape -------------------------------------------------------------------------------


def test_metashapes_calibration(tmp_path):
    numbers = "<f>60</f><cx>2</cx><cy>-1</cy><b1>3</b1><b2>0.5</b2><k1>1</k1><k2>2</k2><k3>3</k3><p1>4</p1><p2>5</p2>"
    (view, *_) = load_cameras(metashape(tmp_path, numbers))
    assert view.K.tolist() == [[63, 0.5, 34], [0, 60, 23], [0, 0, 1]]
    assert view.distortion.tolist() == [1, 2, 5, 4, 3]  # OpenCV's p1 is Metashape's p2


def test_metashapes_tangential_distortion_by_its_manual(tmp_path):
    """x' = x + p1 (r^2 + 2 x^2) + 2 p2 x y, and y' = y + p2 (r^2 + 2 y^2) + 2 p1 x y."""
    (view, *_) = load_cameras(metashape(tmp_path, "<f>60</f><p1>0.01</p1><p2>0.02</p2>"))
    x, y = 0.3, -0.2
    square = x * x + y * y
    wanted = (x + 0.01 * (square + 2 * x * x) + 0.04 * x * y, y + 0.02 * (square + 2 * y * y) + 0.02 * x * y)
    pixels, _ = view.cameras().project(torch.tensor([[3 * x, -3 * y, 0]]).double())
    assert pixels[0, 0].tolist() == pytest.approx([32 + 60 * wanted[0], 24 + 60 * wanted[1]])


def test_metashapes_fisheye(tmp_path):
    (view, *_) = load_cameras(metashape(tmp_path, "<f>60</f><k1>0.1</k1><k4>0.4</k4>", kind="fisheye"))
    assert (view.model.value, view.distortion.tolist()) == ("fisheye", [0.1, 0, 0, 0.4])


def test_metashapes_chunk_moves_the_cameras(tmp_path):
    """The chunk is turned by a quarter about z, doubled and moved: (0, 0, 3) comes to (10, 0, 6)."""
    moved = "<rotation>0 -1 0 1 0 0 0 0 1</rotation><translation>10 0 0</translation><scale>2</scale>"
    views = load_cameras(metashape(tmp_path, transform=f"<transform>{moved}</transform>"))
    assert np.array(centers(views)) == pytest.approx(np.array([[10, 0, 6], [10, 6, 0], [10, 0, -6]]))
    assert views.notes[0].startswith("the chunk's own transform is applied (scale 2)")
    pixels, depth = views[1].cameras().project(torch.tensor([[10.0, 0, 0]]).double())
    assert (pixels[0, 0].tolist(), float(depth[0, 0])) == (pytest.approx([32, 24]), pytest.approx(6))


def test_metashapes_cameras_that_are_not_aligned_are_counted(tmp_path):
    views = load_cameras(metashape(tmp_path, extra='<camera id="9" sensor_id="0" label="lost.jpg"/>'))
    stand(views)
    assert views.notes == ("1 of 4 cameras are not aligned and are left out",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.replace("?>", '?><!DOCTYPE a [<!ENTITY b "c">]>', 1), "has a DOCTYPE, which is not read"),
        (lambda t: t.replace("?>", '?><!DOCTYPE a SYSTEM "http://x/y.dtd">', 1), "has a DOCTYPE, which is not read"),
        (lambda t: t[:-30], r"is no XML \(line 1: .*\); is it complete"),
        (lambda t: t.replace("</sensors>", "</sensor>"), r"is no XML \(line 1: mismatched tag\); is it the right file"),
        (lambda t: "", r"is no XML \(line 1: no element found\); is it complete"),
        (lambda t: t.replace("<chunk", "<junk").replace("</chunk", "</junk"), "has 0 chunks, and one is read"),
        (lambda t: t.replace("<f>60</f>", "<f>60</f><k4>0.1</k4>"), "sensor 0.k4: is not supported"),
        (lambda t: t.replace("<f>60</f>", "<f>sixty</f>"), "sensor 0: must hold numbers only, got 'sixty'"),
        (lambda t: t.replace('type="frame"', 'type="spherical"'), "is of type 'spherical', which is not supported"),
        (lambda t: t.replace('sensor_id="0"', 'sensor_id="4"'), "camera 0: names sensor 4, which is not there"),
        (lambda t: t.replace("1.0 0.0", "1.0", 1), "camera 0.transform: must have 16 numbers, got 15"),
        (lambda t: t.replace("transform>", "transfrom>"), "has no aligned camera"),
    ],
)
def test_malformed_metashape(tmp_path, change, problem):
    path = metashape(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=problem):
        load_cameras(path)


def test_entities_in_utf_16_are_refused_too(tmp_path):
    path = metashape(tmp_path)
    text = path.read_text().replace('encoding="UTF-8"?>', 'encoding="UTF-16"?><!DOCTYPE a [<!ENTITY b "c">]>')
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(DataError, match="has a DOCTYPE"):
        load_cameras(path)


# ---- RealityCapture --------------------------------------------------------------------------


def test_realitycaptures_cameras_stand_in_a_world_with_z_up(tmp_path):
    """From the south, the east and the north, each looking at the origin."""
    pictures(tmp_path)
    for given in (realitycapture(tmp_path), tmp_path):
        views = load_cameras(given)
        assert np.array(centers(views)) == pytest.approx(np.array([[0, -3, 0], [3, 0, 0], [0, 3, 0]]))
        for view in views:
            pixels, depth = view.cameras().project(torch.tensor([[0.0, 0, 0], [0, 0, 0.5]]).double())
            assert pixels[0].numpy() == pytest.approx(np.array([[32, 24], [32, 14]]))  # z is up
            assert depth[0].tolist() == pytest.approx([3, 3])
        assert (views.format, views.notes) == ("realitycapture", ())


def test_realitycapture_looking_down_has_north_above(tmp_path):
    pictures(tmp_path)
    path = realitycapture(tmp_path)
    path.write_text(f"{RC_HEAD}\n0.png,0,0,5,0,0,0,{60 * 36 / 64},0,0,0,0,0,0,0,0\n")
    (view,) = load_cameras(path)
    pixels, _ = view.cameras().project(torch.tensor([[0.0, 1, 0], [1, 0, 0]]).double())
    assert pixels[0].numpy() == pytest.approx(np.array([[32, 12], [44, 24]]))


def test_realitycaptures_lens(tmp_path):
    pictures(tmp_path)
    views = load_cameras(realitycapture(tmp_path, "0.25,-0.125,1,2,3,0,4,5"))
    assert views[0].K.numpy() == pytest.approx(np.array([[60, 0, 48], [0, 60, 16], [0, 0, 1]]))
    assert views[0].distortion.tolist() == [1, 2, 4, 5, 3]
    assert views.notes == ("k1 to k3, t1 and t2 are taken as OpenCV's, as nerfstudio takes them",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.replace("#name", "file"), "has no line '#name,x,y,alt,...'; export 'Internal/External camera"),
        (lambda t: t.replace(",f,", ",g,"), "has no column f; export 'Internal/External camera parameters'"),
        (lambda t: t.replace("0.png,0", "0.png,north"), "line 3.x: must be a number, got text"),
        (lambda t: t.replace("0.png,0", "0.png"), "line 3: has 15 values for 16 columns"),
        (lambda t: t.replace(",0,0,0\n", ",0.1,0,0\n"), "k4: is not supported; calibrate with k1 to k3"),
        (lambda t: "\n".join(t.splitlines()[:2]), "has no cameras"),
    ],
)
def test_malformed_realitycapture(tmp_path, change, problem):
    pictures(tmp_path)
    path = realitycapture(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=problem):
        load_cameras(path)


def test_realitycapture_needs_pictures_or_a_size(tmp_path):
    path = realitycapture(tmp_path)
    with pytest.raises(DataError, match="line 3: has no size, and no picture to take it from"):
        load_cameras(path)
    assert len(load_cameras(path, size=(64, 48))) == 3
