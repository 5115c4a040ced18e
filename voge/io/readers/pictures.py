"""Pictures of materials: found by the names that materials give them, and read as they are stored."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from voge.io.readers.part import fractions
from voge.meshes.mesh import Array


def texture_pixels(data: bytes) -> Array:
    """Pixels (H, W, 3) uint8 of a picture, rows from the top; 16 bits are rounded to 8, alpha is left out.

    Color profiles and EXIF are left aside: texture coordinates refer to the stored rows.

    Raises:
        ValueError: the bytes are no picture that can be read.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as file:
            if file.mode.startswith("I"):  # gray of 16 bits, whatever Pillow calls it
                gray = fractions(np.asarray(file).astype(np.uint16)) * 255
                return np.repeat(np.round(gray).astype(np.uint8)[..., None], 3, 2)
            return np.asarray(file.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(" ".join(str(error).split())[:120]) from error


_LONGEST = 1024  # bytes of a name; systems fail at longer ones


def find_beside(name: str, folders: list[Path]) -> Path | None:
    """The file that a material means by a name that may come from another machine.

    Backslashes are slashes. A name that is not there as written, or begins at the root of a disk, is looked for by its
    last part beside the files.
    """
    name = name.strip().strip('"').replace("\\", "/")
    if len(name.encode()) > _LONGEST or "\0" in name:
        return None  # no system has such a file
    absolute = name.startswith("/") or name[1:3] == ":/"
    for tried in [] if absolute else [name]:
        for folder in folders:
            if (folder / tried).is_file():
                return folder / tried
    bare = name.rsplit("/", 1)[-1]
    return next((folder / bare for folder in folders if bare and (folder / bare).is_file()), None)
