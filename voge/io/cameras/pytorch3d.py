"""PyTorch3D's cameras: R, T, focal_length, principal_point, image_size, in_ndc, as JSON or npz.

PyTorch3D multiplies row vectors, x_camera = x_world R + T, in a frame with x left, y up, z forward. So with
F = diag(-1, -1, 1) and our x_camera = R' x_world + t': R = (F R')^T = R'^T F and T = F t'.

Screen space (in_ndc false) is ours: pixels, (0, 0) the corner of the first one, u = px + fx x / z with our x.
In NDC the shorter side s spans [-1, 1], x left and y up: f_ndc = 2 f / s, p_ndc = -(p - middle) 2 / s.
`image_size` is (height, width).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.cameras.fields import MAX_SIDE, Fields, read_arrays, read_json
from voge.io.cameras.lists import names_and_files, text_list
from voge.io.cameras.options import Options
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel, intrinsic_matrix

KEYS = ("R", "T", "focal_length", "principal_point", "image_size", "in_ndc", "names", "images", "masks", "units")
FLIP = np.diag([-1.0, -1.0, 1.0])


def read(path: Path, options: Options) -> Views:
    """Views of the arrays of a batch of PerspectiveCameras."""
    arrays = path.suffix.lower() == ".npz"
    document = Fields(path, read_arrays(path) if arrays else read_json(path))
    document.only(KEYS)
    R = document.array("R", (-1, 3, 3), (3, 3)).reshape(-1, 3, 3)
    count = len(R)
    if not count:
        raise document.error("is empty", "there must be at least one view", "R")
    T = _rows(document, "T", count, 3)
    sizes = _sizes(document, count, options)
    ndc = document.flag("in_ndc", True)
    focals = _focals(document, count)
    points = _rows(document, "principal_point", count, 2) if "principal_point" in document else np.zeros((count, 2))
    names, images, masks = names_and_files(document, count)
    views = []
    for i in range(count):
        width, height = sizes[i]
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = FLIP @ R[i].T, FLIP @ T[i]
        middle, step = np.array([width, height]) / 2, min(width, height) / 2
        focal, point = (focals[i] * step, middle - points[i] * step) if ndc else (focals[i], points[i])
        views.append(
            View(
                name=names[i],
                viewmat=document.rigid(matrix, f"R[{i}]"),
                K=intrinsic_matrix(*focal.tolist(), *point.tolist()),
                width=width,
                height=height,
                image=images[i],
                mask=masks[i],
            )
        )
    return Views(tuple(views), units=document.text("units", "unknown"), format="pytorch3d")


def write(path: Path, views: Views, *, named: Path) -> None:
    """Screen space, as JSON or npz by the suffix of `named`, which errors name."""
    for view in views:
        if view.model is not CameraModel.pinhole:
            problem = f"view {view.name} is {view.model.value}, and PerspectiveCameras are pinhole cameras"
            raise DataError(named, problem, "write npz or json, or undistort the pictures")
        if view.K[0, 1]:
            raise DataError(named, f"view {view.name} has skew, which focal_length cannot hold", "write npz or json")
    viewmats = torch.stack([view.viewmat for view in views]).numpy()
    Ks = torch.stack([view.K for view in views]).numpy()
    document: dict[str, Any] = {
        "R": viewmats[:, :3, :3].transpose(0, 2, 1) @ FLIP,
        "T": viewmats[:, :3, 3] @ FLIP,
        "focal_length": Ks[:, [0, 1], [0, 1]],
        "principal_point": Ks[:, :2, 2],
        "image_size": np.array([[view.height, view.width] for view in views]),
        "in_ndc": False,
        "units": views.units,
        **text_list(views, named.parent),
    }
    if named.suffix.lower() == ".npz":
        with path.open("wb") as stream:
            arrays: dict[str, Any] = {key: np.asarray(value) for key, value in document.items()}
            np.savez(stream, **arrays)
        return
    plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in document.items()}
    path.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def _rows(document: Fields, key: str, count: int, width: int) -> NDArray[np.float64]:
    array = document.array(key, (-1, width), (width,))
    array = np.tile(array, (count, 1)) if array.ndim == 1 and count > 1 else array.reshape(-1, width)
    if len(array) == 1:
        array = np.tile(array, (count, 1))
    if len(array) != count:
        raise document.error(f"has {len(array)} rows for {count} views of R", "give a row a view, or one", key)
    return array


def _focals(document: Fields, count: int) -> NDArray[np.float64]:
    """(V, 2) from one number, one a view, or two a view."""
    array = document.array("focal_length", (), (-1,), (-1, 1), (-1, 2))
    if array.ndim < 2:
        array = array.reshape(-1, 1)
    array = np.broadcast_to(array, (len(array), 2))
    if len(array) == 1:
        array = np.tile(array, (count, 1))
    if len(array) != count:
        raise document.error(f"has {len(array)} rows for {count} views of R", "give one a view, or one", "focal_length")
    if (array <= 0).any():
        raise document.error(f"must be positive, got {array.min():g}", key="focal_length")
    return array


def _sizes(document: Fields, count: int, options: Options) -> list[tuple[int, int]]:
    """Width and height of every view."""
    if "image_size" not in document:
        if options.size is None:
            raise document.error("has no 'image_size'", "add it as (height, width), or give --image-size WxH")
        return [options.size] * count
    rows = _rows(document, "image_size", count, 2)
    if (rows != rows.round()).any() or (rows < 1).any() or (rows > MAX_SIDE).any():
        raise document.error(f"must be whole pixels from 1 to {MAX_SIDE}", "it is (height, width)", "image_size")
    return [(int(width), int(height)) for height, width in rows]
