"""Losses between pictures: each a mean over pixels, () and differentiable in all tensors, usable alone.

Colors are (..., C), silhouettes (...) shares of light in [0, 1]: views, or any choice of pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from voge.optim import metrics
from voge.optim.settings import ColorLoss, SilhouetteLoss

_EPSILON = 1e-6  # of silhouettes, where a logarithm would be infinite


def squared(value: Tensor, target: Tensor) -> Tensor:
    """Mean of (v - t)^2."""
    return torch.nn.functional.mse_loss(value, _like(value, target))


def absolute(value: Tensor, target: Tensor) -> Tensor:
    """Mean of |v - t|: outliers pull no harder than the rest."""
    return (value - _like(value, target)).abs().mean()


def charbonnier(value: Tensor, target: Tensor, width: float = 0.03) -> Tensor:
    """Mean of sqrt((v - t)^2 + w^2) - w (Charbonnier et al. 1994): squared within w, absolute beyond it."""
    return ((value - _like(value, target)).square() + width * width).sqrt().mean() - width


def cross_entropy(alpha: Tensor, target: Tensor) -> Tensor:
    """Mean of -t log a - (1 - t) log(1 - a): steep where a silhouette is sure and wrong."""
    sure = alpha.clamp(_EPSILON, 1 - _EPSILON)
    return -(_like(alpha, target) * sure.log() + (1 - target) * torch.log1p(-sure)).mean()


def soft_iou(alpha: Tensor, target: Tensor) -> Tensor:
    """1 - sum(a t) / sum(a + t - a t) of each view (V, H, W), mean over views (Kato et al. 2018, eq. 13)."""
    both = (alpha * _like(alpha, target)).flatten(-2).sum(-1)
    either = (alpha + target).flatten(-2).sum(-1) - both
    return (1 - both / either.clamp_min(_EPSILON)).mean()


def dissimilarity(image: Tensor, target: Tensor) -> Tensor:
    """(1 - SSIM) / 2 of pictures (V, H, W, C), 0 to 1."""
    return (1 - metrics.ssim(image, target)) / 2


COLOR_LOSSES = {
    ColorLoss.squared: squared,
    ColorLoss.absolute: absolute,
    ColorLoss.charbonnier: charbonnier,
}
SILHOUETTE_LOSSES = {
    SilhouetteLoss.squared: squared,
    SilhouetteLoss.cross_entropy: cross_entropy,
    SilhouetteLoss.iou: soft_iou,
}


def _like(value: Tensor, target: Tensor) -> Tensor:
    """The target, of the value's shape: a broadcast would hide a mistake."""
    if value.shape != target.shape:
        raise ValueError(f"value and target must have one shape; got {tuple(value.shape)} and {tuple(target.shape)}")
    return target
