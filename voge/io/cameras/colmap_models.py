"""COLMAP's camera models, and the records of its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voge.errors import DataError
from voge.io.cameras.views import View
from voge.scene.cameras import CameraModel

Opened = tuple[float, float, float, float, CameraModel, "list[float] | None"]


@dataclass(frozen=True)
class Camera:
    """A record of cameras."""

    number: int
    model: str  # a key of MODELS
    width: int
    height: int
    numbers: tuple[float, ...]  # the model's parameters


@dataclass(frozen=True)
class Image:
    """A record of images."""

    number: int
    quaternion: tuple[float, ...]  # (w, x, y, z), world to camera
    shift: tuple[float, ...]  # translation, world to camera
    camera: int  # number of its camera
    name: str  # path below the folder of images


@dataclass(frozen=True)
class Model:
    """Meaning of a camera model's parameters."""

    number: int  # in binary files
    focals: int  # 1 or 2 focal lengths come first, then cx, cy
    kind: CameraModel
    coefficients: int = 0  # then these
    padded: int = 0  # and those that our model has besides, which are 0

    @property
    def count(self) -> int:
        """Parameters in all."""
        return self.focals + 2 + self.coefficients

    def open(self, numbers: Sequence[float]) -> Opened:
        """fx, fy, cx, cy, our model and its coefficients."""
        fx, fy = numbers[0], numbers[self.focals - 1]
        cx, cy = numbers[self.focals : self.focals + 2]
        if self.kind is CameraModel.pinhole:
            return fx, fy, cx, cy, self.kind, None
        return fx, fy, cx, cy, self.kind, [*numbers[self.focals + 2 :], *[0.0] * self.padded]


MODELS = {
    "SIMPLE_PINHOLE": Model(0, 1, CameraModel.pinhole),
    "PINHOLE": Model(1, 2, CameraModel.pinhole),
    "SIMPLE_RADIAL": Model(2, 1, CameraModel.opencv, 1, 3),
    "RADIAL": Model(3, 1, CameraModel.opencv, 2, 2),
    "OPENCV": Model(4, 2, CameraModel.opencv, 4),
    "OPENCV_FISHEYE": Model(5, 2, CameraModel.fisheye, 4),
    "FULL_OPENCV": Model(6, 2, CameraModel.opencv, 8),
    "SIMPLE_RADIAL_FISHEYE": Model(8, 1, CameraModel.fisheye, 1, 3),
    "RADIAL_FISHEYE": Model(9, 1, CameraModel.fisheye, 2, 2),
    "SIMPLE_FISHEYE": Model(14, 1, CameraModel.fisheye, 0, 4),
    "FISHEYE": Model(15, 2, CameraModel.fisheye, 0, 4),
}
NAMES = {model.number: name for name, model in MODELS.items()}
# Numbers as pycolmap 4.2.1 lists them.
UNREAD = {
    7: "FOV",
    10: "THIN_PRISM_FISHEYE",
    11: "RAD_TAN_THIN_PRISM_FISHEYE",
    12: "SIMPLE_DIVISION",
    13: "DIVISION",
    16: "EUCM",
    17: "EQUIRECTANGULAR",
}


def model_of(view: View, path: Path) -> tuple[str, tuple[float, ...]]:
    """Name and parameters of a view's camera.

    Raises:
        DataError: the camera has skew or parallel rays, which no model of COLMAP has.
    """
    (fx, skew, cx), (_, fy, cy), _ = view.K.tolist()
    if skew:
        raise DataError(path, f"view {view.name} has skew {skew:g}, which COLMAP cannot hold", "write npz or json")
    if view.model is CameraModel.orthographic:
        raise DataError(path, f"view {view.name} is orthographic, which COLMAP cannot hold", "write npz or json")
    if view.distortion is None:
        return "PINHOLE", (fx, fy, cx, cy)
    values = view.distortion.tolist()
    if view.model is CameraModel.fisheye:
        return "OPENCV_FISHEYE", (fx, fy, cx, cy, *values)
    if len(values) == 4:
        return "OPENCV", (fx, fy, cx, cy, *values)
    return "FULL_OPENCV", (fx, fy, cx, cy, *values, *[0.0] * (8 - len(values)))
