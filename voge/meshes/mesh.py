"""Triangle meshes and point clouds as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import DataError
from voge.meshes import surfaces
from voge.meshes.textures import Texture, vertex_colors

Array = NDArray[Any]
MERGE = 1e-9  # of the extent: vertices nearer than this are one. Less than float32 files can tell apart


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A triangle mesh: one vertex a position, every vertex in a face, every face with an area."""

    vertices: Array  # (V, 3) float64, units and frame of the file
    faces: Array  # (F, 3) int64 rows of `vertices`, counter-clockwise from outside if the file's are
    normals: Array  # (V, 3) float64, unit: means of the faces' normals weighted by area
    colors: Array | None = None  # (V, 3) float32 in [0, 1], sRGB as stored; None where the file has none
    texture: Texture | None = None  # of the faces, where the file has pictures; `colors` are its means at the vertices
    dropped: Mapping[str, int] = field(default_factory=dict)  # what was left out of the file: kind -> count
    notes: tuple[str, ...] = ()  # what the user should know of the file, a line each


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """A point cloud."""

    points: Array  # (P, 3) float64, units and frame of the file
    colors: Array | None = None  # (P, 3) float32 in [0, 1], sRGB as stored
    normals: Array | None = None  # (P, 3) float64, as stored
    dropped: Mapping[str, int] = field(default_factory=dict)  # what was left out of the file: kind -> count
    notes: tuple[str, ...] = ()  # what the user should know of the file, a line each


def build_mesh(
    vertices: Array,
    faces: Array,
    colors: Array | None = None,
    *,
    texture: Texture | None = None,
    path: str | Path = "mesh",
    notes: tuple[str, ...] = (),
) -> Mesh:
    """A Mesh of raw arrays: vertices at one position are merged; what cannot be seen is dropped and counted.

    Args:
        vertices: (V, 3) positions, units and frame as they are.
        faces: (F, 3) rows of `vertices`.
        colors: (V, 3) in [0, 1]; averaged where vertices merge.
        texture: of the F faces; gives the colors instead.
        path: named in errors.
        notes: kept.

    Raises:
        DataError: a face names a vertex that is not there, or no face has an area.
    """
    vertices, faces = np.asarray(vertices, np.float64), np.asarray(faces, np.int64).reshape(-1, 3)
    if faces.size and not 0 <= faces.min() <= faces.max() < len(vertices):
        wrong = faces.min() if faces.min() < 0 else faces.max()
        raise DataError(path, f"a face names vertex {wrong} of {len(vertices)}", "export the mesh again")
    finite = _finite(vertices)
    whole = finite[faces].all(1)
    row, merged = _merge(vertices, finite)
    corners = row[faces[whole]]
    solid = surfaces.face_areas(torch.from_numpy(merged), torch.from_numpy(corners)).numpy() > 0
    if not solid.any():
        raise DataError(path, f"none of its {len(faces)} faces has an area", "check the coordinates")
    kept, corners = np.unique(corners[solid], return_inverse=True)
    corners = corners.reshape(-1, 3)
    dropped = {
        "vertices that are not finite": int((~finite).sum()),
        "faces with a vertex that is not finite": int((~whole).sum()),
        "faces of zero area": int((~solid).sum()),
        "unreferenced vertices": len(merged) - len(kept),
    }
    texture = None if texture is None else texture.faces(np.flatnonzero(whole)[solid])
    if colors is not None:
        colors = _means(colors, row, len(merged))[kept].astype(np.float32)
    found = {kind: count for kind, count in dropped.items() if count}
    blank = Mesh(merged[kept], corners, np.zeros(0), dropped=found, notes=notes)
    return rebuilt(blank, blank.vertices, corners, colors, texture)


def rebuilt(mesh: Mesh, vertices: Array, faces: Array, colors: Array | None, texture: Texture | None) -> Mesh:
    """Another mesh in the place of one, with its notes; normals are made, and colors where there is a texture."""
    places, corners = torch.from_numpy(vertices), torch.from_numpy(faces)
    if texture is not None:
        colors = vertex_colors(texture, faces, surfaces.face_areas(places, corners).numpy(), len(vertices))
    normals = surfaces.vertex_normals(places, corners).numpy()
    return replace(mesh, vertices=vertices, faces=faces, normals=normals, colors=colors, texture=texture)


def faces_of(mesh: Mesh, rows: Array) -> Mesh:
    """Some of the faces, a mask (F,), and their vertices."""
    used, faces = np.unique(mesh.faces[rows], return_inverse=True)
    colors = None if mesh.colors is None else mesh.colors[used]
    texture = None if mesh.texture is None else mesh.texture.faces(rows)
    return rebuilt(mesh, mesh.vertices[used], faces.reshape(-1, 3), colors, texture)


def points_of(points: Points, rows: Array) -> Points:
    """Some of the points: a mask (P,) or indices."""
    colors, normals = (None if values is None else values[rows] for values in (points.colors, points.normals))
    return replace(points, points=points.points[rows], colors=colors, normals=normals)


def _finite(rows: Array) -> Array:
    return np.asarray(np.isfinite(rows).all(1))


def _merge(vertices: Array, finite: Array) -> tuple[Array, Array]:
    """Each vertex's row (V,), -1 where it is not finite, among the distinct positions in order of appearance."""
    where = np.flatnonzero(finite)
    row = np.full(len(vertices), -1)
    if not len(where):
        return row, vertices[where]
    low, extent = vertices[where].min(0), np.ptp(vertices[where], axis=0).max()
    keys = np.round((vertices[where] - low) / (MERGE * extent or 1)).astype(np.int64)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    row[where] = rank[inverse.reshape(-1)]
    return row, vertices[where[first[order]]]


def _means(values: Array, row: Array, count: int) -> Array:
    """(count, C) means of the values (V, C) that go to each row; row -1 is left out."""
    there = row >= 0
    members = np.bincount(row[there], minlength=count)
    sums = [np.bincount(row[there], values[there, channel], count) for channel in range(values.shape[1])]
    return np.stack(sums, 1) / members[:, None]
