"""Tile lists: nothing that a pixel sees is ever missing from its tile, by brute force."""

from __future__ import annotations

import pytest
import torch
from scenes import cameras

import voge
from voge.rendering import arguments, compiled, reference

ETA = 0.01


def scene(kind: str, count: int, seed: int) -> voge.Ellipsoids:
    """Random ellipsoids of widths over three decades, in front of, around or across the camera plane."""
    g = torch.Generator("cpu").manual_seed(seed)
    spread, shift = {"front": (0.7, 0.0), "around": (2.5, 2.0), "crossing": (0.4, 3.0)}[kind]
    with torch.device("cpu"):
        log_scales = torch.rand(count, 3, generator=g, dtype=torch.float64) * 3 - 2.5
        e = voge.Ellipsoids(
            means=torch.randn(count, 3, generator=g, dtype=torch.float64) * spread + torch.tensor([0, 0, shift]),
            scales=10**log_scales,
            quats=torch.randn(count, 4, generator=g, dtype=torch.float64),
            density=torch.rand(count, generator=g, dtype=torch.float64) * 5,
        )
    return e.to(torch.get_default_device())


def seen(e: voge.Ellipsoids, rays: voge.Rays) -> torch.Tensor:
    """(P, N): does ray p meet ellipsoid n? By the definition, for all pairs."""
    depth, exponent, _ = reference.intersect(
        e.means, e.scales, e.quats, rays.origins.reshape(-1, 1, 3), rays.directions.reshape(-1, 1, 3)
    )
    return (e.density * exponent.exp() >= ETA) & (depth > 0)


def listed(e: voge.Ellipsoids, rays: voge.Rays, c: voge.Cameras | None) -> torch.Tensor:
    """(P, N): is ellipsoid n in the list of ray p's tile?"""
    views, height, width = rays.shape
    (_, offsets, members, _), tile = compiled.tile_lists(e, rays, c, voge.RenderSettings(min_density=ETA))
    table = torch.zeros(len(offsets) - 1, len(e), dtype=torch.bool)
    table[torch.repeat_interleave(torch.arange(len(offsets) - 1), offsets.diff()), members.long()] = True
    rows, columns = -(-height // tile[0]), -(-width // tile[1])
    by_pixel = table.reshape(views, rows, columns, len(e)).repeat_interleave(tile[0], 1).repeat_interleave(tile[1], 2)
    return by_pixel[:, :height, :width].reshape(-1, len(e))


@pytest.mark.parametrize("kind", ["front", "around", "crossing"])
@pytest.mark.parametrize("model", ["pinhole", "orthographic"])
def test_no_ellipsoid_that_a_pixel_sees_is_missed(compiled_backend, model, kind):
    for seed in range(6):
        e, c = scene(kind, 300, seed), cameras(41, 27, 2, model=model, azimuth=5.0 * seed)
        visible = seen(e, c.rays())
        assert visible.any()
        assert not (visible & ~listed(e, c.rays(), c)).any()


@pytest.mark.parametrize("kind", ["front", "around", "crossing"])
def test_no_ellipsoid_that_any_ray_sees_is_missed(compiled_backend, kind):
    """Rays of no camera: bounded by cones, from coherent to scattered."""
    for seed in range(4):
        e, g = scene(kind, 200, seed), torch.Generator(torch.get_default_device()).manual_seed(seed)
        jitter = torch.randn(2, 1, 1, 400, 3, generator=g, dtype=torch.float64) * 10.0 ** (seed - 3)
        toward = torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
        directions = torch.nn.functional.normalize(toward + jitter[0], dim=-1)
        rays = voge.Rays(torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64) + jitter[1], directions)
        assert not (seen(e, rays) & ~listed(e, rays, None)).any()


def test_boxes_hold_little_more_than_what_is_seen(compiled_backend, monkeypatch):
    """Single pixels as tiles: an ellipse fills pi/4 of its box, so tight boxes list less than twice what is seen."""
    monkeypatch.setattr(arguments, "IMAGE_TILE", (1, 1))
    e, c = scene("front", 300, 0), cameras(64, 48)
    assert listed(e, c.rays(), c).sum() < 2 * seen(e, c.rays()).sum()


def test_events_lie_within_their_tiles_bounds(compiled_backend, monkeypatch):
    """The bounds that let a ray pass events before the list is read to its end, or on CUDA to its beginning."""
    monkeypatch.setattr(arguments, "IMAGE_TILE", (33, 33))
    for kind in ("front", "around", "crossing"):
        e, c = scene(kind, 200, 3), cameras(33, 17)
        rays = c.rays()
        (edges, offsets, members, _), _ = compiled.tile_lists(e, rays, c, voge.RenderSettings(min_density=ETA))
        assert len(offsets) == 2
        assert (edges[:, 1:] >= edges[:, :-1]).all()
        bounds = edges.new_full((len(edges), len(e)), torch.inf)
        bounds[:, members.long()] = edges
        depth, _, width = reference.intersect(
            e.means, e.scales, e.quats, rays.origins.reshape(-1, 1, 3), rays.directions.reshape(-1, 1, 3)
        )
        reach, met = reference.box_rule(2)[0].max() * width, seen(e, rays)
        assert ((depth - reach).clamp_min(0) >= bounds[0] - 1e-12)[met].all()
        assert len(bounds) == 1 or (depth + reach <= bounds[1] + 1e-12)[met].all()


def test_ellipsoids_that_are_not_finite_are_in_no_list(compiled_backend):
    e, c = scene("front", 40, 0), cameras(16, 16)
    for name, tensor in (("means", e.means), ("scales", e.scales), ("quats", e.quats), ("density", e.density)):
        broken = tensor.clone()
        broken[::2] = torch.nan
        parts = {n: getattr(e, n) for n in ("means", "scales", "quats", "density")}
        hidden = listed(voge.Ellipsoids(**{**parts, name: broken}), c.rays(), c)
        assert not hidden[:, ::2].any(), name
        assert hidden[:, 1::2].any(), name
