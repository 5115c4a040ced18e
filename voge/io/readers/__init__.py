"""Readers of mesh and point files, one a format: each gives pieces in world coordinates and notes."""

from __future__ import annotations

from pathlib import Path

from voge.io.readers import arrays, gltf, obj, off, other, ply, stl, text
from voge.io.readers.part import Content as Content
from voge.io.readers.part import Part as Part

_READERS = {
    ".npy": arrays.read,
    ".npz": arrays.read,
    ".obj": obj.read,
    ".gltf": gltf.read,
    ".glb": gltf.read,
    ".ply": ply.read,
    ".off": off.read,
    ".stl": stl.read,
    **dict.fromkeys(text.SUFFIXES, text.read),
}


def read_content(path: Path) -> Content:
    """The pieces of a file by its suffix, unchecked. Raises DataError, or whatever a decoder may."""
    return _READERS.get(path.suffix.lower(), other.read)(path)
