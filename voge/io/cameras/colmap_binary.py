"""COLMAP's binary files: little endian, counts first."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from voge.errors import DataError
from voge.io.cameras.colmap_models import MODELS, NAMES, UNREAD, Camera, Image

POINT = 24  # bytes of a 2D point: two doubles and the number of its 3D point


class _Stream:
    """Reads records, and says where a file ends too early."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.at = path, path.read_bytes(), 0

    def take(self, layout: str) -> tuple[Any, ...]:
        """The next values, as struct names them."""
        size = struct.calcsize(f"<{layout}")
        self.skip(size)
        return struct.unpack_from(f"<{layout}", self.data, self.at - size)

    def skip(self, size: int) -> None:
        """Pass over bytes that must be there."""
        if self.at + size > len(self.data):
            raise DataError(self.path, f"ends after {len(self.data)} bytes, in the middle of a record", "copy it again")
        self.at += size

    def text(self) -> str:
        """Text up to a zero byte."""
        end = self.data.find(b"\0", self.at)
        if end < 0:
            raise DataError(self.path, "ends in the middle of a name", "copy it again")
        raw, self.at = self.data[self.at : end], end + 1
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(self.path, f"has a name that is no text, at byte {self.at}", "copy it again") from error

    def end(self, count: int) -> None:
        """The file must end here."""
        left = len(self.data) - self.at
        if left:
            raise DataError(self.path, f"announces {count} records, and {left} bytes follow them", "copy it again")


def read_cameras(path: Path) -> list[Camera]:
    """Records of cameras.bin."""
    stream, cameras = _Stream(path), []
    (count,) = stream.take("Q")
    for _ in range(count):
        number, model, width, height = stream.take("iiQQ")
        if model not in NAMES:
            name = UNREAD.get(model, f"number {model}")
            known = f"known are {', '.join(MODELS)}; undistort first"
            raise DataError(path, f"camera {number}: unknown camera model '{name}'", known)
        name = NAMES[model]
        cameras.append(Camera(number, name, width, height, stream.take(f"{MODELS[name].count}d")))
    stream.end(count)
    return cameras


def read_images(path: Path) -> list[Image]:
    """Records of images.bin; their points are passed over."""
    stream, images = _Stream(path), []
    (count,) = stream.take("Q")
    for _ in range(count):
        number, *pose, camera = stream.take("i7di")
        name = stream.text()
        (points,) = stream.take("Q")
        stream.skip(points * POINT)
        images.append(Image(number, tuple(pose[:4]), tuple(pose[4:]), camera, name))
    stream.end(count)
    return images


def write(folder: Path, cameras: list[Camera], images: list[Image]) -> None:
    """cameras.bin, images.bin and a points3D.bin without points."""
    parts = [struct.pack("<Q", len(cameras))]
    for c in cameras:
        layout = f"<iiQQ{len(c.numbers)}d"
        parts.append(struct.pack(layout, c.number, MODELS[c.model].number, c.width, c.height, *c.numbers))
    (folder / "cameras.bin").write_bytes(b"".join(parts))
    parts = [struct.pack("<Q", len(images))]
    for i in images:
        parts.append(struct.pack("<i7di", i.number, *i.quaternion, *i.shift, i.camera))
        parts.append(i.name.encode() + b"\0" + struct.pack("<Q", 0))
    (folder / "images.bin").write_bytes(b"".join(parts))
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", 0))
