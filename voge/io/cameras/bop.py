"""BOP's scenes: `scene_camera.json` and `scene_gt.json`, by image number; millimeters, OpenCV axes.

The world is the scene's, where the file has cam_R_w2c and cam_t_w2c, else an object's: scene_gt.json
holds the motion from its frame to the camera's. BOP keeps no image size: it comes from the pictures, a
camera.json, the caller, or the `width` and `height` that we add to every image (other readers pass over them).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from voge.errors import DataError
from voge.io.bop import MILLIMETERS, pose_entry, write_poses
from voge.io.cameras.fields import Fields, image_size, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

CAMERAS, POSES = "scene_camera.json", "scene_gt.json"
FOLDERS = ("rgb", "gray")
SUFFIXES = (".png", ".jpg", ".tif")


def read(path: Path, options: Options) -> Views:
    """Views of a scene's folder, by image number."""
    folder = path if path.is_dir() else path.parent
    path = folder / CAMERAS if path.is_dir() or path.name == POSES else path
    document = Fields(path, read_json(path))
    if not document.content:
        raise DataError(path, "has no images", "there must be at least one view")
    numbers = sorted(document.content, key=lambda key: _number(document, key))
    scene = all("cam_R_w2c" in document.inner(key) for key in numbers) and options.object_id is None
    poses = None if scene else _Objects(folder / POSES, options.object_id)
    views = []
    for key in numbers:
        place = document.inner(key)
        viewmat, mask = (_pose(place, "w2c"), None) if poses is None else poses.find(key)
        views.append(_view(place, int(key), viewmat, mask, options))
    object_id, notes = (None, ()) if poses is None else (poses.object_id, tuple(poses.notes))
    return Views(tuple(views), units="mm", format="bop", object_id=object_id, notes=notes)


def write(folder: Path, views: Views, *, named: Path) -> None:
    """scene_camera.json into `folder`, and scene_gt.json if the world is an object's frame; errors name `named`."""
    if views.units not in MILLIMETERS:
        raise DataError(named, "BOP holds millimeters, and the units of the cameras are unknown", "give --units")
    scale = MILLIMETERS[views.units]
    names = [view.name for view in views]
    numbers = [int(name) for name in names] if all(name.isdecimal() for name in names) else list(range(len(names)))
    if len(set(numbers)) < len(numbers):
        numbers = list(range(len(names)))
    cameras: dict[str, Any] = {}
    poses: dict[str, Any] = {}
    for number, view in zip(numbers, views, strict=True):
        if view.model is not CameraModel.pinhole:
            problem = f"view {view.name} is {view.model.value}, and BOP's scene_camera.json holds pinhole cameras only"
            raise DataError(named, problem, "write npz or json, or undistort the pictures")
        R, t = view.viewmat[:3, :3], view.viewmat[:3, 3] * scale
        inner = {"cam_K": view.K.flatten().tolist(), "depth_scale": 1.0, "width": view.width, "height": view.height}
        if views.object_id is None:
            inner |= {"cam_R_w2c": R.flatten().tolist(), "cam_t_w2c": t.tolist()}
        else:
            poses[str(number)] = [pose_entry(views.object_id, R, t)]
        cameras[str(number)] = inner
    (folder / CAMERAS).write_text(json.dumps(cameras, indent=1) + "\n", encoding="utf-8")
    if poses:
        write_poses(folder / POSES, poses)


def _view(place: Fields, number: int, viewmat: Tensor, mask: str | None, options: Options) -> View:
    folder = place.path.parent
    stem = f"{number:06d}"
    candidates = [folder / inner / f"{stem}{suffix}" for inner in FOLDERS for suffix in SUFFIXES]
    image = next((file for file in candidates if file.is_file()), None)
    K = place.intrinsics(place.array("cam_K", (9,), (3, 3)).reshape(3, 3), "cam_K")
    width, height = _size(place, image, options)
    masks = [] if mask is None else [folder / inner / f"{stem}_{mask}.png" for inner in ("mask_visib", "mask")]
    return View(
        name=stem,
        viewmat=viewmat,
        K=K,
        width=width,
        height=height,
        image=image,
        mask=next((file for file in masks if file.is_file()), None),
    )


def _size(place: Fields, image: Path | None, options: Options) -> tuple[int, int]:
    if "width" in place or "height" in place:
        return place.size("width"), place.size("height")
    size = options.size or (image and image_size(image))
    if size:
        return size
    for folder in list(place.path.parents)[:3]:  # the data set's camera.json lies above its splits
        if (folder / "camera.json").is_file():
            shared = Fields(folder / "camera.json", read_json(folder / "camera.json"))
            return shared.size("width"), shared.size("height")
    raise place.error("has no picture in rgb or gray to take the image size from", "give --image-size WxH")


def _pose(place: Fields, kind: str) -> Tensor:
    """(4, 4) float64 from cam_R_<kind> and cam_t_<kind>."""
    matrix = np.eye(4)
    matrix[:3, :3] = place.array(f"cam_R_{kind}", (9,), (3, 3)).reshape(3, 3)
    matrix[:3, 3] = place.array(f"cam_t_{kind}", (3,), (3, 1)).reshape(3)
    return place.rigid(matrix, f"cam_R_{kind}")


def _number(document: Fields, key: str) -> int:
    if not key.isdecimal():
        raise document.error(f"keys must be image numbers, got '{key}'", "is it a scene_camera.json?")
    return int(key)


class _Objects:
    """The poses of one object in every image."""

    def __init__(self, path: Path, object_id: int | None) -> None:
        if not path.is_file():
            raise DataError(path, "no such file, and some image has no cam_R_w2c", "BOP's poses are in one of them")
        self.document, self.object_id = Fields(path, read_json(path)), object_id
        self.notes: list[str] = []
        ids = sorted({self._id(item) for key in self.document.content for item in self.document.items(key)})
        if object_id is None and len(ids) == 1:
            self.object_id = ids[0]
        if self.object_id not in ids:
            problem = f"has no object {object_id}" if object_id is not None else f"has {len(ids)} objects"
            raise DataError(path, problem, f"choose one of {', '.join(map(str, ids))} with --object")

    def find(self, key: str) -> tuple[Tensor, str]:
        """Object to camera in an image, and the number its mask is called by."""
        found = [(i, item) for i, item in enumerate(self.document.items(key)) if self._id(item) == self.object_id]
        if not found:
            raise self.document.error(f"does not show object {self.object_id}", "choose another with --object", key)
        if len(found) > 1:
            self.notes.append(f"image {key} shows object {self.object_id} {len(found)} times; the first is taken")
        index, item = found[0]
        return _pose(item, "m2c"), f"{index:06d}"

    @staticmethod
    def _id(item: Fields) -> int:
        return int(item.number("obj_id"))


def holds(path: Path) -> bool:
    """Whether a folder or file is a scene of BOP."""
    return path.name in (CAMERAS, POSES) if path.is_file() else (path / CAMERAS).is_file()
