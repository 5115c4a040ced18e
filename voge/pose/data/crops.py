"""Pictures of objects at one apparent size, with the camera that sees them so.

An image is scaled until its object appears as from `distance` with `focal`, as in the field's pipelines. Then it is cut
around the point that the object's origin projects to. The camera of the crop is exact: the object keeps its own
distance, and the focal length takes the scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.pose.data.records import Annotation
from voge.scene.cameras import intrinsic_matrix

STRIDE = 32  # sides are multiples: what five halvings of a network divide
FOCAL, DISTANCE = 3000.0, 5.0  # PASCAL3D+'s focal length; at this distance a model of size 1 spans 600 pixels
COVERED = 0.9  # of the training boxes lie within the crop
MOST = 1024  # pixels a side


@dataclass(frozen=True, slots=True)
class Framing:
    """The crops of one category."""

    width: int  # pixels, a multiple of STRIDE
    height: int
    focal: float = FOCAL  # pixels: the apparent size is that at `distance` with this focal length
    distance: float = DISTANCE  # units of the models
    extent: float = 0.0  # square root of the area of a typical box in the crop, pixels; 0: unknown

    @property
    def intrinsics(self) -> Tensor:
        """(3, 3) float64 of a crop whose object is at `distance`."""
        return intrinsic_matrix(self.focal, self.focal, self.width / 2, self.height / 2)


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """Part of an image, scaled."""

    image: Tensor  # (3, H, W) float32 in [0, 1]; black beyond the image's edges
    scale: float  # pixels of the crop a pixel of the image
    left: float  # where the crop begins in the image, pixels of the image
    top: float

    @property
    def matrix(self) -> Tensor:
        """(3, 3) float64: pixels of the image to pixels of the crop. Times K of the image it is K of the crop."""
        s = self.scale
        return torch.tensor([[s, 0, -s * self.left], [0, s, -s * self.top], [0, 0, 1]], dtype=torch.float64)


def find_framing(annotations: Sequence[Annotation], size: float = 1.0) -> Framing:
    """Crops that hold nearly all boxes of training annotations whole.

    Args:
        annotations: of one category; boxes of truncated objects count as they are.
        size: of the crops, relative to PASCAL3D+'s usual ones.
    """
    reach, extents = [], []
    for note in annotations:
        scale = size * note.distance / DISTANCE * FOCAL / note.focal
        left, top, right, bottom = note.box
        reach.append((scale * max(note.px - left, right - note.px), scale * max(note.py - top, bottom - note.py)))
        extents.append(scale * math.sqrt((right - left) * (bottom - top)))
    wide, high = np.quantile(np.array(reach), COVERED, axis=0) * 2
    width, height = (int(min(max(math.ceil(side / STRIDE), 2) * STRIDE, MOST)) for side in (wide, high))
    return Framing(width, height, FOCAL * size, DISTANCE, float(np.median(extents)))


def crop_annotated(
    image: NDArray[Any],
    annotation: Annotation,
    framing: Framing,
    *,
    zoom: float = 1.0,
    shift: tuple[float, float] = (0, 0),
) -> Crop:
    """The crop of an annotated object.

    Args:
        image: (H, W, 3) uint8.
        annotation: its pose says where the origin is and how large.
        framing: of the category.
        zoom, shift: enlarge the object, and move it by pixels of the crop; for training.
    """
    scale = zoom * annotation.distance / framing.distance * framing.focal / annotation.focal
    return cut(image, (annotation.px, annotation.py), scale, framing, shift)


def cut(
    image: NDArray[Any],
    center: tuple[float, float],
    scale: float,
    framing: Framing,
    shift: tuple[float, float] = (0, 0),
) -> Crop:
    """The part of an image (H, W, 3), uint8, around a point, scaled with an antialiasing filter."""
    from PIL import Image

    width, height = framing.width / scale, framing.height / scale
    left, top = center[0] - width / 2 - shift[0] / scale, center[1] - height / 2 - shift[1] / scale
    # First whole pixels, which pads by black; then the exact part of them.
    outer = (math.floor(left), math.floor(top), math.ceil(left + width) + 1, math.ceil(top + height) + 1)
    part = Image.fromarray(image).crop(outer)
    inner = (left - outer[0], top - outer[1], left - outer[0] + width, top - outer[1] + height)
    scaled = part.resize((framing.width, framing.height), Image.Resampling.BILINEAR, box=inner)
    pixels = torch.from_numpy(np.array(scaled, np.uint8)).permute(2, 0, 1)
    return Crop(pixels.float() / 255, scale, left, top)
