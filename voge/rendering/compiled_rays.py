"""Rays of cameras on CUDA: the torch operators `rays` and `rays_backward`. On the CPU torch makes the rays."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from voge.rendering.arguments import RayArrays
from voge.rendering.drivers import Cuda
from voge.rendering.operators import operator


class RaysInputs(NamedTuple):
    """Inputs of `rays`."""

    viewmats: Tensor  # (V, 4, 4)
    intrinsics: Tensor  # (V, 3, 3)
    height: int
    width: int
    orthographic: bool


class RaysBackwardInputs(NamedTuple):
    """Inputs of `rays_backward`."""

    g_origins: Tensor
    g_directions: Tensor
    viewmats: Tensor
    intrinsics: Tensor
    orthographic: bool


class CameraGradients(NamedTuple):
    """Outputs of `rays_backward`: in the order of RaysInputs."""

    g_viewmats: Tensor
    g_intrinsics: Tensor


def _keep_rays(ctx: Any, given: RaysInputs, output: RayArrays) -> None:
    ctx.orthographic = given.orthographic
    ctx.save_for_backward(given.viewmats, given.intrinsics)


def _differentiate_rays(ctx: Any, g_origins: Tensor, g_directions: Tensor) -> CameraGradients:
    viewmats, intrinsics = ctx.saved_tensors
    given = RaysBackwardInputs(
        g_origins.contiguous(), g_directions.contiguous(), viewmats, intrinsics, ctx.orthographic
    )
    return rays_backward(given)


@operator("rays", devices=("cuda",), keep=_keep_rays, gradients=_differentiate_rays)
def rays(given: RaysInputs) -> RayArrays:
    """Rays (V, H, W, 3) of pinhole or orthographic cameras."""
    viewmats, sizes = given.viewmats, (len(given.viewmats), given.height, given.width)
    made = RayArrays(viewmats.new_empty(*sizes, 3), viewmats.new_empty(*sizes, 3))
    Cuda(viewmats).rays("rays", sizes, given.orthographic, viewmats, given.intrinsics, *made)
    return made


@rays.fake
def _(given: RaysInputs) -> RayArrays:
    sizes = (len(given.viewmats), given.height, given.width, 3)
    return RayArrays(given.viewmats.new_empty(sizes), given.viewmats.new_empty(sizes))


@operator("rays_backward", devices=("cuda",))
def rays_backward(given: RaysBackwardInputs) -> CameraGradients:
    """Gradients to the cameras."""
    made = CameraGradients(torch.empty_like(given.viewmats), torch.empty_like(given.intrinsics))
    arrays = (given.viewmats, given.intrinsics, given.g_origins, given.g_directions, *made)
    views, height, width, _ = given.g_origins.shape
    Cuda(given.viewmats).rays("rays_backward", (views, height, width), given.orthographic, *arrays)
    return made


@rays_backward.fake
def _(given: RaysBackwardInputs) -> CameraGradients:
    return CameraGradients(torch.empty_like(given.viewmats), torch.empty_like(given.intrinsics))
