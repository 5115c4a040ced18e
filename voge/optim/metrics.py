"""Measures of a result: pictures against pictures, masks against masks, shapes against shapes.

All take tensors on any device and return tensors () there, without a mean over views: call them a view at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voge import checks

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # pixels, as Wang et al. 2004 have them
_C1, _C2 = 0.01**2, 0.03**2  # likewise, for values in [0, 1]


def psnr(image: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(1 / mean squared error), of values in [0, 1].

    Args:
        image, target: (H, W, C).
        mask: (H, W) bool, the pixels that count; all without.

    Returns:
        () infinity for equal pictures, nan where no pixel counts.
    """
    _check_pair(image, target)
    error = (image - target).square().mean(-1)
    if mask is not None:
        checks.shapes({"H": error.shape[0], "W": error.shape[1]}, mask=(mask, "H W"))
        error = error[mask]
    return -10 * error.mean().log10()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004), -1 to 1, of values in [0, 1]; differentiable.

    Gaussian window of 11 pixels with deviation 1.5; windows that leave the picture do not count, and pictures smaller
    than the window have one as large as they are.

    Args:
        image, target: (H, W, C) or (V, H, W, C).
    """
    _check_pair(image, target)
    x, y = (t.reshape(-1, *t.shape[-3:]).movedim(-1, 1).flatten(0, 1)[:, None] for t in (image, target))
    mean = _blur(torch.cat([x, y, x * x, y * y, x * y]))
    mx, my, xx, yy, xy = mean.chunk(5)
    vx, vy, cov = xx - mx * mx, yy - my * my, xy - mx * my
    return ((2 * mx * my + _C1) * (2 * cov + _C2) / ((mx * mx + my * my + _C1) * (vx + vy + _C2))).mean()


def iou(mask: Tensor, target: Tensor) -> Tensor:
    """Intersection over union of two masks (H, W) bool; 1 where both are empty."""
    checks.shapes(mask=(mask, "H W"), target=(target, "H W"))
    union = (mask | target).sum()
    return torch.where(union > 0, (mask & target).sum() / union.clamp_min(1), 1.0)


@dataclass(frozen=True, slots=True)
class ShapeError:
    """Distances of points and a surface, in world units."""

    accuracy: float  # mean distance from the points to the surface
    completeness: float  # mean distance from the surface to the points
    precision: float  # share of the points nearer to the surface than the threshold
    recall: float  # share of the surface nearer to a point than the threshold
    threshold: float

    @property
    def chamfer(self) -> float:
        """The mean of both mean distances."""
        return (self.accuracy + self.completeness) / 2

    @property
    def f_score(self) -> float:
        """Harmonic mean of precision and recall (Knapitsch et al. 2017)."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def shape_error(points: Tensor, surface: Tensor, threshold: float) -> ShapeError:
    """Compare points with a surface that is given by samples, by nearest neighbors in a k-d tree on the CPU.

    Args:
        points: (P, 3), such as the centers of ellipsoids.
        surface: (S, 3) samples, dense: their spacing h makes a distance d appear as up to sqrt(d^2 + h^2).
        threshold: of precision, recall and F-score, world units.
    """
    from scipy.spatial import cKDTree

    checks.shapes(points=(points, "P 3"), surface=(surface, "S 3"))
    a, b = points.detach().double().cpu().numpy(), surface.detach().double().cpu().numpy()
    to_surface, to_points = cKDTree(b).query(a)[0], cKDTree(a).query(b)[0]
    return ShapeError(
        accuracy=float(to_surface.mean()),
        completeness=float(to_points.mean()),
        precision=float((to_surface < threshold).mean()),
        recall=float((to_points < threshold).mean()),
        threshold=threshold,
    )


def _check_pair(image: Tensor, target: Tensor) -> None:
    if image.shape != target.shape or image.ndim not in (3, 4):
        raise ValueError(
            f"image and target must have one shape (H, W, C); got {tuple(image.shape)} and {tuple(target.shape)}"
        )


def _blur(pictures: Tensor) -> Tensor:
    """Means over the window, (B, 1, h, w) of (B, 1, H, W), one axis after the other."""
    for axis in (2, 3):
        size = min(SSIM_WINDOW, pictures.shape[axis])
        place = torch.arange(size, dtype=pictures.dtype, device=pictures.device) - (size - 1) / 2
        weight = (-place.square() / (2 * SSIM_SIGMA**2)).exp()
        shape = [1, 1, 1, 1]
        shape[axis] = size
        pictures = torch.nn.functional.conv2d(pictures, (weight / weight.sum()).reshape(shape))
    return pictures
