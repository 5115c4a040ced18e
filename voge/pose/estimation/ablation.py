"""The paper's ablation of gradients (table 4): pictures whose gradients pass only one factor of W = x T(l)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from voge.pose.settings import Block
from voge.rendering import reference
from voge.rendering.renderer import trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids


def render_blocked(
    ellipsoids: Ellipsoids, cameras: Cameras, settings: RenderSettings, block: Block
) -> tuple[Tensor, Tensor]:
    """Image and alpha of W = x T (eq. 8) whose gradients pass only one of the two factors."""
    assert ellipsoids.features is not None
    fragments = trace(ellipsoids, cameras, settings)
    lengths = fragments.offsets.diff()
    row = torch.repeat_interleave(
        torch.arange(len(lengths), device=lengths.device), lengths, output_size=len(fragments.index)
    )
    x = _optical_depths(ellipsoids, cameras, row, fragments.index.long())
    passed = fragments.weight / x  # T, with its own gradient
    weight = x * passed.detach() if block is Block.transmittance else x.detach() * passed
    ones = torch.ones_like(ellipsoids.features[:, :1])
    made = replace(fragments, weight=weight).interpolate(torch.cat([ellipsoids.features, ones], 1))
    return made[..., :-1], made[..., -1]


def _optical_depths(ellipsoids: Ellipsoids, cameras: Cameras, row: Tensor, index: Tensor) -> Tensor:
    """x (E,) of each entry, an ellipsoid on the ray of a pixel; differentiable."""
    rays = cameras.rays()
    means, scales, quats = (part[index] for part in (ellipsoids.means, ellipsoids.scales, ellipsoids.quats))
    origins, directions = (part.reshape(-1, 3)[row] for part in (rays.origins, rays.directions))
    _, q, _ = reference.intersect(means, scales, quats, origins, directions)
    return ellipsoids.density[index] * q.exp()
