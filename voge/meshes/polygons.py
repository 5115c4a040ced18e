"""Polygons to triangles: those that a fan would cover wrongly are cut by their ears."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def triangulate(vertices: Array, corners: Array, counts: Array) -> tuple[Array, Array]:
    """Triangles that cover polygons.

    A convex polygon becomes the fan of its first corner. Any other is cut in the plane that fits it best, so that
    nothing outside of it is covered.

    Args:
        vertices: (V, 3) float.
        corners: (C,) int64 rows of `vertices`, polygon after polygon.
        counts: (P,) corners of each polygon; those of fewer than 3 are left out.

    Returns:
        Positions (F, 3) in `corners`, and the polygon (F,) of each triangle; in the order of the polygons.
    """
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64) if len(counts) else np.zeros(0, np.int64)
    places, owners = [], []
    for count in np.unique(counts):
        if count < 3:
            continue
        rows = np.flatnonzero(counts == count)
        ring = starts[rows, None] + np.arange(count)
        fan = np.stack([np.zeros(count - 2, np.int64), np.arange(1, count - 1), np.arange(2, count)], 1)
        cut = np.broadcast_to(fan, (len(rows), count - 2, 3)).copy()
        if count > 3:
            points = vertices[corners[ring]]
            for row in np.flatnonzero(~_fan_covers(points)):
                cut[row] = _ears(points[row], fan)
        places.append(np.take_along_axis(ring[:, :, None], cut.reshape(len(rows), -1, 1), 1).reshape(-1, 3))
        owners.append(np.repeat(rows, count - 2))
    if not places:
        return np.zeros((0, 3), np.int64), np.zeros(0, np.int64)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(places)[order], owner[order]


def _fan_covers(points: Array) -> Array:
    """(P,) whether every triangle of the fan turns as the polygon (P, N, 3) does, so that the fan lies within it."""
    spokes = points[:, 1:] - points[:, :1]
    normals = np.cross(spokes[:, :-1], spokes[:, 1:])
    whole = normals.sum(1)
    along = np.einsum("pfk,pk->pf", normals, whole)
    return np.asarray((along >= -1e-9 * np.einsum("pk,pk->p", whole, whole)[:, None]).all(1))


def _ears(points: Array, fan: Array) -> Array:
    """(N - 2, 3) triangles of one polygon (N, 3); the fan where it has no inside."""
    import mapbox_earcut

    normal = np.cross(points - points[0], np.roll(points, -1, 0) - points[0]).sum(0)
    axis = int(np.abs(normal).argmax())
    if not normal[axis]:
        return fan
    flat = np.delete(points - points.mean(0), axis, axis=1)
    found = mapbox_earcut.triangulate_float64(np.ascontiguousarray(flat), np.array([len(flat)], np.uint32))
    ears = np.asarray(found, np.int64).reshape(-1, 3)
    if len(ears) != len(fan):  # corners on one line are left out: keep the number of triangles
        ears = np.concatenate([ears, np.zeros((len(fan) - len(ears), 3), np.int64)])[: len(fan)]
    triangles = flat[ears]
    sides = triangles[:, 1:] - triangles[:, :1]
    area = (sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum()
    x, y = flat.T
    around = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    return ears if area * around >= 0 else ears[:, ::-1]
