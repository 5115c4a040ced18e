"""Products with W in compiled code, `gather` and `scatter`: each is the other's transpose."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from voge.rendering.drivers import driver
from voge.rendering.operators import operator


def _keep(ctx: Any, inputs: Any, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])


def _differentiate_gather(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
    weight, attributes, index, offsets = ctx.saved_tensors
    to_weight, to_attributes, *_ = ctx.needs_input_grad
    g_out = g_out.contiguous()
    g_weight = dot_rows(attributes, g_out, index, offsets) if to_weight else None
    g_attributes = scatter(weight, g_out, index, offsets, len(attributes)) if to_attributes else None
    return g_weight, g_attributes, None, None


def _differentiate_scatter(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
    weight, image, index, offsets = ctx.saved_tensors
    to_weight, to_image, *_ = ctx.needs_input_grad
    g_out = g_out.contiguous()
    g_weight = dot_rows(g_out, image, index, offsets) if to_weight else None
    g_image = gather(weight, g_out, index, offsets) if to_image else None
    return g_weight, g_image, None, None, None


@operator(
    "gather(Tensor weight, Tensor attributes, Tensor index, Tensor offsets) -> Tensor",
    keep=_keep,
    gradients=_differentiate_gather,
)
def gather(weight: Tensor, attributes: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """W A."""
    rays, channels = len(offsets) - 1, attributes.shape[1]
    out = weight.new_empty(rays, channels)
    driver(weight).product("gather", (rays, channels), offsets, index, weight, attributes, out)
    return out


@gather.fake
def _(weight, attributes, index, offsets):
    return weight.new_empty(len(offsets) - 1, attributes.shape[1])


@operator(
    "scatter(Tensor weight, Tensor image, Tensor index, Tensor offsets, int count) -> Tensor",
    keep=_keep,
    gradients=_differentiate_scatter,
)
def scatter(weight: Tensor, image: Tensor, index: Tensor, offsets: Tensor, count: int) -> Tensor:
    """W^T I."""
    rays, channels = len(offsets) - 1, image.shape[1]
    out = weight.new_empty(count, channels)
    driver(weight).product("scatter", (rays, channels, count), offsets, index, weight, image, out)
    return out


@scatter.fake
def _(weight, image, index, offsets, count):
    return weight.new_empty(count, image.shape[1])


@operator("dot_rows(Tensor attributes, Tensor image, Tensor index, Tensor offsets) -> Tensor")
def dot_rows(attributes: Tensor, image: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """For every entry, the ellipsoid's attributes times the ray's pixel: dL/dW."""
    rays, channels = len(offsets) - 1, image.shape[1]
    out = image.new_empty(len(index))
    driver(image).product("dot_rows", (rays, channels), offsets, index, attributes, image, out)
    return out


@dot_rows.fake
def _(attributes, image, index, offsets):
    return image.new_empty(len(index))
