"""Points in rows of text, as scanners and CloudCompare write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import Content, Part, unit_colors
from voge.meshes.mesh import Array

SUFFIXES = (".xyz", ".txt", ".asc", ".pts", ".csv", ".xyzrgb", ".xyzn")
_REMARK = re.compile("#|//")
_COMMA = re.compile(r"[-+]?\d+(,\d+)?([eE][-+]?\d+)?")  # a number with a comma for its point
# Names of columns in a heading, as CloudCompare, MeshLab and laspy's exporters write them.
_NAMES = {
    "x": "x", "y": "y", "z": "z", "r": "r", "g": "g", "b": "b", "red": "r", "green": "g", "blue": "b",
    "nx": "nx", "ny": "ny", "nz": "nz", "rf": "r", "gf": "g", "bf": "b",
}  # fmt: skip


def read(path: Path) -> Content:
    """The points; `#` and `//` begin remarks, commas and semicolons stand for blanks.

    Raises:
        DataError: a row is not numbers, or rows differ in length.
    """
    data = path.read_bytes()
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")  # Windows' "Unicode"
    lines = data.decode("utf-16" if wide else "utf-8-sig", "replace").splitlines()
    heading = _heading(lines)
    start = next((i for i, line in enumerate(lines) if _bare(line)), len(lines))
    if start < len(lines) and (names := _names(lines[start])):
        heading, start = heading or names, start + 1
    if _decimal_commas(lines[start:]):
        lines[start:] = [line.replace(",", ".") for line in lines[start:]]
    announced = None
    if start + 1 < len(lines) and len(_bare(lines[start])) == 1 and len(_bare(lines[start + 1])) > 1:
        announced, start = _bare(lines[start])[0], start + 1
    rows = _table(path, lines[start:])
    if announced is not None and announced.isdigit() and int(announced) > len(rows):
        raise DataError(path, f"announces {announced} points but has {len(rows)}", "is it complete?")
    if heading is None and path.suffix.lower() != ".pts" and rows.ndim == 2 and _ends_in_opacity(rows):
        heading = ["x", "y", "z", "r", "g", "b", "opacity"]
    return columns_of(path, rows, heading) if rows.size else Content([Part(np.zeros((0, 3)))])


def _ends_in_opacity(rows: Array) -> bool:
    """True for x y z r g b a, as trimesh writes them: a is full in all rows, and the color is not white in all."""
    if rows.shape[1] != 7 or not len(rows):
        return False
    top = rows[0, 6]
    full = top in (1, 255, 65535) and bool((rows[:, 6] == top).all())
    return full and 0 <= rows[:, 3:6].min() <= rows[:, 3:6].max() <= top and not bool((rows[:, 4:6] == top).all())


def _bare(line: str) -> list[str]:
    """The words of a line without its remark."""
    return _REMARK.split(line, maxsplit=1)[0].replace(",", " ").replace(";", " ").split()


def _decimal_commas(lines: Sequence[str]) -> bool:
    """True where commas stand for points, as in 1,5;2,5;3,5: the first row with a comma tells."""
    row = next((line for line in lines if "," in line and _bare(line)), "")
    words = [word for word in re.split(r"[\s;]+", _REMARK.split(row, maxsplit=1)[0]) if word]
    return len(words) >= 3 and all(_COMMA.fullmatch(word) for word in words)


def _table(path: Path, lines: list[str]) -> Array:
    """(P, columns) numbers."""
    if not any(map(_bare, lines[:1])) and not any(map(_bare, lines)):
        return np.zeros((0, 3))
    text = "\n".join(lines)
    if "," in text or ";" in text:
        lines = text.replace(",", " ").replace(";", " ").split("\n")
    try:
        return np.loadtxt(lines, dtype=np.float64, ndmin=2, comments=("#", "//"))
    except ValueError:
        raise DataError(path, _fault(lines), "give as many numbers in every row, x y z first") from None


def _fault(lines: list[str]) -> str:
    """The first row that breaks a table of numbers."""
    width = 0
    for number, line in enumerate(lines, 1):
        words = _bare(line)
        for word in words:
            try:
                float(word)
            except ValueError:
                return f"has a row that is not numbers (row {number}: '{word[:40]}')"
        if words and len(words) != (width := width or len(words)):
            return f"has a row of {len(words)} numbers (row {number}), the first has {width}"
    return "has rows that cannot be read"


def _heading(lines: Sequence[str]) -> list[str] | None:
    """The names of the columns in a remark above the rows, such as //X Y Z R G B."""
    for line in lines:
        bare = line.strip()
        if not bare.startswith(("#", "//")):
            return None
        if names := _names(bare.lstrip("#/ ")):
            return names
    return None


def _names(line: str) -> list[str] | None:
    words = [word.strip('"').lower() for word in re.split(r"[\s,;]+", line.strip()) if word]
    return words if {"x", "y", "z"} <= set(words) else None


def columns_of(path: Path, rows: Array, names: Sequence[str] | None = None) -> Content:
    """Points from rows of numbers.

    Without names of the columns they are x y z, then an intensity (4 or 7 columns), a color, a normal, or both.

    Raises:
        DataError: the rows are no points.
    """
    if rows.dtype.kind not in "fiu":
        raise DataError(path, f"holds {rows.dtype}, not numbers", "save an array of floats")
    if not rows.size:
        return Content([Part(np.zeros((0, 3)))])
    if names is not None and rows.ndim == 2 and len(names) == rows.shape[1]:
        return _named(rows, names)
    if rows.ndim != 2 or rows.shape[1] not in (3, 4, 6, 7, 9):
        raise DataError(
            path, f"has points of shape {rows.shape}", "give 3 columns x y z, then a color or a normal or both"
        )
    notes: tuple[str, ...] = ()
    if rows.shape[1] in (4, 7):
        notes = ("its fourth column is taken for an intensity and left out",)
        rows = np.delete(rows, 3, axis=1)
    points, first, second = rows[:, :3].astype(np.float64), rows[:, 3:6], rows[:, 6:].astype(np.float64)
    if rows.shape[1] == 3:
        return Content([Part(points)], notes)
    if rows.shape[1] == 6 and np.allclose(np.linalg.norm(first, axis=1), 1, atol=0.01):
        return Content([Part(points, normals=first.astype(np.float64))], notes)
    return Content([Part(points, colors=unit_colors(first), normals=second if second.size else None)], notes)


def _named(rows: Array, names: Sequence[str]) -> Content:
    known = [_NAMES.get(name, "") for name in names]
    left = [name for name, meaning in zip(names, known, strict=True) if not meaning]
    notes = (f"its columns {', '.join(left)} are left out",) if left else ()

    def column(*wanted: str) -> Array | None:
        return rows[:, [known.index(name) for name in wanted]] if set(wanted) <= set(known) else None

    points, colors, normals = column("x", "y", "z"), column("r", "g", "b"), column("nx", "ny", "nz")
    assert points is not None
    return Content(
        [
            Part(
                points.astype(np.float64),
                colors=None if colors is None else unit_colors(colors),
                normals=None if normals is None else normals.astype(np.float64),
            )
        ],
        notes,
    )
