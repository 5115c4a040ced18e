"""Names and files of views, in formats that keep each property of all views in one list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voge.io.cameras.fields import Fields, located
from voge.io.cameras.transforms import relative
from voge.io.cameras.views import View, unique_names


def names_and_files(document: Fields, count: int) -> tuple[list[str], list[Path | None], list[Path | None]]:
    """Unique names, images and masks of the views, from `names`, `images` and `masks`; each may be left out."""
    named, images, masks = (_texts(document, key, count) for key in ("names", "images", "masks"))
    texts = [(name or image).replace("\\", "/") for name, image in zip(named, images, strict=True)]
    stems = [Path(text) if text else None for text in texts]
    folder = document.path.parent
    files = [[located(folder, text) if text else None for text in each] for each in (images, masks)]
    names = unique_names([None if stem is None else stem.with_name(stem.name + ".x") for stem in stems])
    return names, files[0], files[1]


def text_list(views: Sequence[View], folder: Path) -> dict[str, list[str]]:
    """Lists that `names_and_files` reads, for a document in `folder`; a view without a file has empty text."""
    lists = {
        "names": [view.name for view in views],
        "images": [relative(view.image, folder) or "" for view in views],
        "masks": [relative(view.mask, folder) or "" for view in views],
    }
    return {key: texts for key, texts in lists.items() if any(texts)}


def _texts(document: Fields, key: str, count: int) -> list[str]:
    if key not in document:
        return [""] * count
    value: Any = document.content[key]
    texts = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise document.error("must be a list of text", key=key)
    if len(texts) != count:
        raise document.error(f"has {len(texts)} entries for {count} views", key=key)
    return texts
