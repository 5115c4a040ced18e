"""What voge pose estimate does with pictures: a folder each with the pose in several formats, overlay and video."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.convert.files import load_model as load_object
from voge.errors import DataError, ExtractorError
from voge.io import bop
from voge.io.cameras import View, Views, load_cameras, save_cameras
from voge.io.ellipsoids import save_ellipsoids
from voge.io.files import atomic_folder
from voge.io.images import check_video, read_bytes, read_picture, write_png, write_video
from voge.pose.data.angles import from_rotation, towards
from voge.pose.data.frames import Frame, boxed_frame, mask_box, stack
from voge.pose.estimation.energy import Target
from voge.pose.estimation.estimator import Estimate, Estimator, ranked
from voge.pose.estimation.instance import instance_category, instance_frame
from voge.pose.estimation.overlay import overlay
from voge.pose.estimation.refinement import Free
from voge.pose.network.features import STRIDE, fixed
from voge.rendering.pixel_filter import on_cells
from voge.rendering.settings import RenderSettings
from voge.scene.ellipsoids import Ellipsoids
from voge_cli import outputs
from voge_cli.devices import Chosen, choose_device
from voge_cli.errors import UsageError
from voge_cli.pose.estimate import COMMAND, load_trained

if TYPE_CHECKING:
    from voge.scene.cameras import Cameras
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.pose.schemas import PoseEstimateConfig


FRAMES = 24  # of the video


@dataclass(frozen=True, eq=False)
class _Subject:
    """One picture and what looks for the object in it."""

    path: Path
    image: NDArray[np.uint8]
    frame: Frame
    estimator: Estimator
    ellipsoids: Ellipsoids  # to show, in the object's colors where it has some


def estimate_pictures(
    loaded: Loaded[PoseEstimateConfig], console: Console, *, overwrite: bool
) -> tuple[object, dict[str, Any]]:
    """Pictures one after the other; returns the folder and what was found."""
    config = loaded.value
    folder = Path(config.out or f"{Path(config.inputs[0]).stem}_pose")
    outputs.check_folder(folder, overwrite)
    check_video(f"course.{config.video.value}")
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    subjects = list(_subjects(config, chosen, console))
    found = []
    with atomic_folder(folder) as staging:
        for subject in subjects:
            place = staging / subject.path.stem if len(subjects) > 1 else staging
            place.mkdir(exist_ok=True)
            found.append(_estimate_one(subject, place, config))
        if config.units is not None:
            bop.save_estimates(staging / "bop.csv", [_estimated(made) for made in found], config.units.value)
        outputs.write_record(staging, COMMAND, loaded.text())
    for made in found:
        console.note(
            f"{made['image']}: azimuth {made['azimuth']:.1f}, elevation {made['elevation']:.1f}, theta "
            f"{made['theta']:.1f}, score {made['score']:.3f}, margin {made['margin']:.3f}"
        )
    return folder, {"out": str(folder), "device": str(chosen.device), "poses": found}


def _subjects(config: PoseEstimateConfig, chosen: Chosen, console: Console) -> Iterator[_Subject]:
    if config.features is not None:
        yield from _instances(config, chosen, console)
        return
    model = load_trained(config, chosen)
    names = list(model.categories)
    name = config.category or (names[0] if len(names) == 1 else None)
    if name not in model.categories:
        raise UsageError(f"--category must be one of the model's, {', '.join(names)}; got {name}")
    category = model.categories[name]
    estimator = Estimator(model.network, category, config.estimation(Free.pose))
    for path in map(Path, config.inputs):
        image = read_bytes(path)
        box = _box(config, path, image)
        frame = boxed_frame(image, box, category.framing, config.focal)
        yield _Subject(path, image, frame, estimator, category.ellipsoids)


def _instances(config: PoseEstimateConfig, chosen: Chosen, console: Console) -> Iterator[_Subject]:
    """Pictures of one known object, refined from a rough pose."""
    assert config.features is not None
    assert config.model is not None
    if config.pose is None:
        raise UsageError("--features refines a rough pose; give it by --pose pose.json")
    if len(config.inputs) > 1:
        raise UsageError(f"--features takes one picture, got {len(config.inputs)}")
    try:
        network = fixed(config.features).to(chosen.device)
    except ExtractorError as error:
        raise UsageError(str(error)) from error
    path, model = Path(config.inputs[0]), Path(config.model)
    image = read_bytes(path)
    (view,) = load_cameras(config.pose, "pose")
    if (view.width, view.height) != (image.shape[1], image.shape[0]):
        sizes = f"{view.width}x{view.height}, {path} is {image.shape[1]}x{image.shape[0]}"
        raise DataError(config.pose, f"its camera is {sizes}", "give the camera of the picture")
    ellipsoids = console.told(load_object(model, config.convert)).ellipsoids
    try:
        frame, framing = instance_frame(image, ellipsoids, view.K, view.viewmat)
        placed = ellipsoids.to(torch.float32).to(chosen.device)
        category = instance_category(placed, network, frame, framing, config.settings)
    except ValueError as error:
        raise DataError(model, str(error)) from error
    estimator = Estimator(network, category, config.estimation(Free.pose), known_clutter=False)
    yield _Subject(path, image, frame, estimator, placed)


def _box(config: PoseEstimateConfig, path: Path, image: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    height, width = image.shape[:2]
    if config.mask is not None:
        mask = read_picture(config.mask).mean(2) > 0.5
        if mask.shape != (height, width):
            found = f"{mask.shape[1]}x{mask.shape[0]}"
            raise DataError(config.mask, f"is {found}, {path} is {width}x{height}", "give the mask of the picture")
        try:
            return mask_box(mask)
        except ValueError as error:
            raise DataError(config.mask, str(error)) from error
    if config.box is None:
        raise UsageError("say where the object is: --box LEFT,TOP,RIGHT,BOTTOM or --mask FILE")
    left, top, right, bottom = config.box
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DataError(path, f"is {width}x{height}; the box {config.box} is outside of it")
    return left, top, right, bottom


def _estimate_one(subject: _Subject, folder: Path, config: PoseEstimateConfig) -> dict[str, Any]:
    """Estimate and write; returns the record."""
    started = time.perf_counter()
    images, cameras = stack([subject.frame])
    estimator = subject.estimator
    target, cells = estimator.features(images), on_cells(cameras.to(estimator.device), STRIDE)
    starts = _starts(subject, target, cells)
    course = list(estimator.course(target, cells, starts))
    found = ranked(course[-1], starts.shape[1])[0]
    seconds = time.perf_counter() - started
    made = _record(subject, found, seconds)
    _write_pose(folder, subject, found.viewmat, "unknown" if config.units is None else config.units.value)
    (folder / "estimate.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    shown = overlay(subject.image, subject.ellipsoids, subject.frame.K, found.viewmat, config.settings)
    write_png(folder / "overlay.png", shown)
    row = int((course[-1].viewmats.double().cpu() - found.viewmat).abs().sum((1, 2)).argmin())
    poses = [state.viewmats[row].double().cpu() for state in course]
    frames = list(_frames(subject, poses, config.settings))
    write_video(folder / f"course.{config.video.value}", frames, fps=max(len(frames) / 4, 4))
    return made


def _write_pose(folder: Path, subject: _Subject, viewmat: Tensor, units: str) -> None:
    """model.safetensors and pose.json, which names it and the picture."""
    model, path, frame = folder / "model.safetensors", folder / "pose.json", subject.frame
    save_ellipsoids(model, subject.ellipsoids.to("cpu"))
    view = View(name=subject.path.stem, viewmat=viewmat, K=frame.K, width=frame.width, height=frame.height)
    save_cameras(path, Views((view,), units=units, model_path=model), "pose")
    # The folder is about to move, and the picture is not: its path must not depend on the folder's.
    document = {**json.loads(path.read_text(encoding="utf-8")), "image": str(subject.path.resolve())}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _starts(subject: _Subject, target: Target, cells: Cameras) -> Tensor:
    if subject.frame.rough:
        return cells.viewmats[:, None]
    return subject.estimator.starts(target, cells)


def _frames(subject: _Subject, poses: list[Tensor], settings: RenderSettings) -> Iterator[NDArray[np.uint8]]:
    """The crop with each pose over it, or with about FRAMES of them."""
    step = max(len(poses) // FRAMES, 1)
    picture = subject.frame.crop.image.permute(1, 2, 0).numpy()
    for pose in [*poses[::step], poses[-1]]:
        yield overlay(picture, subject.ellipsoids, subject.frame.crop_intrinsics, pose, settings)


def _record(subject: _Subject, found: Estimate, seconds: float) -> dict[str, Any]:
    rotation, place = found.viewmat[:3, :3], found.viewmat[:3, 3]
    angles = from_rotation(towards(place).mT @ rotation)  # relative to the line of sight
    return {
        "image": str(subject.path),
        "azimuth": float(angles.azimuth),
        "elevation": float(angles.elevation),
        "theta": float(angles.theta),
        "distance": float(place.norm()),
        "world_to_camera": found.viewmat.tolist(),
        "convention": "opencv",
        "K": subject.frame.K.tolist(),
        "score": found.score,
        "margin": found.margin,
        "candidates": [
            {"world_to_camera": pose.tolist(), "score": score}
            for pose, score in zip(found.candidates, found.scores, strict=True)
        ],
        "seconds": round(seconds, 3),
    }


def _estimated(made: dict[str, Any]) -> bop.Estimated:
    viewmat = torch.tensor(made["world_to_camera"], dtype=torch.float64)
    return bop.Estimated(Path(made["image"]), viewmat, made["score"], made["seconds"])
