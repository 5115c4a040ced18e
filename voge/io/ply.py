"""PLY files as elements of named columns: what 3DGS files need, and what is checked of every PLY."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    """Elements and encoding that a PLY file announces."""

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
        told = "" if "int()" in str(error) or isinstance(error, (IndexError, KeyError)) else f" ({error})"
        raise DataError(path, f"has a PLY header that cannot be read{told}", "export it again") from error


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


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of an element."""

    count: int
    columns: Mapping[str, NDArray[Any]]  # (rows,) each, in the file's type; float64 in text files
    lists: Mapping[str, tuple[NDArray[Any], NDArray[np.int64]]]  # all entries in order, and how many a row has
    comments: tuple[str, ...] = ()  # of the header


def read_elements(path: Path, wanted: Sequence[str] = ()) -> dict[str, Rows]:
    """The elements of a file by name; all, or those wanted and nothing after the last of them.

    Raises:
        DataError: the file holds fewer rows than it announces, or a row is not numbers.
    """
    header = read_header(path)
    with path.open("rb") as stream:
        stream.seek(header.length)
        data = stream.read()
    found: dict[str, Rows] = {}
    cursor = _Binary(path, header, data) if header.order else _Text(path, header, data)
    left = set(wanted)
    for element in header.elements:
        found[element.name] = cursor.take(element)
        left.discard(element.name)
        if wanted and not left:
            break
    return found


class _Binary:
    """A cursor over the rows of a binary file."""

    def __init__(self, path: Path, header: Header, data: bytes) -> None:
        self.path, self.header, self.data, self.start = path, header, data, 0

    def take(self, element: Element) -> Rows:
        """The rows of the next element."""
        order, comments = self.header.order, self.header.comments
        if not element.lists:
            dtype = np.dtype([(name, order + kind) for name, kind in element.columns.items()])
            room = len(self.data) - self.start
            _check_count(self.path, element, room // dtype.itemsize if dtype.itemsize else element.count)
            rows = np.frombuffer(self.data, dtype, element.count, self.start) if dtype.itemsize else None
            self.start += element.count * dtype.itemsize
            return Rows(element.count, {n: rows[n] for n in element.columns} if rows is not None else {}, {}, comments)
        return self._even(element) or self._uneven(element)

    def _even(self, element: Element) -> Rows | None:
        """Rows whose lists are all as long as those of the first row, which is the common case; else None."""
        order = self.header.order
        fields: list[Any] = []
        place = self.start
        for name, kind in element.columns.items():
            if kind != "list":
                fields.append((name, order + kind))
                place += np.dtype(kind).itemsize
                continue
            count, entry = element.lists[name]
            if not element.count or place + np.dtype(count).itemsize > len(self.data):
                return None
            length = int(np.frombuffer(self.data, order + count, 1, place)[0])
            if not 0 <= length < 2**16:
                return None
            fields += [(f"{name} #", order + count), (name, order + entry, (length,))]
            place += np.dtype(count).itemsize + length * np.dtype(entry).itemsize
        dtype = np.dtype(fields)
        if self.start + element.count * dtype.itemsize > len(self.data):
            return None
        rows = np.frombuffer(self.data, dtype, element.count, self.start)
        if any((rows[f"{name} #"] != rows[name].shape[1]).any() for name in element.lists):
            return None
        self.start += element.count * dtype.itemsize
        lists = {n: (rows[n].reshape(-1), np.full(element.count, rows[n].shape[1])) for n in element.lists}
        columns = {name: rows[name] for name, kind in element.columns.items() if kind != "list"}
        return Rows(element.count, columns, lists, self.header.comments)

    def _uneven(self, element: Element) -> Rows:
        """Rows of lists of any length: each is found by the one before it."""
        order, data, place = self.header.order, self.data, self.start
        end: Literal["little", "big"] = "little" if order == "<" else "big"
        # (bytes before the next list, bytes of its length, bytes of an entry), and what follows the last list.
        steps: list[tuple[int, int, int]] = []
        gap = 0
        for name, kind in element.columns.items():
            if kind != "list":
                gap += np.dtype(kind).itemsize
                continue
            count, entry = element.lists[name]
            steps.append((gap, np.dtype(count).itemsize, np.dtype(entry).itemsize))
            gap = 0
        starts = np.empty(element.count, np.int64)
        lengths = np.empty((element.count, len(steps)), np.int64)
        for row in range(element.count):
            starts[row] = place
            for number, (before, size, width) in enumerate(steps):
                place += before
                length = int.from_bytes(data[place : place + size], end)
                lengths[row, number] = length
                place += size + length * width
            place += gap
            if place > len(data):
                _check_count(self.path, element, row)
        self.start = place
        return self._gathered(element, starts, lengths)

    def _gathered(self, element: Element, starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> Rows:
        octets, order = np.frombuffer(self.data, np.uint8), self.header.order
        columns, lists, place, number = {}, {}, starts.copy(), 0
        for name, kind in element.columns.items():
            if kind != "list":
                size = np.dtype(kind).itemsize
                columns[name] = octets[place[:, None] + np.arange(size)].reshape(-1).view(order + kind)
                place += size
                continue
            (count, entry), length = element.lists[name], lengths[:, number]
            place += np.dtype(count).itemsize
            size = np.dtype(entry).itemsize
            total = length * size
            first = np.concatenate([[0], np.cumsum(total)[:-1]]) if len(total) else total
            where = np.arange(int(total.sum())) + np.repeat(place - first, total)
            lists[name] = (octets[where].view(order + entry), length)
            place += total
            number += 1
        return Rows(element.count, columns, lists, self.header.comments)


class _Text:
    """A cursor over the rows of a text file."""

    def __init__(self, path: Path, header: Header, data: bytes) -> None:
        self.path, self.header = path, header
        self.lines = [line for line in data.decode("latin-1").splitlines() if line and not line.isspace()]
        self.start = 0

    def take(self, element: Element) -> Rows:
        """The rows of the next element."""
        lines = self.lines[self.start : self.start + element.count]
        _check_count(self.path, element, len(lines))
        self.start += element.count
        words = [line.split() for line in lines]
        names, comments = list(element.columns), self.header.comments
        try:
            numbers = np.array([word for row in words for word in row], dtype=np.float64)
        except ValueError as error:
            word = str(error).rpartition(": ")[2][:40]
            raise DataError(
                self.path, f"has a row of {element.name} that is not numbers ({word})", "export it again"
            ) from error
        counts = np.array([len(row) for row in words], np.int64)
        ends = np.cumsum(counts)
        place = ends - counts
        columns, lists = {}, {}
        for name in names:
            self._check_room(element, place, ends)
            if element.columns[name] != "list":
                kind = element.columns[name]
                column = numbers[place]
                columns[name] = column.astype(kind) if kind in ("u1", "u2", "i1", "i2") else column
                place = place + 1
                continue
            length = numbers[place].astype(np.int64)
            bad = np.flatnonzero((length < 0) | (place + 1 + length > ends))
            if len(bad):
                raise DataError(self.path, f"row {bad[0]} of {element.name} has a broken list", "export it again")
            first = np.concatenate([[0], np.cumsum(length)[:-1]]) if len(length) else length
            lists[name] = (numbers[np.arange(int(length.sum())) + np.repeat(place + 1 - first, length)], length)
            place = place + 1 + length
        return Rows(element.count, columns, lists, comments)

    def _check_room(self, element: Element, place: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        short = np.flatnonzero(place >= ends)
        if len(short):
            raise DataError(
                self.path,
                f"row {short[0]} of {element.name} has too few numbers",
                "is it complete? else export it again",
            )


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
