"""Meshes and points of Wavefront OBJ, with the colors of their vertices and material libraries.

Indices count from where the face stands when they are negative. Polygons are cut into triangles. Faces without
`usemtl` take the library's material where there is only one. Not read, with a note: lines, curves and surfaces.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.readers.mtl import Material, joined_lines, read_library
from voge.io.readers.part import Content, Part, Skin, numbers_of, unit_colors
from voge.io.readers.pictures import find_beside, texture_pixels
from voge.meshes.mesh import Array
from voge.meshes.polygons import triangulate

_NUMBER = re.compile("[-+0-9]+")
_UNREAD = ("l", "curv", "curv2", "surf", "fo")


@dataclass(eq=False)
class _Lines:
    """The lines of a file by kind."""

    vertices: list[str] = field(default_factory=list)
    coordinates: list[str] = field(default_factory=list)
    normals: int = 0
    faces: list[str] = field(default_factory=list)
    material: list[int] = field(default_factory=list)  # of each face, a row of `names`
    before: list[tuple[int, int]] = field(default_factory=list)  # vertices and coordinates above each face
    points: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=lambda: [None])
    libraries: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read(path: Path) -> Content:
    """The pieces of a file: one for each material.

    Raises:
        DataError: a row is not numbers, or a face names what is not there.
    """
    lines = _sorted(path)
    vertices, colors = _vertices(path, lines.vertices, lines.notes)
    uv = _table(path, lines.coordinates, "vt", (1, 2, 3))[:, :2] if lines.coordinates else np.zeros((0, 2))
    if uv.shape[1] == 1:
        uv = np.concatenate([uv, np.zeros_like(uv)], 1)
    if not lines.faces:
        return Content([Part(vertices, colors=colors)], tuple(dict.fromkeys(lines.notes)))
    rows, texture_rows, counts = _corners(path, lines, len(vertices), len(uv))
    places, owner = triangulate(vertices, rows, counts)
    parts = _painted(
        path, lines, vertices, colors, uv, rows[places], texture_rows[places], np.array(lines.material)[owner]
    )
    return Content(parts, tuple(dict.fromkeys(lines.notes)))


def _sorted(path: Path) -> _Lines:
    text = path.read_bytes().decode("utf-8-sig", "replace")
    lines, current = _Lines(), 0
    numbers: dict[str | None, int] = {None: 0}
    for line in joined_lines(text):
        head = line[:2]
        if head == "v " or head == "v\t":
            lines.vertices.append(line[2:])
        elif head == "f " or head == "f\t":
            lines.faces.append(line[2:])
            lines.material.append(current)
            lines.before.append((len(lines.vertices), len(lines.coordinates)))
        elif head == "vt":
            lines.coordinates.append(line[3:])
        elif head == "vn":
            lines.normals += 1
        else:
            key, rest = [*line.split(None, 1), "", ""][:2]
            rest = rest.strip()
            if key in ("v", "f", "vt") or (line[:1] in " \t" and key in ("v", "f", "vt", "vn")):
                _indented(lines, key, rest, current)
            elif key == "usemtl":
                current = numbers.setdefault(rest, len(numbers))
                if current == len(lines.names):
                    lines.names.append(rest)
            elif key == "mtllib":
                lines.libraries.append(rest)
            elif key == "p":
                lines.points.append(rest)
            elif key in _UNREAD:
                lines.notes.append(f"its {'lines' if key == 'l' else 'curves and surfaces'} are left out")
    return lines


def _indented(lines: _Lines, key: str, rest: str, current: int) -> None:
    """A line with blanks before its key."""
    if key == "v":
        lines.vertices.append(rest)
    elif key == "vt":
        lines.coordinates.append(rest)
    elif key == "vn":
        lines.normals += 1
    else:
        lines.faces.append(rest)
        lines.material.append(current)
        lines.before.append((len(lines.vertices), len(lines.coordinates)))


def _vertices(path: Path, rows: list[str], notes: list[str]) -> tuple[Array, Array | None]:
    """Positions (V, 3) and colors (V, 3), where every vertex has some."""
    if not rows:
        return np.zeros((0, 3)), None
    table = _table(path, rows, "v", (3, 4, 6, 7))
    if table.shape[1] < 6:
        return table[:, :3], None
    # x y z, then a color, or a weight and a color, or a color and an opacity, which is full.
    opaque = table.shape[1] == 7 and (table[:, 3] != 1).any() and np.isin(table[:, 6], (1, 255)).all()
    color = table[:, 3:6] if opaque or table.shape[1] == 6 else table[:, 4:]
    bare = np.isnan(color).any(1)
    if bare.any():
        notes.append(f"{bare.sum()} of its {len(rows)} vertices have no color, so those of the others are left out")
        return table[:, :3], None
    return table[:, :3], unit_colors(color)


def _table(path: Path, rows: list[str], key: str, widths: tuple[int, ...]) -> Array:
    """Rows of numbers; where their lengths differ, short ones end in NaN."""
    plain = [row.partition("#")[0] for row in rows] if any("#" in row for row in rows) else rows
    try:
        numbers = numbers_of("\n".join(plain))
    except ValueError as error:
        raise DataError(path, f"has a line {key} that is not numbers ({error})", "export it again") from error
    width = len(plain[0].split())
    counts = np.array([len(row.split()) for row in plain])
    if (counts == width).all() and width in widths:
        return numbers.reshape(len(rows), width)
    wrong = ~np.isin(counts, widths)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(path, f"line {key} number {row + 1} has {counts[row]} numbers", f"give {widths[0]} of them")
    table = np.full((len(rows), counts.max()), np.nan)
    table[np.arange(counts.max()) < counts[:, None]] = numbers
    return table


def _corners(path: Path, lines: _Lines, vertices: int, coordinates: int) -> tuple[Array, Array, Array]:
    """Rows of vertices and of texture coordinates (-1 for none) of every corner, and corners a face."""
    plain = (
        [line.partition("#")[0] for line in lines.faces] if any("#" in line for line in lines.faces) else lines.faces
    )
    counts = np.array([len(line.split()) for line in plain])
    text = "\n".join(plain)
    numbers = _split(path, text, int(counts.sum()))
    for column, (present, above) in enumerate(((vertices, 0), (coordinates, 1))):
        values = numbers[:, column]
        if (values < 0).any():
            there = np.repeat(np.array(lines.before)[:, above], counts)
            values = np.where(values < 0, there + values + 1, values)
            numbers[:, column] = np.where((values < 1) & (numbers[:, column] < 0), -1, values)
        bad = (numbers[:, column] > present) | (numbers[:, column] < 0)
        if column == 0:
            bad |= numbers[:, 0] == 0
        if bad.any():
            word = text.split()[int(np.flatnonzero(bad)[0])]
            raise DataError(
                path, f"a face names vertex data that are not there ({word} of {present})", "export it again"
            )
    return numbers[:, 0] - 1, numbers[:, 1] - 1, counts


def _split(path: Path, text: str, count: int) -> Array:
    """(C, 2) numbers of a corner's vertex and texture coordinate, 0 where it has none."""
    slashes, doubles = text.count("/"), text.count("//")
    try:
        if not slashes:
            first = numbers_of(text, np.int64)
            return np.stack([first, np.zeros_like(first)], 1)
        if doubles == count and slashes == 2 * count:  # a//c everywhere
            numbers = numbers_of(text.replace("//", " 0 "), np.int64)
            if numbers.size == 3 * count and set(_NUMBER.sub("", text).split()) == {"//"}:
                return _columns(numbers, count, 3)
        if not doubles and slashes in (count, 2 * count):
            width = slashes // count + 1
            numbers = numbers_of(text.replace("/", " "), np.int64)
            if numbers.size == width * count and set(_NUMBER.sub("", text).split()) == {"/" * (width - 1)}:
                return _columns(numbers, count, width)
        made = np.zeros((count, 2), np.int64)
        for row, word in enumerate(text.split()):
            for column, number in enumerate(word.split("/")[:2]):
                made[row, column] = numbers_of(number, np.int64)[0] if number else 0
        return made
    except OverflowError:
        raise DataError(path, "a face names vertex data that are not there", "export it again") from None
    except ValueError as error:
        raise DataError(path, f"has a face that cannot be read ({error})", "export it again") from error


def _columns(numbers: Array, count: int, width: int) -> Array:
    """The first two columns of a table; fails where a corner has fewer."""
    return numbers.reshape(count, width)[:, :2].copy()


def _painted(
    path: Path,
    lines: _Lines,
    vertices: Array,
    colors: Array | None,
    uv: Array,
    faces: Array,
    coordinates: Array,
    owner: Array,
) -> list[Part]:
    """The faces by material."""
    materials = _libraries(path, lines)
    lone = next(iter(materials.values())) if len(materials) == 1 else None
    if len(materials) > 1 and 0 in owner and len(lines.names) == 1:
        lines.notes.append(f"its faces name none of the {len(materials)} materials, so it has no colors from them")
    pictures: dict[Path, Array | None] = {}
    groups: dict[Material | None, list[int]] = {}
    for number in np.unique(owner):
        name = lines.names[number]
        material = lone if name is None else materials.get(name)
        if name is not None and material is None and materials:
            lines.notes.append(f"its faces name the material {name}, which no library has")
        groups.setdefault(material, []).append(int(number))
    parts = []
    for material, members in groups.items():
        rows = slice(None) if len(groups) == 1 else np.isin(owner, members)
        parts += _part(lines, vertices, colors, uv, faces[rows], coordinates[rows], material, pictures)
    return parts


def _part(
    lines: _Lines,
    vertices: Array,
    colors: Array | None,
    uv: Array,
    faces: Array,
    coordinates: Array,
    material: Material | None,
    pictures: dict[Path, Array | None],
) -> list[Part]:
    """The faces of a material; those without texture coordinates apart from those with."""
    image = None if material is None or material.picture is None else _pixels(material.picture, pictures, lines)
    if material is None or image is None:
        # A color of the vertex is closer to what was meant than that of all faces.
        if colors is None and material is not None and material.color is not None:
            colors = np.tile(np.array(material.color, np.float32), (len(vertices), 1))
        return [Part(vertices, faces, colors)]
    covered = (coordinates >= 0).all(1)
    parts = []
    if covered.any():
        keys = faces[covered].reshape(-1) * (len(uv) + 1) + coordinates[covered].reshape(-1)
        unique, inverse = np.unique(keys, return_inverse=True)
        points, places = unique // (len(uv) + 1), uv[unique % (len(uv) + 1)]
        places = places * material.scale + material.offset
        skin = Skin(image, places, wrap=(material.wrap, material.wrap))
        parts.append(Part(vertices[points], inverse.reshape(-1, 3).astype(np.int64), skin=skin))
    if not covered.all():
        lines.notes.append("some faces have a texture but no coordinates on it, so they have the material's color")
        plain = np.tile(np.array(material.color or (1, 1, 1), np.float32), (len(vertices), 1))
        parts.append(Part(vertices, faces[~covered], plain))
    return parts


def _libraries(path: Path, lines: _Lines) -> dict[str, Material]:
    """The materials of all libraries; the first of a name counts."""
    found: dict[str, Material] = {}
    for line in dict.fromkeys(lines.libraries):
        whole = find_beside(line, [path.parent])
        # Names may have blanks in them, and there may be several in a line.
        names = [line] if whole is not None else line.split()
        for name in names:
            library = find_beside(name, [path.parent])
            if library is None:
                lines.notes.append(f"its materials {name[:120]} are not beside it, so it has no colors from them")
                continue
            materials, notes = read_library(library, path.parent)
            found = {**materials, **found}
            lines.notes += notes
    return found


def _pixels(picture: Path, known: dict[Path, Array | None], lines: _Lines) -> Array | None:
    if picture not in known:
        try:
            known[picture] = texture_pixels(picture.read_bytes())
        except ValueError as error:
            known[picture] = None
            lines.notes.append(
                f"the texture {picture.name} cannot be read ({error}), so colors come from the materials"
            )
    return known[picture]
