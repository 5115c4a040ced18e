"""`camera_path.json` of nerfstudio's viewer: the cameras of a film.

`camera_to_world` has 16 numbers by rows, OpenGL axes; `fov` is the vertical angle in degrees, of the picture of
`render_width` x `render_height` (`get_path_from_json` in nerfstudio/cameras/camera_paths.py).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch

from voge.io.cameras.fields import Fields, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import make_view
from voge.io.cameras.transforms import FLIP
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

LENSES = {"perspective": (CameraModel.pinhole, ()), "fisheye": (CameraModel.fisheye, (0.0,) * 4)}
MOVED = "poses are in nerfstudio's own frame, which its dataparser may have turned and scaled"


def read(path: Path, options: Options) -> Views:
    """Views of a camera_path.json, one a frame of the film."""
    document = Fields(path, read_json(path))
    kind = document.text("camera_type", "perspective").lower()
    if kind not in LENSES:
        raise document.error(f"has camera_type '{kind}', which is not supported", f"choose {' or '.join(LENSES)}")
    size = document.size("render_width"), document.size("render_height")
    views = [_view(item, f"{i:05d}", size, kind) for i, item in enumerate(document.items("camera_path"))]
    return Views(tuple(views), format="camera-path", notes=(MOVED,))


def _view(item: Fields, name: str, size: tuple[int, int], kind: str) -> View:
    angle = item.number("fov", positive=True)
    if angle >= 180:
        raise item.error(f"must be degrees below 180, got {angle:g}", key="fov")
    focal = size[1] / 2 / math.tan(math.radians(angle) / 2)
    matrix = item.array("camera_to_world", (16,), (4, 4), (3, 4))
    matrix = matrix.reshape(4, 4) if matrix.ndim == 1 else matrix
    viewmat = torch.linalg.inv(item.rigid(matrix, "camera_to_world") @ FLIP)
    return make_view(name, viewmat, (focal, focal), (size[0] / 2, size[1] / 2), size, None, LENSES[kind])
