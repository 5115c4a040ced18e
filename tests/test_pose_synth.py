"""The synthetic benchmark: labels that are exact, images that any process makes alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from program import content, picture, refuse, run

from voge.pose.data.datasets import open_data
from voge.pose.synthetic import benchmark, shapes
from voge.pose.synthetic.photographs import draw_object

pytest.importorskip("embreex")

SMALL = ("--categories", "car", "--train", "2", "--test", "2", "train_shapes=2", "test_shapes=1", "width=96",
         "height=80", "focal=300")  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("synth") / "set"
    return root, json.loads(run("pose", "synth", "-o", root, *SMALL, "--workers", "1", "--json").stdout)


def test_the_set_has_the_layout_of_the_real_ones(made):
    root, document = made
    assert document["made"] == 4
    report = json.loads(run("pose", "check-data", root, "--decode", "--json").stdout)
    assert (report["layout"], report["problems"]) == ("pascal3d", 0)
    assert {row["name"]: row["total"] for row in report["lists"]}["car meshes"] == 3


def test_boxes_and_masks_agree_with_the_labels(made):
    data = open_data(made[0])
    (mesh,) = {item.annotation().cad_index for item in data.items("car", "val")}
    assert mesh == 3  # the test's own
    for item in data.items("car", "val", "L1"):
        note = item.annotation()
        points = torch.from_numpy(data.meshes("car")[note.cad_index - 1].vertices)
        local = points @ note.viewmat[:3, :3].mT + note.viewmat[:3, 3]
        pixels = (local @ note.intrinsics.mT)[:, :2] / local[:, 2:]
        seen = torch.cat([pixels.min(0).values, pixels.max(0).values]).clamp(min=0)
        np.testing.assert_allclose(note.box, seen.clamp(max=96), atol=1.5)
        with np.load(item.mask) as file:
            whole = file["mask"] > 0
            share = (whole & file["occluder_mask"]).sum() / whole.sum()
        assert 0.2 <= share <= 0.4
        assert item.visible().sum() == pytest.approx((1 - share) * whole.sum())


def test_going_on_makes_what_is_missing_and_the_same_again(made):
    root, _ = made
    path = root / "Images" / "car_imagenet" / "car_val_00001.JPEG"
    before, all_before = path.read_bytes(), content(root)
    (root / "Annotations" / "car_imagenet" / "car_val_00001.mat").unlink()
    path.unlink()
    document = json.loads(run("pose", "synth", "-o", root, *SMALL, "--workers", "1", "--json").stdout)
    assert (document["made"], document["kept"]) == (1, 3)
    assert path.read_bytes() == before
    assert content(root) == all_before


def test_two_shards_fill_one_folder(made, tmp_path):
    for shard in ("1/2", "2/2"):
        run("pose", "synth", "-o", tmp_path / "s", *SMALL, "--workers", "1", "--shard", shard)
    assert content(tmp_path / "s") == content(made[0])
    name = "Images/car_imagenet/car_train_00001.JPEG"
    assert (picture(tmp_path / "s" / name) == picture(made[0] / name)).all()


def test_another_configuration_does_not_go_into_the_folder(made):
    assert "exists and is not empty" in refuse(2, "pose", "synth", "-o", made[0], *SMALL, "--seed", "1")
    assert "--out" in refuse(2, "pose", "synth")
    assert "must be some of" in refuse(2, "pose", "synth", "-o", "x", "--categories", "tree")
    assert "i/n" in refuse(2, "pose", "synth", "-o", "x", "--shard", "3/2")


def test_every_category_of_the_settings_can_be_made():
    from voge.pose.synthetic.settings import MADE

    assert tuple(shapes.CATEGORIES) == MADE


@pytest.mark.parametrize("category", shapes.CATEGORIES)
def test_shapes_differ_are_mirror_symmetric_and_of_size_1(category):
    first, second = (shapes.CATEGORIES[category](*map(np.random.default_rng, (i, 0))) for i in (0, 1))
    for mesh in (first, second):
        low, high = mesh.vertices.min(0), mesh.vertices.max(0)
        assert np.linalg.norm(high - low) == pytest.approx(1, abs=1e-9)
        np.testing.assert_allclose(low + high, 0, atol=1e-9)
        mirrored = mesh.vertices * [-1, 1, 1]
        gaps = np.linalg.norm(mirrored[:, None] - mesh.vertices[None], axis=-1).min(1)
        assert np.quantile(gaps, 0.99) < 5e-3
    extents = [np.ptp(mesh.vertices, axis=0) for mesh in (first, second)]
    assert np.abs(extents[0] - extents[1]).max() > 0.003


def test_only_the_part_with_the_object_is_cast_and_it_is_where_it_should_be():
    settings = benchmark.Synthesis(categories=["car"], width=96, height=80, focal=300.0)
    _, alpha, label = benchmark.make_image(settings, benchmark.Job("car", "train", 0))
    from voge.scene.cameras import Cameras

    camera = Cameras(label.viewmat[None], label.intrinsics[None], 96, 80)
    mesh = shapes.car(np.random.default_rng(0), np.random.default_rng(0))
    thing = draw_object(mesh, camera, np.random.default_rng(0))
    assert thing.alpha.max() == 1
    assert 0 < alpha.mean() < 0.5
    rows, columns = np.nonzero(thing.alpha > 0.5)
    assert abs(columns.mean() + 0.5 - label.px) < 15
    assert abs(rows.mean() + 0.5 - label.py) < 15
