"""Annotations in the files of PASCAL3D+ and ObjectNet3D (MATLAB), read and written.

Their pixels count from 1, so that (1, 1) is the center of the first; ours count from its corner (docs/conventions.md):
positions here are 0.5 less than in the files, and a box from x1 to x2 covers [x1 - 1, x2].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from voge.errors import DataError
from voge.io.cameras.pose import pascal3d
from voge.io.files import atomic_file, check_not_empty
from voge.scene.cameras import intrinsic_matrix

VIEWPORT = 3000.0  # pixels a unit of focal length, where a record has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """One object of one image."""

    category: str
    width: int  # of the image, pixels
    height: int
    box: tuple[float, float, float, float]  # left, top, right, bottom, pixels
    azimuth: float  # degrees, PASCAL3D+'s angles (voge.pose.data.angles)
    elevation: float
    theta: float
    distance: float  # of the camera from the object's origin, in units of its model
    focal: float  # pixels
    px: float  # where the object's origin projects to, pixels
    py: float
    cad_index: int = 1  # the model that resembles it most, from 1
    truncated: bool = False
    occluded: bool = False
    difficult: bool = False

    @property
    def viewmat(self) -> Tensor:
        """(4, 4) float64: from the model's frame to the camera's."""
        return pascal3d(self.azimuth, self.elevation, self.theta, self.distance)

    @property
    def intrinsics(self) -> Tensor:
        """(3, 3) float64, pixels."""
        return intrinsic_matrix(self.focal, self.focal, self.px, self.py)


def read_record(path: Path, category: str) -> list[Annotation]:
    """The objects of a category that have a fine pose, in the file's order.

    Objects that were annotated by a coarse azimuth only (distance 0, or no angles) are left out.

    Raises:
        DataError: the file cannot be read, is no annotation, or has no object of the category.
    """
    record = _load(path)
    objects = np.atleast_1d(getattr(record, "objects", np.zeros(0)))
    named = [thing for thing in objects if str(getattr(thing, "class", getattr(thing, "class_", ""))) == category]
    if not named:
        found = sorted({str(getattr(thing, "class", "?")) for thing in objects}) or ["nothing"]
        raise DataError(path, f"has no object of category {category}, only {', '.join(found)}", "check the image list")
    size = np.ravel(getattr(record, "imgsize", ()))
    if len(size) < 2:
        raise DataError(path, "has no imgsize", "copy the annotation again")
    made = (_annotation(path, thing, category, int(size[0]), int(size[1])) for thing in named)
    return [annotation for annotation in made if annotation is not None]


def write_record(path: Path, image: str, annotations: list[Annotation]) -> None:
    """Write an annotation file as PASCAL3D+ has it."""
    from scipy.io import savemat

    first = annotations[0]
    objects = np.zeros(len(annotations), dtype=[(name, object) for name in _object(first)])
    for row, annotation in enumerate(annotations):
        for name, value in _object(annotation).items():
            objects[name][row] = value
    size = np.array([[first.width, first.height, 3]], np.float64)
    record = {"filename": image, "folder": first.category, "imgsize": size, "objects": objects}
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        savemat(file, {"record": record}, do_compression=True)


def _load(path: Path) -> Any:
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(path, "no such file", "is the data set complete? See voge pose check-data")
    check_not_empty(path)
    try:
        content = loadmat(path, struct_as_record=False, squeeze_me=True)
    except NotImplementedError as error:
        raise DataError(path, "is a MATLAB 7.3 file", "save it again with save -v7") from error
    except Exception as error:  # the parser fails with whatever it met
        reason = f"{error or type(error).__name__}".splitlines()[0][:200]
        raise DataError(path, f"cannot be read as a MATLAB file ({reason})", "copy it again") from error
    if "record" not in content:
        found = ", ".join(sorted(key for key in content if not key.startswith("__"))) or "nothing"
        raise DataError(path, f"has no 'record', only {found}", "is it an annotation of PASCAL3D+ or ObjectNet3D?")
    return content["record"]


def _annotation(path: Path, thing: Any, category: str, width: int, height: int) -> Annotation | None:
    """One object, or None without a fine pose."""
    view = getattr(thing, "viewpoint", None)
    if view is None or not hasattr(view, "azimuth") or not hasattr(view, "distance"):
        return None

    def number(source: Any, name: str, default: float | None = None) -> float:
        value = np.ravel(getattr(source, name, ()))
        if not len(value) and default is not None:
            return default
        if len(value) != 1 or not np.isfinite(float(value[0])):
            raise DataError(path, f"has no number for {name} of its {category}", "copy the annotation again")
        return float(value[0])

    distance = number(view, "distance", 0.0)
    if distance <= 0 or not len(np.ravel(view.azimuth)):
        return None
    corners = np.ravel(getattr(thing, "bbox", ())).astype(float)
    if len(corners) != 4 or not (corners[2] > corners[0] and corners[3] > corners[1]):
        raise DataError(path, f"the box of its {category} is {corners.tolist()}", "must be x1, y1, x2, y2")
    left, top, right, bottom = corners.tolist()
    return Annotation(
        category=category,
        width=width,
        height=height,
        box=(left - 1, top - 1, right, bottom),
        azimuth=number(view, "azimuth"),
        elevation=number(view, "elevation"),
        theta=number(view, "theta", 0.0),
        distance=distance,
        focal=number(view, "focal", 1.0) * number(view, "viewport", VIEWPORT),
        px=number(view, "px", width / 2 + 0.5) - 0.5,
        py=number(view, "py", height / 2 + 0.5) - 0.5,
        cad_index=int(number(thing, "cad_index", 1)),
        **{name: bool(number(thing, name, 0.0)) for name in ("truncated", "occluded", "difficult")},
    )


def _object(annotation: Annotation) -> Mapping[str, Any]:
    """The fields of an object, as the files have them."""
    left, top, right, bottom = annotation.box
    view = {
        "azimuth_coarse": round(annotation.azimuth / 45) % 8 * 45.0,
        "elevation_coarse": round(annotation.elevation / 30) * 30.0,
        "azimuth": annotation.azimuth,
        "elevation": annotation.elevation,
        "distance": annotation.distance,
        "focal": annotation.focal / VIEWPORT,
        "px": annotation.px + 0.5,
        "py": annotation.py + 0.5,
        "theta": annotation.theta,
        "error": 0.0,
        "interval_azimuth": 0.0,
        "interval_elevation": 0.0,
        "num_anchor": 0.0,
        "viewport": VIEWPORT,
    }
    return {
        "class": annotation.category,
        "bbox": np.array([[left + 1, top + 1, right, bottom]]),
        "truncated": float(annotation.truncated),
        "occluded": float(annotation.occluded),
        "difficult": float(annotation.difficult),
        "cad_index": float(annotation.cad_index),
        "viewpoint": view,
    }
