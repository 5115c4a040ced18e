"""A piece of a file, as every reader gives it, and integers that stand for fractions."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np

from voge.meshes.mesh import Array
from voge.meshes.textures import REPEAT, Wrap

NO_FACES = np.zeros((0, 3), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """A picture on a mesh."""

    image: Array  # (H, W, 3) uint8, rows from the top; one object wherever the picture is the same
    uv: Array  # (V, 2) float64 texture coordinates, v upwards
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # multiplies the picture
    wrap: tuple[Wrap, Wrap] = REPEAT  # along u and along v


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of a file in world coordinates: a mesh, or points where it has no faces."""

    vertices: Array  # (V, 3) float64
    faces: Array = field(default_factory=lambda: NO_FACES)  # (F, 3) int64
    colors: Array | None = None  # (V, 3) in [0, 1]; multiply the picture of a skin
    normals: Array | None = None  # (V, 3) float64
    face_colors: Array | None = None  # (F, 3) in [0, 1], in place of colors
    skin: Skin | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """All pieces of a file."""

    parts: list[Part]
    notes: tuple[str, ...] = ()  # what the user should know of the file, a line each


def fractions(values: Array) -> Array:
    """Integers as the fractions that they stand for, float64: unsigned ones fill [0, 1], signed ones [-1, 1].

    The one rule for normalized accessors of glTF, columns of PLY and pixels. Floats stay as they are.
    """
    if values.dtype.kind not in "iu":
        return values.astype(np.float64)
    scaled = values.astype(np.float64) / np.iinfo(values.dtype).max
    return scaled if values.dtype.kind == "u" else np.maximum(scaled, -1.0)


def unit_colors(colors: Array) -> Array:
    """Colors as float32 in [0, 1].

    Integers of 8 and 16 bits are fractions by their type. Floats and wider integers, whose type says nothing, are
    fractions up to 1, of 255 up to 255 and of 65535 above.
    """
    if colors.dtype.kind in "iu" and colors.dtype.itemsize <= 2:
        scaled = fractions(colors)
    else:
        most = np.nanmax(colors) if colors.size else 0
        whole = colors.dtype.kind in "iu"
        scaled = colors / (65535.0 if most > 255 else 255.0 if most > 1 or whole else 1.0)
    clipped: Array = np.clip(np.nan_to_num(scaled), 0, 1).astype(np.float32)
    return clipped


def numbers_of(text: str, dtype: type = np.float64) -> Array:
    """The numbers of a text with blanks between.

    Raises:
        ValueError: a word is no number; names it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # of text that goes on behind the last number
        try:
            return np.fromstring(text, dtype, sep=" ")
        except (ValueError, DeprecationWarning):
            return np.array([_number(word, dtype) for word in text.split()], dtype)


def _number(word: str, dtype: type) -> float:
    try:
        return int(word) if dtype is np.int64 else float(word)
    except ValueError:
        raise ValueError(f"'{word[:40]}' is no {'whole ' if dtype is np.int64 else ''}number") from None
