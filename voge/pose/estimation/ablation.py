"""The paper's ablation of gradients (table 4): pictures whose gradients pass only one factor of W = x T(l)."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

import torch
from torch import Tensor

from voge.rendering.renderer import trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


class Block(str, Enum):
    """What Adam's gradients do not pass, for the paper's ablation (table 4)."""

    none = "none"
    transmittance = "transmittance"  # T(l): weights change with each ellipsoid's own density only
    density = "density"  # x: weights change with what stands before only


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
    x = _densities(ellipsoids, cameras.rays(), row, fragments.index.long())
    passed = fragments.weight / x  # T, with its own gradient
    weight = x * passed.detach() if block is Block.transmittance else x.detach() * passed
    ones = torch.ones_like(ellipsoids.features[:, :1])
    made = replace(fragments, weight=weight).interpolate(torch.cat([ellipsoids.features, ones], 1))
    return made[..., :-1], made[..., -1]


def _densities(ellipsoids: Ellipsoids, rays: Rays, row: Tensor, index: Tensor) -> Tensor:
    """(E,) optical depth of each entry, x = density exp(q) (docs/mathematics.md, section 1); differentiable."""
    whiten = (ellipsoids.rotations / ellipsoids.scales[:, None]).mT
    origins, directions = rays.origins.reshape(-1, 3)[row], rays.directions.reshape(-1, 3)[row]
    A = whiten[index]
    u = (A @ (origins - ellipsoids.means[index])[..., None]).squeeze(-1)
    e = (A @ directions[..., None]).squeeze(-1)
    q = -torch.linalg.cross(u, e).square().sum(-1) / (2 * e.square().sum(-1))
    return ellipsoids.density[index] * q.exp()
