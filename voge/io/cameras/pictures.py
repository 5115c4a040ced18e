"""The pictures that views name, against their cameras."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from voge.io.cameras.fields import image_size
from voge.io.cameras.views import View
from voge.io.photos import opened


def size_notes(views: Iterable[View]) -> tuple[str, ...]:
    """A line that counts the pictures which are there but not of their camera's size, turned as EXIF says or not."""
    pairs = [(view, image_size(view.image)) for view in views if view.image is not None]
    there = [(view, size) for view, size in pairs if size is not None]
    odd = [(view, size) for view, size in there if size != (view.width, view.height) and not _turned(view, size)]
    if not odd:
        return ()
    view, (width, height) = odd[0]
    name = view.image.name if view.image is not None else view.name
    first = f"{name} is {width}x{height}, its camera {view.width}x{view.height}"
    return (f"{len(odd)} of {len(there)} pictures are not of their camera's size ({first})",)


def _turned(view: View, size: tuple[int, int]) -> bool:
    """True where the picture has its camera's size once it is turned as its EXIF says."""
    return view.image is not None and size == (view.height, view.width) and orientation(view.image) >= 5


def orientation(path: Path) -> int:
    """EXIF's orientation of a picture, 1 to 8; 1 without."""
    with opened(path) as file:
        return file.orientation
