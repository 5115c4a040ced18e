"""Meshes and points of PLY: faces and triangle strips, colors of vertices or faces, textures named in the header."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io import ply
from voge.io.readers.gltf import strip_faces
from voge.io.readers.part import NO_FACES, Content, Part, Skin, unit_colors
from voge.io.readers.pictures import find_beside, texture_pixels
from voge.meshes.mesh import Array
from voge.meshes.polygons import triangulate

COLORS = (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b"))
_NORMALS = ("nx", "ny", "nz")
_POINTS_OF_FACES = ("vertex_indices", "vertex_index")
_COORDINATES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))


def read(path: Path) -> Content:
    """The piece of a file.

    Raises:
        DataError: columns or rows are missing, or a face names a vertex that is not there.
    """
    table = ply.read_elements(path)
    vertex = table.get("vertex")
    if vertex is None:
        raise DataError(path, "has no element 'vertex'", "export it as a mesh or points")
    for name in ("x", "y", "z"):
        if name not in vertex.columns:
            raise DataError(path, f"has no {name} of its vertices", "export it again")
    notes: list[str] = []
    points = np.stack([vertex.columns[name].astype(np.float64) for name in ("x", "y", "z")], 1)
    colors, normals = _colors(vertex), None
    if all(name in vertex.columns for name in _NORMALS):
        normals = np.stack([vertex.columns[name].astype(np.float64) for name in _NORMALS], 1)
    if "range_grid" in table and "face" not in table:
        notes.append("it is a range grid, of which the points alone are read")
    if "edge" in table:
        notes.append("its edges are left out")
    notes += _left_out(vertex)
    face = table.get("face")
    if face is not None and face.count:
        return Content(_with_faces(path, points, colors, normals, vertex, face, notes), tuple(notes))
    if "tristrips" in table:
        faces = _strips(path, table["tristrips"])
        _check(path, faces, len(points))
        return Content([Part(points, faces, colors, normals)], tuple(notes))
    return Content([Part(points, colors=colors, normals=normals)], tuple(notes))


def _left_out(vertex: ply.Rows) -> list[str]:
    """A note of the columns of vertices that mean nothing here; a full alpha says nothing."""
    known = {"x", "y", "z", *_NORMALS, *(name for pair in (*COLORS, *_COORDINATES) for name in pair)}
    full = (
        {
            name
            for name in ("alpha", "a", "diffuse_alpha")
            if name in vertex.columns
            and np.ptp(vertex.columns[name]) == 0
            and vertex.columns[name][0] in (1, 255, 65535)
        }
        if vertex.count
        else set()
    )
    left = [name for name in (*vertex.columns, *vertex.lists) if name not in known | full]
    more = f" and {len(left) - 8} more" if len(left) > 8 else ""
    return [f"its columns {', '.join(left[:8])}{more} are left out"] if left else []


def _colors(element: ply.Rows) -> Array | None:
    for names in COLORS:
        if all(name in element.columns for name in names):
            return unit_colors(np.stack([element.columns[name] for name in names], 1))
    return None


def _with_faces(
    path: Path,
    points: Array,
    colors: Array | None,
    normals: Array | None,
    vertex: ply.Rows,
    face: ply.Rows,
    notes: list[str],
) -> list[Part]:
    name = next((name for name in _POINTS_OF_FACES if name in face.lists), None)
    if name is None:
        raise DataError(path, f"its {face.count} faces have no list of vertices", "export the mesh again")
    corners, counts = face.lists[name]
    corners = corners.astype(np.int64)
    _check(path, corners, len(points))
    places, owner = triangulate(points, corners, counts)
    faces = corners[places]
    painted = _colors(face) if colors is None else None
    skin = _skin(path, vertex, face, places, notes)
    if skin is None:
        tinted = None if painted is None else painted[owner]
        return [Part(points, faces, colors, normals, face_colors=tinted)]
    image, uv, per_corner = skin
    if not per_corner:
        return [Part(points, faces, colors, normals, skin=Skin(image, uv))]
    flat = faces.reshape(-1)
    apart = np.arange(len(flat)).reshape(-1, 3)
    return [Part(points[flat], apart, None if colors is None else colors[flat], skin=Skin(image, uv))]


def _skin(
    path: Path, vertex: ply.Rows, face: ply.Rows, places: Array, notes: list[str]
) -> tuple[Array, Array, bool] | None:
    """A picture named in the header, its coordinates, and whether these belong to corners, not to vertices."""
    named = [line.split(None, 1)[1] for line in vertex.comments if line.lower().startswith("texturefile ")]
    pair = next((pair for pair in _COORDINATES if all(name in vertex.columns for name in pair)), None)
    corner = face.lists.get("texcoord")
    if not named or (pair is None and corner is None):
        if named:
            notes.append(f"its texture {named[0]} has no coordinates, so it is left out")
        return None
    if len(named) > 1:
        notes.append(f"of its {len(named)} textures none is used: only one a file is read")
        return None
    picture = find_beside(named[0], [path.parent])
    if picture is None:
        notes.append(f"its texture {named[0]} is not beside it")
        return None
    try:
        image = texture_pixels(picture.read_bytes())
    except ValueError as error:
        notes.append(f"its texture {picture.name} cannot be read ({error})")
        return None
    if corner is not None:
        values, _ = corner
        if len(values) != 2 * int(face.lists[next(n for n in _POINTS_OF_FACES if n in face.lists)][1].sum()):
            notes.append("its texture coordinates do not fit its faces, so its texture is left out")
            return None
        return image, values.astype(np.float64).reshape(-1, 2)[places.reshape(-1)], True
    assert pair is not None
    return image, np.stack([vertex.columns[name].astype(np.float64) for name in pair], 1), False


def _strips(path: Path, element: ply.Rows) -> Array:
    """(F, 3) of triangle strips, which -1 ends; rows of a list each begin a strip of their own."""
    if not element.lists:
        raise DataError(path, "its tristrips have no list of vertices", "export the mesh again")
    corners, counts = next(iter(element.lists.values()))
    corners = corners.astype(np.int64)
    ends = np.cumsum(counts)
    pieces = []
    for row in np.split(corners, ends[:-1]):
        pieces += [strip_faces(piece[piece >= 0]) for piece in np.split(row, np.flatnonzero(row < 0))]
    faces = np.concatenate(pieces) if pieces else NO_FACES
    proper: Array = faces[(faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])]
    return proper


def _check(path: Path, rows: Array, count: int) -> None:
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        wrong = rows.min() if rows.min() < 0 else rows.max()
        raise DataError(path, f"a face names vertex {wrong} of {count}", "export the mesh again")
