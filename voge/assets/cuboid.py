"""A dense colored cuboid, to be explained by few ellipsoids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SIDES = (1.0, 0.6, 0.75)  # half the lengths along x, y and z
# A color for each face: +x, -x, +y, -y, +z, -z.
COLORS = ((0.85, 0.3, 0.25), (0.2, 0.6, 0.85), (0.95, 0.8, 0.3), (0.5, 0.35, 0.7), (0.35, 0.75, 0.4), (0.9, 0.55, 0.2))


def cuboid(resolution: int = 24) -> tuple[Array, NDArray[np.int64], NDArray[np.float32]]:
    """The cuboid as a mesh of 12 resolution^2 triangles around the origin.

    Args:
        resolution: squares along a side, at least 1.

    Returns:
        vertices (V, 3), those of each face its own, so that edges are sharp in color; faces (F, 3), counter-clockwise
        from outside; colors (V, 3), each face's own, brighter towards one corner.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, got {resolution}")
    u, v = np.meshgrid(*[np.linspace(-1, 1, resolution + 1)] * 2, indexing="ij")
    corner = np.arange(u.size).reshape(u.shape)
    a, b, c, d = (x.reshape(-1) for x in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    square = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    vertices, faces, colors = [], [], []
    for face, base in enumerate(COLORS):
        axis, sign = face // 2, 1 - 2 * (face % 2)
        place = np.empty((u.size, 3))
        place[:, axis] = sign
        place[:, (axis + 1) % 3], place[:, (axis + 2) % 3] = u.reshape(-1), v.reshape(-1)
        vertices.append(place * SIDES)
        faces.append((square if sign > 0 else square[:, ::-1]) + face * u.size)
        bright = 1 - 0.25 * (2 - u - v).reshape(-1, 1) / 4
        colors.append(np.asarray(base) * bright)
    return np.concatenate(vertices), np.concatenate(faces), np.concatenate(colors).astype(np.float32)
