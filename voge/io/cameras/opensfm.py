"""`reconstruction.json` of OpenSfM, as OpenDroneMap writes it too: a list of reconstructions.

A shot's `rotation` (axis times angle) and `translation` are world to camera, OpenCV axes. Focal lengths and principal
points are shares of the larger side, from the middle of the picture (opensfm.org/docs/geometry.html,
docs/dataset.html#reconstruction-file-format).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.cameras.fields import Fields, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import find_picture, make_view, names_of, posed
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

# Coefficients by name; 0 stands where the model has none.
LENSES = {
    "perspective": (CameraModel.opencv, ("k1", "k2", "", "")),
    "simple_radial": (CameraModel.opencv, ("k1", "", "", "")),
    "radial": (CameraModel.opencv, ("k1", "k2", "", "")),
    "brown": (CameraModel.opencv, ("k1", "k2", "p1", "p2", "k3")),
    "fisheye": (CameraModel.fisheye, ("k1", "k2", "", "")),
    "fisheye_opencv": (CameraModel.fisheye, ("k1", "k2", "k3", "k4")),
}


def read(path: Path, options: Options) -> Views:
    """Views of the reconstruction with most shots."""
    content = read_json(path)
    parts = Fields(path, {"": [content] if isinstance(content, Mapping) else content}).items("")
    best = max(parts, key=lambda part: len(part.inner("shots").content))
    shots = best.inner("shots")
    if not shots.content:
        raise DataError(path, "has no shots", "there must be at least one view")
    cameras, keys = best.inner("cameras"), list(shots.content)
    views = [_view(shots.inner(key), cameras, name, key) for key, name in zip(keys, names_of(keys), strict=True)]
    notes: tuple[str, ...] = ()
    if len(parts) > 1:
        others = ", ".join(str(len(part.inner("shots").content)) for part in parts if part is not best)
        notes = (f"the reconstruction with most shots ({len(views)}) is read, and not those of {others}",)
    return Views(tuple(views), units="unknown", format="opensfm", notes=notes)


def holds(content: object) -> bool:
    """True where a document is one or more reconstructions."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, dict) and "shots" in first and "cameras" in first


def _view(shot: Fields, cameras: Fields, name: str, file: str) -> View:
    camera = cameras.inner(shot.text("camera"))
    kind = camera.text("projection_type")
    if kind not in LENSES:
        raise camera.error(f"has projection_type '{kind}', which is not supported", f"known are {', '.join(LENSES)}")
    size = camera.size("width"), camera.size("height")
    side = max(size)
    focal = camera.number("focal_x" if "focal_x" in camera else "focal", positive=True)
    focals = focal * side, camera.number("focal_y", focal, positive=True) * side
    center = size[0] / 2 + camera.number("c_x", 0.0) * side, size[1] / 2 + camera.number("c_y", 0.0) * side
    model, keys = LENSES[kind]
    lens = model, tuple(camera.number(key, 0.0) if key else 0.0 for key in keys)
    rotation = rotated(shot.array("rotation", (3,)))
    viewmat = posed(shot, rotation, "rotation", shift=shot.array("translation", (3,)))
    return make_view(name, viewmat, focals, center, size, find_picture(shot.path.parent, file), lens)


def rotated(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation (3, 3) about an axis (3,), as far as its length in radians says."""
    angle = float(np.linalg.norm(axis))
    x, y, z = axis / angle if angle else axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)
