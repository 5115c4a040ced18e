"""Outputs that are no colors, as colors to look at."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def show_normals(normals: Tensor) -> Tensor:
    """Unit vectors (..., 3) as colors: (n + 1) / 2."""
    return (normals + 1) / 2


def show_depth(depth: Tensor) -> Tensor:
    """Depth (H, W) as grays, near is bright, nothing seen is black; for looking at only."""
    seen = depth > 0
    if not seen.any():
        return depth
    near, far = depth[seen].min(), depth[seen].max()
    return torch.where(seen, 1 - 0.8 * (depth - near) / (far - near).clamp_min(1e-12), 0)


def show_share(share: Tensor) -> Tensor:
    """Shares (...) from 0 to 1 as colors (..., 3) from dark blue to yellow, which all eyes can tell apart."""
    low, high = share.new_tensor([0.10, 0.12, 0.38]), share.new_tensor([1.0, 0.85, 0.20])
    return torch.lerp(low, high, share.clamp(0, 1)[..., None])


def show_ids(ids: Tensor) -> Tensor:
    """Numbers (H, W) as colors (H, W, 3), the same for a number everywhere; negative ones are black."""
    return torch.where((ids >= 0)[..., None], id_colors(ids.clamp_min(0)), 0)


def id_colors(numbers: Tensor) -> Tensor:
    """A bright color (..., 3) for each number; neighbors in number are far apart in hue (the golden angle)."""
    steps = numbers.double()
    hue = torch.remainder(steps * 0.6180339887498949, 1.0)
    value = 0.65 + 0.35 * torch.remainder(steps * 0.7548776662466927, 1.0)
    offsets = hue.new_tensor([5.0, 3.0, 1.0])
    k = torch.remainder(offsets + hue[..., None] * 6, 6)
    saturation = 0.75
    return (value[..., None] * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1))).float()


@dataclass(frozen=True, slots=True, eq=False)
class FeaturePalette:
    """Map of features with any number of channels to colors: along three axes, the same in every view."""

    axes: Tensor  # (C, 3)
    low: Tensor  # (3,) what becomes black
    high: Tensor  # (3,) what becomes full color

    @classmethod
    def of(cls, features: Tensor) -> FeaturePalette:
        """The palette of a set's features (N, C): the channels themselves up to three, else principal axes."""
        values = features.detach().double()
        channels = values.shape[1]
        if channels <= 3:
            # One channel is shown as gray, two as red and green.
            axes = values.new_ones(1, 3) if channels == 1 else torch.eye(channels, 3).to(values)
        else:
            axes = _principal_axes(values)
        projected = values @ axes
        low, high = projected.amin(0), projected.amax(0)
        if channels == 3 and low.min() >= 0 and high.max() <= 1:  # colors: as they are
            low, high = torch.zeros_like(low), torch.ones_like(high)
        return cls(axes.to(features), low.to(features), high.to(features))

    def show(self, features: Tensor, alpha: Tensor) -> Tensor:
        """Colors (H, W, 3) over black of features (H, W, C) that are not divided by alpha (H, W)."""
        axes, low, high = (tensor.to(features.device) for tensor in (self.axes, self.low, self.high))
        # The same map applied to every ellipsoid's features before rendering gives the same picture.
        return (features @ axes - alpha[..., None] * low) / (high - low).clamp_min(1e-12)


def _principal_axes(values: Tensor) -> Tensor:
    """(C, 3) directions of largest variance, each with its largest component positive, so that reruns agree."""
    centered = values - values.mean(0)
    axes = torch.linalg.eigh(centered.mT @ centered).eigenvectors[:, -3:].flip(1)
    largest = axes.gather(0, axes.abs().argmax(0, keepdim=True))
    signed: Tensor = axes * torch.where(largest < 0, -1.0, 1.0)
    return signed
