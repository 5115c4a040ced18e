"""Cameras: the conventions of docs/conventions.md, by hand-made numbers."""

from __future__ import annotations

import math

import pytest
import torch

import voge
from voge.scene import cameras as cameras_module


def test_the_camera_frame_is_x_right_y_down_z_forward():
    c = voge.Cameras(torch.eye(4)[None], torch.tensor([[[10.0, 0, 8], [0, 10, 6], [0, 0, 1]]]), 16, 12)
    pixels, depth = c.project(torch.tensor([[1.0, 0, 5], [0, 1, 5]]))
    assert pixels[0].tolist() == [[10, 6], [8, 8]]
    assert depth[0].tolist() == [5, 5]


def test_the_center_of_pixel_zero_is_a_half():
    c = voge.Cameras(torch.eye(4)[None], torch.tensor([[[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]]), 2, 2)
    assert c.rays().directions[0, 0, 0].tolist() == [0, 0, 1]


@pytest.mark.parametrize("model", ["pinhole", "orthographic"])  # the others: test_lenses.py
def test_points_on_a_pixels_ray_project_to_its_center(model):
    g = torch.Generator().manual_seed(0)
    viewmats = voge.orbit(torch.tensor([10.0, 130.0], dtype=torch.float64), -20.0, 4.0, theta=33.0)
    Ks = torch.tensor([[30.0, 2.0, 11.0], [0, 25.0, 7.0], [0, 0, 1]]).expand(2, 3, 3)
    c = voge.Cameras(viewmats, Ks.double(), 20, 12, model)
    rays = c.rays()
    torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(2, 12, 20, dtype=torch.float64))
    t = torch.rand(2, 12, 20, 1, generator=g, dtype=torch.float64) + 0.5
    points = rays.origins + t * rays.directions
    for view in range(2):
        pixels, _ = c[view].project(points[view].reshape(-1, 3))
        v, u = torch.meshgrid(torch.arange(12) + 0.5, torch.arange(20) + 0.5, indexing="ij")
        torch.testing.assert_close(pixels[0], torch.stack([u, v], -1).reshape(-1, 2).double())


def test_orbits_start_at_plus_z_and_turn_towards_plus_x_and_plus_y():
    def center(azimuth: float, elevation: float, up: str = "y") -> list[float]:
        K = torch.eye(3)[None]
        return voge.Cameras(voge.orbit(azimuth, elevation, 2.0, up=up)[None], K, 1, 1).centers[0].tolist()

    assert center(0, 0) == pytest.approx([0, 0, 2])
    assert center(90, 0) == pytest.approx([2, 0, 0], abs=1e-6)
    assert center(0, 90) == pytest.approx([0, 2, 0], abs=1e-6)
    assert center(0, 0, "z") == pytest.approx([0, -2, 0])
    assert center(90, 0, "z") == pytest.approx([2, 0, 0], abs=1e-6)
    assert center(0, 90, "z") == pytest.approx([0, 0, 2], abs=1e-6)


def test_orbits_are_rotations_that_look_at_the_target_with_up_upwards():
    viewmats = voge.orbit(torch.arange(0.0, 360, 30), torch.linspace(-90, 90, 12), 3.0, at=(1.0, 2.0, 3.0))
    rotation = viewmats[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(12, 3, 3))
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(12))
    local = rotation @ torch.tensor([1.0, 2.0, 3.0]) + viewmats[:, :3, 3]
    torch.testing.assert_close(local, torch.tensor([0.0, 0.0, 3.0]).expand(12, 3), atol=1e-5, rtol=0)
    assert (viewmats[1:-1, 1, 1] < 0).all(), "world up must point to smaller rows"


def test_theta_turns_the_content_counter_clockwise():
    K = voge.intrinsics(100, 100, focal=50.0)[None]
    pixels, _ = voge.Cameras(voge.orbit(0.0, 0.0, 5.0, theta=90.0)[None], K, 100, 100).project(
        torch.tensor([[1.0, 0, 0]])
    )
    assert pixels[0, 0].tolist() == pytest.approx([50, 40], abs=1e-4)


def test_look_at_agrees_with_orbit_and_survives_the_poles():
    eye = torch.tensor([1.0, 2.0, -0.5])
    azimuth, elevation = math.degrees(math.atan2(1.0, -0.5)), math.degrees(math.atan2(2.0, math.hypot(1.0, 0.5)))
    orbit = voge.orbit(azimuth, elevation, eye.norm())
    torch.testing.assert_close(voge.look_at(eye, torch.zeros(3), torch.tensor([0.0, 1, 0])), orbit)
    pole = voge.look_at(torch.tensor([0.0, 2, 0]), torch.zeros(3), torch.tensor([0.0, 1, 0]))
    assert pole.isfinite().all()
    torch.testing.assert_close(torch.linalg.det(pole[:3, :3]), torch.tensor(1.0))


def test_centers_and_forwards_come_from_the_pose():
    c = voge.Cameras(voge.orbit(40.0, 25.0, 3.0, at=(1.0, 0, 0))[None], torch.eye(3)[None], 1, 1)
    torch.testing.assert_close(c.centers + 3 * c.forwards, torch.tensor([[1.0, 0, 0]]))


def test_the_vertical_field_of_view_spans_the_image():
    K = voge.intrinsics(64, 48, fov=60.0)
    assert K[1, 1].item() == pytest.approx(24 / math.tan(math.radians(30)))
    assert K[:2, 2].tolist() == [32, 24]


def test_cat_and_indexing_are_inverse():
    c = voge.Cameras(voge.orbit(torch.arange(4.0), 0.0, 3.0), torch.eye(3).expand(4, 3, 3), 5, 6)
    back = cameras_module.cat([c[0], c[1:3], c[[3]]])
    assert torch.equal(back.viewmats, c.viewmats)
    with pytest.raises(ValueError, match="share width, height and model"):
        cameras_module.cat([c, voge.Cameras(c.viewmats, c.Ks, 6, 6)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: voge.Cameras(torch.eye(4), torch.eye(3)[None], 1, 1),
            r"viewmats must have shape \(V, 4, 4\); got \(4, 4\)",
        ),
        (
            lambda: voge.Cameras(torch.eye(4)[None], torch.eye(3).expand(2, 3, 3), 1, 1),
            r"Ks must have shape .* with V=1",
        ),
        (lambda: voge.Cameras(torch.eye(4)[None], torch.eye(3)[None], 0, 1), "width must be at least 1 pixel, got 0"),
        (lambda: voge.intrinsics(4, 4), "give focal or fov"),
        (lambda: voge.intrinsics(4, 4, fov=180.0), "between 0 and 180"),
        (lambda: voge.intrinsics(4, 4, focal=-1.0), "focal must be positive"),
        (lambda: voge.orbit(0.0, 0.0, 1.0, up="x"), "up must be 'y' or 'z'"),
        (lambda: voge.Rays(torch.zeros(2, 3), torch.zeros(3, 3)), "one shape"),
    ],
)
def test_errors_name_the_rule_and_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
