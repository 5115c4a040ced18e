"""Fragments in compiled code: the torch operators `trace` and `trace_backward`."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from voge.rendering.arguments import (
    NO_VIEWS,
    Geometry,
    Lists,
    Numbers,
    RayArrays,
    Views,
    fake_lists,
    geometry_of,
    numbers_of,
    rays_of,
    scene_of,
    views_of,
)
from voge.rendering.drivers import Cuda, add_lists, driver
from voge.rendering.operators import Form, operator
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


class TraceInputs(NamedTuple):
    """Inputs of `trace`. Those that have gradients stand first."""

    geometry: Geometry
    rays: RayArrays
    views: Views
    numbers: Numbers


class TraceOutputs(NamedTuple):
    """Outputs of `trace`. Those that have gradients stand first."""

    weight: Tensor  # (E,)
    depth: Tensor  # (E,)
    transmittance: Tensor  # (P,)
    indices: Tensor  # (E,) int32
    rows: Tensor  # (P + 1,) int64: the entries of ray i are rows[i] to rows[i + 1]
    truncated: Tensor  # () int64: how many the limit left out
    lists: Lists


class TraceKept(NamedTuple):
    """Values that the gradients of `trace` need."""

    indices: Tensor
    rows: Tensor
    geometry: Geometry
    rays: RayArrays
    lists: Lists


class FragmentGradients(NamedTuple):
    """Gradients of the outputs that have them; None where no loss depends on an output."""

    g_weight: Tensor | None
    g_depth: Tensor | None
    g_transmittance: Tensor | None


class TraceBackwardInputs(NamedTuple):
    """Inputs of `trace_backward`."""

    gradients: FragmentGradients
    kept: TraceKept
    numbers: Numbers
    to_rays: bool


TRACE, TRACE_KEPT = Form(TraceInputs), Form(TraceKept)


def trace_inputs(ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings) -> TraceInputs:
    """Return what `trace` is given."""
    return TraceInputs(
        geometry=geometry_of(ellipsoids),
        rays=rays_of(rays, cameras),
        views=views_of(cameras),
        numbers=numbers_of(settings, cameras),
    )


def _keep_trace(ctx: Any, given: TraceInputs, output: TraceOutputs) -> None:
    ctx.numbers = given.numbers
    ctx.mark_non_differentiable(output.indices, output.rows, output.truncated, *output.lists)
    ctx.set_materialize_grads(False)
    kept = TraceKept(output.indices, output.rows, given.geometry, given.rays, output.lists)
    ctx.save_for_backward(*TRACE_KEPT.flat(kept))


def _differentiate_trace(
    ctx: Any, g_weight: Tensor | None, g_depth: Tensor | None, g_transmittance: Tensor | None, *_: Any
) -> tuple[Tensor, ...]:
    needed, to = ctx.needs_input_grad, TRACE.at.rays
    given = [None if g is None else g.contiguous() for g in (g_weight, g_depth, g_transmittance)]
    to_rays = needed[to.origins] or needed[to.directions]
    return trace_backward(
        TraceBackwardInputs(FragmentGradients(*given), TRACE_KEPT.named(ctx.saved_tensors), ctx.numbers, to_rays)
    )


@operator("trace", keep=_keep_trace, gradients=_differentiate_trace)
def trace(given: TraceInputs) -> TraceOutputs:
    """Weight, depth, transmittance, indices, rows, what was left out, and the lists."""
    means = given.geometry.means
    scene, run = scene_of(*given), driver(means)
    run.count(scene)
    lists, _ = run.tile_lists(scene, None)
    rays = math.prod(given.rays.origins.shape[:-1])
    found, left_out = means.new_empty(2, rays, dtype=torch.int64).unbind()
    run.run("trace_counts", scene, found, left_out)
    rows = found.new_zeros(rays + 1)
    torch.cumsum(found, 0, out=rows[1:])
    entries = int(rows[-1])
    indices = means.new_empty(entries, dtype=torch.int32)
    weight, depth, transmittance = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    run.run("trace", scene, rows, indices, weight, depth, transmittance)
    return TraceOutputs(weight, depth, transmittance, indices, rows, left_out.sum(), lists)


@trace.fake
def _(given: TraceInputs) -> TraceOutputs:
    means = given.geometry.means
    entries, rays = torch.library.get_ctx().new_dynamic_size(), math.prod(given.rays.origins.shape[:-1])
    weight, depth, transmittance = means.new_empty(entries), means.new_empty(entries), means.new_empty(rays)
    rows, truncated = (means.new_empty(shape, dtype=torch.int64) for shape in ((rays + 1,), ()))
    indices = means.new_empty(entries, dtype=torch.int32)
    lists = fake_lists(means, given.rays, given.numbers, None)
    return TraceOutputs(weight, depth, transmittance, indices, rows, truncated, lists)


@operator("trace_backward")
def trace_backward(given: TraceBackwardInputs) -> tuple[Tensor, ...]:
    """Gradients to the ellipsoids, then to the rays if they are wanted: in the order of TraceInputs."""
    indices, rows, geometry, rays, lists = given.kept
    scene, run = scene_of(geometry, rays, NO_VIEWS, given.numbers), driver(geometry.means)
    add_lists(scene, lists)
    to_ellipsoids = [torch.empty_like(t) for t in geometry]
    to_rays = [torch.empty_like(t) for t in rays] if given.to_rays else []
    found = (rows, indices) if isinstance(run, Cuda) else (rows,)
    gradients = _or_zeros(given.gradients, geometry.means, max(len(indices), len(rows)))
    run.run("trace_backward", scene, *found, *gradients, *to_ellipsoids, *(to_rays or (None, None)))
    return *to_ellipsoids, *to_rays


@trace_backward.fake
def _(given: TraceBackwardInputs) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(t) for t in (*given.kept.geometry, *(given.kept.rays if given.to_rays else ())))


def _or_zeros(gradients: tuple[Tensor | None, ...], like: Tensor, size: int) -> list[Tensor]:
    """Zeros, one array of the largest size for all, for the gradients of outputs that no loss depends on."""
    given = [g for g in gradients if g is not None]
    if len(given) == len(gradients):
        return given
    nothing = like.new_zeros(size)
    return [nothing if g is None else g for g in gradients]
