"""Pictures to ellipsoids: eq. 10 of the paper as a differentiable layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from voge.rendering.renderer import Fragments, trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids


class Sampled(NamedTuple):
    """Mean values that pictures give N ellipsoids."""

    features: Tensor  # (N, C) means of the picture, weighted by W; 0 where nothing is seen
    pixels: Tensor  # (N,) sum of the weights over all rays: how many pixels' worth of light comes from each


def sample(
    view: Fragments | Cameras,
    image: Tensor,
    *,
    ellipsoids: Ellipsoids | None = None,
    mask: Tensor | None = None,
    settings: RenderSettings | None = None,
) -> Sampled:
    """The weighted mean of a picture over each ellipsoid, W^T I / W^T 1 (eq. 10), W never a table.

    Args:
        view: W of any rays, or the V cameras that took the pictures.
        image: (*shape, C), C of any size; shape is the fragments', or (V, H, W).
        ellipsoids: what the cameras see; needed with cameras only.
        mask: (*shape), how much each pixel counts, 0 to 1; all of them by default.
        settings: of tracing, with cameras only.

    Returns:
        Means and sums of weights, with gradients to the picture, the mask, and through W to means, scales, quats,
        density, poses and intrinsics.

    Raises:
        ValueError: a shape does not fit, or ellipsoids are missing or not needed.
        TypeError: the picture is no float tensor of W's dtype.
    """
    if isinstance(view, Cameras):
        if ellipsoids is None:
            raise ValueError("cameras alone see nothing: give ellipsoids, or fragments in place of the cameras")
        view = trace(ellipsoids, view, settings)
    elif ellipsoids is not None:
        raise ValueError("fragments know their ellipsoids: give one of them")
    if image.dtype != view.weight.dtype:
        raise TypeError(f"image must be {view.weight.dtype} like the weights, got {image.dtype}")
    if mask is None:
        sums, pixels = view.sample(image)
    else:
        if mask.shape != view.shape:
            raise ValueError(f"mask must have shape {tuple(view.shape)}; got {tuple(mask.shape)}")
        masked = torch.cat([image * mask[..., None], mask[..., None].to(image)], -1)
        sums = view.sample(masked)[0]
        sums, pixels = sums[:, :-1], sums[:, -1]
    # Divided by 1 where nothing was seen, so that gradients stay finite.
    seen = pixels > 0
    means = sums / torch.where(seen, pixels, torch.ones_like(pixels))[:, None]
    return Sampled(means, pixels)
