"""Ellipsoids seen on coarse feature maps: the pixel filter, and features sampled view by view."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from voge.rendering import ops
from voge.rendering.renderer import Fragments
from voge.rendering.settings import FILTER
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids


def widened(ellipsoids: Ellipsoids, cell: float, filter: float = FILTER) -> Ellipsoids:
    """The set as a map with large cells sees it: each ellipsoid blurred by the cell, its mass kept.

    Ellipsoids tighter than a cell fall between the rays through the cells' centers; a pose then has gradients that
    jump. Widening s^2 <- s^2 + (filter cell)^2 with density times the ratio of the two larger extents removes that.

    Args:
        ellipsoids: N of them.
        cell: the side of a cell at the object's distance, world units: stride x distance / focal length in pixels.
        filter: standard deviation of the blur in cells; 0 changes nothing.
    """
    if filter == 0:
        return ellipsoids
    scales = (ellipsoids.scales.square() + (filter * cell) ** 2).sqrt()
    shrunk = ellipsoids.scales / scales  # least along the shortest axis: the largest product of two leaves it out
    share = (shrunk * shrunk.roll(1, 1)).max(1).values
    return replace(ellipsoids, scales=scales, density=ellipsoids.density * share)


def sample_views(fragments: Fragments, maps: Tensor, shares: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """W^T F view by view: what each view's map says of each ellipsoid (eq. 10).

    Args:
        fragments: of V cameras, shape (V, H, W).
        maps: (V, H, W, C).
        shares: (V, H, W) how much each cell counts; None: all alike.

    Returns:
        (V, N, C) weighted sums, and (V, N) weights. Differentiable in the maps.
    """
    views, height, width = fragments.shape
    count, entries = fragments.count, len(fragments.index)
    lengths = fragments.offsets[height * width :: height * width] - fragments.offsets[: -1 : height * width]
    view = torch.repeat_interleave(torch.arange(views, device=maps.device), lengths, output_size=entries)
    index = (fragments.index + count * view).to(fragments.index.dtype)
    flat = maps.reshape(views * height * width, -1)
    with_ones = torch.cat([flat, flat.new_ones(len(flat), 1)], 1)
    if shares is not None:
        with_ones = with_ones * shares.reshape(-1, 1)
    sums = ops.scatter(fragments.weight.detach(), with_ones, index, fragments.offsets, count * views)
    sums = sums.reshape(views, count, -1)
    return sums[..., :-1], sums[..., -1]


def on_cells(cameras: Cameras, stride: int) -> Cameras:
    """The same views in cells of a feature map instead of pixels."""
    scale = cameras.Ks.new_tensor([1 / stride, 1 / stride, 1])
    return replace(
        cameras, Ks=cameras.Ks * scale[:, None], width=cameras.width // stride, height=cameras.height // stride
    )
