"""Masks: how much each pixel of a picture belongs to the object.

A file's alpha counts, where it has one that leaves something out; else its values:

- two values: the larger is the object, whatever they are (0 and 1 in 8 or 16 bits, one color on black);
- a palette, or a few whole numbers that fill areas or are small: a map of ids, where any above 0 is the object;
- a few colors that fill areas: a map, where any but black is the object;
- anything else is soft: a share of the largest number of the file's type, of which it must reach half. Shades of one
  color are shares of its brightest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.errors import DataError
from voge.io.photos import Photo, Pixels, opened, read_deep, upright

IDS = 32  # values at most of a map of ids that says no more than its numbers
SMALL = 8  # numbers up to here are ids, even where they fill no areas
COLORS = 16  # colors at most of a map of colors, and grays at most of a palette of ids
FILLED = 0.5  # of the pixels between 0 and the largest value, if they fill areas, this share has equal neighbors
ONE_HUE = 0.25  # of shades of one color, channels differ by less, of the largest channel, but at rims of a JPEG
RIMS = 0.25  # of the pixels at most

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """Parts of a mask that are kept once it is used."""

    path: Path
    empty: bool  # no pixel belongs to the object
    full: bool  # no pixel is left out
    ids: tuple[int, ...]  # those above 0 of a map of ids
    notes: tuple[str, ...]  # what the user should know of the file, a line each


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """A mask as its picture is turned."""

    share: Tensor  # (H, W) float32 in [0, 1]
    facts: Facts

    @classmethod
    def of(cls, path: Path, share: Tensor, ids: tuple[int, ...] = (), notes: tuple[str, ...] = ()) -> Mask:
        """A mask of these pixels (H, W)."""
        return cls(share, Facts(path, not bool(share.any()), bool((share == 1).all()), ids, notes))


def read_mask(path: str | Path, picture: Photo | Pixels | None = None, *, mask_id: int | None = None) -> Mask:
    """Read a mask, and turn it as its picture was turned.

    Args:
        path: PNG, JPEG or WebP.
        picture: what it masks; a mask without an orientation of its own is turned with it.
        mask_id: of a map of ids, the one that is the object.

    Raises:
        DataError: the file is missing, unreadable, or its values mean nothing that is known.
    """
    path = Path(path)
    with opened(path) as file:
        own, lossy = file.orientation, file.image.format == "JPEG"
        if file.image.mode == "P" and (mask_id is not None or "transparency" not in file.image.info):
            share, ids, notes = _of_palette(file.image, mask_id)
        else:
            pixels, top = _pixels(path, file.image, file.deep)
            if pixels.shape[2] in (2, 4) and mask_id is None and pixels[..., -1].min() < top:
                pixels = pixels[..., -1:]
            if pixels.shape[2] < 3 or (pixels[..., :1] == pixels[..., 1:3]).all():
                share, ids, notes = _of_numbers(path, pixels[..., 0], top, mask_id, lossy)
            else:
                share, ids, notes = _of_colors(path, pixels[..., :3], mask_id)
    return Mask.of(path, torch.from_numpy(_turned(share.astype(np.float32), own, picture)), ids, notes)


def check_alpha(path: Path, alpha: Tensor) -> Tensor:
    """The alpha (H, W) of a picture as a mask: one of two values is binary; one that is too small is refused."""
    if not 0 < float(alpha.max()) < 0.5:
        return alpha
    values = alpha.unique()
    if len(values) <= 2:
        return alpha.ge(values[-1]).float()
    problem = f"its alpha reaches {float(values[-1]):.2g} of 1 only, in {len(values)} values"
    raise DataError(path, problem, "the object must be opaque: scale the alpha to 1, or give masks")


def check_masks(masks: Sequence[Facts], mask_id: int | None = None) -> None:
    """Refuse masks of some pictures where the object is in none of them, or nothing is left out in any.

    Raises:
        DataError: names the first.
    """
    if not masks:
        return
    first, every = masks[0].path, "" if len(masks) == 1 else f", as all {len(masks)} masks are"
    if all(mask.empty for mask in masks):
        if mask_id is not None:
            others = ", nor have the others" if every else ""
            raise DataError(first, f"has no id {mask_id}{others}", f"ids are {_listed(masks)}")
        raise DataError(first, f"is black everywhere{every}", "white is the object; is the right file named?")
    if all(mask.full for mask in masks):
        raise DataError(first, f"leaves nothing out{every}", "black is the background; leave the masks out")


def mask_notes(masks: Sequence[Facts], mask_id: int | None = None) -> tuple[str, ...]:
    """Lines that the user should know of the masks of some pictures."""
    notes = [note for mask in masks for note in mask.notes]
    if mask_id is None and len({number for mask in masks for number in mask.ids}) > 1:
        notes.append(f"masks are maps of ids ({_listed(masks)}): any above 0 is the object; mask_id=N chooses one")
    empty = sum(mask.empty for mask in masks)
    if empty:
        notes.append(f"{empty} of {len(masks)} masks are empty: their views teach only the background")
    return tuple(dict.fromkeys(notes))


def _listed(masks: Sequence[Facts]) -> str:
    ids = sorted({number for mask in masks for number in mask.ids})
    return ", ".join([*map(str, ids[:12]), *(["..."] if len(ids) > 12 else [])]) or "not there"


Values = tuple[Array, tuple[int, ...], tuple[str, ...]]  # the share (H, W), ids and notes


def _pixels(path: Path, image: Any, deep: int | None) -> tuple[Array, int]:
    """Values (H, W, 1 to 4) as they are stored, and the largest that their type has."""
    if deep is not None:
        return read_deep(path, deep, image.size), 65535
    if image.mode == "F":
        raise DataError(path, "holds fractions, and masks whole numbers", "save it as PNG in 8 or 16 bits")
    if image.mode.startswith("I"):  # TIFF of 16 bits
        return np.array(image).clip(0, 65535).astype(np.uint16)[..., None], 65535
    if image.mode in ("1", "L"):
        values, bits = np.array(image.convert("L"))[..., None], _bits(path)
        top = 255 if bits is None else 2**bits - 1
        return values // (255 // top), top
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB")), 255


def _bits(path: Path) -> int | None:
    """Bits a value of a PNG of fewer than 8, which are read as if they had 8; None of other files."""
    with path.open("rb") as stream:
        header = stream.read(26)
    return header[24] if header[:4] == b"\x89PNG" and header[24] < 8 else None


def _of_palette(image: Any, mask_id: int | None) -> Values:
    """Indices are ids; black is the background, or else 0. Many grays are a soft mask with a palette."""
    indices = np.array(image)
    used = [int(number) for number in np.unique(indices)]
    colors = np.zeros((256, 3), np.uint8)
    given = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colors[: len(given)] = given
    if mask_id is not None:
        return indices == mask_id, tuple(number for number in used if number), ()
    if len(used) > COLORS and (colors[used] == colors[used][:, :1]).all():
        return colors[indices][..., 0] / 255, (), ()
    black = [number for number in used if not colors[number].any()]
    background = 0 if 0 in black or not black else black[0]
    ids = tuple(number for number in used if number) if background == 0 else ()  # others were colors, not ids
    return indices != background, ids, ()


def _of_numbers(path: Path, values: Array, top: int, mask_id: int | None, lossy: bool) -> Values:
    found = np.flatnonzero(np.bincount(values.ravel(), minlength=1))
    ids = tuple(int(number) for number in found[:IDS] if number)
    if mask_id is not None:
        return values == mask_id, ids, ()
    largest, dark = int(found[-1]), found[-1] < top / 2
    if len(found) <= 2 and not (lossy and dark and largest):
        return (values == largest) & bool(largest), (), ()
    between = (values > found[0]) & (values < largest)
    if not lossy and len(found) <= IDS and (largest <= SMALL < top / 2 or _fills(values, between)):
        return values > 0, ids, ()
    if dark:
        problem = f"has {len(found)} values from {found[0]} to {largest}, and a soft mask of its kind reaches {top}"
        raise DataError(path, problem, f"write the object as {top}, or name an id with mask_id=N")
    return values / np.float32(top), (), ()


def _of_colors(path: Path, pixels: Array, mask_id: int | None) -> Values:
    if mask_id is not None:
        raise DataError(path, f"has colors, and no id {mask_id}", "save whole numbers, or a palette")
    wide = pixels.astype(np.int32) >> (8 if pixels.max() > 255 else 0)
    codes = (wide[..., 0] << 16) | (wide[..., 1] << 8) | wide[..., 2]
    seen = np.zeros(1 << 24, bool)
    seen[codes] = True
    found = np.flatnonzero(seen)
    if len(found) <= 2:
        brightness = wide.sum(2)
        return (brightness > brightness.min()) | bool(len(found) == 1), (), ()
    if len(found) <= COLORS and found[0] == 0 and _fills(codes, codes > 0):
        return codes > 0, (), (f"masks are maps of {len(found) - 1} colors: any but black is the object",)
    strength = pixels.max(2)
    strong = pixels[strength > strength.max() / 2] / strength[strength > strength.max() / 2][:, None]
    if (np.abs(strong - np.median(strong, 0)).max(1) > ONE_HUE).mean() > RIMS:
        problem = f"has {len(found)} colors, which are no mask" + ("" if found[0] == 0 else ", and no black")
        raise DataError(path, problem, "save it as PNG: white on black, or ids")
    return strength / np.float32(strength.max()), (), ()


def _fills(values: Array, chosen: Array) -> bool:
    """True where the chosen pixels fill areas of equal values, as rims of soft masks do not."""
    core, inner = values[1:-1, 1:-1], chosen[1:-1, 1:-1]
    if not inner.any():
        return False
    around = (values[:-2, 1:-1], values[2:, 1:-1], values[1:-1, :-2], values[1:-1, 2:])
    return bool(np.logical_and.reduce([core == each for each in around])[inner].mean() >= FILLED)


def _turned(share: Array, own: int, picture: Photo | Pixels | None) -> Array:
    """The share turned with its picture: as its own EXIF says, else as the picture's; as it then has its size."""
    if picture is None:
        return upright(share, own)
    wanted = 1 if picture.turned == 1 else own if own != 1 else picture.turned
    candidates = [upright(share, turn) for turn in (wanted, 1, own, picture.turned)]
    return next((each for each in candidates if each.shape[::-1] == picture.size), candidates[0])
