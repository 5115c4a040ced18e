"""K and 4x4 matrices, in this package's own JSON and npz, for whatever has no format.

JSON: {"convention", "direction", "units", "views": [{"K", "matrix", "width", "height", ...}]}; what all views
share may stand at the top. npz: arrays with a first axis of views: K, matrix, width, height, ...; convention,
direction and units are single texts. Both hold every kind of camera, skew and distortion included.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.io.cameras.fields import Fields, read_arrays, read_json
from voge.io.cameras.lists import names_and_files, text_list
from voge.io.cameras.options import CONVENTIONS, DIRECTIONS, Options
from voge.io.cameras.transforms import FLIP, relative
from voge.io.cameras.views import View, Views, unique_names

OF_A_VIEW = ("K", "matrix", "width", "height", "model", "distortion", "name", "image", "mask")
OF_ALL = ("convention", "direction", "units", "pixel_center")
OF_ARRAYS = ("K", "matrix", "width", "height", "model", "distortion", "names", "images", "masks")


def read_document(path: Path, options: Options) -> Views:
    """Views of a JSON document."""
    document = Fields(path, read_json(path))
    if "views" not in document:  # one view, all at the top
        document.only([*OF_ALL, *OF_A_VIEW])
        places = [document]
    else:
        document.only([*OF_ALL, *OF_A_VIEW, "views"])
        shared = {key: value for key, value in document.content.items() if key in OF_A_VIEW}
        items = document.items("views")
        for item in items:
            item.only(OF_A_VIEW)
        places = [Fields(path, {**shared, **item.content}, item.where) for item in items]
    named = [place.text("name") if "name" in place else None for place in places]
    images = [place.file("image") for place in places]
    stems = [Path(f"{name}.x") if name else image for name, image in zip(named, images, strict=True)]
    names = unique_names(stems)
    views = [
        _view(document, place, name, image, place.file("mask"), options)
        for place, name, image in zip(places, names, images, strict=True)
    ]
    return Views(tuple(views), units=document.text("units", "unknown"), format="json")


def read_npz(path: Path, options: Options) -> Views:
    """Views of the arrays of an npz."""
    document = Fields(path, read_arrays(path))
    document.only([*OF_ALL, *OF_ARRAYS])
    matrices = document.array("matrix", (-1, 4, 4), (-1, 3, 4), (4, 4), (3, 4))
    matrices = matrices[None] if matrices.ndim == 2 else matrices
    count = len(matrices)
    if not count:
        raise document.error("is empty", "there must be at least one view", "matrix")
    rows = {key: _per_view(document, key, count) for key in OF_ARRAYS[:6] if key in document and key != "matrix"}
    names, images, masks = names_and_files(document, count)
    views = []
    for i in range(count):
        content: dict[str, Any] = {"matrix": matrices[i], **{key: values[i] for key, values in rows.items()}}
        if "distortion" in content:  # rows are filled up with nan, and are nothing but nan without distortion
            content["distortion"] = content["distortion"][~np.isnan(content["distortion"])]
            if not content["distortion"].size:
                del content["distortion"]
        place = Fields(path, content, f"view {i}")
        views.append(_view(document, place, names[i], images[i], masks[i], options))
    return Views(tuple(views), units=document.text("units", "unknown"), format="npz")


def write_document(path: Path, views: Views, *, named: Path) -> None:
    """JSON: OpenCV axes, world to camera."""
    items = []
    for view in views:
        item: dict[str, Any] = {"name": view.name, "width": view.width, "height": view.height}
        item |= {"K": view.K.tolist(), "matrix": view.viewmat.tolist(), "model": view.model.value}
        if view.distortion is not None:
            item["distortion"] = view.distortion.tolist()
        for key, file in (("image", view.image), ("mask", view.mask)):
            if file is not None:
                item[key] = relative(file, named.parent)
        items.append(item)
    document = {"convention": "opencv", "direction": "world_to_camera", "units": views.units, "views": items}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def write_npz(path: Path, views: Views, *, named: Path) -> None:
    """npz: OpenCV axes, world to camera."""
    arrays: dict[str, Any] = {
        "K": torch.stack([view.K for view in views]).numpy(),
        "matrix": torch.stack([view.viewmat for view in views]).numpy(),
        "width": np.array([view.width for view in views]),
        "height": np.array([view.height for view in views]),
        "model": np.array([view.model.value for view in views]),
        "convention": np.array("opencv"),
        "direction": np.array("world_to_camera"),
        "units": np.array(views.units),
        **{key: np.array(texts) for key, texts in text_list(views, named.parent).items()},
    }
    if any(view.distortion is not None for view in views):
        filled = np.full((len(views), 8), np.nan)
        for row, view in zip(filled, views, strict=True):
            if view.distortion is not None:
                row[: len(view.distortion)] = view.distortion.numpy()
        arrays["distortion"] = filled
    with path.open("wb") as stream:
        np.savez(stream, **arrays)


def _view(document: Fields, place: Fields, name: str, image: Path | None, mask: Path | None, options: Options) -> View:
    model, distortion = place.lens()
    K = place.intrinsics(place.array("K", (3, 3)), "K")
    # Where whole numbers are pixel centers, as in OpenCV's calibration, ours lie half a pixel on.
    K[:2, 2] += 0.5 - document.number("pixel_center", 0.5)
    matrix = place.rigid(place.array("matrix", (4, 4), (3, 4)), "matrix")
    if _stated(document, "direction", options.direction, DIRECTIONS) == "camera_to_world":
        matrix = torch.linalg.inv(matrix)
    if _stated(document, "convention", options.convention, CONVENTIONS) == "opengl":
        matrix = FLIP @ matrix
    sized = "width" in place or "height" in place or options.size is None
    width, height = (place.size("width"), place.size("height")) if sized else options.size or (0, 0)
    return View(
        name=name,
        viewmat=matrix,
        K=K,
        width=width,
        height=height,
        model=model,
        distortion=distortion,
        image=image,
        mask=mask,
    )


def _stated(document: Fields, key: str, given: str | None, choices: tuple[str, ...]) -> str:
    """Value that the file states, or else the caller: matrices without it may mean anything."""
    if key not in document and given is None:
        raise document.error(f"does not say its {key}", f"add '{key}': {' or '.join(choices)}, or give --{key}")
    return document.text(key, given, choices)


def _per_view(document: Fields, key: str, count: int) -> NDArray[Any]:
    """An array with a first axis of views; one value stands for all."""
    array = np.asarray(document.content[key])
    own = {"K": 2, "distortion": 1}.get(key, 0)  # axes of one view's value
    if array.ndim == own:
        return np.broadcast_to(array, (count, *array.shape))
    if array.ndim != own + 1 or len(array) not in (1, count):
        raise document.error(f"has shape {array.shape} for {count} views", "its first axis counts the views", key)
    return np.broadcast_to(array, (count, *array.shape[1:]))
