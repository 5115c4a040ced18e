"""Distorting lenses: by hand-made numbers, as inverses, and in their derivatives."""

from __future__ import annotations

import math

import pytest
import torch
from scenes import random_ellipsoids

import voge
from voge.scene import lenses
from voge.scene.cameras import cat

LENSES = {
    "opencv-4": ("opencv", [-0.25, 0.08, 0.01, -0.02]),
    "opencv-5": ("opencv", [-0.25, 0.08, 0.01, -0.02, 0.01]),
    "opencv-8": ("opencv", [0.3, 0.08, 0.01, -0.02, 0.01, 0.05, 0.02, 0.003]),
    "fisheye": ("fisheye", [0.05, -0.02, 0.003, 0.001]),
}


def row(*numbers):
    return torch.tensor([numbers], dtype=torch.float64)


def lens_cameras(name, width=20, height=12, views=2):
    model, numbers = LENSES[name]
    viewmats = voge.orbit(torch.tensor([10.0, 130.0], dtype=torch.float64)[:views], -20.0, 4.0, theta=33.0)
    K = torch.tensor([[1.5 * width, 2.0, width / 2 + 1], [0, 1.3 * width, height / 2 + 1], [0, 0, 1]]).double()
    return voge.Cameras(viewmats, K.expand(views, 3, 3), width, height, model, row(*numbers).expand(views, -1))


def pixel_centers(width, height, views):
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([u, v], -1).reshape(1, -1, 2).double().expand(views, -1, 2)


def test_opencvs_polynomial_at_one_point():
    point = row(0.5, 0.0)[None]
    assert lenses.distort(point, row(0.1, 0, 0, 0))[0, 0].tolist() == pytest.approx([0.5 * 1.025, 0])
    assert lenses.distort(point, row(0, 0.1, 0, 0))[0, 0].tolist() == pytest.approx([0.5 * 1.00625, 0])
    # p1 adds 2 p1 x y to x and p1 (r^2 + 2 y^2) to y; p2 the same with x and y exchanged.
    assert lenses.distort(point, row(0, 0, 0.01, 0))[0, 0].tolist() == pytest.approx([0.5, 0.0025])
    assert lenses.distort(point, row(0, 0, 0, 0.02))[0, 0].tolist() == pytest.approx([0.5 + 0.02 * 0.75, 0])
    # The fifth is k3 (r^6), the sixth to eighth divide.
    assert lenses.distort(point, row(0, 0, 0, 0, 0.1))[0, 0].tolist() == pytest.approx([0.5 * (1 + 0.1 / 64), 0])
    assert lenses.distort(point, row(0, 0, 0, 0, 0, 0.1, 0, 0))[0, 0].tolist() == pytest.approx([0.5 / 1.025, 0])


def test_the_fisheye_shows_angles_as_distances():
    points = torch.tensor([[[1.0, 0, 1], [0, 1, 0], [0, 0, 2], [-1, 0, -1]]], dtype=torch.float64)
    found = lenses.fisheye_project(points, row(0, 0, 0, 0))[0]
    expected = [[math.pi / 4, 0], [0, math.pi / 2], [0, 0], [-3 * math.pi / 4, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))
    bent = lenses.fisheye_project(points[:, :1], row(0.1, 0, 0, 0))[0, 0, 0]
    assert float(bent) == pytest.approx(math.pi / 4 * (1 + 0.1 * math.pi**2 / 16))


@pytest.mark.parametrize("name", LENSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_points_on_a_pixels_ray_project_to_its_center(name, dtype, tolerance):
    cameras = lens_cameras(name).to(dtype)
    rays = cameras.rays()
    points = rays.origins + 1.7 * rays.directions
    expected = pixel_centers(20, 12, 2)
    found = torch.stack([cameras[i].project(points[i].reshape(-1, 3))[0][0] for i in range(2)])
    assert cameras.invertible(expected.to(dtype)).all()
    assert (found - expected).abs().max() < tolerance * 20  # pixels: 20 pixels are about the normalized plane's 1


@pytest.mark.parametrize("name", LENSES)
def test_first_derivatives_of_rays_and_pixels_are_exact(name):
    given = lens_cameras(name, 4, 3)
    model, shape = given.model, (4, 3)
    leaves = [t.clone().requires_grad_() for t in (given.viewmats, given.Ks, given.distortion)]
    points = (torch.rand(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5).requires_grad_()
    rays = lambda v, K, d: voge.Cameras(v, K, *shape, model, d).rays().directions  # noqa: E731
    pixels = lambda v, K, d, p: voge.Cameras(v, K, *shape, model, d).project(p)[0]  # noqa: E731
    assert torch.autograd.gradcheck(rays, leaves)
    assert torch.autograd.gradcheck(pixels, [*leaves, points])


@pytest.mark.parametrize("name", LENSES)
def test_without_coefficients_opencv_is_a_pinhole(name):
    cameras = lens_cameras(name)
    straight = voge.Cameras(
        cameras.viewmats, cameras.Ks, 20, 12, "opencv", torch.zeros_like(cameras.distortion[:, :4])
    ).rays()
    pinhole = voge.Cameras(cameras.viewmats, cameras.Ks, 20, 12).rays()
    torch.testing.assert_close(straight.directions, pinhole.directions)


@pytest.mark.parametrize(("model", "numbers"), [("opencv", [-0.5, 0, 0, 0]), ("fisheye", [-0.3, 0, 0, 0])])
def test_pixels_that_no_direction_leads_to_are_told_and_stay_finite(model, numbers):
    """r (1 - r^2/2) grows up to r = 0.816, where it is 0.544; theta (1 - 0.3 theta^2) up to 1.054, there 0.703."""
    K = torch.tensor([[[100.0, 0, 100], [0, 100, 100], [0, 0, 1]]], dtype=torch.float64)
    bent = row(*numbers).requires_grad_()
    cameras = voge.Cameras(torch.eye(4).double()[None], K, 200, 200, model, bent)
    edge = {"opencv": 54.4, "fisheye": 70.3}[model]
    points = torch.tensor([[[100.0, 100], [100 + edge - 1, 100], [100 + edge + 1, 100], [199.5, 199.5]]]).double()
    assert cameras.invertible(points).tolist() == [[True, True, False, False]]
    directions = cameras.rays().directions
    directions.sum().backward()
    assert directions.isfinite().all()
    assert bent.grad.isfinite().all()


def test_a_fisheye_sees_behind_itself():
    K = torch.tensor([[[60.0, 0, 128], [0, 60, 128], [0, 0, 1]]], dtype=torch.float64)
    cameras = voge.Cameras(torch.eye(4).double()[None], K, 256, 256, "fisheye", row(0, 0, 0, 0))
    directions = cameras.rays_through(torch.tensor([[[128 + 60 * 2.5, 128.0]]]).double()).directions
    assert directions[0, 0].tolist() == pytest.approx([math.sin(2.5), 0, math.cos(2.5)])


def test_rays_through_the_pixel_centers_are_the_rays():
    for name in LENSES:
        cameras = lens_cameras(name)
        through = cameras.rays_through(pixel_centers(20, 12, 2)).directions
        torch.testing.assert_close(through.reshape(2, 12, 20, 3), cameras.rays().directions)


def test_batches_keep_their_lenses():
    cameras = lens_cameras("opencv-4")
    back = cat([cameras[0], cameras[[1]]])
    assert torch.equal(back.distortion, cameras.distortion)
    assert cameras.to(torch.float32).distortion.dtype == torch.float32
    with pytest.raises(ValueError, match="must share"):
        cat([cameras, lens_cameras("opencv-5")])


@pytest.mark.parametrize(
    ("model", "distortion", "message"),
    [
        ("pinhole", torch.zeros(1, 4), "distortion must be None with model pinhole"),
        ("opencv", None, "distortion must have 4 or 5 or 8 numbers a view with model opencv; got None"),
        ("opencv", torch.zeros(1, 6), r"must have shape \(V, 4 or 5 or 8\) with model opencv; got \(1, 6\)"),
        ("fisheye", torch.zeros(1, 5), r"must have shape \(V, 4\) with model fisheye"),
        ("fisheye", torch.zeros(2, 4), r"distortion must have shape .* with V=1"),
    ],
)
def test_distortion_must_suit_the_model(model, distortion, message):
    with pytest.raises(ValueError, match=message):
        voge.Cameras(torch.eye(4)[None], torch.eye(3)[None], 1, 1, model, distortion)


@pytest.mark.parametrize("name", LENSES)
def test_compiled_code_renders_the_same_pictures(compiled_backend, name):
    """Bins by cones around the rays must leave nothing out."""
    scene, cameras = random_ellipsoids(30), lens_cameras(name, 40, 28)
    found, expected = (
        voge.render(scene, cameras, voge.RenderSettings(backend=backend)).image
        for backend in (compiled_backend, "torch")
    )
    assert float(expected.max()) > 0.2
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_pictures_carry_gradients_to_the_distortion():
    given = lens_cameras("opencv-4", 8, 6, views=1)
    bent = given.distortion.clone().requires_grad_()
    g = torch.Generator().manual_seed(0)
    scene = voge.Ellipsoids(
        torch.randn(6, 3, generator=g).double() * 0.5,
        torch.full((6, 3), 0.3).double(),
        torch.randn(6, 4, generator=g).double(),
        torch.ones(6).double(),
    )

    def alpha(distortion):
        cameras = voge.Cameras(given.viewmats, given.Ks, 8, 6, given.model, distortion)
        return voge.trace(scene, cameras.rays(), voge.RenderSettings(backend="torch")).alpha.sum()

    step = torch.zeros_like(bent)
    step[0, 0] = 1e-6
    alpha(bent).backward()
    with torch.no_grad():
        numeric = (alpha(bent + step) - alpha(bent - step)) / 2e-6
    assert float(bent.grad[0, 0]) == pytest.approx(float(numeric), rel=1e-5)
