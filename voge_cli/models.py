"""Files to ellipsoids: native ones are read, meshes and points are converted."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from voge.convert import from_mesh, from_points
from voge.ellipsoids import Ellipsoids
from voge.io import DataError
from voge.io.ellipsoids import check_values, holds_ellipsoids, load_ellipsoids
from voge.io.meshes import Mesh, Points, load_geometry
from voge.placement import bounding_box
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.schemas import Conversion, Method

# What each method listens to besides the input.
SETTINGS = {
    "hat": ("flatness", "kappa", "optical_depth"),
    "triangle": ("flatness", "kappa", "optical_depth"),
    "points": ("flatness", "kappa", "optical_depth", "neighbours"),
    "vertex": ("coverage",),
    "isotropic": ("coverage", "neighbours"),
}


def load_model(path: Path, conversion: Conversion, console: Console, *, strict: bool = False) -> Ellipsoids:
    """Ellipsoids of a file.

    Args:
        path: ellipsoids, a mesh or points.
        conversion: how a mesh or points are converted.
        console: told what was left out of the file.
        strict: a setting that the method does not use is an error.

    Raises:
        voge.io.DataError: the file cannot be used.
        UsageError: the method does not suit the file, or `strict`.
    """
    if holds_ellipsoids(path):
        if strict and conversion != Conversion():
            raise UsageError(f"{path} holds ellipsoids already; --method and its settings are for meshes and points")
        return load_ellipsoids(path)
    geometry = load_geometry(path)
    for note in geometry.notes:
        console.note(f"{path}: {note}")
    for kind, count in geometry.dropped.items():
        console.note(f"{path}: left out {count} {kind}")
    made = _convert(path, geometry, conversion, strict)
    source = {"source": path.name, "frame": "right-handed, as in the source", "units": "unknown"}
    return replace(made, metadata={**source, **made.metadata})


def _convert(path: Path, geometry: Mesh | Points, conversion: Conversion, strict: bool) -> Ellipsoids:
    method = _method(path, geometry, conversion.method)
    given = {name: value for name, value in vars(conversion).items() if name != "method" and value is not None}
    unused = sorted(set(given) - set(SETTINGS[method]))
    if strict and unused:
        raise UsageError(f"{', '.join(unused)}: not used by method {method}, which takes {', '.join(SETTINGS[method])}")
    settings: dict[str, Any] = {name: value for name, value in given.items() if name in SETTINGS[method]}
    colors = None if geometry.colors is None else torch.from_numpy(geometry.colors)
    try:
        if method in ("points", "isotropic"):
            points = geometry.vertices if isinstance(geometry, Mesh) else geometry.points
            normals = None if geometry.normals is None else torch.from_numpy(geometry.normals)
            made = from_points(torch.from_numpy(points), method=method, colors=colors, normals=normals, **settings)
        else:
            assert isinstance(geometry, Mesh)
            vertices, faces = torch.from_numpy(geometry.vertices), torch.from_numpy(geometry.faces)
            made = from_mesh(vertices, faces, method=method, colors=colors, **settings)
        check_values(made)
        return made
    except ValueError as error:  # the settings were checked, so it is the file's content
        raise DataError(path, str(error)) from error


def _method(path: Path, geometry: Mesh | Points, wanted: Method) -> str:
    """The converter's name for a method: on points the paper's `vertex` is `isotropic`."""
    if isinstance(geometry, Mesh):
        return "hat" if wanted is Method.auto else wanted.value
    names = {Method.auto: "points", Method.points: "points", Method.vertex: "isotropic"}
    if wanted not in names:
        raise UsageError(f"method {wanted.value} needs faces, and {path} has points only; use auto, points or vertex")
    return names[wanted]


def summary(ellipsoids: Ellipsoids) -> dict[str, Any]:
    """What a user asks about a set first, as plain numbers and strings."""
    box = bounding_box(ellipsoids)
    ratio = ellipsoids.scales.amin(1) / ellipsoids.scales.amax(1)
    return {
        "count": len(ellipsoids),
        "center": _short(box.center),
        "size": _short(box.size),
        "diameter": _short([math.hypot(*box.size)])[0],
        "units": ellipsoids.metadata.get("units", "unknown"),
        "scales": _spread(ellipsoids.scales),
        "flatness": _spread(ratio),
        "density": _spread(ellipsoids.density),
        "features": 0 if ellipsoids.features is None else ellipsoids.features.shape[1],
        "extra": {name: list(tensor.shape) for name, tensor in ellipsoids.extra.items()},
        "dtype": str(ellipsoids.dtype).removeprefix("torch."),
        "metadata": dict(ellipsoids.metadata),
    }


def _spread(values: torch.Tensor) -> dict[str, float]:
    flat = values.double().flatten()
    return dict(zip(("min", "median", "max"), _short([flat.min(), flat.median(), flat.max()]), strict=True))


def _short(numbers: Any) -> list[float]:
    return [float(f"{float(number):.6g}") for number in numbers]
