"""Data sets in miniature, written by hand in the real file formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

CUBE = """OFF
8 12 0
-0.3 -0.4 -0.2
0.3 -0.4 -0.2
0.3 0.4 -0.2
-0.3 0.4 -0.2
-0.3 -0.4 0.2
0.3 -0.4 0.2
0.3 0.4 0.2
-0.3 0.4 0.2
3 0 2 1
3 0 3 2
3 4 5 6
3 4 6 7
3 0 1 5
3 0 5 4
3 1 2 6
3 1 6 5
3 2 3 7
3 2 7 6
3 3 0 4
3 3 4 7
"""


def viewpoint(**changes) -> dict:
    """A viewpoint as MATLAB has it: azimuth, elevation and theta in degrees, pixels from 1."""
    view = {"azimuth_coarse": 45.0, "elevation_coarse": 0.0, "azimuth": 30.0, "elevation": 10.0, "distance": 5.0,
            "focal": 1.0, "px": 51.0, "py": 41.0, "theta": 5.0, "error": 0.1, "viewport": 3000.0}  # fmt: skip
    view |= changes
    return {key: value for key, value in view.items() if value is not None}


def thing(category="car", view=None, **changes) -> dict:
    """An object of a record."""
    made = {"class": category, "bbox": [21.0, 31.0, 80.0, 60.0], "truncated": 0, "occluded": 0, "difficult": 0,
            "cad_index": 1, "viewpoint": viewpoint() if view is None else view}  # fmt: skip
    return made | changes


def record(path: Path, objects: list[dict], size=(100, 80), filename="a.JPEG") -> None:
    """A .mat file: a struct `record` whose `objects` is a struct array."""
    fields = list(dict.fromkeys(key for made in objects for key in made))
    array = np.empty((1, len(objects)), dtype=[(name, object) for name in fields])
    for i, made in enumerate(objects):
        for name in fields:
            array[0, i][name] = made.get(name, np.zeros((0, 0)))
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"record": {"filename": filename, "imgsize": [*map(float, size), 3.0], "objects": array}})


def image(path: Path, size=(100, 80), color=(90, 120, 60)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, "JPEG")


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def pascal3d(root: Path) -> Path:
    """PASCAL3D+ with one category, one training and one test image, and its occluded version beside it."""
    for split, name in (("train", "n01"), ("val", "n02")):
        text(root / "Image_sets" / f"car_imagenet_{split}.txt", f"{name}\n")
        image(root / "Images" / "car_imagenet" / f"{name}.JPEG")
        record(root / "Annotations" / "car_imagenet" / f"{name}.mat", [thing()])
    text(root / "CAD" / "car" / "01.off", CUBE)
    occluded = root.parent / "OccludedPASCAL3D"
    for level in (1, 2, 3):
        name = f"carFGL{level}_BGL{level}"
        text(occluded / "lists" / f"{name}.txt", "n02.JPEG\n")
        image(occluded / "images" / name / "n02.JPEG")
        mask = np.zeros((80, 100), np.uint8)
        mask[30:60, 20:80] = 255
        hidden = np.zeros((80, 100), bool)
        hidden[30:60, 20:40] = True
        path = occluded / "annotations" / name / "n02.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, source="n02.JPEG", mask=mask, occluder_mask=hidden, box=[30, 60, 20, 80, 80, 100])
    return root


def objectnet3d(root: Path) -> Path:
    """ObjectNet3D with two categories in one list."""
    text(root / "Image_sets" / "classes.txt", "car\nchair\n")
    for split in ("train", "val", "test"):
        text(root / "Image_sets" / f"{split}.txt", "n01\nn02\n")
    for name, category in (("n01", "car"), ("n02", "chair")):
        image(root / "Images" / f"{name}.JPEG")
        record(root / "Annotations" / f"{name}.mat", [thing(category)])
        text(root / "CAD" / "off" / category / "01.off", CUBE)
    return root
