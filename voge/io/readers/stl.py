"""Meshes of STL, binary or text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import Content, Part

_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_VERTEX = re.compile(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", re.IGNORECASE)


def read(path: Path) -> Content:
    """The triangles, each with vertices of its own.

    Raises:
        DataError: the file is neither kind of STL, or is cut off.
    """
    data = path.read_bytes()
    if _is_text(data):
        return _text(path, data)
    if len(data) < 84:
        raise DataError(path, "is not an STL: it has neither 'solid' nor 84 bytes", "check what kind of file it is")
    count, found = int.from_bytes(data[80:84], "little"), (len(data) - 84) // 50
    if count > found:
        raise DataError(path, f"announces {count} triangles but has {found}", "is it complete, and an STL?")
    triangles = np.frombuffer(data, _TRIANGLE, count, 84)
    notes = []
    if len(data) - 84 - 50 * count:
        notes.append(f"{len(data) - 84 - 50 * count} bytes after its {count} triangles are left out")
    if b"COLOR=" in data[:80] or (triangles["attribute"] & 0x8000).any():
        notes.append("its colors of triangles are left out: programs do not agree how STL stores them")
    corners = triangles["corners"].reshape(-1, 3).astype(np.float64)
    return Content([Part(corners, np.arange(len(corners)).reshape(-1, 3))], tuple(notes))


def _is_text(data: bytes) -> bool:
    """True of a text file. Binary files may begin with "solid" too, but no text has zeros, as their counts do."""
    return data.lstrip()[:5].lower() == b"solid" and b"\0" not in data[:4096]


def _text(path: Path, data: bytes) -> Content:
    words = _VERTEX.findall(data)
    try:
        corners = np.array(words, dtype="S32").astype(np.float64).reshape(-1, 3)
    except ValueError as error:
        raise DataError(path, f"has a vertex that is not numbers ({error})", "export it again") from error
    facets = len(re.findall(rb"^\s*facet\b", data, re.IGNORECASE | re.MULTILINE))
    if len(corners) != 3 * facets:
        raise DataError(path, f"has {facets} facets but {len(corners)} vertices, not 3 each", "is it complete?")
    if b"endsolid" not in data[-4096:].lower():
        raise DataError(path, "has no endsolid", "is it complete?")
    return Content([Part(corners, np.arange(len(corners)).reshape(-1, 3))])
