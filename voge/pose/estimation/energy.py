"""The energy: how badly a rendered map explains an image's features, occluders allowed for (section 4.2; NeMo, 3.2).

Each cell's feature F is explained by the object in its pose over the background, M = F^ + (1 - alpha) b, or by clutter
alone, b. Squared distances E_o = |M - F|^2 and E_c = |b - F|^2 meet in a mixture with equal odds,

    rho = -T log((exp(-E_o / T) + exp(-E_c / T)) / 2),

so a hidden cell costs little more than clutter does, and one without the object costs as much. `b` is whichever typical
clutter of training is nearest to F. Without training nothing is known of backgrounds: then b is F itself with a
constant in a channel of its own, which makes E_c that constant squared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.scene.ellipsoids import Ellipsoids

TEMPERATURE = 0.15  # T over the mean of E_c


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The features of B images and their best explanation without the object."""

    maps: Tensor  # (B, h, w, C)
    clutter: Tensor  # (B, h, w, C) b
    cost: Tensor  # (B, h, w) E_c
    temperature: Tensor  # (B, 1, 1) T

    def __getitem__(self, rows: Tensor) -> Target:
        """Images by number, with repetition."""
        return replace(self, maps=self.maps[rows], clutter=self.clutter[rows], cost=self.cost[rows],
                       temperature=self.temperature[rows])  # fmt: skip


def target_of(maps: Tensor, clutter: Tensor | None, outlier: float = 1.0) -> Target:
    """The target of images.

    Args:
        maps: (B, C, h, w) features.
        clutter: (K, C) typical ones of backgrounds; None where nothing is known of them.
        outlier: then, the constant over the deviation of the features in an image.
    """
    F = maps.permute(0, 2, 3, 1).contiguous()
    if clutter is None:
        deviation = F.flatten(1, 2).std(1).norm(dim=-1)[:, None, None, None].clamp_min(1e-3)
        constant = (outlier * deviation).expand(*F.shape[:-1], 1)
        b = torch.cat([F, constant], -1)
        F = torch.cat([F, torch.zeros_like(constant)], -1)
    else:
        nearest = (F @ clutter.mT - 0.5 * clutter.square().sum(1)).argmax(-1)
        b = clutter[nearest]
    cost = (b - F).square().sum(-1)
    scale = cost.mean((1, 2), keepdim=True).clamp_min(1e-6)  # a picture may be clutter to the last digit
    return Target(F, b, cost, TEMPERATURE * scale)


def featured(ellipsoids: Ellipsoids, target: Target) -> Ellipsoids:
    """Ellipsoids with as many channels as a target has: 0 in the one that `target_of` added."""
    assert ellipsoids.features is not None
    missing = target.maps.shape[-1] - ellipsoids.features.shape[1]
    return replace(ellipsoids, features=torch.nn.functional.pad(ellipsoids.features, (0, missing)))


def residual(image: Tensor, alpha: Tensor, target: Target) -> Tensor:
    """M - F (B, h, w, C) of rendered features (B, h, w, C), premultiplied, and alpha (B, h, w)."""
    return image - alpha[..., None] * target.clutter + (target.clutter - target.maps)


def mixture(explained: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """rho (B, h, w) of E_o (B, h, w), and d rho / d E_o: the odds that the object is seen there."""
    T = target.temperature
    gap = (target.cost - explained) / T
    rho = target.cost - T * (torch.nn.functional.softplus(gap) - math.log(2))
    return rho, torch.sigmoid(gap)


def score(image: Tensor, alpha: Tensor, target: Target) -> Tensor:
    """(B,) by how much the object in its pose explains the features better than clutter; differentiable, 0 for none.

    The mean of E_c - rho over cells, relative to the mean of E_c.
    """
    rho, _ = mixture(residual(image, alpha, target).square().sum(-1), target)
    return TEMPERATURE * ((target.cost - rho) / target.temperature).mean((1, 2))
