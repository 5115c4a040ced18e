"""The targets at several resolutions, and how far a scene is from them.

A level takes every s-th ray of a picture, through the centers of pixels that the target has, and blurs the
differences. So the true poses leave no difference at any level. Means over pixels and ellipsoids
widened to a coarse pixel's size were quicker. But they moved the optimum by up to a third of an object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.occlusion.problem import Target
from voge.occlusion.settings import Weights
from voge.rendering.renderer import Rendered, render
from voge.rendering.settings import RenderSettings
from voge.scene.ellipsoids import Ellipsoids

CLEAR = 1e-3  # share of pixels' differences that a Gaussian of the blur's width has beyond where it is cut


@dataclass(frozen=True, eq=False)
class Level:
    """The targets at one resolution."""

    targets: Sequence[Target]  # every s-th pixel
    blur: float  # standard deviation of a Gaussian over the differences, in this level's pixels; 0: none
    background: Tensor  # (C,) behind everything
    weights: Weights
    settings: RenderSettings

    def residuals(self, ellipsoids: Ellipsoids) -> Tensor:
        """(M,) differences of a scene's pictures from the targets."""
        pictures = (render(ellipsoids, target.camera, self.settings) for target in self.targets)
        return torch.cat([self.compare(made, t)[0] for made, t in zip(pictures, self.targets, strict=True)])

    def compare(self, rendered: Rendered, target: Target) -> Tensor:
        """(V, M) differences of rendered views from one target; the sum of squares is the mean over its pixels."""
        image = None if target.image is None else rendered.over(self.background) - target.image
        return self._weighed(image, None if target.silhouette is None else rendered.alpha - target.silhouette, target)

    def slope(self, change: Rendered, target: Target) -> Tensor:
        """(V, M) by how much a change of the rendered views changes `compare`, which is linear in them."""
        image = None if target.image is None else change.over(self.background) - self.background
        return self._weighed(image, None if target.silhouette is None else change.alpha, target)

    def _weighed(self, image: Tensor | None, silhouette: Tensor | None, target: Target) -> Tensor:
        parts = [] if image is None else [image * self.weights.image**0.5]
        if silhouette is not None:
            parts.append((silhouette * self.weights.silhouette**0.5)[..., None])
        difference = torch.cat(parts, -1)
        if target.mask is not None:
            difference = difference * target.mask.sqrt()[..., None]
        if self.blur:
            difference = blurred(difference, self.blur)
        pixels = difference.shape[-3] * difference.shape[-2] * len(self.targets)
        return difference.flatten(1) / math.sqrt(pixels)

    @property
    def residual_count(self) -> int:
        """Pixels of all targets, over which the squares are averaged."""
        step = max(int(self.blur), 1)
        return sum(-(-t.camera.width // step) * -(-t.camera.height // step) for t in self.targets)

    @property
    def reach(self) -> float:
        """Pixels over which the differences are smooth, of this level: what a useful step moves things by."""
        return max(self.blur, 1.0)


def background_of(targets: Sequence[Target], values: Sequence[float]) -> Tensor:
    """The background (C,) of the targets' images, of a value a channel or one for all; C is 0 without images."""
    first = next((target.image for target in targets if target.image is not None), None)
    channels, like = (0, targets[0].camera.Ks) if first is None else (first.shape[-1], first)
    return like.new_tensor(values).expand(channels)


def level_of(
    targets: Sequence[Target],
    stride: int,
    blur: float,
    background: Tensor,
    weights: Weights | None = None,
    settings: RenderSettings | None = None,
) -> Level:
    """Every stride-th pixel of the targets, differences blurred by so many of these."""
    chosen = [strided(target, stride) for target in targets]
    return Level(chosen, blur, background, weights or Weights(), settings or RenderSettings())


def strided(target: Target, stride: int) -> Target:
    """Every stride-th pixel of a target, with a camera whose rays are exactly those of these pixels."""
    first = stride // 2
    camera = target.camera
    width, height = (max(-(-(side - first) // stride), 1) for side in (camera.width, camera.height))
    Ks = camera.Ks.clone()
    Ks[:, :2] /= stride
    # Pixel i here is pixel first + stride i there, and centers lie at + 0.5 in both.
    Ks[:, :2, 2] = (camera.Ks[:, :2, 2] - first - 0.5) / stride + 0.5

    def pick(picture: Tensor | None) -> Tensor | None:
        return None if picture is None else picture[first::stride, first::stride]

    smaller = replace(camera, Ks=Ks, width=width, height=height)
    return Target(smaller, pick(target.image), pick(target.silhouette), pick(target.mask))


def blurred(pictures: Tensor, width: float) -> Tensor:
    """Pictures (V, H, W, C) under a Gaussian of this width, every floor(width)-th pixel; 0 beyond the edges."""
    reach = max(math.ceil(math.sqrt(-2 * math.log(CLEAR)) * width), 1)
    step = max(int(width), 1)
    offsets = torch.arange(-reach, reach + 1, dtype=pictures.dtype, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / width).square())
    kernel = kernel / kernel.sum()
    views, height, columns, channels = pictures.shape
    flat = pictures.permute(0, 3, 1, 2).reshape(views * channels, 1, height, columns)
    flat = torch.nn.functional.conv2d(flat, kernel[None, None, :, None], padding=(reach, 0), stride=(step, 1))
    flat = torch.nn.functional.conv2d(flat, kernel[None, None, None], padding=(0, reach), stride=(1, step))
    return flat.reshape(views, channels, *flat.shape[-2:]).permute(0, 2, 3, 1)
