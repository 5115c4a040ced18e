"""Triangle meshes and point clouds from files.

Whatever trimesh reads (OBJ with MTL, GLB and glTF, PLY, STL, OFF) and, read here, COFF colors,
`.xyz` text and `.npy`/`.npz` arrays. Colors are the file's numbers scaled to [0, 1]: nothing is
converted between linear and sRGB. Nothing is recentered or rescaled.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from voge.convert import surfaces
from voge.convert.textures import Texture, pyramid, vertex_colors
from voge.io import DataError, check_not_empty
from voge.io.mesh_files import Array, Part, read_parts

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


def load_geometry(path: str | Path) -> Mesh | Points:
    """Read a mesh, or points where the file has no faces.

    Scene graphs are flattened. Vertices at one position, as OBJ and GLB have along the seams of a texture
    and STL has everywhere, become one with the mean of their colors. Textures become colors of the
    vertices, each the mean over the surface around (`voge.convert.textures.vertex_colors`), and are kept as well.

    Raises:
        DataError: the file is missing, malformed or empty; one line with what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "is a folder, not a file of a mesh or points" if path.is_dir() else "no such file")
    check_not_empty(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the parsers' remarks on their own code help nobody here
            parts, notes = read_parts(path)
    except DataError:
        raise
    except Exception as error:  # parsers fail with whatever they met
        reason = f"{error or type(error).__name__}".splitlines()[0][:200]
        raise DataError(path, f"cannot be read as {path.suffix} ({reason})", "is it complete?") from error
    meshes = [part for part in parts if len(part.faces)]
    if meshes:
        vertices, faces, colors, texture = _join(meshes)
        return build_mesh(vertices, faces, colors, texture=texture, path=path, notes=notes)
    clouds = [part for part in parts if len(part.vertices)]
    if not clouds:
        raise DataError(path, "has no faces and no points", "export the object again")
    return _build_points(clouds, path, notes)


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


def _build_points(parts: Sequence[Part], path: Path, notes: tuple[str, ...]) -> Points:
    points = np.concatenate([part.vertices for part in parts])
    finite = _finite(points)
    if not finite.any():
        raise DataError(path, f"none of its {len(points)} points is finite", "export the points again")
    colors, normals = _stack([part.colors for part in parts]), _stack([part.normals for part in parts])
    dropped = {} if finite.all() else {"points that are not finite": int((~finite).sum())}
    colors = None if colors is None else colors[finite]
    return Points(points[finite], colors, None if normals is None else normals[finite], dropped, notes)


def _join(parts: Sequence[Part]) -> tuple[Array, Array, Array | None, Texture | None]:
    """Vertices, faces, colors and texture of several meshes; where only some have colors, the others are white."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)])
    vertices = np.concatenate([part.vertices for part in parts])
    texture = _join_textures(parts) if any(part.skin is not None for part in parts) else None
    if texture is not None or all(part.colors is None for part in parts):
        return vertices, faces, None, texture
    return vertices, faces, np.concatenate([_colors_or_white(part) for part in parts]), None


def _join_textures(parts: Sequence[Part]) -> Texture:
    skins = [part.skin for part in parts if part.skin is not None]
    images = {id(skin.image): skin.image for skin in skins}
    looks = list(dict.fromkeys((id(skin.image), skin.tint) for skin in skins))
    pyramids = {key: pyramid(image) for key, image in images.items()}
    uv, rows, plain = [], [], []
    for part in parts:
        skin = part.skin
        uv.append(np.zeros((len(part.faces), 3, 2)) if skin is None else skin.uv[part.faces])
        rows.append(np.full(len(part.faces), -1 if skin is None else looks.index((id(skin.image), skin.tint))))
        plain.append(_colors_or_white(part)[part.faces].astype(np.float32))
    return Texture(
        uv=np.concatenate(uv).astype(np.float64),
        image=np.concatenate(rows),
        images=tuple(pyramids[key] for key, _ in looks),
        tints=np.array([tint for _, tint in looks], np.float32),
        plain=np.concatenate(plain) if len(skins) < len(parts) else np.zeros((0, 3, 3), np.float32),
    )


def _colors_or_white(part: Part) -> Array:
    return np.ones((len(part.vertices), 3)) if part.colors is None else part.colors


def _stack(arrays: Sequence[Array | None]) -> Array | None:
    """One array of several; None unless all are there."""
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if len(there) == len(arrays) else None


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
