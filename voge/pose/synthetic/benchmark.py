"""A synthetic benchmark with exact labels in the layout of PASCAL3D+ and Occluded PASCAL3D+.

Test images have shapes, backgrounds, textures, lights and occluders of their own. Every image has a seed of its own, so
that any part of the set can be made again, alone or by several processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.io.files import atomic_file
from voge.meshes.mesh import Mesh
from voge.pose.data.datasets import OCCLUDED, SOURCE, occluded_name
from voge.pose.data.records import Annotation, write_record
from voge.pose.shards import Shard
from voge.pose.synthetic import photographs
from voge.pose.synthetic.settings import Synthesis
from voge.pose.synthetic.shapes import CATEGORIES
from voge.scene.cameras import Cameras

Array = NDArray[Any]

SHARES = {"L1": (0.2, 0.4), "L2": (0.4, 0.6), "L3": (0.6, 0.8)}  # hidden of the object, as in the published set
QUALITY = 92  # of the JPEG files
SPLITS = ("train", "val")
OCCLUDERS = 8  # cut-outs that one image's occluders are chosen from


@dataclass(frozen=True, slots=True)
class Job:
    """One image to make, with its occluded versions."""

    category: str
    split: str  # of SPLITS
    number: int

    @property
    def name(self) -> str:
        """The image's stem."""
        return f"{self.category}_{self.split}_{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Synthesized:
    """A folder of the set, and what one call made of it."""

    folder: Path
    made: int  # images
    kept: int  # images that were there already
    lists: list[str]  # of images, relative to the folder


def synthesize(
    folder: str | Path,
    settings: Synthesis | None = None,
    *,
    shard: Shard | None = None,
    processes: int = 1,
    again: bool = False,
    track: Callable[[Iterator[str], int, str], Iterator[str]] | None = None,
) -> Synthesized:
    """Fill a folder with images, labels, meshes and lists, as `voge pose synth` does; what is there is kept.

    Args:
        folder: of the data set; the same settings must fill all of it.
        settings: what the set shows.
        shard: make only this part of the images.
        processes: that share the work; 1 is this one.
        again: make the images that are there, too.
        track: wraps the iterator of names of images, with their number and a label, to show progress.
    """
    root, settings = Path(folder), settings or Synthesis()
    work = (shard or Shard()).of(jobs(settings))
    missing = [job for job in work if again or not is_made(root, job)]
    images = write_images(root, settings, missing, processes)
    made = len(list(images if track is None else track(images, len(missing), "images")))
    write_frame(root, settings)
    lists = sorted(str(path.relative_to(root)) for path in root.rglob("*.txt"))
    return Synthesized(root, made, len(work) - len(missing), lists)


def jobs(settings: Synthesis) -> list[Job]:
    """List the images to make."""
    counts = dict(zip(SPLITS, (settings.train, settings.test), strict=True))
    return [Job(c, split, i) for c in settings.categories for split, count in counts.items() for i in range(count)]


def write_frame(root: Path, settings: Synthesis) -> None:
    """Write models and lists, all but the images; lists of occluded images name those that are there."""
    for category in settings.categories:
        for index in range(settings.train_shapes + settings.test_shapes):
            _write_off(root / "CAD" / category / f"{index + 1:02d}.off", _shape(settings, category, index))
        for split in SPLITS:
            names = [job.name for job in jobs(settings) if (job.category, job.split) == (category, split)]
            _write_list(root / "Image_sets" / f"{category}_{SOURCE}_{split}.txt", names)
        for level in settings.levels:
            if level == "L0":
                continue
            folder = root / OCCLUDED[0]
            made = sorted((folder / "images" / occluded_name(category, level)).glob("*.JPEG"))
            _write_list(folder / "lists" / f"{occluded_name(category, level)}.txt", [path.name for path in made])


def write_images(root: Path, settings: Synthesis, work: Sequence[Job], processes: int = 1) -> Iterator[str]:
    """Make images; yields the name of each as it is done.

    Args:
        root: of the data set.
        settings: the same for all calls that fill one set.
        work: of `jobs`.
        processes: that share the work; 1 is this one.
    """
    if processes <= 1:
        yield from (_write_image(root, settings, job) for job in work)
        return
    import multiprocessing

    # A fresh interpreter: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_one_thread) as pool:
        chunk = max(len(work) // (processes * 16), 1)
        yield from pool.map(_write_image, *zip(*((root, settings, job) for job in work), strict=True), chunksize=chunk)


def is_made(root: Path, job: Job) -> bool:
    """Say whether an image and its occluded versions are there: the annotation is written last."""
    return _record(root, job).is_file()


def make_image(settings: Synthesis, job: Job) -> tuple[Array, Array, Annotation]:
    """An image (H, W, 3) float before the camera's noise, the object's alpha (H, W) and the label."""
    random = _random(settings, job.category, job.split, job.number)
    count = settings.train_shapes if job.split == "train" else settings.test_shapes
    index = int(random.integers(count)) + (0 if job.split == "train" else settings.train_shapes)
    mesh = _shape(settings, job.category, index, job.name)
    ranges = (settings.azimuth, settings.elevation, settings.theta, settings.distance)
    azimuth, elevation, theta, distance = (random.uniform(least, most) for least, most in ranges)
    px, py = (side * random.uniform(0.42, 0.58) for side in (settings.width, settings.height))
    label = Annotation(
        category=job.category, width=settings.width, height=settings.height, box=(0, 0, 1, 1), azimuth=azimuth,
        elevation=elevation, theta=theta, distance=distance, focal=settings.focal, px=px, py=py, cad_index=index + 1,
    )  # fmt: skip
    camera = Cameras(label.viewmat[None], label.intrinsics[None], settings.width, settings.height)
    thing = photographs.draw_object(mesh, camera, random)
    picture = thing.over(photographs.draw_background(settings.width, settings.height, random))
    return picture, thing.alpha, _boxed(label, thing.alpha > 0.5)


def _write_image(root: Path, settings: Synthesis, job: Job) -> str:
    picture, alpha, label = make_image(settings, job)
    random = _random(settings, job.category, job.split, job.number, "camera")
    folder = f"{job.category}_{SOURCE}"
    _write_jpeg(root / "Images" / folder / f"{job.name}.JPEG", photographs.finish(picture, random))
    if job.split == "val":
        _occlude(root / OCCLUDED[0], settings, job, picture, alpha)
    write_record(_record(root, job), f"{job.name}.JPEG", [label])
    return job.name


def _occlude(folder: Path, settings: Synthesis, job: Job, picture: Array, alpha: Array) -> None:
    """Write the occluded versions of an image."""
    visible = alpha > 0.5
    random = _random(settings, job.category, job.split, job.number, "occluders")
    things = photographs.cutouts(random, OCCLUDERS)
    for level in settings.levels:
        if level != "L0":
            made = photographs.occlude(picture, visible, SHARES[level], things, random)
            if made is not None:
                _write_occluded(folder, job, level, photographs.finish(made[0], random), visible, made[1])


def _write_occluded(folder: Path, job: Job, level: str, picture: Array, visible: Array, hidden: Array) -> None:
    name = occluded_name(job.category, level)
    _write_jpeg(folder / "images" / name / f"{job.name}.JPEG", picture)
    rows, columns = np.nonzero(visible)
    box = [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1, *visible.shape]
    with atomic_file(folder / "annotations" / name / f"{job.name}.npz") as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {"source": f"{job.name}.JPEG", "mask": visible.astype(np.uint8) * 255,
                                  "occluder_mask": hidden, "box": np.array(box)}  # fmt: skip
        np.savez_compressed(file, **arrays)


def _record(root: Path, job: Job) -> Path:
    return root / "Annotations" / f"{job.category}_{SOURCE}" / f"{job.name}.mat"


def _boxed(label: Annotation, visible: Array) -> Annotation:
    rows, columns = np.nonzero(visible)
    box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
    return replace(label, box=box)


def _shape(settings: Synthesis, category: str, index: int, paints: str = "") -> Mesh:
    """An object of a category, in paints of its own for every image."""
    return CATEGORIES[category](_random(settings, category, "shape", index), _random(settings, "paints", paints))


def _random(settings: Synthesis, *key: str | int) -> np.random.Generator:
    """A generator of its own for anything that is made: the same whatever else is made, and by whom."""
    words = [int.from_bytes(str(part).encode(), "little") % 2**32 for part in key]
    return np.random.default_rng([settings.seed, *words])


def _write_off(path: Path, mesh: Mesh) -> None:
    lines: Iterable[str] = [
        "OFF", f"{len(mesh.vertices)} {len(mesh.faces)} 0",
        *(" ".join(f"{x:.6f}" for x in row) for row in mesh.vertices),
        *(f"3 {a} {b} {c}" for a, b, c in mesh.faces),
    ]  # fmt: skip
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="ascii")


def _write_list(path: Path, names: Sequence[str]) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _write_jpeg(path: Path, picture: Array) -> None:
    from PIL import Image

    with atomic_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=QUALITY)


def _one_thread() -> None:
    """The processes share the cores among them."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
