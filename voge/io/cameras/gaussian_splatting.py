"""`cameras.json` of 3D Gaussian Splatting, beside its point clouds: a list of cameras.

`rotation` (rows) and `position` are camera to world with OpenCV axes, since its writer inverts the matrix of world to
camera (`camera_to_JSON` in graphdeco-inria/gaussian-splatting, utils/camera_utils.py). `fx` and `fy` are pixels, the
principal point is the middle, and `img_name` has no suffix.
"""

from __future__ import annotations

from pathlib import Path

from voge.errors import DataError
from voge.io.cameras.fields import Fields, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import find_picture, make_view, names_of, posed
from voge.io.cameras.views import View, Views


def read(path: Path, options: Options) -> Views:
    """Views of a cameras.json, in its order."""
    items = Fields(path, {"": read_json(path)}).items("")
    named = [item.text("img_name") if "img_name" in item else f"{i:05d}" for i, item in enumerate(items)]
    views = [_view(item, name, text) for item, name, text in zip(items, names_of(named), named, strict=True)]
    return Views(tuple(views), format="3dgs")


def holds(content: object) -> bool:
    """True where a document is such a list."""
    return isinstance(content, list) and bool(content) and isinstance(content[0], dict) and "rotation" in content[0]


def _view(item: Fields, name: str, picture: str) -> View:
    size = item.size("width"), item.size("height")
    rotation = item.rotation(item.array("rotation", (3, 3)), "rotation").T
    fx = item.number("fx", positive=True)
    focals = fx, item.number("fy", fx, positive=True)
    center = item.number("cx", size[0] / 2), item.number("cy", size[1] / 2)
    if any(item.number(key, 0.0) for key in ("k1", "k2", "p1", "p2")):
        raise DataError(item.path, f"{item.where} has distortion, which 3DGS has not", "undistort the pictures")
    viewmat = posed(item, rotation, "rotation", center=item.array("position", (3,)))
    return make_view(name, viewmat, focals, center, size, find_picture(item.path.parent, picture))
