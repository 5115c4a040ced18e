"""Parts that readers of other programs' reconstructions share: pictures by name, lenses, notes of what is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.io.cameras.fields import Fields, image_size, located
from voge.io.cameras.options import Options
from voge.io.cameras.transforms import SUFFIXES
from voge.io.cameras.views import View, unique_names
from voge.scene.cameras import CameraModel, intrinsic_matrix

PLACES = ("", "images", "input", "..", "../images")  # of pictures, beside a file of cameras


def find_picture(folder: Path, name: str) -> Path:
    """The picture of a name, with or without its suffix; in `images` where it is nowhere."""
    for place in PLACES:
        file = located(folder / place, name)
        endings = [""] if file.suffix.lower() in SUFFIXES else ["", *SUFFIXES]
        for found in (file.with_name(file.name + ending) for ending in endings):
            if found.is_file():
                return Path(*found.parts) if ".." not in found.parts else found.resolve()
    return located(folder / "images", name)


def names_of(names: Sequence[str]) -> list[str]:
    """Unique names of views from the names of their pictures, with suffixes or without."""
    files = [Path(name.replace("\\", "/")) for name in names]
    return unique_names([f if f.suffix.lower() in SUFFIXES else f.with_name(f"{f.name or 'view'}.x") for f in files])


def picture_size(here: Fields, image: Path, options: Options) -> tuple[int, int]:
    """Width and height from the picture, else the caller, of a file that does not say them."""
    size = options.size or image_size(image)
    if size is None:
        raise here.error(f"has no size, and no picture to take it from ({image.name})", "give --image-size WxH")
    return size


def left_out(count: int, total: int, reason: str) -> tuple[str, ...]:
    """A note of how many cameras are not among the views, if any."""
    return (f"{count} of {total} cameras {reason} and are left out",) if count else ()


def make_view(
    name: str,
    world_to_camera: Tensor,
    focals: tuple[float, float],
    center: tuple[float, float],
    size: tuple[int, int],
    image: Path | None,
    lens: tuple[CameraModel, Sequence[float]] = (CameraModel.pinhole, ()),
) -> View:
    """A view in this package's convention; a lens whose coefficients are all 0 is a pinhole's, but for fisheyes."""
    model, numbers = lens
    if model is CameraModel.opencv and not any(numbers):
        model, numbers = CameraModel.pinhole, ()
    return View(
        name=name,
        viewmat=world_to_camera,
        K=intrinsic_matrix(*focals, *center),
        width=size[0],
        height=size[1],
        model=model,
        distortion=torch.tensor(list(numbers), dtype=torch.float64) if numbers else None,
        image=image,
    )


def posed(
    here: Fields,
    rotation: NDArray[np.float64],
    key: str,
    *,
    center: Sequence[float] | NDArray[np.float64] | None = None,
    shift: NDArray[np.float64] | None = None,
) -> Tensor:
    """World to camera (4, 4) from its rotation (3, 3), and the camera's center or the translation (3,)."""
    matrix = np.eye(4)
    matrix[:3, :3] = here.rotation(rotation, key)
    if center is not None:
        shift = -matrix[:3, :3] @ np.asarray(center)
    if shift is not None:
        matrix[:3, 3] = shift
    return torch.from_numpy(matrix)
