"""Readers of pose data sets, on files in the real formats; what is missing; angles and metrics."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pose_files as files
import pytest
import torch
from program import refuse, run

from voge.errors import DataError
from voge.geometry.rigid import rotation, rotation_error
from voge.pose.data.angles import from_rotation, to_viewmat, towards
from voge.pose.data.crops import crop_annotated, find_framing
from voge.pose.data.datasets import Layout, open_data
from voge.pose.data.records import read_record, write_record
from voge.pose.estimation import metrics


def projected(point, azimuth, elevation, theta, distance, focal, px, py):
    """PASCAL3D+'s own projection, written out: MATLAB's pixels, which count from 1."""
    a, e, t = (math.radians(angle) for angle in (azimuth, elevation, theta))
    center = distance * np.array([math.cos(e) * math.sin(a), -math.cos(e) * math.cos(a), math.sin(e)])
    az, el = -a, -(math.pi / 2 - e)
    turn_z = np.array([[math.cos(az), -math.sin(az), 0], [math.sin(az), math.cos(az), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, math.cos(el), -math.sin(el)], [0, math.sin(el), math.cos(el)]])
    x, y, w = np.diag([focal, focal, -1]) @ turn_x @ turn_z @ (np.array(point) - center)
    x, y = x / w, y / w
    turned = np.array([math.cos(t) * x - math.sin(t) * y, math.sin(t) * x + math.cos(t) * y])
    return turned * [1, -1] + [px, py]


def test_an_annotation_projects_as_the_data_set_says(tmp_path):
    files.record(tmp_path / "a.mat", [files.thing()])
    (note,) = read_record(tmp_path / "a.mat", "car")
    point = torch.tensor([0.1, -0.3, 0.15], dtype=torch.float64)
    local = note.viewmat[:3, :3] @ point + note.viewmat[:3, 3]
    pixel = (note.intrinsics @ local)[:2] / local[2]
    truth = projected(point.numpy(), 30, 10, 5, 5, 3000, 51, 41) - 0.5  # from the corner of the first pixel
    np.testing.assert_allclose(pixel.numpy(), truth, atol=1e-9)
    assert note.box == (20, 30, 80, 60)
    assert (note.px, note.py, note.cad_index, note.width, note.height) == (50.5, 40.5, 1, 100, 80)


def test_at_azimuth_0_the_front_is_seen_and_azimuth_turns_towards_the_right_hand_side():
    at = lambda azimuth: to_viewmat(torch.tensor(azimuth), torch.tensor(0.0), torch.tensor(0.0), 5.0)  # noqa: E731
    front, side = torch.tensor([0.0, -0.5, 0, 1]), torch.tensor([0.5, 0.0, 0, 1])
    assert (at(0.0) @ front)[2] == pytest.approx(4.5)  # nearest to the camera
    assert (at(90.0) @ side)[2] == pytest.approx(4.5, abs=1e-6)
    assert (at(0.0) @ side)[0] == pytest.approx(0.5)  # to the right in the picture


@pytest.mark.parametrize("elevation", [-60.0, 0.0, 45.0, 90.0])
def test_angles_come_back_from_the_rotation(elevation):
    a, e, t = (torch.tensor(v, dtype=torch.float64) for v in (251.0, elevation, -130.0))
    back = from_rotation(to_viewmat(a, e, t, 5.0)[:3, :3])
    again = to_viewmat(*back, 5.0)
    torch.testing.assert_close(again, to_viewmat(a, e, t, 5.0))
    if elevation < 90:
        assert [float(x) for x in back] == pytest.approx([251, elevation, -130])


def test_aiming_turns_the_optical_axis_and_nothing_else():
    point = torch.tensor([0.4, -0.2, 3.0], dtype=torch.float64)
    aim = towards(point)
    torch.testing.assert_close(aim @ aim.mT, torch.eye(3, dtype=torch.float64))
    torch.testing.assert_close(aim[:, 2], point / point.norm())
    assert aim.trace() == pytest.approx(1 + 2 * float(point[2] / point.norm()))  # by the shortest way


def test_rotation_error_is_the_angle_between_even_when_tiny_or_half_a_turn():
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2, -1], dtype=torch.float64), dim=0)
    first = rotation(torch.tensor([0.3, -1.0, 0.2], dtype=torch.float64))
    for angle in (0.0, 1e-7, 0.5, 3.0, math.pi):
        error = float(rotation_error(first, first @ rotation(angle * axis)))
        assert error == pytest.approx(math.degrees(angle), abs=1e-7)


def test_figures_are_the_fields_three_per_category_and_their_mean():
    rows = metrics.by_category({"car": [1, 5, 20, 40], "chair": [12.0, math.inf]})
    assert (rows["car"].accuracy_30, rows["car"].accuracy_10, rows["car"].median) == (75, 50, 12.5)
    assert rows["mean"].accuracy_30 == 62.5
    assert rows["mean"].count == 6
    lines = metrics.table(rows).splitlines()
    assert lines[0].split() == ["car", "chair", "mean"]
    assert lines[2].split()[-3:] == ["50.0", "0.0", "25.0"]


def test_records_written_are_read_back(tmp_path):
    files.record(tmp_path / "a.mat", [files.thing()])
    (note,) = read_record(tmp_path / "a.mat", "car")
    write_record(tmp_path / "b.mat", "b.JPEG", [note, replace(note, category="bus")])
    assert read_record(tmp_path / "b.mat", "car") == [note]
    assert read_record(tmp_path / "b.mat", "bus") == [replace(note, category="bus")]


def test_objects_with_a_coarse_pose_only_are_left_out(tmp_path):
    coarse = files.thing(view=files.viewpoint(distance=0.0))
    none = files.thing(view={"azimuth_coarse": 90.0, "elevation_coarse": 0.0})
    files.record(tmp_path / "a.mat", [coarse, none, files.thing(cad_index=3)])
    assert [note.cad_index for note in read_record(tmp_path / "a.mat", "car")] == [3]


def not_matlab(path):
    path.write_bytes(b"nothing of the kind" * 20)


def empty(path):
    path.write_bytes(b"")


def version_7_3(path):
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(512))


BROKEN = {
    "cannot be read as a MATLAB file": not_matlab,
    "is empty": empty,
    "is a MATLAB 7.3 file": version_7_3,
    "has no object of category car, only bus": lambda path: files.record(path, [files.thing("bus")]),
    "has no number for azimuth": lambda path: files.record(path, [files.thing(view=files.viewpoint(azimuth=np.nan))]),
    "the box of its car is": lambda path: files.record(path, [files.thing(bbox=[5.0, 5.0, 1.0, 9.0])]),
    "has a coarse pose only": lambda path: files.record(path, [files.thing(view=files.viewpoint(distance=0.0))]),
    "no such file": lambda path: path.unlink(),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_an_annotation_that_cannot_be_used_is_refused_in_one_line(tmp_path, problem):
    root = files.pascal3d(tmp_path / "p")
    path = root / "Annotations" / "car_imagenet" / "n01.mat"
    BROKEN[problem](path)
    (item,) = open_data(root).items("car", "train")
    with pytest.raises(DataError, match=problem) as caught:
        item.annotation()
    assert "\n" not in str(caught.value)


def test_pascal3d_and_its_occluded_version_are_found_by_their_lists(tmp_path):
    data = open_data(files.pascal3d(tmp_path / "p"))
    assert data.layout is Layout.pascal3d
    assert data.categories == ["car"]
    (whole,), (hidden,) = data.items("car", "val"), data.items("car", "val", "L2")
    assert hidden.annotation() == whole.annotation()
    assert hidden.image.parts[-2] == "carFGL2_BGL2"
    assert hidden.visible().sum() == 30 * 40
    assert hidden.key != whole.key
    assert len(data.meshes("car")[0].faces) == 12


def test_objectnet3d_lists_are_sorted_by_category(tmp_path):
    data = open_data(files.objectnet3d(tmp_path / "o"))
    assert data.layout is Layout.objectnet3d
    assert [item.name for item in data.items("chair", "test")] == ["n02"]
    assert data.items("car", "val")[0].annotation().azimuth == 30
    assert len(data.mesh_files("car")) == 1


def test_a_crop_shows_the_object_at_its_usual_size_through_an_exact_camera(tmp_path):
    files.record(tmp_path / "a.mat", [files.thing(view=files.viewpoint(distance=10.0))], size=(400, 300))
    (note,) = read_record(tmp_path / "a.mat", "car")
    framing = find_framing([note])
    assert (framing.width, framing.height) == (128, 96)  # twice the box, which reaches 30.5 and 19.5 pixels
    picture = np.zeros((300, 400, 3), np.uint8)
    picture[40:42, 50:52] = 255  # around pixel (51, 41)
    crop = crop_annotated(picture, note, framing)
    assert crop.scale == 2
    assert crop.matrix @ torch.tensor([note.px, note.py, 1.0], dtype=torch.float64) == pytest.approx([64, 48, 1])
    # The light is a pixel right of and below the principal point: two in the crop.
    rows, columns = np.nonzero(crop.image[0].numpy() > 0.4)
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx((48 + 2 * 0.5, 64 + 2 * 0.5), abs=0.5)


def test_check_data_reports_and_exits_by_what_is_missing(tmp_path):
    root = files.pascal3d(tmp_path / "p")
    document = json.loads(run("pose", "check-data", root, "--json", "--decode").stdout)
    assert (document["layout"], document["problems"], document["usable"]) == ("pascal3d", 0, 6)
    (root / "Images" / "car_imagenet" / "n01.JPEG").unlink()
    (root / "CAD" / "car" / "01.off").unlink()
    files.image(root / "Images" / "car_imagenet" / "n02.JPEG", (50, 50))
    output = run("pose", "check-data", root, "--decode", code=3).stdout
    for problem in ("no such image", "no mesh of category car", "is 50x50, its annotation says 100x80"):
        assert problem in output


def test_folders_that_are_no_data_set_are_refused(tmp_path):
    occluded = files.pascal3d(tmp_path / "p").parent / "OccludedPASCAL3D"
    assert "no such folder" in refuse(3, "pose", "check-data", tmp_path / "nothing")
    assert "neither" in refuse(3, "pose", "check-data", tmp_path / "p" / "CAD")
    assert "give PASCAL3D+'s folder" in refuse(3, "pose", "check-data", occluded)
    assert "give the folder" in refuse(2, "pose", "check-data")


def test_levels_without_occluded_pascal3d_and_unknown_categories_are_refused(tmp_path):
    data = replace(open_data(files.pascal3d(tmp_path / "p")), occluded=None)
    with pytest.raises(DataError, match="is not beside it"):
        data.items("car", "val", "L1")
    with pytest.raises(DataError, match="has no category boat; it has car"):
        data.items("boat", "val")


def test_training_without_a_mesh_or_a_usable_image_is_refused(tmp_path):
    root = files.pascal3d(tmp_path / "p")
    train = ("pose", "train", root, "-q", "-o", tmp_path / "run", "extractor=compact", "pretrained=false")
    (root / "CAD" / "car" / "01.off").unlink()
    assert "no mesh of category car" in refuse(3, *train)
    files.text(root / "CAD" / "car" / "01.off", files.CUBE)
    not_matlab(root / "Annotations" / "car_imagenet" / "n01.mat")
    assert "no usable image of car" in refuse(3, *train)
    assert not (tmp_path / "run").exists()
