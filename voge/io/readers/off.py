"""Meshes of OFF and its variants with colors, normals and texture coordinates (Geomview's manual, section 4.2.5)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import Content, Part, numbers_of, unit_colors
from voge.meshes.mesh import Array
from voge.meshes.polygons import triangulate

# ST texture coordinates, C colors, N normals, 4 four coordinates, n any number of them; then the counts, blank or not.
_HEAD = re.compile(r"^(ST)?(C?)(N?)(C?)(4?)(n?)OFF\s*(.*)$", re.IGNORECASE)


def read(path: Path) -> Content:
    """The piece of a file.

    Raises:
        DataError: the file is no OFF, is cut off, or a face names a vertex that is not there.
    """
    lines = [line.partition("#")[0].strip() for line in path.read_bytes().decode("utf-8-sig", "replace").splitlines()]
    lines = [line for line in lines if line]
    head = _HEAD.match(lines[0]) if lines else None
    if head is None:
        raise DataError(path, "is not OFF: it does not begin with OFF", "check what kind of file it is")
    textured, color, normal, late_color, four, many, rest = head.groups()
    if rest.upper().startswith("BINARY"):
        raise DataError(path, "is a binary OFF, which is not read", "export it as text, or as PLY")
    if four or many:
        raise DataError(path, "has vertices that are not of 3 coordinates", "export it with 3")
    words, rows = (rest.split(), lines[1:]) if rest else ((lines[1:2] or [""])[0].split(), lines[2:])
    try:
        count, faces = int(words[0]), int(words[1])
    except (ValueError, IndexError):
        raise DataError(path, "has no numbers of vertices and faces after OFF", "export it again") from None
    if len(rows) < count:
        raise DataError(path, f"announces {count} vertices but has {len(rows)}", "is it complete?")
    if len(rows) < count + faces:
        raise DataError(path, f"announces {faces} faces but has {len(rows) - count}", "is it complete?")
    notes: list[str] = []
    points, colors = _vertices(path, rows[:count], bool(color or late_color), bool(normal), bool(textured), notes)
    return Content([_faces(path, points, colors, rows[count : count + faces], notes)], tuple(notes))


def _vertices(
    path: Path, rows: list[str], colored: bool, normal: bool, textured: bool, notes: list[str]
) -> tuple[Array, Array | None]:
    """Positions and colors; in a row stand x y z, then a normal, a color and texture coordinates.

    MeshLab puts the color first, so where a normal and a color stand, the one with a sign is the normal.
    """
    words = [row.split() for row in rows]
    least = 3 + 3 * normal + 3 * colored + 2 * textured
    short = next((number for number, row in enumerate(words) if len(row) < least), None)
    if short is not None:
        kind = "is COFF, but a vertex has no color" if colored and not (normal or textured) else "has a short row"
        raise DataError(
            path, f"{kind} (vertex {short} has {len(words[short])} numbers, not {least})", "export it again"
        )
    if not (normal or colored or textured) and words and all(len(row) in (6, 7) for row in words):
        notes.append("its vertices have more numbers than OFF allows: they are taken for colors, as of COFF")
        colored, least = True, 6
    elif any(len(row) > least + colored for row in words):
        notes.append(f"its vertices have more numbers than {least}, which are left out")
    if textured:
        notes.append("its texture coordinates are left out: OFF names no picture")
    try:
        table = numbers_of(" ".join(" ".join(row[:least]) for row in words)).reshape(len(rows), least)
    except ValueError as error:
        raise DataError(path, f"has a vertex that is not numbers ({error})", "export it again") from error
    signs = any(word.startswith("-") for row in words for word in row[6 : len(row) - 2 * textured])
    late = normal and not (colored and signs and (table[:, 3:6] >= 0).all())
    first = 3 + 3 * late
    return table[:, :3], unit_colors(table[:, first : first + 3]) if colored else None


def _faces(path: Path, points: Array, colors: Array | None, rows: list[str], notes: list[str]) -> Part:
    words = [row.split() for row in rows]
    try:
        counts = numbers_of(" ".join(row[0] for row in words), np.int64)
        corners = numbers_of(" ".join(" ".join(row[1 : n + 1]) for row, n in zip(words, counts, strict=True)), np.int64)
    except (ValueError, IndexError) as error:
        raise DataError(path, f"has a face that is not whole numbers ({error})", "export it again") from error
    if len(corners) != counts.clip(min=0).sum():
        raise DataError(path, "has a face with fewer corners than it announces", "is it complete?")
    if corners.size and not 0 <= corners.min() <= corners.max() < len(points):
        wrong = corners.min() if corners.min() < 0 else corners.max()
        raise DataError(path, f"a face names vertex {wrong} of {len(points)}", "export the mesh again")
    places, owner = triangulate(points, corners, counts)
    painted = None if colors is not None else _face_colors(words, counts, notes)
    return Part(points, corners[places], colors, face_colors=None if painted is None else painted[owner])


def _face_colors(words: list[list[str]], counts: Array, notes: list[str]) -> Array | None:
    """(P, 3) colors behind the corners; white where a face has none. None where no face has any."""
    behind = [row[n + 1 :] for row, n in zip(words, counts, strict=True)]
    lengths = {len(each) for each in behind}
    if lengths <= {0}:
        return None
    if 1 in lengths:
        notes.append("colors of its faces by number in a map are left out")
    found = np.ones((len(behind), 3))
    rows = [number for number, each in enumerate(behind) if len(each) >= 3]
    if not rows:
        return None
    try:
        stored = np.array([behind[row][:3] for row in rows], np.float64)
    except ValueError:
        notes.append("colors of its faces are not numbers, so they are left out")
        return None
    # Whole numbers are of 255, written with a point they are fractions.
    whole = not any("." in word for row in rows for word in behind[row][:3])
    found[rows] = stored / 255 if whole else stored
    return np.clip(found, 0, 1)
