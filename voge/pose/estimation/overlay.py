"""A pose shown over its image: the object's outline, its box, its axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from voge.imaging.overview import Line, axes_lines, draw_lines
from voge.io.images import to_bytes
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box

TINT = np.array([40, 200, 120])  # of the object
OUTLINE = np.array([255, 240, 60])
SHARE = 0.25  # of the tint
FRAME = (255, 140, 0)


def overlay(
    image: ArrayLike, ellipsoids: Ellipsoids, K: Tensor, viewmat: Tensor, settings: RenderSettings | None = None
) -> NDArray[np.uint8]:
    """The image (H, W, 3) with the object that stands there.

    Args:
        image: uint8, or in [0, 1].
        ellipsoids: of the object, on any device.
        K, viewmat: (3, 3) and (4, 4) of the image's camera.
        settings: of the renderer.
    """
    picture = to_bytes(image)
    camera = Cameras(
        viewmat.detach().cpu().double()[None], K.detach().cpu().double()[None], picture.shape[1], picture.shape[0]
    )
    with torch.no_grad():
        alpha = render(ellipsoids, camera.to(ellipsoids.dtype).to(ellipsoids.device), settings).alpha[0].cpu().numpy()
    inside = alpha > 0.5
    shown = picture.astype(np.float32)
    shown[inside] += SHARE * (TINT - shown[inside])
    shown[_edge(inside)] = OUTLINE
    box = bounding_box(ellipsoids)
    lines = [Line(ends, FRAME, 1.0) for ends in _edges(np.array([box.low, box.high]))]
    lines += axes_lines(np.eye(4), 0.6 * max(box.size))
    return draw_lines(to_bytes(shown / 255), lines, camera)


def _edge(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells of a mask with a neighbor outside of it."""
    padded = np.pad(inside, 1, mode="edge")
    around = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return np.asarray(inside & ~around)


def _edges(corners: NDArray[Any]) -> list[NDArray[Any]]:
    """The 12 edges (2, 3) of a box of two corners (2, 3)."""
    found = []
    for axis, u, v in itertools.product(range(3), (0, 1), (0, 1)):
        ends = np.empty((2, 3))
        ends[:, axis] = corners[:, axis]
        ends[:, (axis + 1) % 3], ends[:, (axis + 2) % 3] = corners[u, (axis + 1) % 3], corners[v, (axis + 2) % 3]
        found.append(ends)
    return found
