"""Arguments of the operators of compiled code, in named tuples: each value has a name on its way to csrc/abi.h."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from voge.rendering import native
from voge.rendering.settings import Aggregation, RenderSettings
from voge.scene.cameras import CameraModel, Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids

IMAGE_TILE = (8, 8)  # rays (rows, columns) that share one list of ellipsoids; changes speed only
RAY_TILE = (1, 64)  # for rays of no image
AGGREGATIONS = {Aggregation.exact: 0, Aggregation.paper: 1, Aggregation.sorted: 2}


class Geometry(NamedTuple):
    """Ellipsoids without their features, contiguous."""

    means: Tensor  # (N, 3)
    scales: Tensor  # (N, 3)
    quats: Tensor  # (N, 4)
    density: Tensor  # (N,)


class RayArrays(NamedTuple):
    """Rays, contiguous."""

    origins: Tensor  # (V, H, W, 3)
    directions: Tensor  # (V, H, W, 3)


class Views(NamedTuple):
    """The cameras of the rays, where they are to bound the tiles; no gradients go there."""

    viewmats: Tensor | None  # (V, 4, 4)
    intrinsics: Tensor | None  # (V, 3, 3)
    orthographic: bool


class Numbers(NamedTuple):
    """Settings under the names of `voge_scene`."""

    tile_height: int
    tile_width: int
    aggregation: int
    boxes: int
    limit: int
    eta: float
    near_distance: float
    far_distance: float
    stop_transmittance: float


class Lists(NamedTuple):
    """Ellipsoids that each tile's rays may meet: the discrete choice, which carries no gradient."""

    edges: Tensor  # (1, E) for each member: no event of it comes earlier on any ray of the tile; CUDA (2, E): nor later
    offsets: Tensor  # (tiles + 1,) int64: the members of tile i are offsets[i] to offsets[i + 1]
    members: Tensor  # (E,) int32 ellipsoids
    sizes: Tensor  # (2,) int64 on the CPU: E, and the longest list where that matters: on CUDA


NO_VIEWS = Views(None, None, False)


def geometry_of(ellipsoids: Ellipsoids) -> Geometry:
    """Return the arrays of ellipsoids."""
    return Geometry(
        ellipsoids.means.contiguous(),
        ellipsoids.scales.contiguous(),
        ellipsoids.quats.contiguous(),
        ellipsoids.density.contiguous(),
    )


def rays_of(rays: Rays, cameras: Cameras | None) -> RayArrays:
    """Return the arrays of rays; those of no image become one row."""
    origins, directions = rays.origins, rays.directions
    if cameras is None:
        origins, directions = origins.reshape(1, 1, -1, 3), directions.reshape(1, 1, -1, 3)
    return RayArrays(origins.contiguous(), directions.contiguous())


def views_of(cameras: Cameras | None) -> Views:
    """Return the cameras by which tiles can be bounded: pinhole and orthographic ones."""
    if cameras is None:
        return NO_VIEWS
    orthographic = cameras.model is CameraModel.orthographic
    if not orthographic and cameras.model is not CameraModel.pinhole:
        return NO_VIEWS
    return Views(cameras.viewmats.contiguous(), cameras.Ks.contiguous(), orthographic)


def numbers_of(settings: RenderSettings, cameras: Cameras | None) -> Numbers:
    """Return the settings as numbers."""
    tile_height, tile_width = RAY_TILE if cameras is None else IMAGE_TILE
    return Numbers(
        tile_height=tile_height,
        tile_width=tile_width,
        aggregation=AGGREGATIONS[settings.aggregation],
        boxes=settings.boxes,
        limit=settings.limit,
        eta=settings.eta,
        near_distance=settings.near,
        far_distance=settings.far,
        stop_transmittance=settings.stop_transmittance,
    )


def scene_of(geometry: Geometry, rays: RayArrays, views: Views, numbers: Numbers) -> native.Scene:
    """Return `voge_scene` without features and lists. It holds addresses: whoever calls keeps the tensors."""
    means, scales, quats, density = geometry
    origins, directions = rays
    viewmats, intrinsics, orthographic = views
    tile_height, tile_width, aggregation, boxes, limit, eta, near, far, stop_transmittance = numbers
    views_count, height, width, _ = origins.shape
    return native.Scene(
        scalar_size=means.element_size(), count=means.shape[0], views=views_count, height=height, width=width,
        means=means.data_ptr(), scales=scales.data_ptr(), quats=quats.data_ptr(), density=density.data_ptr(),
        origins=origins.data_ptr(), directions=directions.data_ptr(),
        viewmats=None if viewmats is None else viewmats.data_ptr(),
        intrinsics=None if intrinsics is None else intrinsics.data_ptr(), orthographic=orthographic,
        tile_height=tile_height, tile_width=tile_width, aggregation=aggregation, boxes=boxes, limit=limit,
        eta=eta, near_distance=near, far_distance=far, stop_transmittance=stop_transmittance,
    )  # fmt: skip


def fake_lists(means: Tensor, rays: RayArrays, numbers: Numbers, capacity: int | None) -> Lists:
    """Return lists of the right shapes, for torch's fake tensors."""
    size = capacity if capacity is not None and means.is_cuda else torch.library.get_ctx().new_dynamic_size()
    views, height, width = rays.origins.shape[:3]
    tiles = views * -(-height // numbers.tile_height) * -(-width // numbers.tile_width)
    return Lists(
        means.new_empty(2 if means.is_cuda else 1, size),
        means.new_empty(tiles + 1, dtype=torch.int64),
        means.new_empty(size, dtype=torch.int32),
        torch.empty(2, dtype=torch.int64, device="cpu"),
    )
