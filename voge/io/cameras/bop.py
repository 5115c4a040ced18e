"""BOP's scenes: `scene_camera.json` and `scene_gt.json`, by image number; millimeters, OpenCV axes.

The world is the scene's, where the file has cam_R_w2c and cam_t_w2c, else an object's: scene_gt.json
holds the motion from its frame to the camera's. BOP keeps no image size: it comes from the pictures, a
camera.json, the caller, or the `width` and `height` that we add to every image (other readers pass over them).

A scene of several sensors has files of each: IPD's `scene_camera_cam1.json` and `scene_gt_cam1.json`, pictures in
`rgb_cam1` and masks in `mask_visib_cam1`; HOT3D's `scene_camera_gray1.json`, pictures in `gray1`.
"""

from __future__ import annotations

import json
import re
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
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif")


def read(path: Path, options: Options) -> Views:
    """Views of a scene's folder, by image number."""
    path, notes = _chosen(path)
    sensor = _sensor(path.name)
    document = Fields(path, read_json(path))
    if not document.content:
        raise DataError(path, "has no images", "there must be at least one view")
    numbers = sorted(document.content, key=lambda key: _number(document, key))
    truth = path.with_name(f"scene_gt{sensor}.json")
    placed = [key for key in numbers if "cam_R_w2c" in document.inner(key)]
    scene = options.object_id is None and (len(placed) == len(numbers) or (bool(placed) and not truth.is_file()))
    poses = None if scene else _Objects(truth, options.object_id)
    taken = placed if poses is None else [key for key in numbers if poses.shows(key)]
    views = []
    for key in taken:
        place = document.inner(key)
        viewmat, mask = (_pose(place, "w2c"), None) if poses is None else poses.find(key)
        views.append(_view(place, sensor, int(key), viewmat, mask, options))
    object_id = None
    if len(taken) < len(numbers):
        reason = "have no cam_R_w2c" if poses is None else f"do not show object {poses.object_id}"
        notes.append(f"{len(numbers) - len(taken)} of {len(numbers)} images {reason} and are left out")
    if poses is not None:
        object_id = poses.object_id
        if not taken:
            problem = f"shows object {object_id} in none of the images of {path.name}"
            raise DataError(truth, problem, "choose another with --object, or the file that belongs to it")
        notes += poses.notes
    return Views(tuple(views), units="mm", format="bop", object_id=object_id, notes=tuple(notes))


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


def _chosen(path: Path) -> tuple[Path, list[str]]:
    """The file of cameras that a file or folder means, and a note where there are others."""
    if path.is_file():
        cameras = path.with_name(path.name.replace("scene_gt", "scene_camera", 1))
        return (cameras if holds(path) else path), []
    found = _of_sensors(path)
    if not found or (path / CAMERAS).is_file():
        return path / CAMERAS, []
    # Color first, then the order of names; sensors without pictures last.
    found.sort(key=lambda file: (not _folders(path, _sensor(file.name)), "rgb" not in file.name, file.name))
    if len(found) == 1:
        return found[0], []
    others = ", ".join(file.name for file in found[1:])
    return found[0], [f"{found[0].name} is read, one of {len(found)} sensors; name the file for another: {others}"]


def _of_sensors(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.glob("scene_camera_*.json")) if holds(file)]


def _sensor(name: str) -> str:
    """The end of a file's name that tells its sensor, as `_cam1`; empty without."""
    return name.removesuffix(".json").removeprefix("scene_camera").removeprefix("scene_gt")


def _folders(folder: Path, sensor: str) -> list[Path]:
    """Folders of the pictures of a sensor."""
    names = [f"{kind}{sensor}" for kind in FOLDERS] + ([sensor[1:]] if sensor else [])
    return [folder / name for name in names if (folder / name).is_dir()]


def _view(place: Fields, sensor: str, number: int, viewmat: Tensor, mask: str | None, options: Options) -> View:
    folder = place.path.parent
    stem = f"{number:06d}"
    candidates = [inner / f"{stem}{suffix}" for inner in _folders(folder, sensor) for suffix in SUFFIXES]
    image = next((file for file in candidates if file.is_file()), None)
    if "cam_K" not in place and "cam_model" in place:
        kind = place.inner("cam_model").content.get("projection_model_type", "not given")
        raise place.error(
            f"has a cam_model ({kind}), which is not supported", "undistort the pictures, or use another sensor"
        )
    K = place.intrinsics(place.array("cam_K", (9,), (3, 3)).reshape(3, 3), "cam_K")
    width, height = _size(place, sensor, image, options)
    inners = [f"mask_visib{sensor}", f"mask{sensor}"]
    masks = [] if mask is None else [folder / inner / f"{stem}_{mask}.png" for inner in inners]
    return View(
        name=stem,
        viewmat=viewmat,
        K=K,
        width=width,
        height=height,
        image=image,
        mask=next((file for file in masks if file.is_file()), None),
    )


def _size(place: Fields, sensor: str, image: Path | None, options: Options) -> tuple[int, int]:
    if "width" in place or "height" in place:
        return place.size("width"), place.size("height")
    size = options.size or (image and image_size(image))
    if size:
        return size
    for folder in list(place.path.parents)[:3]:  # the data set's camera.json lies above its splits
        for file in (folder / f"camera{sensor}.json", folder / "camera.json"):
            if file.is_file():
                shared = Fields(file, read_json(file))
                return shared.size("width"), shared.size("height")
    raise place.error(
        f"has no picture in rgb{sensor} or gray{sensor} to take the image size from", "give --image-size WxH"
    )


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
        ids = sorted({self._id(item) for key in self.document.content for item in self._items(key)})
        if object_id is None and len(ids) == 1:
            self.object_id = ids[0]
        if self.object_id not in ids:
            problem = f"has no object {object_id}" if object_id is not None else f"has {len(ids)} objects"
            remedy = f"choose one of {', '.join(map(str, ids))} with --object" if ids else "is it the right file?"
            raise DataError(path, problem, remedy)

    def _items(self, key: str) -> list[Fields]:
        """The objects of an image; none of an image without."""
        return [] if self.document.content.get(key) in (None, []) else self.document.items(key)

    def shows(self, key: str) -> bool:
        """True where the object is in an image that has a ground truth."""
        return any(self._id(item) == self.object_id for item in self._items(key))

    def find(self, key: str) -> tuple[Tensor, str]:
        """Object to camera in an image, and the number its mask is called by."""
        found = [(i, item) for i, item in enumerate(self._items(key)) if self._id(item) == self.object_id]
        if len(found) > 1:
            self.notes.append(f"image {key} shows object {self.object_id} {len(found)} times; the first is taken")
        index, item = found[0]
        return _pose(item, "m2c"), f"{index:06d}"

    @staticmethod
    def _id(item: Fields) -> int:
        return int(item.number("obj_id"))


def holds(path: Path) -> bool:
    """True where a folder or file is a scene of BOP, of one sensor or several."""
    if path.is_dir():
        return (path / CAMERAS).is_file() or bool(_of_sensors(path))
    kind = re.fullmatch(r"scene_(camera|gt)(?!_info|_coco)(_\w+)?\.json", path.name)
    return kind is not None and path.with_name(path.name.replace("scene_gt", "scene_camera", 1)).is_file()
