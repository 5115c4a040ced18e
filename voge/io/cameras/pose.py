"""`pose.json`: one camera and where it stands, by angles around a point or by a matrix.

    {"model": "car.safetensors",
     "camera": {"width": 672, "height": 256, "fx": 1800, "fy": 1800, "cx": 336, "cy": 128},
     "pose": {"azimuth": 266.5, "elevation": -4.7, "theta": 0.0, "distance": 3.0}}

Angles are `voge.orbit`'s, in degrees, with y up. {"convention": "pascal3d"} has PASCAL3D+'s z up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voge.errors import DataError
from voge.io.cameras.fields import Fields, read_json
from voge.io.cameras.options import CONVENTIONS, Options
from voge.io.cameras.transforms import FLIP, relative
from voge.io.cameras.views import View, Views, unique_names
from voge.scene.cameras import intrinsic_matrix, orbit

TOP = ("model", "camera", "pose", "image", "mask", "units", "name")
CAMERA = ("width", "height", "fx", "fy", "cx", "cy", "skew", "model", "distortion")
ANGLES = ("azimuth", "elevation", "theta", "distance", "at", "up", "convention")
MATRIX = ("world_to_camera", "camera_to_world", "convention")


def read(path: Path, options: Options) -> Views:
    """The view of a pose.json."""
    document = Fields(path, read_json(path))
    document.only(TOP)
    camera, pose = document.inner("camera"), document.inner("pose")
    camera.only(CAMERA)
    width, height = camera.size("width"), camera.size("height")
    fx = camera.number("fx", positive=True)
    K = intrinsic_matrix(
        fx,
        camera.number("fy", fx, positive=True),
        camera.number("cx", width / 2),
        camera.number("cy", height / 2),
        camera.number("skew", 0.0),
    )
    model, distortion = camera.lens()
    view = View(
        name=unique_names([Path(document.text("name", path.stem) + ".x")])[0],
        viewmat=_viewmat(pose),
        K=K,
        width=width,
        height=height,
        model=model,
        distortion=distortion,
        image=document.file("image"),
        mask=document.file("mask"),
    )
    return Views((view,), units=document.text("units", "unknown"), format="pose", model_path=document.file("model"))


def write(path: Path, views: Views, *, named: Path) -> None:
    """The only view, by its matrix."""
    if len(views) != 1:
        raise DataError(named, f"a pose.json holds one view, got {len(views)}", "write json")
    (view,) = views
    (fx, skew, cx), (_, fy, cy), _ = view.K.tolist()
    camera: dict[str, Any] = {"width": view.width, "height": view.height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    camera |= {"skew": skew} if skew else {}
    camera |= {"model": view.model.value} if view.model.value != "pinhole" else {}
    camera |= {} if view.distortion is None else {"distortion": view.distortion.tolist()}
    files = {"model": views.model_path, "image": view.image, "mask": view.mask}
    document = {key: relative(file, named.parent) for key, file in files.items() if file is not None}
    pose = {"world_to_camera": view.viewmat.tolist(), "convention": "opencv"}
    whole = {"name": view.name, **document, "units": views.units, "camera": camera, "pose": pose}
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def pascal3d(azimuth: float, elevation: float, theta: float, distance: float) -> Tensor:
    """Viewmat (4, 4) float64 of PASCAL3D+'s angles, degrees; its focal length in pixels is focal x viewport (3000).

    The annotation projects X = (x, y, z, 1), z up, by

        C = d (cos e sin a, -cos e cos a, sin e),  R = Rx(-(pi/2 - e)) Rz(-a),
        (x', y', w) = diag(f, f, -1) [R, -R C] X,  then turns (x', y') / w by theta counter-clockwise,
        flips y and adds the principal point.

    R's frame has x right, y up and z backward, hence the -1. In our frame, x right, y down, z forward, this
    is Rz(theta)^T diag(1, -1, -1) R, which `orbit` has in closed form for up "z".
    """
    angles = (torch.tensor(value, dtype=torch.float64) for value in (azimuth, elevation, distance, theta))
    return orbit(*angles, up="z")


def _viewmat(pose: Fields) -> Tensor:
    matrices = [key for key in MATRIX[:2] if key in pose]
    if matrices:
        pose.only(MATRIX)
        if len(matrices) > 1:
            raise pose.error("has world_to_camera and camera_to_world", "give one of them")
        matrix = pose.rigid(pose.array(matrices[0], (4, 4), (3, 4)), matrices[0])
        matrix = torch.linalg.inv(matrix) if matrices[0] == "camera_to_world" else matrix
        return FLIP @ matrix if pose.text("convention", choices=CONVENTIONS) == "opengl" else matrix
    pose.only([*ANGLES, *MATRIX[:2]])
    convention = pose.text("convention", "orbit", ["orbit", "pascal3d"])
    up = pose.text("up", "z" if convention == "pascal3d" else "y", ["y", "z"])
    if convention == "pascal3d" and up != "z":
        raise pose.error("has convention pascal3d and up y", "PASCAL3D+ has z up: remove one of them")
    angles = [
        torch.tensor(value, dtype=torch.float64)
        for value in (
            pose.number("azimuth"),
            pose.number("elevation"),
            pose.number("distance", positive=True),
            pose.number("theta", 0.0),
        )
    ]
    at = pose.array("at", (3,)).tolist() if "at" in pose else (0.0, 0.0, 0.0)
    return orbit(*angles, at=at, up=up)
