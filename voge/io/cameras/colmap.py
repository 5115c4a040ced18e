"""COLMAP's sparse models: a folder of cameras and images, as text or binary (colmap.github.io/format.html).

World to camera, OpenCV axes, quaternions (w, x, y, z); pixels as here. Points, rigs and frames are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.geometry.rotations import matrices_to_quats, quats_to_matrices
from voge.io.cameras import colmap_binary
from voge.io.cameras.colmap_models import MODELS, Camera, Image, model_of
from voge.io.cameras.fields import MAX_SIDE, Fields
from voge.io.cameras.options import Options
from voge.io.cameras.views import View, Views, unique_names
from voge.scene.cameras import CameraModel, intrinsic_matrix

Number = TypeVar("Number", int, float)
FOLDERS = (
    "",
    "sparse",
    "colmap/sparse",
    "colmap",
    "dense/sparse",
    "dense/0/sparse",
)  # where a model, or folders of models, lie in a data set


def find(path: Path) -> list[Path]:
    """The folders of the models in or around `path`, the one with most images first; empty if there are none."""
    if path.is_file():
        known = path.stem in ("cameras", "images") and path.suffix in (".txt", ".bin")
        return [path.parent] if known else []
    if _is_model(path):
        return [path]
    for base in (path / folder for folder in FOLDERS):
        inner = sorted(each for each in base.iterdir() if each.is_dir()) if base.is_dir() else []
        if found := [folder for folder in (base, *inner) if _is_model(folder)]:
            return sorted(found, key=_count, reverse=True)
    return []


def read(path: Path, options: Options, *, text: bool = False) -> Views:
    """Views of a model, by image number; binary where there are both, unless `text`; of several models the largest."""
    folders = find(path)
    folder = folders[0] if folders else None
    if folder is None:
        raise DataError(path, "has no cameras.bin or cameras.txt", f"give a model's folder, such as {path}/sparse/0")
    binary = (folder / "cameras.bin").is_file() and path.suffix != ".txt" and not text
    suffix = ".bin" if binary else ".txt"
    camera_file, image_file = (folder / f"{stem}{suffix}" for stem in ("cameras", "images"))
    if not image_file.is_file():
        raise DataError(image_file, "no such file", "a model has cameras and images of one kind")
    cameras = (colmap_binary.read_cameras if binary else _read_cameras)(camera_file)
    images = (colmap_binary.read_images if binary else _read_images)(image_file)
    images = sorted(images, key=lambda image: image.number)
    if not images:
        raise DataError(image_file, "has no images", "there must be at least one view")
    known = {camera.number: camera for camera in cameras}
    names = unique_names([Path(image.name.replace("\\", "/")) for image in images])
    views = [
        _view(image, known, name, _Files(camera_file, image_file)) for image, name in zip(images, names, strict=True)
    ]
    notes = []
    if folders[1:]:
        others = ", ".join(f"{each.name} ({_count(each)})" for each in folders[1:])
        one = f"{folder.relative_to(path)} is read, the model with most images ({len(views)})"
        notes.append(f"{one}, and not {others}; name a model's folder to choose it")
    return Views(tuple(views), format="colmap" if binary else "colmap-text", notes=tuple(notes))


def write(folder: Path, views: Views, *, binary: bool, named: Path) -> None:
    """cameras, images and an empty points3D into `folder`; errors name `named`."""
    numbers: dict[tuple[object, ...], int] = {}
    cameras, images, taken = [], [], set()
    for index, view in enumerate(views):
        model, numbers_of = model_of(view, named)
        key = (model, view.width, view.height, *numbers_of)
        if key not in numbers:
            numbers[key] = len(numbers) + 1
            cameras.append(Camera(numbers[key], model, view.width, view.height, numbers_of))
        suffix = view.image.suffix if view.image is not None else ".png"
        name = view.image.name if view.image is not None and view.image.name not in taken else f"{view.name}{suffix}"
        taken.add(name)
        quaternion, shift = matrices_to_quats(view.viewmat[:3, :3]).tolist(), view.viewmat[:3, 3].tolist()
        images.append(Image(index + 1, tuple(quaternion), tuple(shift), numbers[key], name))
    if binary:
        colmap_binary.write(folder, cameras, images)
    else:
        _write_text(folder, cameras, images)


def _is_model(folder: Path) -> bool:
    return any((folder / f"cameras.{kind}").is_file() for kind in ("bin", "txt"))


def _count(folder: Path) -> int:
    """Number of images of a model, as its file announces; 0 where that cannot be told."""
    if (folder / "cameras.bin").is_file():
        file = folder / "images.bin"
        head = file.read_bytes()[:8] if file.is_file() else b""
        return int.from_bytes(head, "little") if len(head) == 8 else 0
    try:
        return len(_read_images(folder / "images.txt"))
    except (DataError, OSError):
        return 0


@dataclass(frozen=True)
class _Files:
    cameras: Path
    images: Path


def _view(image: Image, cameras: dict[int, Camera], name: str, files: _Files) -> View:
    here = Fields(files.images, {}, f"image {image.number}")
    if image.camera not in cameras:
        raise here.error(f"names camera {image.camera}, which {files.cameras.name} does not have")
    camera = cameras[image.camera]
    fx, fy, cx, cy, model, distortion = _opened(camera, files.cameras)
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[:3, :3] = _rotation(image, here)
    viewmat[:3, 3] = torch.tensor(image.shift, dtype=torch.float64)
    if not torch.isfinite(viewmat).all():
        raise here.error("has a translation that is not finite", "export the model again")
    picture, mask = _pictures(image.name, files.images.parent)
    return View(
        name=name,
        viewmat=viewmat,
        K=intrinsic_matrix(fx, fy, cx, cy),
        width=camera.width,
        height=camera.height,
        model=model,
        distortion=distortion,
        image=picture,
        mask=mask,
    )


def _opened(camera: Camera, path: Path) -> tuple[float, float, float, float, CameraModel, Tensor | None]:
    """fx, fy, cx, cy, model and distortion of a camera, checked."""
    here = Fields(path, {}, f"camera {camera.number}")
    numbers = np.array(camera.numbers)
    if not np.isfinite(numbers).all():
        raise here.error("has parameters that are not finite", "export the model again")
    for side in (camera.width, camera.height):
        if not 1 <= side <= MAX_SIDE:
            raise here.error(f"must have sides of 1 to {MAX_SIDE} pixels, got {side}")
    fx, fy, cx, cy, model, coefficients = MODELS[camera.model].open(camera.numbers)
    if fx <= 0 or fy <= 0:
        raise here.error(f"must have a positive focal length, got {min(fx, fy):g}")
    return fx, fy, cx, cy, model, None if coefficients is None else torch.tensor(coefficients, dtype=torch.float64)


def _rotation(image: Image, here: Fields) -> Tensor:
    quaternion = torch.tensor(image.quaternion, dtype=torch.float64)
    length = float(quaternion.norm())
    if not abs(length - 1) < 1e-3:
        raise here.error(f"has a quaternion of length {length:.4g}, not 1", "export the model again")
    return quats_to_matrices(quaternion[None])[0]


def _pictures(name: str, folder: Path) -> tuple[Path, Path | None]:
    """The picture of an image and its mask, in `images` and `masks` beside or above the model."""
    name = name.replace("\\", "/")
    bases = [folder, *list(folder.parents)[:3]]
    picture = next((base / "images" / name for base in bases if (base / "images" / name).is_file()), None)
    masks = (base / "masks" / file for base in bases for file in (f"{name}.png", Path(name).with_suffix(".png"), name))
    return picture or folder / "images" / name, next((mask for mask in masks if mask.is_file()), None)


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbers and words of the lines that are no remarks, empty ones included."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, "is not text in UTF-8", "is it a binary model? call it .bin") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.lstrip().startswith("#"):
            yield number, line.split()


def _read_cameras(path: Path) -> list[Camera]:
    """CAMERA_ID MODEL WIDTH HEIGHT PARAMS..."""
    cameras = []
    for number, words in _lines(path):
        if not words:
            continue
        here = Fields(path, {}, f"line {number}")
        if len(words) < 5:
            raise here.error(
                f"must be CAMERA_ID MODEL WIDTH HEIGHT PARAMS, got {len(words)} words", "export the model again"
            )
        if words[1] not in MODELS:
            raise here.error(f"unknown camera model '{words[1]}'", f"known are {', '.join(MODELS)}; undistort first")
        number_of, width, height = (_number(here, words[i], int) for i in (0, 2, 3))
        camera = Camera(number_of, words[1], width, height, tuple(_number(here, word, float) for word in words[4:]))
        count = MODELS[camera.model].count
        if len(camera.numbers) != count:
            found = len(camera.numbers)
            raise here.error(f"{camera.model} has {count} parameters, got {found}", "export the model again")
        cameras.append(camera)
    return cameras


def _read_images(path: Path) -> list[Image]:
    """Two lines an image: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then its points, possibly none."""
    images = []
    lines = list(_lines(path))
    while lines and not lines[-1][1]:
        lines.pop()
    for number, words in lines[1::2]:
        _check_points(Fields(path, {}, f"line {number}"), words)
    for number, words in lines[::2]:
        here = Fields(path, {}, f"line {number}")
        if len(words) < 10:
            raise here.error(
                f"must be IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, got {len(words)} words",
                "an image has two lines, the second may be empty",
            )
        pose = tuple(_number(here, word, float) for word in words[1:8])
        own, camera = (_number(here, words[i], int) for i in (0, 8))
        images.append(Image(own, pose[:4], pose[4:], camera, " ".join(words[9:])))
    return images


def _number(here: Fields, word: str, kind: type[Number]) -> Number:
    try:
        return kind(word)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise here.error(f"has a word that is no {what} ('{word[:40]}')", "export the model again") from None


def _check_points(here: Fields, words: Sequence[str]) -> None:
    """Refuse the second line of an image that is no list of points: it may be the next image's."""
    numbers = [word.lstrip("-").isdecimal() for word in (*words[2:3], *words[-1:])]
    if len(words) % 3 or not all(numbers):
        problem = f"must be the points of an image as X Y POINT3D_ID, or empty, got '{' '.join(words)[:60]}'"
        raise here.error(problem, "an image has two lines, the second may be empty: write it")


def _write_text(folder: Path, cameras: list[Camera], images: list[Image]) -> None:
    rows = [" ".join([f"{c.number} {c.model} {c.width} {c.height}", *map(repr, c.numbers)]) for c in cameras]
    head = f"# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n# Number of cameras: {len(cameras)}\n"
    (folder / "cameras.txt").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    rows = [" ".join([str(i.number), *map(repr, i.quaternion + i.shift), f"{i.camera} {i.name}\n"]) for i in images]
    head = "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n# POINTS2D[] as (X, Y, POINT3D_ID)\n"
    (folder / "images.txt").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")
    (folder / "points3D.txt").write_text("# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n", encoding="utf-8")
