"""Small files and values for the names that code in the docs uses without making them.

One rule: a file or a name stands for the same thing on every page. A page that needs another one adds it here, and
`test_docs.py` fails where a name of `NAMES` is used by no page.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scenes import random_ellipsoids

import voge
from voge.assets.teapot import teapot
from voge.convert.primitives import primitive
from voge.io.cameras import View, Views
from voge.io.images import write_png

WIDTH, HEIGHT, FOCAL = 40, 32, 40.0
LENS = {"width": WIDTH, "height": HEIGHT, "fx": FOCAL, "fy": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2}
ANGLES = {"azimuth": 30.0, "elevation": 20.0, "distance": 6.0}
AXES = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]

# Sizes of settings, by the name of their class, whatever a block says: a test takes seconds, a real run minutes.
SMALL: dict[str, dict[str, Any]] = {
    "voge.imaging.settings.AlbumSettings": {"turntable": 2, "size": "24x18"},
    "voge.texture.settings.AlbumSettings": {"turntable": 2, "size": 40},
    "voge.texture.settings.TextureSettings": {"count": 100},
    "voge.fitting.settings.FitFilesSettings": {"steps": 4},
    "voge.fitting.settings.FitSettings": {"steps": 4},
    "voge.occlusion.settings.Search": {"enabled": False},
    "voge.occlusion.settings.Refine": {"iterations": 1},
    "voge.pose.synthetic.settings.Synthesis": {
        "categories": ["car"],
        "train": 4,
        "test": 1,
        "train_shapes": 1,
        "test_shapes": 1,
        "levels": ["L0"],
        "width": 96,
        "height": 80,
        "focal": 300.0,
    },
    "voge.pose.settings.Training": {
        "epochs": 1, "batch": 4, "width": 0.25, "channels": 16, "count": 150, "size": 0.2,
    },
    "voge.pose.settings.SetEstimation": {"levels": ["L0"], "starts": 8, "candidates": 1},
    "voge.pose.settings.PictureEstimation": {"starts": 8, "candidates": 1},
    "voge.pose.settings.MatchSettings": {"features": "rgb"},
}  # fmt: skip

# Words of a block that ask for more than a test has.
WORDS = {'"cuda"': '"cpu"', "processes=4": "processes=1"}


def small_words(block: str) -> str:
    """The text of a block with WORDS replaced."""
    for word, smaller in WORDS.items():
        block = block.replace(word, smaller)
    return block


def small(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """The check of settings, with the values of SMALL set before it."""

    def checked(settings: Any) -> None:
        for name, value in SMALL.get(f"{type(settings).__module__}.{type(settings).__name__}", {}).items():
            object.__setattr__(settings, name, value)
        check(settings)

    return checked


def cameras(count: int, up: str = "y") -> voge.Cameras:
    """Views around the middle, the first from ANGLES."""
    azimuths = ANGLES["azimuth"] + 30 * torch.arange(float(count))
    viewmats = voge.orbit(azimuths, ANGLES["elevation"], ANGLES["distance"], up=up)
    return voge.Cameras(viewmats, voge.intrinsics(WIDTH, HEIGHT, focal=FOCAL).expand(count, 3, 3), WIDTH, HEIGHT)


def model() -> voge.Ellipsoids:
    """A cuboid of ellipsoids with colors."""
    cuboid = primitive("cuboid", (2, 1, 1.5), AXES, 80)
    return voge.Ellipsoids(cuboid.means, cuboid.scales, cuboid.quats, cuboid.density, 0.5 + 0.4 * cuboid.means.sin())


def write_files(folder: Path) -> None:
    """Write the files that the docs name; all show the model."""
    import trimesh

    vertices, faces, _ = teapot(3)
    mesh = trimesh.Trimesh(vertices - vertices.mean(0), faces, process=False)
    for name in ("cow.obj", "bunny.obj", "car.obj"):
        mesh.export(folder / name)
    voge.save_ellipsoids(folder / "cow.safetensors", model())
    seen = voge.render(model(), cameras(3))
    for name in ("capture", "photos"):
        (folder / name).mkdir()
        for number in range(3):
            write_png(folder / name / f"{number}.png", torch.cat((seen.image, seen.alpha[..., None]), -1)[number])
    for name in ("photo", "front"):
        write_png(folder / f"{name}.png", seen.image[0])
    views = [View.of(cameras(3)[n], str(n), image=folder / "capture" / f"{n}.png") for n in range(3)]
    voge.save_cameras(folder / "capture" / "transforms.json", Views(tuple(views)), "transforms")
    voge.save_cameras(folder / "sparse" / "0", Views(tuple(views)), "colmap")
    write_json(folder / "pose.json", {"model": "cow.safetensors", "camera": LENS, "pose": ANGLES})
    matrix = {"world_to_camera": cameras(1).viewmats[0].tolist(), "convention": "opencv"}
    write_json(
        folder / "anchor.json", {"camera": LENS, "pose": matrix, "image": "photo.png", "model": "cow.safetensors"}
    )
    box = {"name": "mug", "primitive": {"shape": "cuboid", "count": 60}}
    write_json(folder / "scene.json", {"objects": [box], "cameras": {**ANGLES, "size": [WIDTH, HEIGHT], "fov": 50}})
    write_picture_of_a_set(folder)
    (folder / "cow_render" / "depth").mkdir(parents=True)
    album = voge.imaging.AlbumSettings(outputs=["depth"], size="24x18", azimuth=[0])
    voge.imaging.render_album([str(folder / "cow.safetensors")], str(folder / "rendered"), album)
    for path in (folder / "rendered" / "depth").iterdir():
        path.rename(folder / "cow_render" / "depth" / path.name)


def write_picture_of_a_set(folder: Path) -> None:
    """Write photo.jpg, a picture large enough for the box that the docs give."""
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg")


def write_json(path: Path, document: Any) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(document))


# What a block may use that no block of its page makes.
NAMES: dict[str, Callable[[], Any]] = {
    "ellipsoids": model,
    "cameras": lambda: cameras(2),
    "camera": lambda: cameras(1),
    "images": lambda: voge.render(model(), cameras(2)).image,
    "alphas": lambda: voge.render(model(), cameras(2)).alpha,
    "masks": lambda: torch.ones(2, HEIGHT, WIDTH),
    "fragments": lambda: voge.trace(model(), cameras(2)),
    "image": lambda: voge.render(model(), cameras(1)).image[0],
    "mug": lambda: random_ellipsoids(20, dtype=torch.float32),
    "box": model,
    "start_pose": lambda: torch.eye(4),
    "box_pose": lambda: torch.eye(4),
}


def names(folder: Path) -> dict[str, Any]:
    """The names at the start of a page: voge, torch and the stand-ins."""
    return {"__name__": "__main__", "voge": voge, "torch": torch, **{name: make() for name, make in NAMES.items()}}
