"""Photographs and feature maps that ellipsoids take their colors from, and masks.

Photos: PNG, JPEG, WebP, in sRGB: an embedded color profile is converted, gray is spread over the channels, 16-bit PNG
keeps its 16 bits (and its numbers: profiles are converted in 8 bits only). Alpha is kept apart, and colors are not
multiplied by it. They are turned upright as their EXIF says, or taken as stored: the cameras of a list of views are of
the stored pixels. Feature maps: `.npz` or `.safetensors` with `features` (H, W, C),
and optionally `alpha` (H, W), as `voge render --outputs features` writes them.
"""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.errors import DataError
from voge.io.files import check_not_empty
from voge.io.settings import IMAGE_SUFFIXES

MAP_SUFFIXES = (".npz", ".safetensors")

Array = NDArray[Any]

ORIENTATION = 0x0112  # EXIF tag
_LEAST_ALPHA = 0.05  # features of less are mostly rounding when divided by it
# By PNG color type: ffmpeg's name of 16-bit pixels, and the channels.
_DEEP = {0: ("gray16le", 1), 2: ("rgb48le", 3), 4: ("ya16le", 2), 6: ("rgba64le", 4)}


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """Content of a photo, on the CPU."""

    image: Tensor  # (H, W, C): colors (C = 3) as uint8 or float32 in [0, 1], sRGB; or features, float32
    alpha: Tensor | None  # (H, W) float32; None where all is opaque
    colors: bool  # colors, not features
    notes: tuple[str, ...] = ()  # what the user should know of the file, a line each
    turned: int = 1  # the EXIF orientation that was undone; 1: the image is as stored

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


def read_photo(path: str | Path, *, stored: bool = False, size: tuple[int, int] | None = None) -> Photo:
    """Read a photo, or a feature map by its suffix.

    Args:
        path: the file.
        stored: leave the pixels as they are stored, whatever EXIF says, since the camera is of them.
        size: width and height of the camera; where only the other orientation has them, that one is taken.

    Raises:
        DataError: the file is missing or unreadable.
    """
    path = _checked(path)
    if path.suffix.lower() in MAP_SUFFIXES:
        return _read_map(path)
    found = read_pixels(path, stored=stored, size=size)
    pixels = found.values
    top = np.iinfo(pixels.dtype).max
    colors, alpha = pixels[..., :3], None
    if pixels.shape[2] == 4 and pixels[..., 3].min() < top:
        alpha = torch.from_numpy(pixels[..., 3] / np.float32(top))
    image = torch.from_numpy(np.ascontiguousarray(colors) if top == 255 else colors / np.float32(top))
    return Photo(image, alpha, True, found.notes, found.turned)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """Pixels of a picture, in the numbers of its file."""

    values: Array  # (H, W, 3 or 4) uint8 or uint16, sRGB
    turned: int  # the EXIF orientation that was undone; 1: the values are as stored
    notes: tuple[str, ...]  # what the user should know of the file, a line each

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.values.shape[1], self.values.shape[0]


def read_pixels(path: Path, *, stored: bool = False, size: tuple[int, int] | None = None) -> Pixels:
    """Read a picture of any kind that Pillow knows; turned as `read_photo` does.

    Raises:
        DataError: the file is missing or no picture.
    """
    with opened(path) as file:
        profile = file.image.info.get("icc_profile")
        if file.deep is None:
            pixels, notes = _shallow(file.image, profile)
        else:
            pixels = read_deep(path, file.deep, file.image.size)
            notes = ("its color profile is not converted, since it has 16 bits",) if profile else ()
        turned, told = _turn(file.orientation, file.image.size, stored, size)
    return Pixels(upright(pixels, turned), turned, (*notes, *told))


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A picture file that is open."""

    image: Any  # of PIL
    orientation: int  # EXIF's, 1 to 8
    deep: int | None  # the color type of a PNG of 16 bits a channel


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """A picture, open; whatever goes wrong with it is said of the file.

    Raises:
        DataError: there is no such file, or it is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise DataError(path, "is a folder, not a picture" if path.is_dir() else "no such file")
    check_not_empty(path)
    try:
        with Image.open(path) as file:
            turn = int(file.getexif().get(ORIENTATION, 1))
            deep = _deep_kind(path) if file.format == "PNG" else None
            yield Opened(file, turn if 1 <= turn <= 8 else 1, deep)
    except DataError:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = "its format is not known" if isinstance(error, UnidentifiedImageError) else error
        raise DataError(path, f"cannot be read as a picture ({reason})", "use PNG, JPEG or WebP") from error


def _turn(own: int, shape: tuple[int, int], stored: bool, size: tuple[int, int] | None) -> tuple[int, tuple[str, ...]]:
    """The orientation to undo of a file of its own orientation and shape, and what the user should know of it."""
    if own == 1:
        return 1, ()
    fits = {turn: size in (None, shape[::-1] if turn >= 5 else shape) for turn in (1, own)}
    wanted, other = (1, own) if stored else (own, 1)
    if fits[other] and not fits[wanted]:
        how = "turned upright by EXIF" if other == own else "taken as stored, not turned by EXIF"
        return other, (f"{how} (orientation {own}): only so the picture has its camera's size",)
    if stored:
        return 1, (f"EXIF's orientation {own} is not followed: cameras are of the stored pixels",)
    return own, (f"turned upright by EXIF (orientation {own})",)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "is a folder, not a picture" if path.is_dir() else "no such file")
    if path.suffix.lower() not in (*IMAGE_SUFFIXES, *MAP_SUFFIXES):
        known = ", ".join((*IMAGE_SUFFIXES, *MAP_SUFFIXES))
        raise DataError(path, f"pictures are read from {known}, not '{path.suffix}'", "convert it")
    check_not_empty(path)
    return path


def _shallow(file: Any, profile: bytes | None) -> tuple[Array, tuple[str, ...]]:
    """8-bit pixels in sRGB, RGB or RGBA."""
    from PIL import ImageCms

    notes: tuple[str, ...] = ()
    transparent = file.has_transparency_data
    pixels = np.array(file.convert("RGBA" if transparent else "RGB"))
    if profile and file.mode in ("RGB", "RGBA", "CMYK"):
        opaque = file.convert("RGB") if file.mode == "RGBA" else file
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            pixels[..., :3] = np.array(converted)
        except (ImageCms.PyCMSError, OSError) as error:
            notes = (f"its color profile cannot be used ({error}), so its numbers are taken as sRGB",)
    return pixels, notes


def _deep_kind(path: Path) -> int | None:
    """The color type of a PNG of 16 bits a channel; None for fewer bits."""
    with path.open("rb") as stream:
        header = stream.read(26)
    return header[25] if header[24] == 16 else None


def read_deep(path: Path, kind: int, size: tuple[int, int]) -> Array:
    """Pixels of a 16-bit PNG, which Pillow reads as 8 bits: by ffmpeg, whose decoder changes no number."""
    import imageio_ffmpeg

    name, channels = _DEEP[kind]
    try:
        program = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise OSError("16-bit PNG needs ffmpeg, and imageio-ffmpeg finds none; save it in 8 bits") from error
    command = [program, "-v", "error", "-f", "png_pipe", "-i", "pipe:0", "-f", "rawvideo", "-pix_fmt", name, "pipe:1"]
    done = subprocess.run(command, input=path.read_bytes(), capture_output=True, check=False)
    pixels = np.frombuffer(done.stdout, "<u2")
    if done.returncode or pixels.size != size[0] * size[1] * channels:
        raise OSError((done.stderr.decode(errors="replace").splitlines() or ["it is cut short"])[-1])
    pixels = pixels.reshape(size[1], size[0], channels)
    if channels <= 2:
        pixels = np.concatenate([np.repeat(pixels[..., :1], 3, 2), pixels[..., 1:]], 2)
    return pixels.astype(np.uint16)


def upright(pixels: Array, orientation: int) -> Array:
    """Rows from the top as EXIF's orientation, 1 to 8, says."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _read_map(path: Path) -> Photo:
    arrays, divided = _read_npz(path) if path.suffix.lower() == ".npz" else _read_safetensors(path)
    if "features" not in arrays:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(path, f"has no array 'features', only {found}", "name the map (H, W, C) 'features'")
    features, alpha = arrays["features"], arrays.get("alpha")
    if features.ndim != 3 or not features.is_floating_point() or 0 in features.shape:
        kind = str(features.dtype).removeprefix("torch.")
        raise DataError(path, f"'features' must be floats (H, W, C), got {kind} of shape {tuple(features.shape)}")
    if alpha is not None and alpha.shape != features.shape[:2]:
        wanted = tuple(features.shape[:2])
        raise DataError(path, f"'alpha' must have shape {wanted} like the features, got {tuple(alpha.shape)}")
    features = features.float()
    if alpha is not None:
        alpha = alpha.float().clamp(0, 1)
        if not divided:
            features = features / alpha.clamp_min(_LEAST_ALPHA)[..., None]
            alpha = torch.where(alpha < _LEAST_ALPHA, 0, alpha)
    return Photo(features, alpha, False)


def _read_npz(path: Path) -> tuple[dict[str, Tensor], bool]:
    from voge.io.cameras.fields import read_arrays

    arrays = read_arrays(path)
    divided = bool(arrays.pop("divided_by_alpha", np.array(True)))
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
    return {name: torch.from_numpy(array) for name, array in numbers.items()}, divided


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], bool]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("voge", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as .safetensors ({error})", "is it complete?") from error
    return tensors, bool(facts.get("divided_by_alpha", True)) if isinstance(facts, dict) else True
