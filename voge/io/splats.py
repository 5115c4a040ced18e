"""Ellipsoids in the `.ply` layout of 3D Gaussian Splatting (3DGS), in and out.

A row is x y z, nx ny nz, f_dc_0..2, f_rest_0.., opacity, scale_0..2, rot_0..3: logarithms of the standard deviations,
quaternions (w, x, y, z), and an opacity o by its logit. Our density is what gives the same opacity through the center,
o = 1 - exp(-density), so density = softplus(logit). That is exact both ways, nothing is capped: only an opacity of
exactly 1 (an infinite logit) is read as the largest below 1 in float32, density 16.6, and density 0 is written as
logit -20. f_rest holds channel after channel; here it becomes extra["sh"] (see `voge.scene.harmonics`).

At a distance of r standard deviations 3DGS stops o exp(-r^2/2) of the light, a volume 1 - exp(-density exp(-r^2/2)),
which is wider. So ours are narrower than the file's by `narrowing`, and wider again when written: then each stops the
same light in all. That brings pictures 6 to 12 dB nearer to those of 3DGS (docs/formats.md).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.errors import DataError
from voge.io import ply
from voge.scene import harmonics
from voge.scene.ellipsoids import Ellipsoids

SIGNS = ("f_dc_0", "scale_0", "rot_0", "opacity")  # a PLY with two of these columns is meant as 3DGS
LEAST_LOGIT = -20.0  # opacity 2e-9
MOST_DENSITY = 24 * math.log(2)  # of an opacity 1 - 2^-24
GRAY = 0.75  # written where a set has no features

_GROUPS = {
    "means": ("x", "y", "z"),
    "dc": ("f_dc_0", "f_dc_1", "f_dc_2"),
    "opacity": ("opacity",),
    "scales": ("scale_0", "scale_1", "scale_2"),
    "quats": ("rot_0", "rot_1", "rot_2", "rot_3"),
}
_NORMALS = ("nx", "ny", "nz")
_COMMENT = "voge "  # a comment line of the set's metadata as JSON


def is_splats(path: Path) -> bool:
    """Whether a PLY is meant to hold Gaussians rather than a mesh or points; False for what is no PLY."""
    try:
        vertex = ply.read_header(path).element("vertex")
    except (DataError, OSError):
        return False
    return vertex is not None and (
        sum(name in vertex.columns for name in SIGNS) >= 2 or "packed_position" in vertex.columns
    )


def read_splats(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name (float32) and metadata of a 3DGS file; rows that cannot be shown are left out with a warning.

    Raises:
        DataError: a column is missing, rows are missing, or no row can be used.
    """
    header = ply.read_header(path)
    vertex = header.element("vertex")
    if vertex is None or "packed_position" in vertex.columns:
        raise DataError(path, "is a compressed 3DGS file", "export it as an ordinary, uncompressed .ply")
    names = [name for group in _GROUPS.values() for name in group]
    missing = [name for name in names if name not in vertex.columns]
    if missing:
        raise DataError(path, f"looks like 3DGS but has no {', '.join(missing)}", "export it with all 3DGS columns")
    rest = sorted((name for name in vertex.columns if name.startswith("f_rest_")), key=_number)
    degree = _degree(path, rest)
    columns = ply.read_elements(path, ["vertex"])["vertex"].columns
    if not vertex.count:
        raise DataError(path, "holds no ellipsoids", "export it again")
    table = {name: _stack(columns, group) for name, group in _GROUPS.items()}
    logit = table["opacity"][:, 0]
    with np.errstate(all="ignore"):  # rows that are not finite go at the end
        density = np.where(np.isposinf(logit), MOST_DENSITY, np.logaddexp(0, logit))
        tensors = {
            "means": table["means"],
            "scales": np.exp(table["scales"]) * narrowing(density)[:, None],
            "quats": table["quats"],
            "density": density,
            "features": 0.5 + harmonics.Y00 * table["dc"],
        }
    if degree:
        tensors["sh"] = _stack(columns, rest).reshape(vertex.count, 3, -1).transpose(0, 2, 1)
    else:
        tensors["features"] = tensors["features"].clip(0)  # as 3DGS shows them
    if set(_NORMALS) <= set(vertex.columns) and (normals := _stack(columns, _NORMALS)).any():
        tensors["normals"] = normals
    with np.errstate(over="ignore"):
        made = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in tensors.items()}
    return _usable(path, made), _metadata(path, header)


def write_splats(path: Path, ellipsoids: Ellipsoids) -> None:
    """Write a binary 3DGS file; extra attributes but sh and normals are not kept, and a warning names them.

    Raises:
        ValueError: features are not colors (N, 3) or grays (N, 1).
    """
    made = ellipsoids.detach().to("cpu").to(torch.float32)
    lost = sorted(set(made.extra) - {"sh", "normals"})
    if lost:
        warnings.warn(f"the 3DGS layout has no place for {', '.join(lost)}, left out", stacklevel=2)
    colors = _colors(made)
    density = made.density.double()
    logit = (density + torch.log(-torch.expm1(-density))).clamp_min(LEAST_LOGIT)
    groups = {
        ("x", "y", "z"): made.means,
        _NORMALS: made.extra.get("normals", torch.zeros_like(made.means)),
        _GROUPS["dc"]: (colors.double() - 0.5) / harmonics.Y00,
    }
    if "sh" in made.extra:
        sh = made.extra["sh"].mT.flatten(1)
        groups[tuple(f"f_rest_{i}" for i in range(sh.shape[1]))] = sh
    groups[("opacity",)] = logit[:, None]
    groups[_GROUPS["scales"]] = made.scales.double().log() - torch.from_numpy(narrowing(density.numpy())).log()[:, None]
    groups[_GROUPS["quats"]] = torch.nn.functional.normalize(made.quats, dim=1)
    columns = {name: values[:, i].numpy() for group, values in groups.items() for i, name in enumerate(group)}
    comment = _COMMENT + json.dumps(dict(made.metadata), sort_keys=True)  # ASCII, one line
    ply.write_columns(path, "vertex", columns, [comment] if made.metadata else [])


def narrowing(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our standard deviations over those of a 3DGS Gaussian that stops the same light, from 1 down to 0.54 (N,).

    Over the plane that faces a ray, o exp(-r^2/2) integrates to 2 pi s^2 o, and 1 - exp(-density exp(-r^2/2)) to
    2 pi s^2 Ein(density), with the entire exponential integral Ein(d) = gamma + ln d + E1(d).
    """
    from scipy.special import exp1

    safe = np.maximum(density, 1e-3)  # below, the logarithms cancel
    ratio = -np.expm1(-safe) / (np.euler_gamma + np.log(safe) + exp1(safe))
    return np.sqrt(np.where(density < 1e-3, 1 - density / 4, ratio))


def write_glb_points(path: Path, ellipsoids: Ellipsoids) -> None:
    """Write a GLB of the means as points with their colors, 8 bits a channel.

    Raises:
        ValueError: features are not colors (N, 3) or grays (N, 1).
    """
    import trimesh

    made = ellipsoids.detach().to("cpu").to(torch.float32)
    colors = (_colors(made).clamp(0, 1) * 255).round().to(torch.uint8)
    opaque = torch.cat([colors, torch.full((len(made), 1), 255, dtype=torch.uint8)], 1)
    path.write_bytes(trimesh.PointCloud(made.means.numpy(), colors=opaque.numpy()).export(file_type="glb"))


def _colors(ellipsoids: Ellipsoids) -> Tensor:
    """(N, 3)."""
    colors = torch.full_like(ellipsoids.means, GRAY) if ellipsoids.features is None else ellipsoids.features
    if colors.shape[1] not in (1, 3):
        raise ValueError(f"it holds colors (N, 3) or grays (N, 1), and features are {tuple(colors.shape)}")
    return colors.expand(-1, 3)


def _degree(path: Path, rest: list[str]) -> int:
    """The degree of the harmonics that the columns f_rest_0.. hold."""
    if rest != [f"f_rest_{i}" for i in range(len(rest))] or len(rest) not in (0, 9, 24, 45):
        raise DataError(
            path, f"has {len(rest)} columns f_rest_*, where 3DGS has 0, 9, 24 or 45", "export it with degree 0 to 3"
        )
    return harmonics.degree_of(len(rest) // 3)


def _number(name: str) -> int:
    last = name.rpartition("_")[2]
    return int(last) if last.isdigit() else -1


def _stack(columns: Mapping[str, NDArray[Any]], names: tuple[str, ...] | list[str]) -> NDArray[np.float64]:
    return np.stack([columns[name] for name in names], 1).astype(np.float64)


def _usable(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows that are finite, with a size and a rotation: trained sets often hold a few that are not."""
    good = (tensors["quats"] != 0).any(1) & (tensors["scales"] > 0).all(1)
    for tensor in tensors.values():
        good &= tensor.isfinite().reshape(len(good), -1).all(1)
    bad = int((~good).sum())
    if bad == len(good):
        raise DataError(path, f"none of its {bad} ellipsoids is finite with a size and a rotation", "export it again")
    if bad:
        warnings.warn(f"{path}: left out {bad} ellipsoids not finite or without size or rotation", stacklevel=2)
    return {name: tensor[good] for name, tensor in tensors.items()} if bad else tensors


def _metadata(path: Path, header: ply.Header) -> dict[str, str]:
    """What `write_splats` left, else where the set is from."""
    for comment in header.comments:
        if comment.startswith(_COMMENT):
            try:
                return {str(key): str(value) for key, value in json.loads(comment.removeprefix(_COMMENT)).items()}
            except (ValueError, AttributeError):
                break
    return {"source": path.name, "frame": "right-handed, as in the source", "units": "unknown", "method": "3dgs"}
