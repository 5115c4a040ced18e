"""Training crops, made a batch at once where the network runs: cut, scaled, recolored, partly hidden.

A crop is a linear map of the picture's pixels, followed by arithmetic on all of them. One pass over a batch on the GPU
costs less than to copy crops that the CPU has made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.pose.data.crops import Framing
from voge.pose.settings import Augmentation
from voge.scene.cameras import Cameras

_ORDERS = tuple(permutations(range(3)))  # of the channels


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The part of an image that an object's crops may show, at about the resolution that they need."""

    pixels: Tensor  # (h, w, 3) uint8
    left: float  # where it begins in the image, pixels of the image
    top: float
    shrunk: int  # pixels of the image a pixel of the part


@dataclass(frozen=True, slots=True, eq=False)
class Variation:
    """The variation of each picture of a batch; without augmentation nothing varies."""

    zoom: Tensor  # (B,) float64, as all others
    shift: Tensor  # (B, 2) of the crop's sides
    mirror: Tensor  # (B,) bool
    tone: Tensor  # (B, 3) factors of brightness, contrast and saturation
    hidden: Tensor  # (B,) share of the crop that patches are to cover
    patches: Tensor  # (B, P, 11) of each: middle (y, x) and radii as shares of the sides and of the lesser one; the
    # power of its outline; where (y, x) its pixels come from; which channels they are; whether they are inverted


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Crops of one category on a device."""

    images: Tensor  # (B, 3, H, W) float32 in [0, 1]
    visible: Tensor  # (B, H, W) bool: not behind a patch


def part_of(image: NDArray[np.uint8], center: tuple[float, float], scale: float, framing: Framing,
            augmentation: Augmentation) -> Part:  # fmt: skip
    """Cut out the part of an image (H, W, 3) that any variation of its crop may show.

    Args:
        image: the whole one.
        center: the point, in pixels, that the crop is around.
        scale: pixels of the crop a pixel of the image, before any zoom.
        framing: of the category.
        augmentation: how far zoom and shift may go.
    """
    from PIL import Image

    height, width = image.shape[:2]
    reach = (0.5 + augmentation.shift) * math.exp(augmentation.zoom) / scale
    x, y = reach * framing.width, reach * framing.height
    left, top = max(math.floor(center[0] - x) - 1, 0), max(math.floor(center[1] - y) - 1, 0)
    right, bottom = min(math.ceil(center[0] + x) + 1, width), min(math.ceil(center[1] + y) + 1, height)
    # An object outside of its image leaves one black pixel.
    inside = image[top:bottom, left:right] if right > left and bottom > top else np.zeros((1, 1, 3), np.uint8)
    shrunk = max(int(1 / (scale * math.exp(augmentation.zoom))), 1)
    if shrunk > 1:
        inside = np.asarray(Image.fromarray(np.ascontiguousarray(inside)).reduce(shrunk))
    return Part(torch.from_numpy(np.array(inside)), left, top, shrunk)


def variation(augmentation: Augmentation, seed: int, batch: Sequence[tuple[int, int]]) -> Variation:
    """Draw the variation of pictures (number, epoch): it depends on seed, epoch and number, not on other pictures."""
    a, most = augmentation, augmentation.patches
    drawn = [np.random.default_rng([seed, epoch, number]).random(8 + 9 * most) for number, epoch in batch]
    u = torch.from_numpy(np.stack(drawn))
    mirror = (u[:, 3] < 0.5) if a.mirror else torch.zeros(len(u), dtype=torch.bool)
    p = u[:, 8:].unflatten(1, (most, 9))
    # |u|^16 + |v|^16 < 1 is nearly a box, with squares it is an ellipse.
    outline = torch.where(p[..., 4:5] < 0.5, 16.0, 2.0)
    channels = torch.tensor(_ORDERS, dtype=u.dtype)[(p[..., 7] * len(_ORDERS)).long()]
    patches = [0.1 + 0.8 * p[..., :2], 0.08 + 0.22 * p[..., 2:4], outline, p[..., 5:7], channels, p[..., 8:].round()]
    return Variation(
        zoom=((2 * u[:, 0] - 1) * a.zoom).exp(), shift=(2 * u[:, 1:3] - 1) * a.shift, mirror=mirror,
        tone=((2 * u[:, 4:7] - 1) * a.color).exp(), hidden=u[:, 7] * a.hide, patches=torch.cat(patches, 2),
    )  # fmt: skip


def crop_cameras(
    viewmats: Tensor, intrinsics: Tensor, scales: Tensor, framing: Framing, varied: Variation
) -> tuple[Cameras, Tensor]:
    """The cameras of crops, and where the crops lie.

    Args:
        viewmats: (B, 4, 4) of the labels, float64.
        intrinsics: (B, 3, 3) of the images, float64; the principal point is where the object's origin is seen.
        scales: (B,) pixels of the crop a pixel of the image, before any zoom.
        framing: of the category.
        varied: how the pictures are varied.

    Returns:
        Cameras, float32; and (B, 3) scale, left and top of each crop before it is mirrored, pixels of the image.
    """
    scale = scales * varied.zoom
    size = scale.new_tensor([framing.width, framing.height])
    corner = intrinsics[:, :2, 2] - size * (0.5 + varied.shift) / scale[:, None]
    Ks = torch.zeros_like(intrinsics)
    Ks[:, 2, 2] = 1
    Ks[:, :2, :2] = intrinsics[:, :2, :2] * scale[:, None, None]
    Ks[:, :2, 2] = (intrinsics[:, :2, 2] - corner) * scale[:, None]
    flip = torch.diag(scale.new_tensor([-1, 1, 1, 1]))
    # As a mirror shows an object that is its own mirror image in x.
    Ks[:, 0, 2] = torch.where(varied.mirror, framing.width - Ks[:, 0, 2], Ks[:, 0, 2])
    viewmats = torch.where(varied.mirror[:, None, None], flip @ viewmats @ flip, viewmats)
    windows = torch.cat([scale[:, None], corner], 1)
    return Cameras(viewmats.float(), Ks.float(), framing.width, framing.height), windows


@torch.no_grad()
def make_views(parts: Sequence[Part], windows: Tensor, framing: Framing, varied: Variation) -> Views:
    """The crops themselves, on the device of the parts.

    Args:
        parts: B of them.
        windows: (B, 3) of `crop_cameras`.
        framing: of the category.
        varied: how the pictures are varied.
    """
    device, width, height = parts[0].pixels.device, framing.width, framing.height
    places = windows.new_tensor([(part.left, part.top, part.shrunk) for part in parts])
    steps = 1 / (windows[:, 0] * places[:, 2])  # pixels of the part a pixel of the crop
    left, top = ((windows[:, 1:] - places[:, :2]) / places[:, 2:]).unbind(1)
    across = torch.where(varied.mirror, -steps, steps)
    left = torch.where(varied.mirror, left + width * steps, left)
    sizes = windows.new_tensor([part.pixels.shape[:2] for part in parts])
    numbers = torch.cat([torch.stack([top, steps, sizes[:, 0], left, across, sizes[:, 1], varied.hidden], 1),
                         varied.tone, varied.patches.flatten(1)], 1)  # fmt: skip
    rows, columns, hidden, tone, patches = sent(numbers.float(), device).split(
        [3, 3, 1, 3, varied.patches[0].numel()], 1
    )
    taps = math.ceil(2 * max(float(steps.max()), 1)) + 1
    pixels = _resampled(_stacked([part.pixels for part in parts]), rows, height, taps)
    pixels = _resampled(pixels.transpose(1, 2), columns, width, taps)
    images = _toned(pixels.permute(0, 3, 2, 1) / 255, tone)
    return Views(*_hidden(images, hidden[:, 0], patches.unflatten(1, varied.patches.shape[1:])))


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """A small tensor on a device, without waiting for it."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers.to(device)


def _stacked(pictures: Sequence[Tensor]) -> Tensor:
    """(B, h, w, 3) of the largest sides; pictures begin at the first pixel."""
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    whole = pictures[0].new_zeros(len(pictures), height, width, 3)
    for place, picture in zip(whole, pictures, strict=True):
        place[: picture.shape[0], : picture.shape[1]] = picture
    return whole


def _resampled(pixels: Tensor, windows: Tensor, count: int, taps: int) -> Tensor:
    """Pixels (B, L, M, 3) scaled along the first of their axes to (B, count, M, 3) by a triangle filter, antialiased.

    Args:
        pixels: black beyond their ends.
        windows: (B, 3) where the first new pixel begins, a new pixel's length (negative: backwards), and the length of
            what is there, all in old pixels.
        count: of new pixels.
        taps: old pixels that a new one may depend on.
    """
    begin, step, length = windows[:, :, None].unbind(1)
    center = begin + (torch.arange(count, device=pixels.device) + 0.5) * step
    reach = step.abs().clamp_min(1)
    first = (center - reach - 0.5).ceil()
    batch, old, *rest = pixels.shape
    rows = pixels.reshape(batch * old, -1)
    offset = old * torch.arange(batch, device=pixels.device)[:, None]
    total, found = torch.zeros_like(center), torch.zeros(batch, count, rows.shape[1], device=pixels.device)
    for tap in range(taps):
        place = first + tap
        weight = (1 - (place + 0.5 - center).abs() / reach).clamp_min(0)
        total += weight
        weight = weight * ((place >= 0) & (place < length))
        tapped = rows.index_select(0, (offset + place.clamp(0, old - 1).long()).flatten())
        found.addcmul_(weight[..., None], tapped.reshape(batch, count, -1).float())
    return (found / total[..., None]).reshape(batch, count, *rest)


def _toned(images: Tensor, tone: Tensor) -> Tensor:
    """Images (B, 3, H, W) in other brightness, contrast and saturation."""
    brightness, contrast, saturation = tone[:, :, None, None, None].unbind(1)
    images = torch.lerp(images.mean(1, keepdim=True), images, saturation) * brightness
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast).clamp(0, 1)


def _hidden(images: Tensor, shares: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) with ellipses and boxes over them, of their own pixels from elsewhere in other colors.

    Args:
        images: in [0, 1].
        shares: (B,) patches are put on until they cover so much.
        patches: (B, P, 11) of `Variation`.

    Returns:
        The images, and (B, H, W) where nothing hides them.
    """
    count, _, height, width = images.shape
    device, most = images.device, patches.shape[1]
    down, right = torch.arange(height, device=device), torch.arange(width, device=device)
    middle_y, middle_x, radius_y, radius_x, power = patches[..., :5, None].unbind(2)
    radius = min(height, width)
    v = ((down + 0.5 - middle_y * height) / (radius_y * radius)).abs().clamp_max(2) ** power  # (B, P, H)
    u = ((right + 0.5 - middle_x * width) / (radius_x * radius)).abs().clamp_max(2) ** power
    top = torch.zeros(count, height, width, dtype=torch.uint8, device=device)  # which patch is seen, from 1
    covered = torch.zeros_like(shares)
    for number in range(most):
        inside = (v[:, number, :, None] + u[:, number, None] < 1) & (covered < shares)[:, None, None]
        top.masked_fill_(inside, number + 1)
        covered = top.count_nonzero((1, 2)) / (height * width)
    visible = top == 0
    if not most:
        return images, visible
    which = torch.arange(count, device=device)[:, None, None]
    seen = patches[..., 5:][which, (top.long() - 1).clamp_min(0)]  # (B, H, W, 6)
    row = (down[:, None] - (seen[..., 0] * height).long()) % height
    column = (right - (seen[..., 1] * width).long()) % width
    other = images[which[..., None], seen[..., 2:5].long(), row[..., None], column[..., None]]
    other = torch.where(seen[..., 5:] < 0.5, other, 1 - other).permute(0, 3, 1, 2)
    return torch.where(visible[:, None], images, other), visible
