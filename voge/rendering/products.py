"""Products with W in compiled code, `gather` and `scatter`: each is the other's transpose."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from voge.rendering.drivers import driver
from voge.rendering.operators import operator


class Gather(NamedTuple):
    """Inputs of `gather`."""

    weight: Tensor
    attributes: Tensor
    indices: Tensor
    offsets: Tensor


class Scatter(NamedTuple):
    """Inputs of `scatter`."""

    weight: Tensor
    image: Tensor
    indices: Tensor
    offsets: Tensor
    size: int


class DotRows(NamedTuple):
    """Inputs of `dot_rows`."""

    attributes: Tensor
    image: Tensor
    indices: Tensor
    offsets: Tensor


def _keep_gather(ctx: Any, given: Gather, output: Tensor) -> None:
    ctx.save_for_backward(*given)


def _differentiate_gather(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
    kept = Gather(*ctx.saved_tensors)
    to_weight, to_attributes, *_ = ctx.needs_input_grad
    g_out = g_out.contiguous()
    g_weight = dot_rows(DotRows(kept.attributes, g_out, kept.indices, kept.offsets)) if to_weight else None
    given = Scatter(kept.weight, g_out, kept.indices, kept.offsets, len(kept.attributes))
    return g_weight, scatter(given) if to_attributes else None


def _keep_scatter(ctx: Any, given: Scatter, output: Tensor) -> None:
    ctx.size = given.size
    ctx.save_for_backward(given.weight, given.image, given.indices, given.offsets)


def _differentiate_scatter(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
    weight, image, indices, offsets = ctx.saved_tensors
    kept = Scatter(weight, image, indices, offsets, ctx.size)
    to_weight, to_image, *_ = ctx.needs_input_grad
    g_out = g_out.contiguous()
    g_weight = dot_rows(DotRows(g_out, kept.image, kept.indices, kept.offsets)) if to_weight else None
    g_image = gather(Gather(kept.weight, g_out, kept.indices, kept.offsets)) if to_image else None
    return g_weight, g_image


@operator("gather", keep=_keep_gather, gradients=_differentiate_gather)
def gather(given: Gather) -> Tensor:
    """Return W A: at each ray, the weighted sum of the ellipsoids' attributes."""
    rays, channels = len(given.offsets) - 1, given.attributes.shape[1]
    out = given.weight.new_empty(rays, channels)
    arrays = (given.offsets, given.indices, given.weight, given.attributes, out)
    driver(given.weight).product("gather", (rays, channels), *arrays)
    return out


@gather.fake
def _(given: Gather) -> Tensor:
    return given.weight.new_empty(len(given.offsets) - 1, given.attributes.shape[1])


@operator("scatter", keep=_keep_scatter, gradients=_differentiate_scatter)
def scatter(given: Scatter) -> Tensor:
    """Return W^T I: for each ellipsoid, the weighted sum of the rays' values."""
    rays, channels = len(given.offsets) - 1, given.image.shape[1]
    out = given.weight.new_empty(given.size, channels)
    arrays = (given.offsets, given.indices, given.weight, given.image, out)
    driver(given.weight).product("scatter", (rays, channels, given.size), *arrays)
    return out


@scatter.fake
def _(given: Scatter) -> Tensor:
    return given.weight.new_empty(given.size, given.image.shape[1])


@operator("dot_rows")
def dot_rows(given: DotRows) -> Tensor:
    """For every entry, the ellipsoid's attributes times the ray's pixel: dL/dW."""
    rays, channels = len(given.offsets) - 1, given.image.shape[1]
    out = given.image.new_empty(len(given.indices))
    arrays = (given.offsets, given.indices, given.attributes, given.image, out)
    driver(given.image).product("dot_rows", (rays, channels), *arrays)
    return out


@dot_rows.fake
def _(given: DotRows) -> Tensor:
    return given.image.new_empty(len(given.indices))
