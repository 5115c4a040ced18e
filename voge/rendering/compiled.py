"""The compiled renderers, through csrc/abi.h: what voge/rendering/ops.py calls."""

from __future__ import annotations

import torch
from torch import Tensor

from voge.rendering.arguments import Lists, scene_of
from voge.rendering.compiled_fragments import trace, trace_inputs
from voge.rendering.compiled_pictures import render, render_inputs
from voge.rendering.compiled_rays import RaysInputs
from voge.rendering.compiled_rays import rays as camera_rays
from voge.rendering.drivers import driver
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import CameraModel, Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


def render_rays(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, cameras: Cameras, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (V, H, W, C), alpha (V, H, W) and depth (V, H, W)."""
    drawn = render(render_inputs(ellipsoids, features, rays, cameras, settings))
    return drawn.image, drawn.alpha, drawn.depth


def trace_rays(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """weight, depth (E,), transmittance (P,), index (E,), offsets (P + 1,), truncated ()."""
    traced = trace(trace_inputs(ellipsoids, rays, cameras, settings))
    return traced.weight, traced.depth, traced.transmittance, traced.indices, traced.rows, traced.truncated


def pixel_rays(cameras: Cameras) -> Rays:
    """`cameras.rays()` of pinhole or orthographic cameras on CUDA, in one launch."""
    viewmats, intrinsics = cameras.viewmats.contiguous(), cameras.Ks.contiguous()
    orthographic = cameras.model is CameraModel.orthographic
    made = camera_rays(RaysInputs(viewmats, intrinsics, cameras.height, cameras.width, orthographic))
    return Rays(made.origins, made.directions)


@torch.no_grad()
def tile_lists(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Lists, tuple[int, int]]:
    """The lists that a render works with, and the tile (rows, columns)."""
    given = trace_inputs(ellipsoids, rays, cameras, settings)
    scene, run = scene_of(*given), driver(given.geometry.means)
    run.count(scene)
    return run.tile_lists(scene, None)[0], (given.numbers.tile_height, given.numbers.tile_width)
