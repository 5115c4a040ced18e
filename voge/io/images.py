"""Pictures from files, pictures and videos to files; what is written appears complete or not at all.

Pictures are float arrays or tensors in [0, 1], row 0 at the top, (H, W) or (H, W, C) with C = 1, 3 or 4;
8-bit files hold round(255 value), clipped. uint8 arrays are taken as they are. Colors are written as
they are: whoever renders knows whether they are sRGB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from voge.errors import SettingsError
from voge.io.animations import write_gif, write_webp
from voge.io.files import atomic_file

DEPTH_STEPS = 2**16 - 1  # 16-bit depth: 0 is nothing seen, the rest are steps of `depth_scale`
VIDEO_SUFFIXES = (".mp4", ".gif", ".webp")


def to_bytes(picture: ArrayLike) -> NDArray[np.uint8]:
    """8-bit values (H, W) or (H, W, C) of a picture; one channel loses its axis, uint8 stays as it is."""
    values = np.asarray(picture)
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (1, 3, 4)):
        raise ValueError(f"a picture must have shape (H, W) or (H, W, 1, 3 or 4); got {values.shape}")
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.dtype == np.uint8:
        return values
    broken = int((~np.isfinite(values)).sum())
    if broken:
        raise ValueError(f"a picture must be finite; {broken} of {values.size} values are not")
    pixels: NDArray[np.uint8] = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    return pixels


def write_png(
    path: str | Path, picture: ArrayLike, text: Mapping[str, str] | None = None, *, compression: int = 6
) -> None:
    """Write an 8-bit PNG, with `text` in its metadata; compression from 0 to 9, larger is slower."""
    _save_png(path, to_bytes(picture), text or {}, compression)


def write_depth_png(path: str | Path, depth: ArrayLike, *, scale: float, kind: str) -> None:
    """Write depth (H, W) as a 16-bit PNG: depth = value x scale, 0 where nothing was seen.

    Args:
        scale: world units a step; `max depth / DEPTH_STEPS` uses the whole range.
        kind: what is measured, such as "ray distance"; kept with the scale in the metadata
            (`depth_kind`, `depth_scale`).

    Raises:
        ValueError: a depth is negative, not finite or does not fit into 16 bits at this scale.
    """
    values = np.asarray(depth, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"depth must have shape (H, W), finite values and none below 0; got shape {values.shape}")
    steps = np.rint(values / scale)
    if steps.size and steps.max() > DEPTH_STEPS:
        raise ValueError(f"depth {values.max():g} needs more than {DEPTH_STEPS} steps of scale {scale:g}")
    # Something seen is never 0, however near.
    steps = np.where((values > 0) & (steps == 0), 1, steps)
    text = {"depth_scale": repr(float(scale)), "depth_kind": kind, "depth_zero": "nothing seen"}
    _save_png(path, steps.astype(np.uint16), text)


def write_npz(path: str | Path, **arrays: ArrayLike) -> None:
    """Write named arrays, compressed."""
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        named: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez_compressed(file, **named)


def write_labels_png(
    path: str | Path, labels: ArrayLike, colors: ArrayLike | None, text: Mapping[str, str] | None = None
) -> None:
    """Write numbers (H, W), 0 or more: as a PNG of 8 bits that shows them in colors (K, 3), or of 16 bits without."""
    from PIL import Image

    if colors is None:
        _save_png(path, np.asarray(labels).astype(np.uint16), text or {})
        return
    image = Image.fromarray(np.asarray(labels).astype(np.uint8))
    image.putpalette(to_bytes(np.asarray(colors)[None])[0].tobytes())
    _save_image(path, image, text or {})


def read_picture(path: str | Path) -> NDArray[np.float32]:
    """A picture as (H, W, 3) in [0, 1], read as `voge.io.photos` does; an alpha channel is put over white.

    Raises:
        DataError: the file is missing or no picture.
    """
    return _over_white(_stored(path))


def read_bytes(path: str | Path) -> NDArray[np.uint8]:
    """The same with 8 bits, (H, W, 3); quicker where they are what the file holds."""
    return bytes_of(_stored(path))


def bytes_of(stored: NDArray[Any]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3 or 4) of a file in 8 bits (H, W, 3), over white."""
    return stored if stored.dtype == np.uint8 and stored.shape[2] == 3 else to_bytes(_over_white(stored))


def _stored(path: str | Path) -> NDArray[Any]:
    from voge.io.photos import read_pixels

    return read_pixels(Path(path)).values


def _over_white(stored: NDArray[Any]) -> NDArray[np.float32]:
    pixels = stored.astype(np.float32) / np.float32(np.iinfo(stored.dtype).max)
    if pixels.shape[2] == 3:
        return pixels
    return 1 - pixels[..., 3:] * (1 - pixels[..., :3])


def opaque(picture: ArrayLike) -> NDArray[np.uint8]:
    """A picture of any channels as (H, W, 3), 8-bit; over white if it has an alpha channel."""
    from PIL import Image

    image = Image.fromarray(to_bytes(picture))
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def cover(picture: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """A picture (h, w, 3) scaled, keeping its shape, until it covers the size, and cut to it around its middle."""
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(Image.fromarray(to_bytes(picture)), (width, height), Image.Resampling.LANCZOS)
    return np.asarray(fitted, np.float32) / np.float32(255)


def write_video(path: str | Path, frames: Iterable[ArrayLike], *, fps: float = 24) -> None:
    """Write frames of one size (H, W, 3) as `.mp4` (H.264), `.gif` or `.webp`; the latter two repeat for ever.

    Frames are taken one by one and not kept; equal ones stay as many. H.264 with the pixel format of every player
    halves its color planes, so it needs even sizes: an odd width or height gets its last column or row once more.

    Raises:
        ValueError: another suffix, no frames, or frames of several sizes.
        SettingsError: `.mp4` without ffmpeg (see `check_video`).
    """
    suffix = check_video(path)
    pictures = _same_size(frames)
    first = next(pictures, None)
    if first is None:
        raise ValueError("a video needs frames of one size (H, W, 3); got none")
    with atomic_file(path) as temporary:
        if suffix == ".mp4":
            _encode_mp4(temporary, first, pictures, fps)
        else:
            write = write_gif if suffix == ".gif" else write_webp
            write(temporary, chain([first], pictures), fps)


def _same_size(frames: Iterable[ArrayLike]) -> Iterator[NDArray[np.uint8]]:
    first: tuple[int, ...] | None = None
    for frame in frames:
        picture = to_bytes(frame)
        first = first or picture.shape
        if picture.shape != first or first[2:] != (3,):
            raise ValueError(f"a video needs frames of one size (H, W, 3); got {sorted({first, picture.shape})}")
        yield picture


def check_video(path: str | Path) -> str:
    """The suffix of a video that can be written here, in lower case; call it before rendering the frames.

    Raises:
        ValueError: the suffix is none of VIDEO_SUFFIXES.
        SettingsError: `.mp4` and imageio-ffmpeg has no ffmpeg for this machine.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise ValueError(f"videos are written to {', '.join(VIDEO_SUFFIXES)}; got '{suffix}' ({path})")
    if suffix == ".mp4":
        import imageio_ffmpeg

        try:
            imageio_ffmpeg.get_ffmpeg_exe()
        except RuntimeError as error:
            problem = "mp4 needs ffmpeg, and imageio-ffmpeg finds none; write gif or webp (video=gif)"
            raise SettingsError(problem) from error
    return suffix


def contact_sheet(rows: Sequence[Sequence[ArrayLike]], *, cell: int = 256, gap: int = 4) -> NDArray[np.uint8]:
    """One picture (H, W, 3) of many on a white grid.

    Args:
        rows: pictures of any sizes and channels; each is shrunk as by `thumbnail`.
        cell: pixels a side that a picture may have.
        gap: pixels between pictures.
    """
    if not any(rows):
        raise ValueError("a contact sheet needs at least one picture; got none")
    small = [[thumbnail(picture, cell) for picture in row] for row in rows]
    height = max(picture.shape[0] for row in small for picture in row) + gap
    width = max(picture.shape[1] for row in small for picture in row) + gap
    sheet = np.full((len(rows) * height + gap, max(map(len, rows)) * width + gap, 3), 255, np.uint8)
    for i, row in enumerate(small):
        for j, picture in enumerate(row):
            top, left = gap + i * height, gap + j * width
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


def thumbnail(picture: ArrayLike, cell: int = 256) -> NDArray[np.uint8]:
    """(h, w, 3), shrunk to at most `cell` pixels a side, never enlarged; over white if it has an alpha channel."""
    from PIL import Image

    image = Image.fromarray(opaque(picture))
    image.thumbnail((cell, cell), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _save_png(path: str | Path, values: NDArray[Any], text: Mapping[str, str], compression: int = 6) -> None:
    from PIL import Image

    _save_image(path, Image.fromarray(values), text, compression)


def _save_image(path: str | Path, image: Any, text: Mapping[str, str], compression: int = 6) -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    with atomic_file(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=info, compress_level=compression)


def _encode_mp4(path: Path, first: NDArray[np.uint8], rest: Iterable[NDArray[np.uint8]], fps: float) -> None:
    import imageio.v2 as imageio

    height, width = first.shape[:2]
    even = ((0, height % 2), (0, width % 2), (0, 0))
    # macro_block_size 2: imageio's default of 16 would rescale the picture.
    options = {"codec": "libx264", "quality": 8, "macro_block_size": 2, "pixelformat": "yuv420p"}
    writer: Any  # imageio's annotation knows no append_data
    with imageio.get_writer(path, format="FFMPEG", mode="I", fps=fps, **options) as writer:
        for picture in chain([first], rest):
            writer.append_data(np.pad(picture, even, mode="edge"))
