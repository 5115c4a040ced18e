"""The input that an estimator takes from an image: a crop and its camera, placed where the object is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.io.images import read_bytes
from voge.pose.data.crops import Crop, Framing, crop_annotated, cut
from voge.pose.data.datasets import Item
from voge.pose.data.records import Annotation
from voge.scene.cameras import Cameras, intrinsic_matrix

Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One object in one image."""

    crop: Crop
    K: Tensor  # (3, 3) float64 of the image, pixels
    viewmat: Tensor  # (4, 4) float64: where the object's origin is; its rotation too if `rough`
    width: int  # of the image, pixels
    height: int
    rough: bool = False  # the rotation means something

    @property
    def crop_intrinsics(self) -> Tensor:
        """(3, 3) float64 of the crop."""
        return self.crop.matrix @ self.K


def stack(frames: Sequence[Frame]) -> tuple[Tensor, Cameras]:
    """Images (B, 3, H, W) and cameras, float32, of crops of one size."""
    images = torch.stack([frame.crop.image for frame in frames])
    viewmats, Ks = (
        torch.stack(parts).float() for parts in zip(*((f.viewmat, f.crop_intrinsics) for f in frames), strict=True)
    )
    return images, Cameras(viewmats, Ks, images.shape[-1], images.shape[-2])


def annotated_frame(item: Item, framing: Framing) -> tuple[Frame, Annotation]:
    """An image of a data set: its object's place and distance are the annotation's, its rotation is for the caller.

    Raises:
        DataError: the annotation or the image cannot be used.
    """
    note = item.annotation()
    crop = crop_annotated(read_bytes(item.image), note, framing)
    return Frame(crop, note.intrinsics, note.viewmat, note.width, note.height), note


def boxed_frame(image: NDArray[np.uint8], box: Box, framing: Framing, focal: float | None = None) -> Frame:
    """A photo of which only a box around the object is known.

    Args:
        image: (H, W, 3).
        box: around the object; its size and middle tell distance and place, both roughly.
        framing: of the category.
        focal: pixels, with the principal point in the image's middle; None: as if the camera pointed at the object
            with the framing's focal length, for which only the rotation is of use.
    """
    height, width = image.shape[:2]
    left, top, right, bottom = box
    center = ((left + right) / 2, (top + bottom) / 2)
    extent = framing.extent or 0.6 * min(framing.width, framing.height)
    scale = extent / math.sqrt((right - left) * (bottom - top))
    crop = cut(image, center, scale, framing)
    viewmat = torch.eye(4, dtype=torch.float64)
    if focal is None:
        K = torch.linalg.inv(crop.matrix) @ framing.intrinsics
        viewmat[2, 3] = framing.distance
        return Frame(crop, K, viewmat, width, height)
    K = intrinsic_matrix(focal, focal, width / 2, height / 2)
    ray = torch.linalg.inv(K) @ torch.tensor([*center, 1.0], dtype=torch.float64)
    viewmat[:3, 3] = ray / ray.norm() * (framing.distance * focal * scale / framing.focal)
    return Frame(crop, K, viewmat, width, height)


def mask_box(mask: NDArray[np.bool_]) -> Box:
    """The box of a mask (H, W).

    Raises:
        ValueError: the mask is empty.
    """
    rows, columns = np.nonzero(mask)
    if not len(rows):
        raise ValueError("the mask is empty: there is no object in it")
    return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
