"""Pictures in compiled code: the torch operators `render` and `render_backward`."""

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
from voge.rendering.drivers import add_lists, driver
from voge.rendering.operators import Form, operator
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


class RenderInputs(NamedTuple):
    """Inputs of `render`. Those that have gradients stand first."""

    geometry: Geometry
    features: Tensor  # (N, C)
    rays: RayArrays
    views: Views
    numbers: Numbers
    capacity: int | None


class RenderOutputs(NamedTuple):
    """Outputs of `render`. Those that have gradients stand first."""

    image: Tensor  # (V, H, W, C)
    alpha: Tensor  # (V, H, W)
    depth: Tensor  # (V, H, W)
    transmittance: Tensor  # (V, H, W)
    lists: Lists


class RenderKept(NamedTuple):
    """Values that the gradients of `render` need."""

    geometry: Geometry
    features: Tensor
    rays: RayArrays
    transmittance: Tensor
    lists: Lists


class PictureGradients(NamedTuple):
    """Gradients of the outputs that have them; None where no loss depends on an output."""

    g_image: Tensor | None
    g_alpha: Tensor | None
    g_depth: Tensor | None


class RenderBackwardInputs(NamedTuple):
    """Inputs of `render_backward`."""

    gradients: PictureGradients
    kept: RenderKept
    numbers: Numbers
    to_rays: bool


RENDER, RENDER_KEPT = Form(RenderInputs), Form(RenderKept)


def render_inputs(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, cameras: Cameras, settings: RenderSettings
) -> RenderInputs:
    """Return what `render` is given."""
    return RenderInputs(
        geometry=geometry_of(ellipsoids),
        features=features.contiguous(),
        rays=rays_of(rays, cameras),
        views=views_of(cameras),
        numbers=numbers_of(settings, cameras),
        capacity=settings.list_capacity,
    )


def _keep_render(ctx: Any, given: RenderInputs, output: RenderOutputs) -> None:
    ctx.numbers = given.numbers
    ctx.mark_non_differentiable(output.transmittance, *output.lists)
    ctx.set_materialize_grads(False)
    kept = RenderKept(given.geometry, given.features, given.rays, output.transmittance, output.lists)
    ctx.save_for_backward(*RENDER_KEPT.flat(kept))


def _differentiate_render(
    ctx: Any, g_image: Tensor | None, g_alpha: Tensor | None, g_depth: Tensor | None, *_: Any
) -> tuple[Tensor, ...]:
    needed, to = ctx.needs_input_grad, RENDER.at.rays
    gradients = PictureGradients(*[None if g is None else g.contiguous() for g in (g_image, g_alpha, g_depth)])
    to_rays = needed[to.origins] or needed[to.directions]
    return render_backward(RenderBackwardInputs(gradients, RENDER_KEPT.named(ctx.saved_tensors), ctx.numbers, to_rays))


@operator("render", keep=_keep_render, gradients=_differentiate_render)
def render(given: RenderInputs) -> RenderOutputs:
    """Image, alpha, depth, transmittance and the lists; NaN where the lists need more than their capacity."""
    means, features = given.geometry.means, given.features
    scene, run = scene_of(given.geometry, given.rays, given.views, given.numbers), driver(means)
    scene.channels, scene.features = features.shape[1], features.data_ptr()
    run.count(scene)
    views, height, width, _ = given.rays.origins.shape
    image = means.new_empty(views, height, width, features.shape[1])
    transmittance, depth = means.new_empty(views, height, width), means.new_empty(views, height, width)
    lists, spilled = run.tile_lists(scene, given.capacity)
    run.run("render", scene, image, transmittance, depth)
    alpha = 1 - transmittance
    if spilled is not None:
        for picture in (image, alpha, depth):
            picture.masked_fill_(spilled, math.nan)
    return RenderOutputs(image, alpha, depth, transmittance, lists)


@render.fake
def _(given: RenderInputs) -> RenderOutputs:
    means, shape = given.geometry.means, given.rays.origins.shape[:-1]
    alpha, depth, transmittance = (means.new_empty(shape) for _ in range(3))
    image = means.new_empty(*shape, given.features.shape[1])
    lists = fake_lists(means, given.rays, given.numbers, given.capacity)
    return RenderOutputs(image, alpha, depth, transmittance, lists)


@operator("render_backward")
def render_backward(given: RenderBackwardInputs) -> tuple[Tensor, ...]:
    """Gradients to the ellipsoids, then to the rays if they are wanted: in the order of RenderInputs."""
    geometry, features, rays, transmittance, lists = given.kept
    g_image, g_alpha, g_depth = given.gradients
    scene = scene_of(geometry, rays, NO_VIEWS, given.numbers)
    scene.channels, scene.features = features.shape[1], features.data_ptr()
    scene.transmittance = transmittance.data_ptr()
    add_lists(scene, lists)
    if g_image is None:
        g_image = features.new_zeros(rays.origins.shape[:-1].numel() * max(features.shape[1], 1))
    gradients = g_image, None if g_alpha is None else -g_alpha, g_depth
    to_ellipsoids = [torch.empty_like(t) for t in (*geometry, features)]
    to_rays = [torch.empty_like(t) for t in rays] if given.to_rays else []
    driver(features).run("render_backward", scene, *gradients, *to_ellipsoids, *(to_rays or (None, None)))
    return *to_ellipsoids, *to_rays


@render_backward.fake
def _(given: RenderBackwardInputs) -> tuple[Tensor, ...]:
    kept = given.kept
    inputs = (*kept.geometry, kept.features, *(kept.rays if given.to_rays else ()))
    return tuple(torch.empty_like(t) for t in inputs)
