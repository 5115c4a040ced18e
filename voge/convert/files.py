"""Files to ellipsoids: native ones are read, meshes and points are converted."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from voge import option
from voge.convert import placement
from voge.convert.converters import from_mesh, from_points
from voge.convert.primitives import primitive
from voge.convert.settings import Conversion, ConvertSettings, Method
from voge.errors import DataError, SettingsError
from voge.io.ellipsoids import check_values, holds_ellipsoids, load_ellipsoids
from voge.io.meshes import load_geometry
from voge.io.scenes import SceneObject
from voge.meshes.mesh import Mesh, Points
from voge.meshes.resample import resample
from voge.meshes.textures import corner_colors
from voge.scene import extent
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.settings import Up

T = TypeVar("T")

# What each method listens to besides the input.
_LISTENS = {
    "hat": ("flatness", "kappa", "optical_depth"),
    "triangle": ("flatness", "kappa", "optical_depth"),
    "points": ("flatness", "kappa", "optical_depth", "neighbors"),
    "vertex": ("coverage",),
    "isotropic": ("coverage", "neighbors"),
}
_ROUNDED = 0.1  # of an ellipsoid's width: float32 may move it by as much before the user is told


@dataclass(frozen=True, eq=False)
class Converted:
    """Ellipsoids of a file."""

    ellipsoids: Ellipsoids  # float32, on the CPU
    notes: tuple[str, ...] = ()  # what the user should know of the file and its conversion, a line each


def convert_file(path: str | Path, settings: ConvertSettings | None = None) -> Converted:
    """Read a file, convert it and place it, as `voge convert` does.

    Args:
        path: a mesh, points or ellipsoids.
        settings: how.

    Raises:
        DataError: the file cannot be used.
        SettingsError: the settings do not suit the file: a method without its faces, or a setting that nothing uses.
    """
    path, settings = Path(path), settings or ConvertSettings()
    conversion = Conversion(**option.values(settings, Conversion))
    loaded = load_model(path, conversion, strict=True, crop=settings.crop, unit=settings.normalize)
    metadata = dict(loaded.ellipsoids.metadata)
    if settings.units is not None:
        metadata["units"] = settings.units.value
    if settings.up is not None:
        metadata["frame"] = "right-handed, y up"
    placed = replace(loaded.ellipsoids, metadata=metadata)
    if settings.up is Up.z:
        placed = placement.turn_upright(placed)
    if settings.normalize:
        placed = placement.normalize(placed)
    notes = loaded.notes
    if (lost := extent.rounding(placed)) > _ROUNDED:
        notes += (
            f"warning: so far from the origin float32 moves the ellipsoids by up to {lost:.2g} of their width; "
            "add --normalize, which is recorded and can be undone",
        )
    return Converted(placed, notes)


def load_model(
    path: str | Path,
    conversion: Conversion | None = None,
    *,
    strict: bool = False,
    crop: Sequence[float] | None = None,
    unit: bool = False,
) -> Converted:
    """Ellipsoids of any file that holds them, a mesh or points.

    Args:
        path: ellipsoids, a mesh or points.
        conversion: how a mesh or points are converted.
        strict: a setting that the method does not use is an error.
        crop: a box in the file's coordinates; what lies outside is left out (see `voge.convert.placement.crop`).
        unit: a mesh or points are moved to the origin and scaled to size 1 before they become float32.

    Raises:
        DataError: the file cannot be used.
        SettingsError: the method does not suit the file, or `strict`.
    """
    path, conversion = Path(path), conversion or Conversion()
    if holds_ellipsoids(path):
        if strict and conversion != Conversion():
            raise SettingsError(
                f"{path} holds ellipsoids already; --method, --count and the like are for meshes and points"
            )
        loaded = load_ellipsoids(path)
        return Converted(loaded if crop is None else _asked(path, lambda: placement.crop(loaded, crop)))
    geometry = load_geometry(path)
    notes = [f"{path}: {note}" for note in geometry.notes]
    notes += [f"{path}: left out {count} {kind}" for kind, count in geometry.dropped.items()]
    record: dict[str, str] = {"source": path.name, "frame": "right-handed, as in the source", "units": "unknown"}
    if crop is not None:
        geometry = _asked(path, lambda: placement.crop(geometry, crop))
    method = _method(path, geometry, conversion.method)
    if conversion.count is not None:
        count = _vertices(geometry, method, conversion.count)
        known = geometry.notes
        geometry = _asked(path, lambda: resample(geometry, count))
        notes += [f"{path}: {note}" for note in geometry.notes if note not in known]
    if unit:
        geometry, matrix = placement.to_unit(geometry)
        record[placement.MOVED] = json.dumps(matrix)
    converted = _convert(path, geometry, method, conversion, strict)
    return Converted(replace(converted, metadata={**record, **converted.metadata}), tuple(notes))


def load_object(scene: str | Path, entry: SceneObject, conversion: Conversion | None = None) -> Converted:
    """Ellipsoids of one object of a scene file, in the object's own frame: of its model, or of its primitive.

    Args:
        scene: the scene file, which errors of a primitive name.
        entry: the object.
        conversion: how a mesh or points are converted.

    Raises:
        DataError: the model's file cannot be used, or the primitive is wrong.
        SettingsError: the method does not suit the file.
    """
    if entry.model is not None:
        return load_model(entry.model, conversion)
    try:
        return Converted(primitive(**{"shape": "cuboid", "size": (1, 1, 1), **(entry.primitive or {})}))
    except (ValueError, TypeError) as error:
        raise DataError(scene, f"{entry.name}: {error}") from error


def summary(ellipsoids: Ellipsoids) -> dict[str, Any]:
    """Plain numbers and strings of a set: count, place and size, spread of its attributes, metadata."""
    box = extent.bounding_box(ellipsoids)
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


def _asked(path: Path, make: Callable[[], T]) -> T:
    """Make what the user asked of a file; a ValueError becomes a SettingsError that names the file."""
    try:
        return make()
    except ValueError as error:
        raise SettingsError(f"{path}: {error}") from error


def _vertices(geometry: Mesh | Points, method: str, count: int) -> int:
    """Number of vertices that give about `count` ellipsoids."""
    if method != "triangle" or not isinstance(geometry, Mesh):
        return count
    return max(round(count * len(geometry.vertices) / len(geometry.faces)), 4)


def _convert(path: Path, geometry: Mesh | Points, method: str, conversion: Conversion, strict: bool) -> Ellipsoids:
    given = {name: value for name, value in vars(conversion).items() if value is not None}
    given = {name: value for name, value in given.items() if name not in ("method", "count")}
    unused = sorted(set(given) - set(_LISTENS[method]))
    if strict and unused:
        raise SettingsError(
            f"{', '.join(unused)}: not used by method {method}, which takes {', '.join(_LISTENS[method])}"
        )
    settings: dict[str, Any] = {name: value for name, value in given.items() if name in _LISTENS[method]}
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
            if method == "triangle" and geometry.texture is not None:
                made = replace(made, features=torch.from_numpy(corner_colors(geometry.texture, reach=1).mean(1)))
        check_values(made)
        return made
    except ValueError as error:  # the settings were checked, so it is the file's content
        raise DataError(path, str(error), "check what it holds") from error


def _method(path: Path, geometry: Mesh | Points, wanted: Method) -> str:
    """The converter's name for a method: on points the paper's `vertex` is `isotropic`."""
    if isinstance(geometry, Mesh):
        return "hat" if wanted is Method.auto else wanted.value
    names = {Method.auto: "points", Method.points: "points", Method.vertex: "isotropic"}
    if wanted not in names:
        raise SettingsError(
            f"method {wanted.value} needs faces, and {path} has points only; use auto, points or vertex"
        )
    return names[wanted]


def _spread(values: torch.Tensor) -> dict[str, float]:
    flat = values.double().flatten()
    return dict(zip(("min", "median", "max"), _short([flat.min(), flat.median(), flat.max()]), strict=True))


def _short(numbers: Any) -> list[float]:
    return [float(f"{float(number):.6g}") for number in numbers]
