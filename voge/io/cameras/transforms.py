"""`transforms.json` of NeRF, instant-ngp and nerfstudio: camera to world, OpenGL axes (x right, y up, z backward).

Intrinsics stand at the top or in each frame, which wins. Pixels as here: the first one covers [0, 1).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.io.cameras.fields import Fields, image_size, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.views import View, Views, unique_names
from voge.scene.cameras import CameraModel, intrinsic_matrix

FLIP = torch.diag(torch.tensor([1.0, -1, -1, 1], dtype=torch.float64))  # OpenGL to OpenCV axes and back
PERSPECTIVE = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "FULL_OPENCV")
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4")
# Lenses of instant-ngp that no camera here has: parts of keys, and what they are called.
OTHER_LENSES = {"ftheta": "an f-theta lens", "latlong": "a latitude-longitude picture",
                "equirectangular": "an equirectangular picture", "orthographic": "parallel rays"}  # fmt: skip
SUFFIXES = (".png", ".jpg", ".jpeg", ".JPG", ".JPEG", ".PNG", ".webp")  # NeRF's synthetic sets leave them out


def read(path: Path, options: Options) -> Views:
    """Views of a transforms.json."""
    document = Fields(path, read_json(path))
    shared = {key: value for key, value in document.content.items() if key != "frames"}
    # The same checks and places for shared and own values.
    frames = [Fields(path, {**shared, **frame.content}, frame.where) for frame in document.items("frames")]
    files = [_file(frame, "file_path") for frame in frames]
    names = unique_names([None if file is None else Path(os.path.relpath(file, path.parent)) for file in files])
    views = [_view(frame, name, file, options) for frame, name, file in zip(frames, names, files, strict=True)]
    notes = _notes(frames)
    return Views(tuple(views), units=document.text("units", "unknown"), format="transforms", notes=notes)


def write(path: Path, views: Views, *, named: Path) -> None:
    """One file at `path`; every frame has its own intrinsics."""
    import json

    frames = [_frame(named, view) for view in views]
    document = {"units": views.units, "frames": frames} if views.units != "unknown" else {"frames": frames}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _view(frame: Fields, name: str, image: Path | None, options: Options) -> View:
    _check_lens(frame)
    width, height = _size(frame, image, options)
    matrix = frame.rigid(frame.array("transform_matrix", (4, 4), (3, 4)), "transform_matrix")
    model, distortion = _lens(frame)
    return View(
        name=name,
        viewmat=torch.linalg.inv(matrix @ FLIP),
        K=_intrinsics(frame, width, height),
        width=width,
        height=height,
        model=model,
        distortion=distortion,
        image=image,
        mask=_file(frame, "mask_path"),
    )


def _size(frame: Fields, image: Path | None, options: Options) -> tuple[int, int]:
    if "w" in frame or "h" in frame:
        return frame.size("w"), frame.size("h")
    size = options.size or (image and image_size(image))
    if not size:
        raise frame.error(f"has no w and h, and no picture to take them from ({image})", "add w and h, or --image-size")
    return size


def _check_lens(frame: Fields) -> None:
    """Refuse the lenses that only other programs know, by name."""
    for key, value in frame.content.items():
        name = next((OTHER_LENSES[part] for part in OTHER_LENSES if part in str(key).lower()), None)
        if name is not None and value:
            raise frame.error(f"has {name} ({key}), which is not supported", "undistort the pictures to a pinhole's")


def _check_size(frame: Fields, width: int, height: int) -> None:
    """Refuse intrinsics of another size, where the size is the picture's and not the file's."""
    if "w" in frame or "h" in frame:
        return
    remedy = f"scale fl_x, fl_y, cx and cy to {width}x{height}, or the pictures to theirs, and add w and h"
    shares = {key: 2 * frame.number(key) / side for key, side in (("cx", width), ("cy", height)) if key in frame}
    # The middle of another size is off by the same share along both sides.
    scaled = len(shares) == 2 and abs(shares["cx"] - shares["cy"]) < 0.02 and abs(shares["cx"] - 1) > 0.1
    for key, share in shares.items():
        if scaled or not 0.5 <= share <= 1.5:
            problem = f"{key} = {frame.number(key):g} lies far from the middle of the picture's {width}x{height} pixels"
            raise frame.error(f"{problem}, as those of another size", remedy)
    if "fl_x" in frame and "camera_angle_x" in frame:
        meant = 2 * frame.number("fl_x", positive=True) * math.tan(min(frame.number("camera_angle_x"), 3.1) / 2)
        if abs(meant - width) > 0.02 * width + 1:
            problem = f"fl_x and camera_angle_x are of {meant:.0f} pixels across, and the picture is {width}x{height}"
            raise frame.error(problem, remedy)


def _notes(frames: Sequence[Fields]) -> tuple[str, ...]:
    """Lines of what the frames say and the views do not hold."""
    notes = []
    rolling = sum(np.any(np.asarray(frame.content.get("rolling_shutter", 0)) != 0) for frame in frames)
    if rolling:
        notes.append(f"{rolling} of {len(frames)} frames have a rolling_shutter, which is passed over")
    both = sum("camera_model" in f and f.flag("is_fisheye", False) != (f.text("camera_model") == "OPENCV_FISHEYE")
               for f in frames if "is_fisheye" in f)  # fmt: skip
    if both:
        notes.append(f"{both} of {len(frames)} frames have an is_fisheye that contradicts camera_model, which is taken")
    return tuple(notes)


def _intrinsics(frame: Fields, width: int, height: int) -> Tensor:
    _check_size(frame, width, height)
    if "fl_x" in frame:
        fx = frame.number("fl_x", positive=True)
        fy = frame.number("fl_y", fx, positive=True)
    else:
        frame.need("camera_angle_x", "add fl_x (pixels) or camera_angle_x (radians)")
        fx = _focal(frame, "camera_angle_x", width)
        fy = _focal(frame, "camera_angle_y", height) if "camera_angle_y" in frame else fx
    return intrinsic_matrix(fx, fy, frame.number("cx", width / 2), frame.number("cy", height / 2))


def _focal(frame: Fields, key: str, side: int) -> float:
    angle = frame.number(key, positive=True)
    if angle >= math.pi:
        raise frame.error(f"must be radians below pi, got {angle:g}", "convert it from degrees", key)
    return side / 2 / math.tan(angle / 2)


def _lens(frame: Fields) -> tuple[CameraModel, Tensor | None]:
    fisheye = frame.flag("is_fisheye", False)
    given = frame.text("camera_model", "OPENCV_FISHEYE" if fisheye else "OPENCV", [*PERSPECTIVE, "OPENCV_FISHEYE"])
    k = {key: frame.number(key, 0.0) for key in COEFFICIENTS}
    if given == "OPENCV_FISHEYE":
        return CameraModel.fisheye, torch.tensor([k["k1"], k["k2"], k["k3"], k["k4"]], dtype=torch.float64)
    if not any(k.values()):
        return CameraModel.pinhole, None
    if "PINHOLE" in given:
        raise frame.error(f"has camera_model {given} and distortion", "make it OPENCV, or remove k1 to k4, p1 and p2")
    if k["k4"]:
        # nerfstudio's k4 multiplies r^8, OpenCV's fourth radial number divides by 1 + k4 r^2.
        raise frame.error("is not supported with perspective cameras", "calibrate with k1, k2, k3, p1, p2", key="k4")
    count = 5 if k["k3"] else 4
    return CameraModel.opencv, torch.tensor([k[key] for key in COEFFICIENTS[:count]], dtype=torch.float64)


def _file(frame: Fields, key: str) -> Path | None:
    file = frame.file(key)
    if file is None or file.suffix.lower() in {s.lower() for s in SUFFIXES} or file.is_file():
        return file
    return next((file.with_name(file.name + s) for s in SUFFIXES if file.with_name(file.name + s).is_file()), file)


def _frame(path: Path, view: View) -> dict[str, Any]:
    K = view.K.tolist()
    if K[0][1] or view.model is CameraModel.orthographic:
        kind = "is orthographic" if view.model is CameraModel.orthographic else f"has skew {K[0][1]:g}"
        raise DataError(path, f"view {view.name} {kind}, which transforms.json cannot hold", "write npz or json")
    frame: dict[str, Any] = {
        "file_path": relative(view.image, path.parent) or view.name,
        "w": view.width,
        "h": view.height,
        "fl_x": K[0][0],
        "fl_y": K[1][1],
        "cx": K[0][2],
        "cy": K[1][2],
        **_coefficients(path, view),
        "transform_matrix": (torch.linalg.inv(view.viewmat) @ FLIP).tolist(),
    }
    return frame if view.mask is None else {**frame, "mask_path": relative(view.mask, path.parent)}


def _coefficients(path: Path, view: View) -> dict[str, Any]:
    if view.distortion is None:
        return {"camera_model": "PINHOLE"}
    values = view.distortion.tolist()
    if view.model is CameraModel.fisheye:
        return {"camera_model": "OPENCV_FISHEYE", **dict(zip(("k1", "k2", "k3", "k4"), values, strict=True))}
    if any(values[5:]):
        raise DataError(path, f"view {view.name} has k4 to k6, which transforms.json cannot hold", "write npz or json")
    return {"camera_model": "OPENCV", **dict(zip(COEFFICIENTS[:5], values[:5], strict=False))}


def relative(file: Path | None, folder: Path) -> str | None:
    """A path as a document in `folder` names it."""
    return None if file is None else Path(os.path.relpath(file, folder)).as_posix()
