"""The compiled renderers: pictures, fragments and rays as torch operators, through csrc/abi.h."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from voge.rendering import native
from voge.rendering.drivers import Cuda, Lists, add_lists, driver
from voge.rendering.operators import operator
from voge.rendering.settings import Aggregation, RenderSettings
from voge.scene.cameras import CameraModel, Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids

IMAGE_TILE = [8, 8]  # rays (rows, columns) that share one list of ellipsoids; changes speed only
RAY_TILE = [1, 64]  # for rays of no image
AGGREGATIONS = {Aggregation.exact: 0, Aggregation.paper: 1, Aggregation.sorted: 2}


def render_rays(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, cameras: Cameras, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (V, H, W, C), alpha (V, H, W) and depth (V, H, W)."""
    means, scales, quats, density, *others = _inputs(ellipsoids, rays, cameras, settings)
    image, alpha, depth, *_ = _render(
        means, scales, quats, density, features.contiguous(), *others, settings.list_capacity
    )
    return image, alpha, depth


def trace_rays(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """weight, depth (E,), transmittance (P,), index (E,), offsets (P + 1,), truncated ()."""
    return _trace(*_inputs(ellipsoids, rays, cameras, settings))[:6]


def pixel_rays(cameras: Cameras) -> Rays:
    """`cameras.rays()` of pinhole or orthographic cameras on CUDA, in one launch."""
    shape = [cameras.height, cameras.width]
    orthographic = cameras.model is CameraModel.orthographic
    return Rays(*_rays(cameras.viewmats.contiguous(), cameras.Ks.contiguous(), shape, orthographic))


@torch.no_grad()
def tile_lists(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Lists, list[int]]:
    """The lists that a render works with, and the tile (rows, columns)."""
    inputs = _inputs(ellipsoids, rays, cameras, settings)
    scene, run = _scene(*inputs), driver(inputs[0])
    run.count(scene)
    return run.tile_lists(scene, None)[0], inputs[-3]


# Every operator takes, in this order and as far as it needs them:
#   means, scales, quats, density, features     (N, ...)     of Ellipsoids
#   origins, directions                         (V, H, W, 3)
#   viewmats, intrinsics, orthographic          of the cameras, where they are to bound the tiles; no gradients
#   edges, offsets, members, sizes              Lists
#   tile, counts, bounds                        [rows, columns]; [aggregation, boxes, limit];
#                                               [eta, near, far, stop_transmittance]
# Outputs: floats first, index tensors last.
GEOMETRY = "Tensor means, Tensor scales, Tensor quats, Tensor density"
RAYS = "Tensor origins, Tensor directions"
VIEWS = "Tensor? viewmats, Tensor? intrinsics, bool orthographic"
LISTS = "Tensor edges, Tensor offsets, Tensor members, Tensor sizes"
NUMBERS = "int[] tile, int[] counts, float[] bounds"


def _inputs(ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings) -> tuple[Any, ...]:
    """Geometry, rays (V, H, W, 3), cameras and numbers, in the operators' order; tensors are contiguous."""
    origins, directions = rays.origins, rays.directions
    viewmats, intrinsics, orthographic, tile = None, None, False, IMAGE_TILE
    if cameras is None:
        origins, directions, tile = origins.reshape(1, 1, -1, 3), directions.reshape(1, 1, -1, 3), RAY_TILE
    elif cameras.model in (CameraModel.pinhole, CameraModel.orthographic):
        viewmats, intrinsics = cameras.viewmats.contiguous(), cameras.Ks.contiguous()
        orthographic = cameras.model is CameraModel.orthographic
    return (
        *(ellipsoids.means.contiguous(), ellipsoids.scales.contiguous()),
        *(ellipsoids.quats.contiguous(), ellipsoids.density.contiguous()),
        *(origins.contiguous(), directions.contiguous()),
        *(viewmats, intrinsics, orthographic),
        *(tile, [AGGREGATIONS[settings.aggregation], settings.boxes, settings.limit]),
        [settings.eta, settings.near, settings.far, settings.stop_transmittance],
    )


def _scene(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    viewmats: Tensor | None, intrinsics: Tensor | None, orthographic: bool,
    tile: list[int], counts: list[int], bounds: list[float],
) -> native.Scene:  # fmt: skip
    views, height, width, _ = origins.shape
    return native.Scene(
        scalar_size=means.element_size(), count=means.shape[0], views=views, height=height, width=width,
        tile_height=tile[0], tile_width=tile[1], aggregation=counts[0], boxes=counts[1], limit=counts[2],
        eta=bounds[0], near_distance=bounds[1], far_distance=bounds[2], stop_transmittance=bounds[3],
        means=means.data_ptr(), scales=scales.data_ptr(), quats=quats.data_ptr(), density=density.data_ptr(),
        origins=origins.data_ptr(), directions=directions.data_ptr(),
        viewmats=None if viewmats is None else viewmats.data_ptr(),
        intrinsics=None if intrinsics is None else intrinsics.data_ptr(), orthographic=orthographic,
    )  # fmt: skip


def _add_features(scene: native.Scene, features: Tensor) -> None:
    scene.channels, scene.features = features.shape[1], features.data_ptr()


def _or_zeros(gradients: tuple[Tensor | None, ...], like: Tensor, size: int) -> list[Tensor]:
    """Zeros, one array of the largest size for all, for the gradients of outputs that no loss depends on."""
    given = [g for g in gradients if g is not None]
    if len(given) == len(gradients):
        return given
    nothing = like.new_zeros(size)
    return [nothing if g is None else g for g in gradients]


def _tile_count(origins: Tensor, tile: list[int]) -> int:
    views, height, width = origins.shape[:3]
    return views * -(-height // tile[0]) * -(-width // tile[1])


def _fake_lists(means: Tensor, origins: Tensor, tile: list[int], capacity: int | None) -> Lists:
    size = capacity if capacity is not None and means.is_cuda else torch.library.get_ctx().new_dynamic_size()
    return Lists(
        means.new_empty(2 if means.is_cuda else 1, size),
        means.new_empty(_tile_count(origins, tile) + 1, dtype=torch.int64),
        means.new_empty(size, dtype=torch.int32),
        torch.empty(2, dtype=torch.int64, device="cpu"),
    )


# ---------------------------------------------------------------------------------------------
# render: pictures


def _keep_render(ctx: Any, inputs: Any, output: Any) -> None:
    tensors, found = inputs[:7], output[3:]
    ctx.tile, ctx.counts, ctx.bounds = inputs[10:13]
    ctx.mark_non_differentiable(*found)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *found)


def _differentiate_render(ctx: Any, g_image: Tensor | None, g_alpha: Tensor | None, g_depth: Tensor | None, *_: Any):
    gradients = [None if g is None else g.contiguous() for g in (g_image, g_alpha, g_depth)]
    _, _, _, _, _, to_origins, to_directions, *rest = ctx.needs_input_grad
    to_rays = to_origins or to_directions
    out = _render_backward(*gradients, *ctx.saved_tensors, ctx.tile, ctx.counts, ctx.bounds, to_rays)
    return *out, *[None] * (len(rest) + (0 if to_rays else 2))


@operator(
    f"render({GEOMETRY}, Tensor features, {RAYS}, {VIEWS}, {NUMBERS}, int? capacity)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    keep=_keep_render,
    gradients=_differentiate_render,
)
def _render(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, features: Tensor,
    origins: Tensor, directions: Tensor, viewmats: Tensor | None, intrinsics: Tensor | None, orthographic: bool,
    tile: list[int], counts: list[int], bounds: list[float], capacity: int | None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Image, alpha, depth, transmittance and the lists; NaN where the lists need more than their capacity."""
    scene = _scene(
        means, scales, quats, density, origins, directions, viewmats, intrinsics, orthographic, tile, counts, bounds
    )
    _add_features(scene, features)
    run = driver(means)
    run.count(scene)
    views, height, width, _ = origins.shape
    image = means.new_empty(views, height, width, features.shape[1])
    transmittance, depth = means.new_empty(views, height, width), means.new_empty(views, height, width)
    lists, spilled = run.tile_lists(scene, capacity)
    run.run("render", scene, image, transmittance, depth)
    alpha = 1 - transmittance
    if spilled is not None:
        for picture in (image, alpha, depth):
            picture.masked_fill_(spilled, math.nan)
    return image, alpha, depth, transmittance, *lists


@_render.fake
def _(means, scales, quats, density, features, origins, directions, viewmats, intrinsics, orthographic,
      tile, counts, bounds, capacity):  # fmt: skip
    shape = origins.shape[:-1]
    pictures = means.new_empty(*shape, features.shape[1]), *(means.new_empty(shape) for _ in range(3))
    return *pictures, *_fake_lists(means, origins, tile, capacity)


@operator(
    f"render_backward(Tensor? g_image, Tensor? g_alpha, Tensor? g_depth, {GEOMETRY}, Tensor features, {RAYS},"
    f" Tensor transmittance, {LISTS}, {NUMBERS}, bool to_rays) -> Tensor[]"
)
def _render_backward(
    g_image: Tensor | None, g_alpha: Tensor | None, g_depth: Tensor | None,
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, features: Tensor,
    origins: Tensor, directions: Tensor, transmittance: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, sizes: Tensor,
    tile: list[int], counts: list[int], bounds: list[float], to_rays: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    scene = _scene(means, scales, quats, density, origins, directions, None, None, False, tile, counts, bounds)
    _add_features(scene, features)
    scene.transmittance = transmittance.data_ptr()
    add_lists(scene, Lists(edges, offsets, members, sizes))
    if g_image is None:
        g_image = means.new_zeros(origins.shape[:-1].numel() * max(features.shape[1], 1))
    gradients = g_image, None if g_alpha is None else -g_alpha, g_depth
    to_ellipsoids = [torch.empty_like(t) for t in (means, scales, quats, density, features)]
    ways = [torch.empty_like(origins), torch.empty_like(directions)] if to_rays else []
    driver(means).run("render_backward", scene, *gradients, *to_ellipsoids, *(ways or (None, None)))
    return *to_ellipsoids, *ways


@_render_backward.fake
def _(g_image, g_alpha, g_depth, means, scales, quats, density, features, origins, directions, transmittance,
      edges, offsets, members, sizes, tile, counts, bounds, to_rays):  # fmt: skip
    inputs = (means, scales, quats, density, features, *((origins, directions) if to_rays else ()))
    return [torch.empty_like(t) for t in inputs]


# ---------------------------------------------------------------------------------------------
# trace: fragments


def _keep_trace(ctx: Any, inputs: Any, output: Any) -> None:
    tensors = inputs[:6]
    ctx.tile, ctx.counts, ctx.bounds = inputs[9:12]
    _, _, _, index, rows, left_out, *lists = output
    ctx.mark_non_differentiable(index, rows, left_out, *lists)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(index, rows, *tensors, *lists)


def _differentiate_trace(
    ctx: Any, g_weight: Tensor | None, g_depth: Tensor | None, g_transmittance: Tensor | None, *_: Any
):
    gradients = [None if g is None else g.contiguous() for g in (g_weight, g_depth, g_transmittance)]
    _, _, _, _, to_origins, to_directions, *rest = ctx.needs_input_grad
    to_rays = to_origins or to_directions
    out = _trace_backward(*gradients, *ctx.saved_tensors, ctx.tile, ctx.counts, ctx.bounds, to_rays)
    return *out, *[None] * (len(rest) + (0 if to_rays else 2))


@operator(
    f"trace({GEOMETRY}, {RAYS}, {VIEWS}, {NUMBERS})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
    keep=_keep_trace,
    gradients=_differentiate_trace,
)
def _trace(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    viewmats: Tensor | None, intrinsics: Tensor | None, orthographic: bool,
    tile: list[int], counts: list[int], bounds: list[float],
) -> tuple[Tensor, ...]:  # fmt: skip
    """Weight, depth, transmittance, index, rows, what was left out, and the lists."""
    scene = _scene(
        means, scales, quats, density, origins, directions, viewmats, intrinsics, orthographic, tile, counts, bounds
    )
    run = driver(means)
    run.count(scene)
    lists, _ = run.tile_lists(scene, None)
    rays = math.prod(origins.shape[:-1])
    found, left_out = means.new_empty(2, rays, dtype=torch.int64).unbind()
    run.run("trace_counts", scene, found, left_out)
    rows = found.new_zeros(rays + 1)
    torch.cumsum(found, 0, out=rows[1:])
    entries = int(rows[-1])
    index = means.new_empty(entries, dtype=torch.int32)
    weight, depth, transmittance = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    run.run("trace", scene, rows, index, weight, depth, transmittance)
    return weight, depth, transmittance, index, rows, left_out.sum(), *lists


@_trace.fake
def _(means, scales, quats, density, origins, directions, viewmats, intrinsics, orthographic, tile, counts, bounds):
    entries, rays = torch.library.get_ctx().new_dynamic_size(), math.prod(origins.shape[:-1])
    floats = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    rows, left_out = (means.new_empty(shape, dtype=torch.int64) for shape in ((rays + 1,), ()))
    found = means.new_empty(entries, dtype=torch.int32), rows, left_out
    return *floats, *found, *_fake_lists(means, origins, tile, None)


@operator(
    "trace_backward(Tensor? g_weight, Tensor? g_depth, Tensor? g_transmittance, Tensor index, Tensor rows,"
    f" {GEOMETRY}, {RAYS}, {LISTS}, {NUMBERS}, bool to_rays) -> Tensor[]"
)
def _trace_backward(
    g_weight: Tensor | None, g_depth: Tensor | None, g_transmittance: Tensor | None, index: Tensor, rows: Tensor,
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, sizes: Tensor,
    tile: list[int], counts: list[int], bounds: list[float], to_rays: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    scene = _scene(means, scales, quats, density, origins, directions, None, None, False, tile, counts, bounds)
    add_lists(scene, Lists(edges, offsets, members, sizes))
    to_ellipsoids = [torch.empty_like(t) for t in (means, scales, quats, density)]
    ways = [torch.empty_like(origins), torch.empty_like(directions)] if to_rays else []
    run = driver(means)
    found = (rows, index) if isinstance(run, Cuda) else (rows,)
    gradients = _or_zeros((g_weight, g_depth, g_transmittance), means, max(len(index), len(rows)))
    run.run("trace_backward", scene, *found, *gradients, *to_ellipsoids, *(ways or (None, None)))
    return *to_ellipsoids, *ways


@_trace_backward.fake
def _(g_weight, g_depth, g_transmittance, index, rows, means, scales, quats, density, origins, directions,
      edges, offsets, members, sizes, tile, counts, bounds, to_rays):  # fmt: skip
    inputs = (means, scales, quats, density, *((origins, directions) if to_rays else ()))
    return [torch.empty_like(t) for t in inputs]


# ---------------------------------------------------------------------------------------------
# rays of cameras; on the CPU torch makes them


def _keep_rays(ctx: Any, inputs: Any, output: Any) -> None:
    viewmats, intrinsics, _, ctx.orthographic = inputs
    ctx.save_for_backward(viewmats, intrinsics)


def _differentiate_rays(ctx: Any, g_origins: Tensor, g_directions: Tensor):
    gradients = g_origins.contiguous(), g_directions.contiguous()
    return *_rays_backward(*gradients, *ctx.saved_tensors, ctx.orthographic), None, None


@operator(
    "rays(Tensor viewmats, Tensor Ks, int[] shape, bool orthographic) -> (Tensor, Tensor)",
    devices=("cuda",),
    keep=_keep_rays,
    gradients=_differentiate_rays,
)
def _rays(viewmats: Tensor, intrinsics: Tensor, shape: list[int], orthographic: bool) -> tuple[Tensor, Tensor]:
    sizes = (len(viewmats), shape[0], shape[1])
    origins, directions = viewmats.new_empty(*sizes, 3), viewmats.new_empty(*sizes, 3)
    Cuda(viewmats).rays("rays", sizes, orthographic, viewmats, intrinsics, origins, directions)
    return origins, directions


@_rays.fake
def _(viewmats, intrinsics, shape, orthographic):
    sizes = (len(viewmats), *shape, 3)
    return viewmats.new_empty(sizes), viewmats.new_empty(sizes)


@operator(
    "rays_backward(Tensor g_origins, Tensor g_directions, Tensor viewmats, Tensor Ks, bool orthographic)"
    " -> (Tensor, Tensor)",
    devices=("cuda",),
)
def _rays_backward(
    g_origins: Tensor, g_directions: Tensor, viewmats: Tensor, intrinsics: Tensor, orthographic: bool
) -> tuple[Tensor, Tensor]:
    gradients = torch.empty_like(viewmats), torch.empty_like(intrinsics)
    arrays = (viewmats, intrinsics, g_origins, g_directions, *gradients)
    views, height, width, _ = g_origins.shape
    Cuda(viewmats).rays("rays_backward", (views, height, width), orthographic, *arrays)
    return gradients


@_rays_backward.fake
def _(g_origins, g_directions, viewmats, intrinsics, orthographic):
    return torch.empty_like(viewmats), torch.empty_like(intrinsics)
