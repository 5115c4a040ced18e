"""Pictures of meshes by ray casting: silhouettes, depths and colors with known answers."""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import voge
from voge.convert import from_mesh
from voge.meshes import raycast
from voge.meshes.mesh import Mesh, build_mesh
from voge.meshes.raycast import render_mesh

embree = pytest.mark.usefixtures("embreex")


@pytest.fixture
def embreex():
    return pytest.importorskip("embreex")


def sphere() -> Mesh:
    """Radius 1, 2,562 vertices; the faces lie up to 0.002 inside."""
    trimesh = pytest.importorskip("trimesh")
    ball = trimesh.creation.icosphere(subdivisions=4)
    return build_mesh(ball.vertices, ball.faces)


def square(z: float = 0.0) -> Mesh:
    """The unit square at height z, facing +z, colored by (x, y, 0)."""
    corners = np.array([[0, 0, z], [1, 0, z], [1, 1, z], [0, 1, z]])
    return build_mesh(corners, np.array([[0, 1, 2], [0, 2, 3]]), corners * [1, 1, 0])


def from_above(width: int, height: int, scale: float, *, pinhole: float | None = None) -> voge.Cameras:
    """A camera over (0.5, 0.5) at height 5, up is +y; `scale` pixels a unit at height 0."""
    at = torch.tensor([0.5, 0.5, 0.0])
    view = voge.look_at(at + torch.tensor([0.0, 0, 5]), at, torch.tensor([0.0, 1, 0]))[None]
    K = voge.intrinsics(width, height, focal=scale if pinhole is None else pinhole)[None]
    model = voge.CameraModel.orthographic if pinhole is None else voge.CameraModel.pinhole
    return voge.Cameras(view, K, width, height, model)


@embree
def test_silhouette_of_a_sphere_is_the_disc_of_its_tangents():
    distance, focal = 3.0, 100.0
    cameras = voge.Cameras(voge.orbit(30, 20, distance)[None], voge.intrinsics(96, 80, focal=focal)[None], 96, 80)
    found = render_mesh(sphere(), cameras, samples=4)
    radius = focal / math.sqrt(distance**2 - 1)
    assert found.alpha.sum().item() == pytest.approx(math.pi * radius**2, rel=2e-3)
    middle = found.depth[0, 39:41, 47:49].mean().item()
    assert middle == pytest.approx(distance - 1, abs=3e-3)
    towards = -cameras.forwards[0]
    assert (found.normals[0, 39:41, 47:49].mean((0, 1)) @ towards).item() == pytest.approx(1, abs=2e-3)


@embree
def test_a_square_from_above_fills_its_pixels_at_its_distance():
    found = render_mesh(square(), from_above(16, 12, scale=8.0))
    assert found.alpha[0].nonzero().amin(0).tolist() == [2, 4]
    assert found.alpha[0, 2:10, 4:12].min() == 1
    assert found.alpha.sum() == 64
    assert found.depth[0, 5, 5].item() == pytest.approx(5)
    assert found.normals[0, 5, 5].tolist() == pytest.approx([0, 0, 1])
    assert (found.normals[0, 0, 0] == 0).all()


@embree
def test_depth_is_measured_along_the_ray():
    cameras = from_above(16, 12, scale=0, pinhole=40.0)
    found = render_mesh(square(), cameras, samples=1)
    rays = cameras.rays()
    hit = found.alpha > 0
    expected = 5 / -rays.directions[..., 2]
    torch.testing.assert_close(found.depth[hit], expected[hit])
    assert hit.sum() == 64  # 8 pixels a unit


@embree
def test_coverage_of_a_pixel_is_the_share_of_its_samples():
    shifted = from_above(16, 12, scale=8.0)
    K = shifted.Ks.clone()
    K[:, 0, 2] += 0.25  # edges now lie a quarter into a pixel
    found = render_mesh(square(), replace(shifted, Ks=K), samples=4).alpha[0]
    assert found[5, 4].item() == 0.75
    assert found[5, 12].item() == 0.25
    assert found[5, 5:12].min() == 1


@embree
def test_colors_are_interpolated_and_premultiplied():
    cameras = from_above(16, 12, scale=8.0)
    found = render_mesh(square(), cameras)
    # The middle of the pixel in row 3 from the top, column 6: x = 2.5 / 8, y = 1 - 1.5 / 8.
    assert found.image[0, 3, 6].tolist() == pytest.approx([2.5 / 8, 1 - 1.5 / 8, 0], abs=1e-6)
    assert (found.image[0, 0, 0] == 0).all()
    assert found.over(torch.ones(3))[0, 0, 0].tolist() == [1, 1, 1]
    white = render_mesh(replace(square(), colors=None), cameras)
    torch.testing.assert_close(white.image, white.alpha[..., None].expand(-1, -1, -1, 3))


@embree
def test_colors_may_be_any_function_of_the_point():
    def channels(points: Tensor) -> Tensor:
        assert points.dtype == torch.float64
        return torch.cat([points, points.norm(dim=1, keepdim=True)], 1)

    cameras = voge.Cameras(
        voge.orbit(torch.tensor([0.0, 90]), 0, 3.0), voge.intrinsics(24, 24, fov=30).repeat(2, 1, 1), 24, 24
    )
    found = render_mesh(sphere(), cameras, colors=channels)
    inside = found.alpha == 1
    assert found.image.shape == (2, 24, 24, 4)
    assert (found.image[inside][:, 3] - 1).abs().max() < 3e-3
    torch.testing.assert_close(found.normals[inside], found.image[inside][:, :3], atol=0.06, rtol=0)


@embree
def test_smooth_normals_follow_the_vertices():
    cameras = voge.Cameras(voge.orbit(0, 0, 3.0)[None], voge.intrinsics(24, 24, fov=30)[None], 24, 24)

    def worst(smooth: bool) -> float:
        found = render_mesh(sphere(), cameras, samples=1, colors=lambda points: points, smooth=smooth)
        inside = found.alpha == 1
        true = torch.nn.functional.normalize(found.image[inside], dim=1)
        return (found.normals[inside] - true).norm(dim=1).max().item()

    # The faces turn by up to 0.05 from the sphere.
    assert worst(True) < 0.008 < 0.03 < worst(False)


@embree
@pytest.mark.parametrize("model", [voge.CameraModel.pinhole, voge.CameraModel.orthographic])
def test_the_nearer_of_two_surfaces_is_seen(model):
    low, high = square(0.0), square(1.0)
    both = build_mesh(
        np.concatenate([low.vertices, high.vertices]),
        np.concatenate([low.faces, high.faces + 4]),
        np.repeat([[1.0, 0, 0], [0, 1.0, 0]], 4, axis=0),
    )
    cameras = from_above(8, 8, scale=6.0, pinhole=20.0 if model is voge.CameraModel.pinhole else None)
    found = render_mesh(both, cameras, samples=1)
    assert found.image[0, 4, 4].tolist() == [0, 1, 0]
    assert found.depth[0, 4, 4].item() == pytest.approx(4, abs=0.03)


@embree
def test_a_mesh_is_seen_alike_far_away_and_at_any_size():
    """Embree counts in float32; a camera at 1e5 sizes would see steps if rays began there."""
    near = render_mesh(square(), from_above(16, 12, scale=8.0, pinhole=40.0))
    cameras = from_above(16, 12, scale=8.0, pinhole=40.0).to(torch.float64)
    far_view, far_K = cameras.viewmats.clone(), cameras.Ks.clone()
    far_view[:, 2, 3] = 5e5
    far_K[:, :2, :2] *= 1e5
    far = render_mesh(square(), replace(cameras, viewmats=far_view, Ks=far_K))
    assert (far.alpha - near.alpha).abs().max() == 0
    small = replace(square(), vertices=square().vertices * 1e-6)
    view = cameras.viewmats.clone()
    view[:, :3, 3] *= 1e-6
    torch.testing.assert_close(render_mesh(small, replace(cameras, viewmats=view)).image, near.image)


@embree
def test_pictures_do_not_depend_on_the_bands_they_are_cast_in(monkeypatch):
    cameras = voge.Cameras(voge.orbit(30, 20, 3.0)[None], voge.intrinsics(40, 30, fov=50)[None], 40, 30)
    whole = render_mesh(sphere(), cameras)
    monkeypatch.setattr(raycast, "RAYS", 40 * 9 * 7)  # seven rows at a time
    banded = render_mesh(sphere(), cameras)
    torch.testing.assert_close(banded.image, whole.image)
    torch.testing.assert_close(banded.depth, whole.depth)


@embree
def test_our_renderer_and_the_ray_caster_agree_on_where_things_are(backend):
    """Off-center principal point, wide picture: the two share nothing but the camera."""
    vertices, faces = (torch.from_numpy(array) for array in (sphere().vertices, sphere().faces))
    K = voge.intrinsics(48, 32, focal=40.0)
    K[0, 2], K[1, 2] = 20.0, 19.0
    cameras = voge.Cameras(voge.orbit(40, -15, 3.5)[None], K[None], 48, 32)
    made = from_mesh(vertices, faces, colors=0.5 + vertices / 2)
    ours = voge.render(made, cameras, voge.RenderSettings(backend=backend))
    cast = render_mesh(sphere(), cameras, colors=lambda points: 0.5 + points / 2)
    inside = (ours.alpha > 0.5) & (cast.alpha > 0.5)
    assert inside.sum() / ((ours.alpha > 0.5) | (cast.alpha > 0.5)).sum() > 0.98
    full = cast.alpha == 1
    assert (ours.image - cast.image)[full].abs().mean() < 0.02
    assert (ours.depth - cast.depth)[full].abs().mean() < 0.05


def test_without_embree_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex", None)
    with pytest.raises(ImportError, match="pip install embreex"):
        render_mesh(square(), from_above(8, 8, scale=6.0))


@embree
def test_samples_must_be_positive():
    with pytest.raises(ValueError, match="samples must be at least 1, got 0"):
        render_mesh(square(), from_above(8, 8, scale=6.0), samples=0)
