"""Poses as the BOP benchmark has them: `scene_gt.json` of known poses, and the CSV file of estimated ones.

A pose maps the object's frame to the camera's, with OpenCV axes. BOP has no place for the scale of an object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from voge.geometry import rigid
from voge.io.files import atomic_file

MILLIMETERS = {"mm": 1.0, "cm": 10.0, "m": 1000.0}  # in one unit


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """The estimated pose of the object in one picture."""

    image: Path  # numbers of scene and picture are read from its path, as in 000001/rgb/000023.png
    viewmat: Tensor  # (4, 4) object to camera
    score: float
    seconds: float


def pose_entry(object_id: int, rotation: Tensor, translation: Tensor) -> dict[str, Any]:
    """An entry of scene_gt.json: a rotation (3, 3) and a translation (3,) from object to camera, the file's units."""
    return {"cam_R_m2c": rotation.flatten().tolist(), "cam_t_m2c": translation.tolist(), "obj_id": object_id}


def save_poses(path: str | Path, poses: Sequence[Tensor]) -> None:
    """Write scene_gt.json; objects are numbered from 1, pictures from 0.

    Args:
        path: the file.
        poses: a picture each, similarities (O, 4, 4) from the objects' frames to the camera's. Scales are left out;
            units are kept, though BOP's own data sets are in millimeters.
    """
    entries = {}
    for number, view in enumerate(poses):
        turns, shifts = rigid.turn_of(view), view[:, :3, 3]
        entries[str(number)] = [pose_entry(i + 1, turns[i], shifts[i]) for i in range(len(view))]
    write_poses(path, entries)


def write_poses(path: str | Path, entries: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write scene_gt.json of entries by the number of the picture."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(entries, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def save_estimates(path: str | Path, estimates: Sequence[Estimated], units: str) -> None:
    """Write BOP's file of results (CSV, millimeters) for one object, whose number is 1.

    A picture whose path has no numbers is of scene 0 and has its own place in the list as number.

    Args:
        path: the file.
        estimates: a picture each.
        units: of the translations: mm, cm or m.
    """
    lines = ["scene_id,im_id,obj_id,score,R,t,time"]
    for number, made in enumerate(estimates):
        scene, stem = made.image.parent.parent.name, made.image.stem
        R = " ".join(f"{x:.8g}" for x in made.viewmat[:3, :3].flatten().tolist())
        t = " ".join(f"{MILLIMETERS[units] * x:.8g}" for x in made.viewmat[:3, 3].tolist())
        ids = f"{int(scene) if scene.isdigit() else 0},{int(stem) if stem.isdigit() else number},1"
        lines.append(f"{ids},{made.score:.6g},{R},{t},{made.seconds}")
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
