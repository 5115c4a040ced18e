"""CSV of RealityCapture (RealityScan): "Internal/External camera parameters".

x, y, alt are the camera's center, z up; heading, pitch and roll are degrees. f is the focal length of a film 36 mm
wide, px and py are shares of the larger side from the middle. There is no public text of the format: angles and numbers
are taken as nerfstudio takes them (`realitycapture_to_json` in nerfstudio/process_data/realitycapture_utils.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.cameras.fields import Fields
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import find_picture, make_view, names_of, picture_size, posed
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

FILM = 36.0  # mm
NEEDED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
LENS = ("k1", "k2", "t1", "t2", "k3")
FLIP = np.diag([1.0, -1, -1])
BENT = "k1 to k3, t1 and t2 are taken as OpenCV's, as nerfstudio takes them"


def read(path: Path, options: Options) -> Views:
    """Views of a CSV, in its order."""
    rows = _rows(path)
    names = names_of([row.text("name") for row in rows])
    views = [_view(row, name, options) for row, name in zip(rows, names, strict=True)]
    return Views(
        tuple(views),
        format="realitycapture",
        notes=(BENT,) if any(view.distortion is not None for view in views) else (),
    )


def _rows(path: Path) -> list[Fields]:
    """Rows by the names of their columns, numbers as numbers."""
    lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
    head = next((i for i, line in enumerate(lines) if line.lower().lstrip("# ").startswith("name,")), None)
    if head is None:
        raise DataError(path, "has no line '#name,x,y,alt,...'", "export 'Internal/External camera parameters'")
    columns = [word.strip().lstrip("#").strip().lower() for word in lines[head].split(",")]
    columns = ["alt" if column == "z" else column for column in columns]
    missing = [column for column in NEEDED if column not in columns]
    if missing:
        problem = f"has no column {', '.join(missing)}"
        raise DataError(path, problem, "export 'Internal/External camera parameters', which has all")
    rows = []
    for number, words in enumerate(csv.reader(io.StringIO("\n".join(lines[head + 1 :]))), head + 2):
        if not words or words[0].startswith("#"):
            continue
        if len(words) != len(columns):
            raise DataError(
                path, f"line {number}: has {len(words)} values for {len(columns)} columns", "export it again"
            )
        rows.append(Fields(path, _values(dict(zip(columns, words, strict=True))), f"line {number}"))
    if not rows:
        raise DataError(path, "has no cameras", "there must be at least one view")
    return rows


def _values(row: Mapping[str, str]) -> dict[str, object]:
    """Numbers where words are numbers; other words stay."""
    values: dict[str, object] = {}
    for key, word in row.items():
        try:
            values[key] = word if key == "name" else float(word)
        except ValueError:
            values[key] = word
    return values


def _view(row: Fields, name: str, options: Options) -> View:
    image = find_picture(row.path.parent, row.text("name"))
    size = picture_size(row, image, options)
    side = max(size)
    focal = row.number("f", positive=True) * side / FILM
    center = size[0] / 2 + row.number("px", 0.0) * side, size[1] / 2 + row.number("py", 0.0) * side
    if row.number("k4", 0.0):
        raise row.error("is not supported", "calibrate with k1 to k3", key="k4")
    numbers = [row.number(key, 0.0) for key in LENS]
    rotation = (_to_world(*(row.number(key) for key in ("heading", "pitch", "roll"))) @ FLIP).T
    viewmat: torch.Tensor = posed(row, rotation, "heading", center=[row.number(key) for key in ("x", "y", "alt")])
    return make_view(name, viewmat, (focal, focal), center, size, image, (CameraModel.opencv, numbers))


def _to_world(heading: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Camera to world with OpenGL axes: about z clockwise, then x, then y; all 0 looks down with north above."""
    (sh, sp, sr), (ch, cp, cr) = (f(np.deg2rad([-heading, pitch, roll])) for f in (np.sin, np.cos))
    about_z = np.array([[ch, -sh, 0], [sh, ch, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    return np.asarray(about_z @ about_x @ about_y)
