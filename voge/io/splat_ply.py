"""Gaussians in PLY: the layout of 3DGS, in and out, and those of 2DGS, Mip-Splatting, nerfstudio and CloudCompare.

A row is x y z, nx ny nz, f_dc_0..2, f_rest_0.., opacity, scale_0..2, rot_0..3. f_rest holds channel after channel; here
it becomes extra["sh"] (see `voge.scene.harmonics`). PlayCanvas's compressed layout is read as well.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from voge.errors import DataError
from voge.io import ply
from voge.io.readers.part import unit_colors
from voge.io.splats import Array, Gaussians, logit, origin
from voge.scene import harmonics
from voge.scene.ellipsoids import Ellipsoids

SIGNS = ("f_dc_0", "scale_0", "rot_0", "opacity")  # a PLY with two of these columns is meant as 3DGS
FLAT = 0.01  # thickness over the smaller width of what has two widths only
PACKED = "packed_position"

_GROUPS = {
    "means": ("x", "y", "z"),
    "colors": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacity": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quats": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # the columns beside one of four
_RGB = ("red", "green", "blue")
_NORMALS = ("nx", "ny", "nz")
_COMMENT = "voge "  # a comment line of the set's metadata as JSON
_SCALAR = re.compile(r"^scalar_(?=f_dc_|f_rest_|opacity|scale_|rot_|n[xyz]$|filter_3D)")  # CloudCompare's prefix
_KNOWN = re.compile(r"^([xyz]|n[xyz]|f_dc_\d|f_rest_\d+|opacity|scale_\d|rot_\d|red|green|blue|filter_3D)$")


def is_splats(path: Path) -> bool:
    """True where a PLY is meant to hold Gaussians rather than a mesh or points; False for what is no PLY."""
    try:
        vertex = ply.read_header(path).element("vertex")
    except (DataError, OSError):
        return False
    if vertex is None:
        return False
    names = [_SCALAR.sub("", name) for name in vertex.columns]
    return sum(name in names for name in SIGNS) >= 2 or PACKED in names


def read_splats(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name (float32) and metadata of a PLY of Gaussians; what is left out or guessed gives a warning.

    Raises:
        DataError: a column is missing, rows are missing, or no row can be used.
    """
    table = ply.read_elements(path)
    vertex = table["vertex"]
    if PACKED in vertex.columns:
        return _unpacked(path, table).tensors(path), origin(path)
    columns = {_SCALAR.sub("", name): column for name, column in vertex.columns.items()}
    return _gaussians(path, columns).tensors(path), _metadata(path, vertex.comments)


def _gaussians(path: Path, columns: Mapping[str, Array]) -> Gaussians:
    groups = dict(_GROUPS)
    if set(_RGB) <= set(columns) and "f_dc_0" not in columns:  # nerfstudio without harmonics
        groups["colors"] = _RGB
    if "scale_2" not in columns and {"scale_0", "scale_1"} <= set(columns):  # 2DGS: flat disks
        groups["scales"] = ("scale_0", "scale_1")
    missing = [name for group in groups.values() for name in group if name not in columns]
    if missing:
        raise DataError(path, f"looks like 3DGS but has no {', '.join(missing)}", "export it with all 3DGS columns")
    if left := [name for name in columns if not _KNOWN.match(name)]:
        warnings.warn(f"{path}: its columns {', '.join(left)} are left out", stacklevel=4)
    rest = sorted((name for name in columns if name.startswith("f_rest_")), key=_number)
    degree = _degree(path, rest)
    made = {name: _stack(columns, group) for name, group in groups.items()}
    scales = made["scales"]
    if scales.shape[1] == 2:
        warnings.warn(f"{path}: its disks (2DGS) have a thickness of {FLAT:g} of their width here", stacklevel=4)
        scales = np.concatenate([scales, scales.min(1, keepdims=True) + np.log(FLAT)], 1)
    logits = made["opacity"][:, 0]
    if "filter_3D" in columns:
        scales, logits = _smoothed(scales, logits, columns["filter_3D"].astype(np.float64))
    dc = made["colors"]
    rgb = groups["colors"] == _RGB
    return Gaussians(
        means=made["means"],
        log_scales=scales,
        quats=made["quats"],
        logits=logits,
        colors=unit_colors(np.stack([columns[name] for name in _RGB], 1)) if rgb else 0.5 + harmonics.Y00 * dc,
        sh=_stack(columns, rest).reshape(len(dc), 3, -1).transpose(0, 2, 1) if degree else None,
        normals=_stack(columns, _NORMALS) if set(_NORMALS) <= set(columns) else None,
    )


def _smoothed(log_scales: Array, logits: Array, filters: Array) -> tuple[Array, Array]:
    """The 3D filter of Mip-Splatting applied (Yu et al. 2024, eq. 9): wider Gaussians of as much less opacity."""
    wide = np.sqrt(np.exp(2 * log_scales) + filters[:, None] ** 2)
    opacity = 1 / (1 + np.exp(-logits)) * np.exp(log_scales.sum(1)) / wide.prod(1)
    return np.log(wide), logit(opacity)


def _unpacked(path: Path, table: Mapping[str, ply.Rows]) -> Gaussians:
    """PlayCanvas's compressed layout: 256 rows a chunk, whose ranges the packed numbers divide."""
    vertex, chunk = table["vertex"], table.get("chunk")
    names = [PACKED, "packed_rotation", "packed_scale", "packed_color"]
    ranges = [f"{end}_{kind}{axis}" for end in ("min", "max") for kind in ("", "scale_") for axis in "xyz"]
    if "min_r" in (chunk.columns if chunk else ()):
        ranges += [f"{end}_{channel}" for end in ("min", "max") for channel in "rgb"]
    missing = not set(names) <= set(vertex.columns)
    if chunk is None or missing or not set(ranges) <= set(chunk.columns) or chunk.count * 256 < vertex.count:
        raise DataError(path, "looks like a compressed 3DGS file but is not whole", "export it again")
    words = {name: vertex.columns[name].astype(np.int64) for name in names}
    rows = np.arange(vertex.count) // 256

    def between(numbers: Array, low: Sequence[str], high: Sequence[str]) -> Array:
        least, most = (_stack(chunk.columns, group)[rows] for group in (low, high))
        values: Array = least + numbers * (most - least)
        return values

    axes = ("x", "y", "z")
    color = np.stack([(words["packed_color"] >> shift & 255) / 255 for shift in (24, 16, 8)], 1)
    if "min_r" in chunk.columns:
        color = between(color, [f"min_{c}" for c in "rgb"], [f"max_{c}" for c in "rgb"])
    sh = None
    if "sh" in table:
        rest = sorted(table["sh"].columns, key=_number)
        stored = _stack(table["sh"].columns, rest)
        levels = np.where(stored == 0, 0.0, np.where(stored == 255, 1.0, (stored + 0.5) / 256))
        _degree(path, rest)
        sh = ((levels - 0.5) * 8).reshape(vertex.count, 3, -1).transpose(0, 2, 1)
    return Gaussians(
        means=between(_thirds(words[PACKED]), [f"min_{a}" for a in axes], [f"max_{a}" for a in axes]),
        log_scales=between(
            _thirds(words["packed_scale"]), [f"min_scale_{a}" for a in axes], [f"max_scale_{a}" for a in axes]
        ),
        quats=smallest_three(
            words["packed_rotation"] >> 30,
            np.stack([(words["packed_rotation"] >> shift & 1023) / 1023 for shift in (20, 10, 0)], 1),
        ),
        logits=logit((words["packed_color"] & 255) / 255),
        colors=color,
        sh=sh,
    )


def _thirds(words: Array) -> Array:
    """(N, 3) fractions of 11, 10 and 11 bits, from the highest down."""
    return np.stack([(words >> 21) / 2047, (words >> 11 & 1023) / 1023, (words & 2047) / 2047], 1)


def smallest_three(largest: Array, fractions: Array) -> Array:
    """Quaternions (N, 4) without their largest component (N,); the others (N, 3) are fractions of +-1/sqrt 2."""
    three = (fractions - 0.5) * np.sqrt(2)
    rest = np.sqrt(np.maximum(1 - (three**2).sum(1), 0))
    quats = np.zeros((len(three), 4))
    np.put_along_axis(quats, _OTHERS[largest], three, 1)
    np.put_along_axis(quats, largest[:, None], rest[:, None], 1)
    return quats


def write_splats(path: Path, ellipsoids: Ellipsoids) -> None:
    """Write a binary 3DGS file; extra attributes but sh and normals are not kept, and a warning names them.

    Raises:
        ValueError: features are not colors (N, 3) or grays (N, 1).
    """
    made = Gaussians.of(ellipsoids)
    groups: dict[Sequence[str], Array] = {
        ("x", "y", "z"): made.means,
        _NORMALS: np.zeros_like(made.means) if made.normals is None else made.normals,
        _GROUPS["colors"]: (made.colors - 0.5) / harmonics.Y00,
    }
    if made.sh is not None:
        sh = made.sh.transpose(0, 2, 1).reshape(len(made.means), -1)
        groups[tuple(f"f_rest_{i}" for i in range(sh.shape[1]))] = sh
    groups |= {("opacity",): made.logits[:, None], _GROUPS["scales"]: made.log_scales, _GROUPS["quats"]: made.quats}
    columns = {name: values[:, i] for group, values in groups.items() for i, name in enumerate(group)}
    comment = _COMMENT + json.dumps(dict(ellipsoids.metadata), sort_keys=True)  # ASCII, one line
    ply.write_columns(path, "vertex", columns, [comment] if ellipsoids.metadata else [])


def _degree(path: Path, rest: list[str]) -> int:
    """The degree of the harmonics that the columns f_rest_0.. hold."""
    if rest != [f"f_rest_{i}" for i in range(len(rest))] or len(rest) not in (0, 9, 24, 45):
        raise DataError(
            path, f"has {len(rest)} columns f_rest_*, where 3DGS has 0, 9, 24 or 45", "export it with degree 0 to 3"
        )
    return harmonics.degree_of(len(rest) // 3)


def _number(name: str) -> int:
    last = name.rpartition("_")[2]
    return int(last) if last.isascii() and last.isdigit() else -1


def _stack(columns: Mapping[str, Array], names: Sequence[str]) -> Array:
    return np.stack([columns[name] for name in names], 1).astype(np.float64)


def _metadata(path: Path, comments: Sequence[str]) -> dict[str, str]:
    """Metadata that `write_splats` left; else the source of the set."""
    for comment in comments:
        if comment.startswith(_COMMENT):
            try:
                return {str(key): str(value) for key, value in json.loads(comment.removeprefix(_COMMENT)).items()}
            except (ValueError, AttributeError):
                break
    return origin(path)
