"""Neural view matching: the right picture is found among many, and figures say what they mean."""

from __future__ import annotations

import json

import pytest
import torch
from program import picture, refuse, run
from test_pose import block, cell_cameras, degrees, photo, viewmats, write_pose

import voge
from voge.pose import matching
from voge.pose.network.features import STRIDE
from voge.rendering import pixel_filter


def gallery(shape, azimuths):
    """Feature maps of an object from all around, over nothing."""
    cells = cell_cameras(viewmats(*((a, 20.0, 0.0) for a in azimuths)))
    seen = pixel_filter.widened(shape, STRIDE * 5.0 / 1100)
    return seen, cells, voge.render(seen, cells).over(torch.full((8,), 0.1))


@pytest.mark.parametrize("delta", [0.0, 30.0, 60.0])
def test_the_view_that_was_asked_for_is_found(delta):
    azimuths = torch.arange(0.0, 360, 15).tolist()
    seen, cells, maps = gallery(block(), azimuths)
    anchors = matching.sample_anchors(seen, maps[:3], cells[slice(3)])
    scores = matching.match_scores(seen, anchors, delta, maps)
    assert scores.argmax(1).tolist() == [int(delta / 15) + i for i in range(3)]
    wanted = anchors.turned(delta).viewmats[:, :3, :3]
    figures = matching.match_figures(scores, delta, wanted, cells.viewmats[:, :3, :3])
    assert figures.median < 0.1
    assert figures.best_possible < 0.1
    assert 60 < figures.random < 120


def test_turning_moves_the_camera_in_azimuth_alone():
    seen, cells, maps = gallery(block(), [30.0])
    moved = matching.sample_anchors(seen, maps, cells).turned(45.0).viewmats
    assert float(degrees(moved, viewmats((75.0, 20.0, 0.0)))) < 1e-3


def test_what_the_anchor_did_not_show_has_no_features():
    seen, cells, maps = gallery(block(), [0.0])
    anchors = matching.sample_anchors(seen, maps, cells)
    shown = anchors.seen[0]
    front = seen.means[:, 1] < -0.35
    assert shown[front].float().mean() > 0.9
    back = (seen.means[:, 1] > 0.35) & (seen.means[:, 2] < 0.1) & (seen.means[:, 0].abs() < 0.15)  # not its edges
    assert not shown[back].any()
    assert float(anchors.features[0][~shown].abs().max()) == 0


def test_figures_leave_out_what_must_not_be_chosen():
    from voge.geometry.rigid import rotation

    turns = rotation(torch.tensor([[0.0, 0, 0], [0, 0, 0.5], [0, 0, 1.0]]))
    scores = torch.tensor([[-torch.inf, 0.1, 0.9]])
    figures = matching.match_figures(scores, 0.0, turns[:1], turns, top=2)
    assert (figures.median, figures.top) == pytest.approx((57.3, 28.6), abs=0.1)
    assert figures.best_possible == pytest.approx(28.6, abs=0.1)
    alone = matching.match_figures(scores[:, :2], 0.0, turns[:1], turns[:2], top=2)
    assert alone.top == pytest.approx(28.6, abs=0.1)  # the forbidden one is no match, though there is no other
    assert matching.match_table([figures]).splitlines()[1].split() == ["0", "1", "57.3", "28.6", "28.6", "28.6"]


def test_a_data_set_gives_a_table_and_an_anchor_its_best_matches(tmp_path):
    pytest.importorskip("embreex")
    pytest.importorskip("efficientnet_lite_pytorch")
    counts = ("--categories", "car", "--train", "1", "--test", "6", "--workers", "1", "train_shapes=1", "test_shapes=1")
    run("pose", "synth", "-o", tmp_path / "data", *counts, "levels=[L0]", "width=160", "height=128", "focal=550")
    out = tmp_path / "table"
    document = json.loads(run("match", tmp_path / "data", "--delta", "0,30", "size=0.25", "-o", out, "--json").stdout)
    rows = document["categories"]["car"]
    assert [row["delta"] for row in rows] == [0, 30]
    assert all(row["best_possible"] <= row["median"] for row in rows)
    assert picture(out / "sheet.png").ndim == 3
    mesh, image, truth = photo(tmp_path)
    write_pose(tmp_path / "anchor.json", truth)
    made = json.loads((tmp_path / "anchor.json").read_text())
    (tmp_path / "anchor.json").write_text(json.dumps({**made, "image": image.name, "model": mesh.name}))
    images = tmp_path / "data" / "Images" / "car_imagenet"
    arguments = ("match", tmp_path / "anchor.json", images, image, "--delta", "0", "--top", "2", "--json")
    found = json.loads(run(*arguments, "-o", tmp_path / "best").stdout)
    assert found["deltas"][0]["matches"][0]["picture"] == str(image)
    assert "a gallery" in refuse(2, "match", tmp_path / "anchor.json", "-q", "-o", tmp_path / "x")
    write_pose(tmp_path / "bare.json", truth)
    assert "names no image" in refuse(3, "match", tmp_path / "bare.json", images, "-q", "-o", tmp_path / "x")
    assert "give an anchor" in refuse(2, "match")


def test_a_configuration_without_inputs_is_refused_as_no_inputs_are(tmp_path):
    (tmp_path / "m.yaml").write_text("top: 3\n")
    line = refuse(2, "match", "--config", tmp_path / "m.yaml")
    assert line == refuse(2, "match") == "give an anchor's pose.json and a gallery, or the folder of a data set"
