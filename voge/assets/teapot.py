"""The Utah teapot (Martin Newell, 1975): control points in the public domain, tessellated here.

The teapot is 32 bicubic Bezier patches. Rim, body, lid and bottom are surfaces of revolution, so
their patches follow from a profile; handle and spout are tubes, given by their half with y <= 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Profiles (radius, height) of the surfaces of revolution, four control points a patch, along the outside.
_LID = [(0, 3.15), (0.8, 3.15), (0, 2.85), (0.2, 2.7), (0.4, 2.55), (1.3, 2.55), (1.3, 2.4)]
_POT = [
    (1.4, 2.4), (1.3375, 2.53125), (1.4375, 2.53125), (1.5, 2.4),  # rim
    (1.75, 1.875), (2, 1.35), (2, 0.9), (2, 0.45), (1.5, 0.225), (1.5, 0.15),  # body
    (1.5, 0.075), (1.425, 0), (0, 0),  # bottom
]  # fmt: skip
_ARC = 0.56  # control points of a quarter circle, as Newell rounded 0.5523

# Tubes: the curve along the inner and the outer edge (x, z) and half the width between them, row by row.
_HANDLE = [
    ((-1.6, 2.025), (-1.5, 2.25), 0.3), ((-2.3, 2.025), (-2.5, 2.25), 0.3), ((-2.7, 2.025), (-3, 2.25), 0.3),
    ((-2.7, 1.8), (-3, 1.8), 0.3), ((-2.7, 1.575), (-3, 1.35), 0.3), ((-2.5, 1.125), (-2.65, 0.9375), 0.3),
    ((-2, 0.9), (-1.9, 0.6), 0.3),
]  # fmt: skip
_SPOUT = [
    ((1.7, 1.425), (1.7, 0.6), 0.66), ((2.6, 1.425), (3.1, 0.825), 0.66), ((2.3, 2.1), (2.4, 2.025), 0.25),
    ((2.7, 2.4), (3.3, 2.4), 0.25), ((2.8, 2.475), (3.525, 2.49375), 0.25), ((2.9, 2.475), (3.45, 2.5125), 0.15),
    ((2.8, 2.4), (3.2, 2.4), 0.15),
]  # fmt: skip


def teapot(resolution: int = 16) -> tuple[Array, NDArray[np.int64], NDArray[np.float32]]:
    """The teapot as a triangle mesh with y up, resting on y = 0, the spout towards +x; 6.4 units long.

    Args:
        resolution: squares along a patch's side, at least 2; makes 64 resolution^2 triangles, less the
            8 resolution that vanish at the poles of lid and bottom.

    Returns:
        vertices (V, 3), each position once; faces (F, 3), counter-clockwise from outside; colors (V, 3)
        in [0, 1]. Six edges are open: lid, rim, both ends of handle and spout.
    """
    if resolution < 2:
        raise ValueError(f"resolution must be at least 2, got {resolution}")
    patches = _patches()
    grids = tessellate(patches, resolution).reshape(-1, 3)
    corner = np.arange((resolution + 1) ** 2).reshape(resolution + 1, -1)
    a, b, c, d = (part.reshape(-1) for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    square = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    faces = (square + np.arange(len(patches))[:, None, None] * corner.size).reshape(-1, 3)
    vertices, faces = _weld(grids, faces)
    upright = vertices[:, [0, 2, 1]] * (1, 1, -1)  # Newell's z is up
    return upright, faces, _colors(upright)


def tessellate(patches: Array, resolution: int) -> Array:
    """Points (P, R + 1, R + 1, 3) of bicubic Bezier patches (P, 4, 4, 3) at even parameters."""
    t = np.linspace(0, 1, resolution + 1)[:, None]
    bernstein = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
    points: Array = np.einsum("ui,pijk,vj->puvk", bernstein, patches, bernstein)
    return points


def _patches() -> Array:
    """(32, 4, 4, 3) control points with z up; the first index runs so that du x dv points outwards."""
    revolved = [_revolved(profile[i : i + 4]) for profile in (_LID, _POT) for i in range(0, len(profile) - 1, 3)]
    tubes = [_tube(rows[i : i + 4]) for rows in (_HANDLE, _SPOUT) for i in (0, 3)]
    return np.concatenate([*revolved, *tubes])


def _revolved(profile: list[tuple[float, float]]) -> Array:
    """Four patches around the z axis."""
    circle = np.array([(1, 0), (1, _ARC), (_ARC, 1), (0, 1)])
    quarter = np.array([[(radius * x, radius * y, z) for x, y in circle] for radius, z in profile])
    turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # a quarter about z, for row vectors
    return np.stack([quarter @ np.linalg.matrix_power(turn, i) for i in range(4)])


def _tube(rows: list[tuple[tuple[float, float], tuple[float, float], float]]) -> Array:
    """Two patches, the half with y <= 0 and its mirror image."""
    half = np.array([[(x, 0, z), (x, -y, z), (outer_x, -y, outer_z), (outer_x, 0, outer_z)]
                     for (x, z), (outer_x, outer_z), y in rows])  # fmt: skip
    # Mirroring turns a patch inside out; so does reversing it.
    return np.stack([half[:, ::-1], half * (1, -1, 1)])


def _weld(vertices: Array, faces: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """One vertex a position (patches share their edges exactly up to rounding); faces without area go."""
    _, first, row = np.unique(np.round(vertices, 9) + 0.0, axis=0, return_index=True, return_inverse=True)
    faces = row.reshape(-1)[faces]
    a, b, c = faces.T
    return vertices[first], faces[(a != b) & (b != c) & (c != a)]


def _colors(vertices: Array) -> NDArray[np.float32]:
    """A glaze that runs from deep blue at the foot over teal to cream at the knob, in soft bands."""
    height = np.clip(vertices[:, 1:2] / 3.15, 0, 1)
    stops = np.array([[0.10, 0.20, 0.45], [0.12, 0.55, 0.60], [0.95, 0.85, 0.65], [0.90, 0.45, 0.25]])
    place = height * (len(stops) - 1)
    lower = np.minimum(place.astype(int), len(stops) - 2)[:, 0]
    share = place - lower[:, None]
    plain = (1 - share) * stops[lower] + share * stops[lower + 1]
    angle = np.arctan2(vertices[:, 2:], vertices[:, :1])
    bands = 0.5 + 0.5 * np.sin(6 * angle + 9 * height)
    colors: NDArray[np.float32] = np.clip(plain * (0.8 + 0.25 * bands), 0, 1).astype(np.float32)
    return colors
