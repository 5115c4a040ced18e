"""Pictures and masks of the views of a camera file, all checked before anything is fitted to them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from voge.errors import DataError, SettingsError
from voge.io.cameras import View, Views
from voge.io.masks import Facts, Mask, check_alpha, check_masks, mask_notes, read_mask
from voge.io.photos import Photo, read_photo
from voge.scene.capture import Capture, shrink, shrunk_size
from voge.scene.disk import put, room
from voge.scene.viewpoints import resized

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def load_captures(
    views: Views,
    source: Path,
    *,
    images: Path | None = None,
    masks: Path | None = None,
    use_masks: bool = True,
    downscale: float = 1.0,
    memory: float = 2e9,
    mask_id: int | None = None,
) -> tuple[list[Capture], tuple[str, ...]]:
    """The captures of views, in groups of one size, and what the user should know of the files.

    A view's mask is its own file, else a file of its picture's stem in `masks`, else its picture's alpha (see
    `voge.io.masks`). Views with and without a mask are groups of their own. Pictures and masks are taken as stored, but
    those of a pose.json are turned upright.

    Args:
        views: as `voge.io.cameras.load_cameras` gives them.
        source: the camera file, for errors.
        images: a folder with the pictures, instead of where the camera file says they are.
        masks: a folder with masks.
        use_masks: false leaves masks and alphas out; transparent pictures are then put over white.
        downscale: sides are divided by it.
        mask_id: of masks that are maps of ids, the one that is the object; any above 0 by default.
        memory: bytes that pictures and masks may take; where they are more, all wait in a temporary file.

    Each picture is shrunk when it is read and kept in 8 bits.

    Raises:
        DataError: a view without a picture, a picture that is missing, unreadable or not of its camera's size, or a
            mask that is not of its picture's size; the first one found, in one line. The object is in no mask,
            or all of them leave nothing out.
        SettingsError: the disk has no room for what memory may not take.
    """
    sizes = [shrunk_size(view.width, view.height, downscale) for view in views]
    on_disk = _waits_on_disk(source, sum(4 * width * height for width, height in sizes), memory)
    notes: dict[str, None] = {}
    if on_disk:
        notes[f"its pictures take more than {memory / 1e9:g} GB and wait on disk (max_picture_memory)"] = None
    how = _Reading(source, views.stored, images, masks, use_masks, mask_id)
    captures: list[Capture] = []
    facts: list[Facts] = []
    for batch in views.batches():
        width, height = sizes[batch.indices[0]]
        kept = room(len(batch.indices), (height, width, 3), on_disk)
        shares = room(len(batch.indices), (height, width), on_disk)
        masked: list[bool] = []
        for row, index in enumerate(batch.indices):
            image, mask, found = _load(views[index], how)
            put(kept, row, _eight_bits(shrink(image, width, height)))
            if mask is not None:
                put(shares, row, _eight_bits(shrink(mask.share, width, height)))
                facts.append(mask.facts)
            masked.append(mask is not None)
            notes |= dict.fromkeys(found)
        cameras = resized(batch.cameras, width, height).to(torch.float32)
        names = [views[index].name for index in batch.indices]
        whole = Capture(cameras, kept, shares if any(masked) else None, names)
        captures += [whole] if len(set(masked)) == 1 else _apart(whole, masked)
    check_masks(facts, mask_id)
    return captures, (*notes, *mask_notes(facts, mask_id))


def _apart(whole: Capture, masked: Sequence[bool]) -> list[Capture]:
    """The views with a mask, and those without."""
    with_masks = whole[[row for row, there in enumerate(masked) if there]]
    without = whole[[row for row, there in enumerate(masked) if not there]]
    return [with_masks, Capture(without.cameras, without.kept_images, None, without.names)]


def _waits_on_disk(source: Path, total: int, memory: float) -> bool:
    """True where pictures of `total` bytes are more than memory may take; checks the disk before they are read."""
    if total <= memory:
        return False
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if total > free:
        raise SettingsError(
            f"{source}: its pictures need {total / 1e9:.3g} GB on disk and {folder} has {free / 1e9:.3g}; set TMPDIR "
            "to a larger disk, raise max_picture_memory, or give --downscale"
        )
    return True


def _eight_bits(picture: Tensor) -> Tensor:
    return (picture * 255).round().to(torch.uint8)


@dataclass(frozen=True, slots=True)
class _Reading:
    source: Path
    stored: bool
    images: Path | None
    masks: Path | None
    use_masks: bool
    mask_id: int | None


def _load(view: View, how: _Reading) -> tuple[Tensor, Mask | None, tuple[str, ...]]:
    """Colors (H, W, 3), multiplied by the mask where there is one, and notes."""
    if view.image is None:
        raise DataError(how.source, f"view {view.name} names no picture", "add it, or leave the view out")
    path = view.image if how.images is None else how.images / view.image.name
    photo = read_photo(path, stored=how.stored, size=(view.width, view.height))
    if not photo.colors:
        raise DataError(path, "holds features, not colors", "fit to pictures")
    if photo.size != (view.width, view.height):
        found, wanted = "x".join(map(str, photo.size)), f"{view.width}x{view.height}"
        raise DataError(path, f"is {found} pixels, its camera {wanted}", "resize it, or correct the camera's size")
    image = photo.image.float() / 255 if photo.image.dtype == torch.uint8 else photo.image.float()
    mask = _mask(view, path, photo, how) if how.use_masks else None
    if mask is not None:
        return image * mask.share[..., None], mask, photo.notes
    if photo.alpha is not None:
        image = image * photo.alpha[..., None] + 1 - photo.alpha[..., None]
    return image, None, photo.notes


def _mask(view: View, picture: Path, photo: Photo, how: _Reading) -> Mask | None:
    path = view.mask
    if path is None and how.masks is not None:
        path = _in_folder(how.masks, picture)
    if path is None:
        return None if photo.alpha is None else Mask.of(picture, check_alpha(picture, photo.alpha))
    mask = read_mask(path, photo, mask_id=how.mask_id)
    if mask.share.shape != photo.image.shape[:2]:
        found, wanted = f"{mask.share.shape[1]}x{mask.share.shape[0]}", "x".join(map(str, photo.size))
        raise DataError(
            path, f"is {found} pixels, its picture {picture.name} {wanted}", "masks and pictures must match"
        )
    return mask


def _in_folder(folder: Path, picture: Path) -> Path:
    names = [f"{stem}{suffix}" for stem in (picture.stem, picture.name) for suffix in MASK_SUFFIXES]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise DataError(folder, f"has no mask for {picture.name}", f"add {picture.stem}.png")
    return found


def read_names(path: Path) -> Sequence[str]:
    """The names of a text file, one a line; empty lines and what follows a # do not count.

    Raises:
        DataError: there is no such file, or nothing in it.
    """
    if not path.is_file():
        raise DataError(path, "no such file", "write the names of views into it, one a line")
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise DataError(path, "is no list of views (not text in UTF-8)", "write one name a line") from error
    names = [line for line in lines if line]
    if not names:
        raise DataError(path, "names no view", "write one name a line")
    return names
