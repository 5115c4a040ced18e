"""Animations of pictures, frame by frame: each frame stays one, however much it is like the one before.

Pillow encodes each picture; the frames are joined here, since Pillow's own animations make equal frames one, and of a
WebP of nothing but equal frames a still picture. Times are rounded on the whole, not frame by frame.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
_QUALITY = 85  # of WebP


def write_webp(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write frames (H, W, 3) as an animated WebP that repeats for ever (RFC 9649)."""
    with path.open("wb") as file:
        file.write(b"RIFF\0\0\0\0WEBP")
        for number, (frame, milliseconds) in enumerate(_timed(frames, fps, 1000)):
            height, width = frame.shape[:2]
            size = _small(width - 1, 3) + _small(height - 1, 3)
            if number == 0:
                file.write(_chunk(b"VP8X", b"\x02\0\0\0" + size) + _chunk(b"ANIM", b"\xff\xff\xff\xff\0\0"))
            # At the left upper corner, not blended with the frame before.
            file.write(_chunk(b"ANMF", bytes(6) + size + _small(milliseconds, 3) + b"\x02" + _image_chunk(frame)))
        length = file.tell() - 8
        file.seek(4)
        file.write(_small(length, 4))


def write_gif(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write frames (H, W, 3) as an animated GIF that repeats for ever, each with colors of its own."""
    with path.open("wb") as file:
        for number, (frame, hundredths) in enumerate(_timed(frames, fps, 100)):
            height, width = frame.shape[:2]
            colors, table, data = _gif_image(frame)
            if number == 0:
                file.write(b"GIF89a" + struct.pack("<HH", width, height) + b"\x70\0\0")
                file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")
            file.write(b"\x21\xf9\x04\x04" + struct.pack("<H", hundredths) + b"\0\0")
            file.write(b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0x80 | colors) + table + data)
        file.write(b"\x3b")


def _timed(frames: Iterable[Picture], fps: float, units: int) -> Iterator[tuple[Picture, int]]:
    """Frames with their times in parts of a second; sums are right to half a part."""
    for number, frame in enumerate(frames):
        yield frame, round((number + 1) * units / fps) - round(number * units / fps)


def _image_chunk(frame: Picture) -> bytes:
    """The bitstream of a picture as WebP stores it, with its name and length."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "WEBP", quality=_QUALITY)
    data, start = stream.getvalue(), 12
    while data[start : start + 4] not in (b"VP8 ", b"VP8L"):
        start += 8 + int.from_bytes(data[start + 4 : start + 8], "little") + 1 & ~1
    length = int.from_bytes(data[start + 4 : start + 8], "little")
    return _chunk(data[start : start + 4], data[start + 8 : start + 8 + length])


def _gif_image(frame: Picture) -> tuple[int, bytes, bytes]:
    """The size of a picture's color table as GIF writes it, the table, and the compressed pixels."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "GIF", optimize=False, interlace=False)
    data = stream.getvalue()
    colors = data[10] & 7
    table = data[13 : 13 + 3 * 2 ** (colors + 1)]
    start = 13 + len(table)
    while data[start] == 0x21:  # an extension: its blocks end with an empty one
        start += 2
        while data[start]:
            start += 1 + data[start]
        start += 1
    return colors, table, data[start + 10 : -1]


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + _small(len(data), 4) + data + b"\0" * (len(data) % 2)


def _small(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little")
