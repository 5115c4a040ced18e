"""Other numbers of ellipsoids while they are fitted: split, clone and drop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from voge.scene.ellipsoids import Ellipsoids

SPLIT_SIZE = 1.6  # a split one's parts are smaller by this factor (Kerbl et al. 2023)


class Change(NamedTuple):
    """New rows in terms of old ones."""

    rows: Tensor  # (M,) int64, where each comes from
    fresh: Tensor  # (M,) bool, those that are no old ones going on
    shift: Tensor  # (M, 3) added to the means
    factor: Tensor  # (M,) of the scales
    density: Tensor  # (M,) factor of the density


def grow(
    ellipsoids: Ellipsoids, pull: Tensor, *, budget: int, share: float, least_opacity: float, generator: torch.Generator
) -> Change:
    """Drop those that stop no light; split the large and clone the small ones among those that are pulled hardest.

    A split one becomes two smaller ones, drawn from its own density; a cloned one two halves of its optical depth in
    place, which gradients pull apart. Both keep what the picture shows, nearly.

    Args:
        ellipsoids: N, without gradient history.
        pull: (N,) mean length of the gradient of the means since the last change.
        budget: no more than this many ellipsoids come out, as long as no more come in.
        share: of the ellipsoids that change, at most.
        least_opacity: of those that stay.
        generator: on the CPU.
    """
    opacity = -torch.expm1(-ellipsoids.density)
    kept = (opacity >= least_opacity).nonzero()[:, 0]
    room = min(round(share * len(kept)), max(budget - len(kept), 0))
    hardest = kept[pull[kept].argsort(descending=True, stable=True)[:room]]
    size = ellipsoids.scales.amax(1)
    large = size[hardest] > size[kept].median()
    split, clone = hardest[large], hardest[~large]
    rows = torch.cat([kept, hardest])
    changed = torch.zeros(len(size), dtype=torch.bool, device=rows.device)
    changed[hardest] = True
    is_split, is_clone = torch.zeros_like(changed), torch.zeros_like(changed)
    is_split[split], is_clone[clone] = True, True
    noise = torch.randn(len(rows), 3, generator=generator).to(ellipsoids.means)
    drawn = (ellipsoids.rotations[rows] @ (ellipsoids.scales[rows] * noise)[:, :, None])[:, :, 0]
    fresh = torch.cat([torch.zeros_like(changed)[kept], torch.ones_like(changed)[hardest]])
    one = ellipsoids.density.new_ones(len(rows))
    return Change(
        rows=rows,
        fresh=fresh | is_split[rows],
        shift=torch.where(is_split[rows, None], drawn, 0),
        factor=torch.where(is_split[rows], one / SPLIT_SIZE, one),
        density=torch.where(is_clone[rows], one / 2, one),
    )
