"""Whether cameras and objects belong together, and the picture of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scenes import random_ellipsoids

import voge
from voge.imaging.overview import draw_overview
from voge.imaging.scale_check import proportions, sanity


def ring(distance=8.0, count=3, focal=60.0, model="pinhole", distortion=None, at=(0.0, 0.0, 0.0)):
    azimuths = torch.arange(count, dtype=torch.float64) * 100
    viewmats = voge.orbit(azimuths, 20.0, torch.tensor(distance, dtype=torch.float64), at=at)
    K = torch.tensor([[focal, 0, 32], [0, focal, 24], [0, 0, 1]], dtype=torch.float64)
    bent = None if distortion is None else torch.tensor([distortion] * count, dtype=torch.float64)
    return voge.Cameras(viewmats, K.expand(count, 3, 3), 64, 48, model, bent)


def ball(diameter=2.0):
    """Means at the corners of a cube with this diagonal."""
    side = diameter / 3**0.5
    corners = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]).double()
    means = (corners - 0.5) * side
    return voge.Ellipsoids(
        means, torch.full_like(means, 1e-3), torch.eye(4)[:1].expand(8, 4).double(), torch.ones(8).double()
    )


def test_sizes_and_distances():
    found = proportions(ball(2.0), ring(8.0, focal=60.0))
    assert found.diameter == pytest.approx(2)
    assert [(s.distance, s.size, s.image) for s in found.sights] == [pytest.approx((8, 15, 48))] * 3
    assert str(found) == "object diameter 2, camera distance 8, 15 of 48 pixels"
    parallel = proportions(ball(2.0), ring(model="orthographic", focal=7.0))
    assert parallel.sights[0].size == pytest.approx(14)
    wide = proportions(ball(2.0), ring(model="fisheye", distortion=[0.0] * 4, distance=1.0))
    assert wide.sights[0].size == pytest.approx(60 * 2 * np.pi / 4)


def test_nothing_is_said_of_what_fits():
    assert sanity(ball(), ring()) == []
    assert sanity(ball(), [ring()[0], ring()[1]]) == []


@pytest.mark.parametrize(
    ("diameter", "distance", "words"),
    [
        (2000.0, 8.0, "the object seems to be in millimeters and the cameras in meters"),
        (2.0, 8000.0, "the object seems to be in meters and the cameras in millimeters"),
    ],
)
def test_millimeters_for_meters_are_named(diameter, distance, words):
    (line,) = sanity(ball(diameter), ring(distance))
    assert line.startswith(words)
    assert "scale one of them by 1000" in line
    assert f"object diameter {diameter:g}, camera distance {distance:g}" in line


def test_other_wrong_scales_are_told_without_a_guess():
    (inside,) = sanity(ball(20.0), ring(4.0))
    assert "the cameras stand inside it" in inside
    (small,) = sanity(ball(0.1), ring(8.0))
    assert small.startswith("the object is 64 times smaller than its picture: check scale and focal length")


def test_an_object_behind_all_cameras_is_named():
    flipped = ring()
    flip = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))
    (line,) = sanity(ball(), replace(flipped, viewmats=flip @ flipped.viewmats))
    assert line.startswith("the object is behind all 3 cameras: OpenGL axes (z backward) read as OpenCV's")
    some = flipped.viewmats.clone()
    some[1] = flip @ some[1]
    assert sanity(ball(), replace(flipped, viewmats=some)) == ["the object is behind 1 of 3 cameras"]


def test_an_object_in_no_picture_is_named():
    aside = ring(8.0, focal=60.0, at=(0.0, 9.0, 0.0))
    assert sanity(ball(), aside) == ["the object is in no picture: do cameras and object share a world frame?"]


def test_recorded_units_that_differ_are_named():
    (line,) = sanity(replace(ball(), metadata={"units": "m"}), ring(), units="mm")
    assert line == "the object is in m and the cameras are in mm: nothing is converted"


def test_a_lens_that_folds_within_the_picture_is_named():
    (line,) = sanity(ball(), ring(model="opencv", distortion=[-2.0, 0.0, 0.0, 0.0]))
    assert line.startswith("in 3 views the lens does not reach the corners")


# ---- The picture -----------------------------------------------------------------------------


def views_of(cameras):
    from voge.io.cameras import View

    bent = [None] * len(cameras) if cameras.distortion is None else cameras.distortion
    columns = zip(cameras.viewmats, cameras.Ks, bent, strict=True)
    return [
        View(name=f"cam{i}", viewmat=m, K=K, width=64, height=48, model=cameras.model, distortion=d)
        for i, (m, K, d) in enumerate(columns)
    ]


@pytest.mark.parametrize(
    "cameras",
    [ring(), ring(model="orthographic", focal=10.0), ring(model="fisheye", distortion=[0.0] * 4, focal=20.0)],
)
def test_all_cameras_are_in_the_picture(cameras):
    """On white, no line touches the border, and every view's color is there."""
    picture = draw_overview(views_of(cameras), size=(240, 180))
    assert picture.shape == (180, 240, 3)
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (border == 255).all()
    for color in ((204, 113, 31), (31, 204, 124), (124, 31, 204)):
        assert (np.abs(picture.astype(int) - color).sum(2) < 90).sum() > 3, color


def test_the_object_is_rendered_where_its_axes_start():
    scene = random_ellipsoids(8)
    bare = draw_overview(views_of(ring()), size=(120, 90))
    shown = draw_overview(views_of(ring()), scene, size=(120, 90))
    assert ((bare != shown).any(2)).mean() > 0.01
