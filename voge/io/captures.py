"""Pictures and masks of the views of a camera file, all checked before anything is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from voge.errors import DataError
from voge.io.cameras import View, Views
from voge.io.photos import Photo, read_mask, read_photo
from voge.scene.capture import Capture

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def load_captures(
    views: Views,
    source: Path,
    *,
    images: Path | None = None,
    masks: Path | None = None,
    use_masks: bool = True,
    downscale: float = 1.0,
) -> tuple[list[Capture], tuple[str, ...]]:
    """The captures of views, in groups of one size, and what the user should know of the files.

    A view's mask is its own file, else a file of its picture's stem in `masks`, else its picture's alpha. Views with
    and without a mask are groups of their own.

    Args:
        views: as `voge.io.cameras.load_cameras` gives them.
        source: the camera file, for errors.
        images: a folder with the pictures, instead of where the camera file says they are.
        masks: a folder with masks.
        use_masks: false leaves masks and alphas out; transparent pictures are then put over white.
        downscale: sides are divided by it.

    Raises:
        DataError: a view without a picture, a picture that is missing, unreadable or not of its camera's size, or a
            mask that is not of its picture's size; the first one found, in one line.
    """
    loaded = [_load(view, source, images, masks if use_masks else None, use_masks) for view in views]
    captures, notes = [], []
    for batch in views.batches():
        for masked in (True, False):
            rows = [i for i, index in enumerate(batch.indices) if (loaded[index][1] is not None) is masked]
            if not rows:
                continue
            chosen = [loaded[batch.indices[i]] for i in rows]
            capture = Capture(
                batch.cameras[rows].to(torch.float32),
                torch.stack([image for image, _, _ in chosen]),
                torch.stack([mask for _, mask, _ in chosen if mask is not None]) if masked else None,
                tuple(views[batch.indices[i]].name for i in rows),
            )
            captures.append(capture.shrunk(downscale))
    notes = list(dict.fromkeys(note for _, _, found in loaded for note in found))
    return captures, tuple(notes)


def _load(
    view: View, source: Path, images: Path | None, masks: Path | None, use_masks: bool
) -> tuple[Tensor, Tensor | None, tuple[str, ...]]:
    """Colors (H, W, 3), multiplied by the mask (H, W) where there is one, and notes."""
    if view.image is None:
        raise DataError(source, f"view {view.name} names no picture", "add it, or leave the view out")
    path = view.image if images is None else images / view.image.name
    photo = read_photo(path)
    if not photo.colors:
        raise DataError(path, "holds features, not colors", "fit to pictures")
    if photo.size != (view.width, view.height):
        found, wanted = "x".join(map(str, photo.size)), f"{view.width}x{view.height}"
        raise DataError(path, f"is {found} pixels, its camera {wanted}", "resize it, or correct the camera's size")
    image = photo.image.float() / 255 if photo.image.dtype == torch.uint8 else photo.image.float()
    mask = _mask(view, path, photo, masks) if use_masks else None
    if mask is not None:
        return image * mask[..., None], mask, photo.notes
    if photo.alpha is not None:
        image = image * photo.alpha[..., None] + 1 - photo.alpha[..., None]
    return image, None, photo.notes


def _mask(view: View, picture: Path, photo: Photo, folder: Path | None) -> Tensor | None:
    path = view.mask
    if path is None and folder is not None:
        path = _in_folder(folder, picture)
    if path is None:
        return photo.alpha
    mask = read_mask(path)
    if mask.shape != photo.image.shape[:2]:
        found, wanted = f"{mask.shape[1]}x{mask.shape[0]}", "x".join(map(str, photo.size))
        raise DataError(
            path, f"is {found} pixels, its picture {picture.name} {wanted}", "masks and pictures must match"
        )
    if not mask.any():
        raise DataError(path, "is black everywhere", "white is the object; is the right file named?")
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
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read as a list of views ({error})", "write one name a line") from error
    names = [line for line in lines if line]
    if not names:
        raise DataError(path, "names no view", "write one name a line")
    return names
