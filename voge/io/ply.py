"""PLY files as elements of named columns: what 3DGS files need, and what is checked of every PLY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voge.errors import DataError

MOST_HEADER = 2**20  # bytes
TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a header: its rows and the types of its columns."""

    name: str
    count: int
    columns: Mapping[str, str]  # name -> NumPy type without byte order, "list" for a list
    lists: Mapping[str, tuple[str, str]]  # name -> types of a list's length and of its entries


@dataclass(frozen=True, slots=True)
class Header:
    """What a PLY file announces."""

    order: str  # "" for text, "<" or ">" for binary
    elements: tuple[Element, ...]
    comments: tuple[str, ...]
    length: int  # bytes before the data

    def element(self, name: str) -> Element | None:
        """The element of this name, if there is one."""
        return next((element for element in self.elements if element.name == name), None)


def read_header(path: Path) -> Header:
    """The header, checked.

    Raises:
        DataError: the file does not begin with the header of a PLY.
    """
    with path.open("rb") as stream:
        start = stream.read(MOST_HEADER)
    if not start.startswith(b"ply"):
        raise DataError(path, "is not a PLY: it does not begin with 'ply'", "check what kind of file it is")
    end = start.find(b"end_header")
    if end < 0:
        raise DataError(path, "has no end of its PLY header", "is it complete?")
    length = start.find(b"\n", end) + 1 or len(start)
    lines = [line.split() for line in start[:end].decode("latin-1").splitlines()]
    try:
        return _parse(lines, length)
    except (ValueError, IndexError, KeyError) as error:
        raise DataError(path, f"has a PLY header that cannot be read ({error})", "export it again") from error


def _parse(lines: Sequence[Sequence[str]], length: int) -> Header:
    order, comments, elements = None, [], []
    for words in lines[1:]:
        if not words:
            continue
        if words[0] == "format":
            order = _FORMATS[words[1]]
        elif words[0] in ("comment", "obj_info"):
            comments.append(" ".join(words[1:]))
        elif words[0] == "element":
            if int(words[2]) < 0:
                raise ValueError(f"element {words[1]} has {words[2]} rows")
            elements.append(Element(words[1], int(words[2]), {}, {}))
        elif words[0] == "property":
            _add_column(elements, words)
        else:
            raise ValueError(f"a line begins with '{words[0]}'")
    if order is None:
        raise ValueError("it names no format")
    return Header(order, tuple(elements), tuple(comments), length)


def _add_column(elements: list[Element], words: Sequence[str]) -> None:
    if not elements:
        raise ValueError("a property comes before any element")
    columns, name = dict(elements[-1].columns), words[-1]
    if name in columns:
        raise ValueError(f"property {name} comes twice")
    lists = dict(elements[-1].lists)
    if words[1] == "list":
        columns[name], lists[name] = "list", (TYPES[words[2]], TYPES[words[3]])
    else:
        columns[name] = TYPES[words[1]]
    elements[-1] = Element(elements[-1].name, elements[-1].count, columns, lists)


def read_columns(path: Path, header: Header, name: str) -> dict[str, NDArray[Any]]:
    """The columns of an element without lists that comes first in the file; one array a property, (rows,).

    Raises:
        DataError: the file holds fewer rows than it announces.
    """
    element = header.elements[0]
    if element.name != name or element.lists:
        raise DataError(path, f"its first element is not '{name}' with numbers only", "export it again")
    if header.order:
        dtype = np.dtype([(column, header.order + kind) for column, kind in element.columns.items()])
        with path.open("rb") as stream:
            stream.seek(header.length)
            rows = np.fromfile(stream, dtype, element.count)
        _check_count(path, element, len(rows))
        return {column: rows[column] for column in element.columns}
    with path.open("rb") as stream:
        stream.seek(header.length)
        lines = stream.read().decode("latin-1").splitlines()[: element.count]
    _check_count(path, element, sum(bool(line.strip()) for line in lines))
    try:
        table = np.loadtxt(lines, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise DataError(path, f"has a row that is not {len(element.columns)} numbers ({error})") from error
    if element.count and table.shape[1] != len(element.columns):
        raise DataError(path, f"has rows of {table.shape[1]} numbers, not {len(element.columns)}", "export it again")
    return {column: table[:, i] for i, column in enumerate(element.columns)} if element.count else {}


def check_binary_size(path: Path, header: Header) -> None:
    """Whether the file is long enough for its elements before the first list; lists are measured by who reads them."""
    room = path.stat().st_size - header.length
    for element in header.elements:
        if element.lists:
            # No list is shorter than its length.
            row = sum(np.dtype(kind).itemsize for kind in element.columns.values() if kind != "list")
            row += sum(np.dtype(length).itemsize for length, _ in element.lists.values())
            _check_count(path, element, room // row)
            return
        row = sum(np.dtype(kind).itemsize for kind in element.columns.values())
        _check_count(path, element, room // row if row else element.count)
        room -= element.count * row


def check_text_rows(path: Path, header: Header) -> None:
    """Whether a text file has a line for every row, and its lists as many entries as they announce."""
    with path.open("rb") as stream:
        stream.seek(header.length)
        lines = [line for line in stream if not line.isspace()]
    start = 0
    for element in header.elements:
        rows = lines[start : start + element.count]
        _check_count(path, element, len(rows))
        start += element.count
        if list(element.columns.values()) == ["list"]:
            for row, line in enumerate(rows):
                words = line.split(None, 1)
                if not words[0].isdigit() or int(words[0]) + 1 > len(line.split()):
                    raise DataError(path, f"row {row} of {element.name} has a broken list", "export it again")


def _check_count(path: Path, element: Element, found: int) -> None:
    if found < element.count:
        rows = "vertices" if element.name == "vertex" else f"rows of {element.name}"
        raise DataError(path, f"announces {element.count} {rows} but has {found}", "is it complete?")


def write_columns(path: Path, name: str, columns: Mapping[str, NDArray[Any]], comments: Sequence[str] = ()) -> None:
    """A binary PLY of one element, all columns float32.

    Comments come last in the header: some viewers take the number of rows from the third line.
    """
    rows = len(next(iter(columns.values())))
    table = np.stack([np.asarray(column, "<f4") for column in columns.values()], 1)
    lines = ["ply", "format binary_little_endian 1.0", f"element {name} {rows}"]
    lines += [f"property float {column}" for column in columns]
    lines += [f"comment {comment}" for comment in comments] + ["end_header", ""]
    with path.open("wb") as stream:
        stream.write("\n".join(lines).encode("ascii"))
        stream.write(np.ascontiguousarray(table).tobytes())
