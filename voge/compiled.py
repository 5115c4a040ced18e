"""The compiled renderers as torch operators: registration, gradients, and calls through csrc/abi.h."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from voge import native
from voge.cameras import CameraModel, Cameras, Rays
from voge.drivers import Cuda, driver
from voge.ellipsoids import Ellipsoids
from voge.settings import Aggregation, RenderSettings

IMAGE_TILE = [8, 8]  # rays (rows, columns) that share one list of ellipsoids; changes speed only
RAY_TILE = [1, 64]  # for rays of no image
AGGREGATIONS = {Aggregation.exact: 0, Aggregation.paper: 1, Aggregation.sorted: 2}

# Every operator takes, in this order and as far as it needs them:
#   means, scales, quats, density, features     (N, ...)     of Ellipsoids
#   origins, directions                         (V, H, W, 3)
#   edges, offsets, members                     tile lists, from `bin`: edges (1, E) on the CPU, (2, E) on CUDA
#   tile, counts, bounds                        [rows, columns]; [aggregation, boxes, limit];
#                                               [eta, near, far, stop_transmittance]
# Outputs: floats first, index tensors last.


def render_rays(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, cameras: Cameras, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (V, H, W, C), alpha (V, H, W) and depth (V, H, W)."""
    geometry, ways, lists, tile, spilled = _prepare(ellipsoids, rays, cameras, settings)
    image, transmittance, depth = torch.ops.voge.render(
        *geometry, features.contiguous(), *ways, *lists, tile, *_numbers(settings)
    )
    if settings.list_capacity is None:
        return image, 1 - transmittance, depth
    wrong = torch.where(spilled, math.nan, 0.0).to(image)
    return image + wrong, 1 - transmittance + wrong, depth + wrong


def pixel_rays(cameras: Cameras) -> Rays:
    """`cameras.rays()` of pinhole or orthographic cameras on CUDA, in one launch."""
    shape = [cameras.height, cameras.width]
    orthographic = cameras.model is CameraModel.orthographic
    return Rays(*torch.ops.voge.rays(cameras.viewmats.contiguous(), cameras.Ks.contiguous(), shape, orthographic))


def trace_rays(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """weight, depth (E,), transmittance (P,), index (E,), offsets (P + 1,), truncated ()."""
    geometry, ways, lists, tile, _ = _prepare(ellipsoids, rays, cameras, replace(settings, list_capacity=None))
    return torch.ops.voge.trace(*geometry, *ways, *lists, tile, *_numbers(settings))


def _prepare(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[int], Tensor]:
    """Contiguous geometry and rays (V, H, W, 3); tile lists, the tile with the longest list's length, "too short".

    The lists say who may meet whom: the discrete choice, which carries no gradient.
    """
    tile = RAY_TILE if cameras is None else IMAGE_TILE
    shape = (1, 1, rays.shape.numel()) if cameras is None else rays.shape
    geometry = [t.contiguous() for t in (ellipsoids.means, ellipsoids.scales, ellipsoids.quats, ellipsoids.density)]
    ways = [t.reshape(*shape, 3).contiguous() for t in (rays.origins, rays.directions)]
    matrices: list[Tensor | None] = [None, None]
    if cameras is not None and cameras.model in (CameraModel.pinhole, CameraModel.orthographic):
        matrices = [m.detach().contiguous() for m in (cameras.viewmats, cameras.Ks)]
    orthographic = cameras is not None and cameras.model is CameraModel.orthographic
    tensors = [t.detach() for t in (*geometry, *ways)]
    *lists, longest, spilled = torch.ops.voge.bin(
        *tensors, *matrices, orthographic, tile, *_numbers(settings), settings.list_capacity
    )
    return geometry, ways, lists, [*tile, int(longest)], spilled


def _numbers(settings: RenderSettings) -> tuple[list[int], list[float]]:
    counts = [AGGREGATIONS[settings.aggregation], settings.boxes, settings.limit]
    return counts, [settings.eta, settings.near, settings.far, settings.stop_transmittance]


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _scene(
    geometry: list[Tensor], ways: list[Tensor], tile: list[int], counts: list[int], bounds: list[float]
) -> native.Scene:
    means, scales, quats, density = geometry
    origins, directions = ways
    views, height, width = origins.shape[:3]
    return native.Scene(
        scalar_size=means.element_size(), count=len(means), views=views, height=height, width=width,
        tile_height=tile[0], tile_width=tile[1], longest_list=tile[2] if len(tile) > 2 else 0,
        aggregation=counts[0], boxes=counts[1], limit=counts[2],
        eta=bounds[0], near_distance=bounds[1], far_distance=bounds[2], stop_transmittance=bounds[3],
        means=means.data_ptr(), scales=scales.data_ptr(), quats=quats.data_ptr(), density=density.data_ptr(),
        origins=origins.data_ptr(), directions=directions.data_ptr(),
    )  # fmt: skip


def _add_lists(scene: native.Scene, edges: Tensor, offsets: Tensor, members: Tensor) -> None:
    scene.tile_nearest, scene.tile_offsets, scene.tile_members = (t.data_ptr() for t in (edges, offsets, members))
    scene.tile_farthest = edges[-1].data_ptr()


def _add_features(scene: native.Scene, features: Tensor) -> None:
    scene.channels, scene.features = features.shape[1], features.data_ptr()


def _run(name: str, scene: native.Scene, *arrays: Tensor | None) -> None:
    like = next(a for a in arrays if a is not None and a.is_floating_point())
    calls = driver(like)
    calls.prepare(scene)
    calls.run(name, scene, *arrays)


def _tile_count(origins: Tensor, tile: list[int]) -> int:
    views, height, width = origins.shape[:3]
    return views * -(-height // tile[0]) * -(-width // tile[1])


torch.library.define("voge::rays", "(Tensor viewmats, Tensor Ks, int[] shape, bool orthographic) -> (Tensor, Tensor)")
torch.library.define(
    "voge::rays_backward",
    "(Tensor g_origins, Tensor g_directions, Tensor viewmats, Tensor Ks, bool orthographic) -> (Tensor, Tensor)",
)
F = TypeVar("F", bound=Callable[..., object])
GEOMETRY = "Tensor means, Tensor scales, Tensor quats, Tensor density"
RAYS = "Tensor origins, Tensor directions"
LISTS = "Tensor edges, Tensor offsets, Tensor members"
NUMBERS = "int[] tile, int[] counts, float[] bounds"
GRADIENTS = "Tensor g_first, Tensor g_second, Tensor g_third"  # to the float outputs, in their order


def _operator(schema: str) -> Callable[[F], F]:
    """Define a torch operator for both devices. (`custom_op` would import a compiler on first use: one second.)"""
    name, signature = schema.split("(", 1)
    torch.library.define(f"voge::{name}", f"({signature}")

    def register(function: F) -> F:
        torch.library.impl(f"voge::{name}", ("cpu", "cuda"))(function)
        return function

    return register


# ---------------------------------------------------------------------------------------------
# bin


@_operator(
    f"bin({GEOMETRY}, {RAYS}, Tensor? viewmats, Tensor? intrinsics, bool orthographic, {NUMBERS},"
    " int? capacity) -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
def _bin(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    viewmats: Tensor | None, intrinsics: Tensor | None, orthographic: bool,
    tile: list[int], counts: list[int], bounds: list[float], capacity: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    scene = _scene([means, scales, quats, density], [origins, directions], tile, counts, bounds)
    scene.viewmats, scene.intrinsics, scene.orthographic = _pointer(viewmats), _pointer(intrinsics), int(orthographic)
    edges, offsets, members, longest, spilled = driver(means).tile_lists(scene, _tile_count(origins, tile), capacity)
    return edges, offsets, members, torch.tensor(longest), spilled


@torch.library.register_fake("voge::bin")
def _(means, scales, quats, density, origins, directions, viewmats, intrinsics, orthographic, tile, counts, bounds,
      capacity):  # fmt: skip
    size = capacity if capacity is not None and means.is_cuda else torch.library.get_ctx().new_dynamic_size()
    offsets = means.new_empty(_tile_count(origins, tile) + 1, dtype=torch.int64)
    longest = torch.empty((), dtype=torch.int64)
    edges = means.new_empty(2 if means.is_cuda else 1, size)
    members, on = means.new_empty(size, dtype=torch.int32), "cpu" if capacity is None else means.device
    return edges, offsets, members, longest, torch.empty((), dtype=torch.bool, device=on)


# ---------------------------------------------------------------------------------------------
# render: pictures


@_operator(f"render({GEOMETRY}, Tensor features, {RAYS}, {LISTS}, {NUMBERS}) -> (Tensor, Tensor, Tensor)")
def _render(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, features: Tensor,
    origins: Tensor, directions: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, tile: list[int], counts: list[int], bounds: list[float],
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    scene = _scene([means, scales, quats, density], [origins, directions], tile, counts, bounds)
    _add_lists(scene, edges, offsets, members)
    _add_features(scene, features)
    shape = origins.shape[:-1]
    image, transmittance, depth = (
        means.new_empty(*shape, features.shape[1]),
        means.new_empty(shape),
        means.new_empty(shape),
    )
    _run("render", scene, image, transmittance, depth)
    return image, transmittance, depth


@torch.library.register_fake("voge::render")
def _(means, scales, quats, density, features, origins, directions, edges, offsets, members, tile, counts, bounds):
    shape = origins.shape[:-1]
    return means.new_empty(*shape, features.shape[1]), means.new_empty(shape), means.new_empty(shape)


@_operator(
    f"render_backward({GRADIENTS}, {GEOMETRY}, Tensor features, {RAYS}, {LISTS}, {NUMBERS}, bool to_rays) -> Tensor[]"
)
def _render_backward(
    g_image: Tensor, g_transmittance: Tensor, g_depth: Tensor,
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, features: Tensor,
    origins: Tensor, directions: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, tile: list[int], counts: list[int], bounds: list[float],
    to_rays: bool,
) -> list[Tensor]:  # fmt: skip
    scene = _scene([means, scales, quats, density], [origins, directions], tile, counts, bounds)
    _add_lists(scene, edges, offsets, members)
    _add_features(scene, features)
    to_ellipsoids = [torch.empty_like(t) for t in (means, scales, quats, density, features)]
    ways = [torch.empty_like(origins), torch.empty_like(directions)] if to_rays else []
    arrays = (g_image, g_transmittance, g_depth, *to_ellipsoids, *(ways or (None, None)))
    _run("render_backward", scene, *arrays)
    return [*to_ellipsoids, *ways]


@torch.library.register_fake("voge::render_backward")
def _(g_image, g_transmittance, g_depth, means, scales, quats, density, features, origins, directions,
      edges, offsets, members, tile, counts, bounds, to_rays):  # fmt: skip
    inputs = (means, scales, quats, density, features, *((origins, directions) if to_rays else ()))
    return [torch.empty_like(t) for t in inputs]


# ---------------------------------------------------------------------------------------------
# trace: fragments


@_operator(f"trace({GEOMETRY}, {RAYS}, {LISTS}, {NUMBERS}) -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)")
def _trace(
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, tile: list[int], counts: list[int], bounds: list[float],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    scene = _scene([means, scales, quats, density], [origins, directions], tile, counts, bounds)
    _add_lists(scene, edges, offsets, members)
    rays = math.prod(origins.shape[:-1])
    found, left_out = means.new_empty(2, rays, dtype=torch.int64).unbind()
    run = driver(means)
    run.prepare(scene)
    run.run("trace_counts", scene, found, left_out)
    rows = torch.cat([found.new_zeros(1), found.cumsum(0)])
    entries = int(rows[-1])
    index = means.new_empty(entries, dtype=torch.int32)
    weight, depth, transmittance = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    run.run("trace", scene, rows, index, weight, depth, transmittance)
    return weight, depth, transmittance, index, rows, left_out.sum()


@torch.library.register_fake("voge::trace")
def _(means, scales, quats, density, origins, directions, edges, offsets, members, tile, counts, bounds):
    entries, rays = torch.library.get_ctx().new_dynamic_size(), math.prod(origins.shape[:-1])
    floats = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    rows = means.new_empty(rays + 1, dtype=torch.int64)
    return *floats, means.new_empty(entries, dtype=torch.int32), rows, means.new_empty((), dtype=torch.int64)


@_operator(
    f"trace_backward({GRADIENTS}, Tensor index, Tensor rows, {GEOMETRY}, {RAYS}, {LISTS}, {NUMBERS}, bool to_rays)"
    " -> Tensor[]"
)
def _trace_backward(
    g_weight: Tensor, g_depth: Tensor, g_transmittance: Tensor, index: Tensor, rows: Tensor,
    means: Tensor, scales: Tensor, quats: Tensor, density: Tensor, origins: Tensor, directions: Tensor,
    edges: Tensor, offsets: Tensor, members: Tensor, tile: list[int], counts: list[int], bounds: list[float],
    to_rays: bool,
) -> list[Tensor]:  # fmt: skip
    scene = _scene([means, scales, quats, density], [origins, directions], tile, counts, bounds)
    _add_lists(scene, edges, offsets, members)
    to_ellipsoids = [torch.empty_like(t) for t in (means, scales, quats, density)]
    ways = [torch.empty_like(origins), torch.empty_like(directions)] if to_rays else []
    found = (rows, index) if means.is_cuda else (rows,)
    arrays = (*found, g_weight, g_depth, g_transmittance, *to_ellipsoids, *(ways or (None, None)))
    _run("trace_backward", scene, *arrays)
    return [*to_ellipsoids, *ways]


@torch.library.register_fake("voge::trace_backward")
def _(g_weight, g_depth, g_transmittance, index, rows, means, scales, quats, density, origins, directions,
      edges, offsets, members, tile, counts, bounds, to_rays):  # fmt: skip
    inputs = (means, scales, quats, density, *((origins, directions) if to_rays else ()))
    return [torch.empty_like(t) for t in inputs]


def _keep_render(ctx, inputs, output):
    *tensors, ctx.tile, ctx.counts, ctx.bounds = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_render(ctx, *gradients):
    tensors = ctx.saved_tensors
    to_rays = any(ctx.needs_input_grad[5:7])
    contiguous = [g.contiguous() for g in gradients]
    out = torch.ops.voge.render_backward(*contiguous, *tensors, ctx.tile, ctx.counts, ctx.bounds, to_rays)
    return *out, *[None] * (13 - len(out))


def _keep_trace(ctx, inputs, output):
    *tensors, ctx.tile, ctx.counts, ctx.bounds = inputs
    *_, index, rows, left_out = output
    ctx.mark_non_differentiable(index, rows, left_out)
    ctx.save_for_backward(index, rows, *tensors)


def _differentiate_trace(ctx, g_weight, g_depth, g_transmittance, *_):
    index, rows, *tensors = ctx.saved_tensors
    to_rays = any(ctx.needs_input_grad[4:6])
    gradients = [g.contiguous() for g in (g_weight, g_depth, g_transmittance)]
    out = torch.ops.voge.trace_backward(*gradients, index, rows, *tensors, ctx.tile, ctx.counts, ctx.bounds, to_rays)
    return *out, *[None] * (12 - len(out))


torch.library.register_autograd("voge::render", _differentiate_render, setup_context=_keep_render)
torch.library.register_autograd("voge::trace", _differentiate_trace, setup_context=_keep_trace)


# ---------------------------------------------------------------------------------------------
# rays of cameras; on the CPU torch makes them


@torch.library.impl("voge::rays", "cuda")
def _rays(viewmats: Tensor, intrinsics: Tensor, shape: list[int], orthographic: bool) -> tuple[Tensor, Tensor]:
    sizes = (len(viewmats), shape[0], shape[1])
    origins, directions = viewmats.new_empty(2, *sizes, 3).unbind()
    Cuda(viewmats).rays("rays", sizes, orthographic, viewmats, intrinsics, origins, directions)
    return origins, directions


@torch.library.impl("voge::rays_backward", "cuda")
def _rays_backward(
    g_origins: Tensor, g_directions: Tensor, viewmats: Tensor, intrinsics: Tensor, orthographic: bool
) -> tuple[Tensor, Tensor]:
    gradients = torch.empty_like(viewmats), torch.empty_like(intrinsics)
    arrays = (viewmats, intrinsics, g_origins, g_directions, *gradients)
    views, height, width, _ = g_origins.shape
    Cuda(viewmats).rays("rays_backward", (views, height, width), orthographic, *arrays)
    return gradients


@torch.library.register_fake("voge::rays")
def _(viewmats, intrinsics, shape, orthographic):
    return viewmats.new_empty(2, len(viewmats), *shape, 3).unbind()


@torch.library.register_fake("voge::rays_backward")
def _(g_origins, g_directions, viewmats, intrinsics, orthographic):
    return torch.empty_like(viewmats), torch.empty_like(intrinsics)


def _keep_rays(ctx, inputs, output):
    viewmats, intrinsics, _, ctx.orthographic = inputs
    ctx.save_for_backward(viewmats, intrinsics)


def _differentiate_rays(ctx, *gradients):
    contiguous = [g.contiguous() for g in gradients]
    out = torch.ops.voge.rays_backward(*contiguous, *ctx.saved_tensors, ctx.orthographic)
    return *out, None, None


torch.library.register_autograd("voge::rays", _differentiate_rays, setup_context=_keep_rays)


# ---------------------------------------------------------------------------------------------
# gather and scatter: each is the other's transpose


@_operator("gather(Tensor weight, Tensor attributes, Tensor index, Tensor offsets) -> Tensor")
def _gather(weight: Tensor, attributes: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    rays, channels = len(offsets) - 1, attributes.shape[1]
    out = weight.new_empty(rays, channels)
    driver(weight).product("gather", (rays, channels), offsets, index, weight, attributes, out)
    return out


@torch.library.register_fake("voge::gather")
def _(weight, attributes, index, offsets):
    return weight.new_empty(len(offsets) - 1, attributes.shape[1])


@_operator("scatter(Tensor weight, Tensor image, Tensor index, Tensor offsets, int count) -> Tensor")
def _scatter(weight: Tensor, image: Tensor, index: Tensor, offsets: Tensor, count: int) -> Tensor:
    rays, channels = len(offsets) - 1, image.shape[1]
    out = weight.new_empty(count, channels)
    driver(weight).product("scatter", (rays, channels, count), offsets, index, weight, image, out)
    return out


@torch.library.register_fake("voge::scatter")
def _(weight, image, index, offsets, count):
    return weight.new_empty(count, image.shape[1])


@_operator("dot_rows(Tensor attributes, Tensor image, Tensor index, Tensor offsets) -> Tensor")
def _dot_rows(attributes: Tensor, image: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """For every entry, the ellipsoid's attributes times the ray's pixel: dL/dW."""
    rays, channels = len(offsets) - 1, image.shape[1]
    out = image.new_empty(len(index))
    driver(image).product("dot_rows", (rays, channels), offsets, index, attributes, image, out)
    return out


@torch.library.register_fake("voge::dot_rows")
def _(attributes, image, index, offsets):
    return image.new_empty(len(index))


def _keep_gather(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate_gather(ctx, g_out):
    weight, attributes, index, offsets = ctx.saved_tensors
    g_out = g_out.contiguous()
    g_weight = torch.ops.voge.dot_rows(attributes, g_out, index, offsets)
    return g_weight, torch.ops.voge.scatter(weight, g_out, index, offsets, len(attributes)), None, None


def _keep_scatter(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:4])


def _differentiate_scatter(ctx, g_out):
    weight, image, index, offsets = ctx.saved_tensors
    g_out = g_out.contiguous()
    g_weight = torch.ops.voge.dot_rows(g_out, image, index, offsets)
    return g_weight, torch.ops.voge.gather(weight, g_out, index, offsets), None, None, None


torch.library.register_autograd("voge::gather", _differentiate_gather, setup_context=_keep_gather)
torch.library.register_autograd("voge::scatter", _differentiate_scatter, setup_context=_keep_scatter)
