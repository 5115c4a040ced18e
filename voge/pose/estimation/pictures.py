"""The pose of the object in a picture, of a trained category or of one known object, and the files that tell it.

found = estimate("photo.jpg", "pose_run", PictureEstimation(box=[30, 25, 100, 75]))
found.save("photo_pose")
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.convert.files import load_model as load_object
from voge.errors import DataError, SettingsError
from voge.io import bop
from voge.io.cameras import View, Views, load_cameras, save_cameras
from voge.io.ellipsoids import save_ellipsoids
from voge.io.images import bytes_of, write_png, write_video
from voge.io.masks import read_mask
from voge.io.photos import Pixels, read_pixels
from voge.pose.data.angles import from_rotation, towards
from voge.pose.data.frames import Box, Frame, boxed_frame, mask_box, stack
from voge.pose.estimation.estimator import Estimate, Estimator, ranked
from voge.pose.estimation.instance import instance_category, instance_frame
from voge.pose.estimation.overlay import overlay
from voge.pose.network.features import STRIDE, fixed
from voge.pose.network.model import PoseModel, load_model
from voge.pose.settings import Free, PictureEstimation
from voge.rendering.pixel_filter import on_cells
from voge.rendering.settings import RenderSettings
from voge.scene.ellipsoids import Ellipsoids

FRAMES = 24  # of the video, about


@dataclass(frozen=True, eq=False)
class Subject:
    """One picture, and the estimator that looks for the object in it."""

    path: Path
    image: NDArray[np.uint8]  # (H, W, 3)
    frame: Frame
    estimator: Estimator
    ellipsoids: Ellipsoids  # to show, in the object's colors where it has some
    notes: tuple[str, ...] = ()  # what the user should know of the object's file, a line each

    def estimate(self) -> Posed:
        """Find the object's pose."""
        started = time.perf_counter()
        images, cameras = stack([self.frame])
        target, cells = self.estimator.features(images), on_cells(cameras.to(self.estimator.device), STRIDE)
        starts = cells.viewmats[:, None] if self.frame.rough else self.estimator.starts(target, cells)
        course = list(self.estimator.course(target, cells, starts))
        found = ranked(course[-1], starts.shape[1])[0]
        seconds = time.perf_counter() - started
        row = int((course[-1].viewmats.double().cpu() - found.viewmat).abs().sum((1, 2)).argmin())
        return Posed(self, found, [state.viewmats[row].double().cpu() for state in course], seconds)


@dataclass(frozen=True, eq=False)
class Posed:
    """The pose of the object in a picture."""

    subject: Subject
    found: Estimate
    course: list[Tensor]  # (4, 4) float64 each: the pose as it was refined, first to last
    seconds: float

    def document(self) -> dict[str, Any]:
        """Return the pose in several forms, plain values for a JSON file; angles are relative to the line of sight."""
        found, frame = self.found, self.subject.frame
        rotation, place = found.viewmat[:3, :3], found.viewmat[:3, 3]
        angles = from_rotation(towards(place).mT @ rotation)
        return {
            "image": str(self.subject.path),
            "azimuth": float(angles.azimuth),
            "elevation": float(angles.elevation),
            "theta": float(angles.theta),
            "distance": float(place.norm()),
            "world_to_camera": found.viewmat.tolist(),
            "convention": "opencv",
            "K": frame.K.tolist(),
            "score": found.score,
            "margin": found.margin,
            "candidates": [
                {"world_to_camera": pose.tolist(), "score": score}
                for pose, score in zip(found.candidates, found.scores, strict=True)
            ],
            "seconds": round(self.seconds, 3),
        }

    def line(self) -> str:
        """Return the pose as a line to read."""
        made = self.document()
        return (
            f"{made['image']}: azimuth {made['azimuth']:.1f}, elevation {made['elevation']:.1f}, theta "
            f"{made['theta']:.1f}, score {made['score']:.3f}, margin {made['margin']:.3f}"
        )

    def save(self, folder: str | Path, *, video: str = "mp4", units: str | None = None) -> None:
        """Write estimate.json, pose.json, model.safetensors, overlay.png and the video course.mp4 into a folder.

        Args:
            folder: made where it is missing.
            video: mp4, gif or webp.
            units: of the model: mm, cm or m.
        """
        folder, subject = Path(folder), self.subject
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "estimate.json").write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")
        self._write_pose(folder, units or "unknown")
        settings = subject.estimator.how.settings
        shown = overlay(subject.image, subject.ellipsoids, subject.frame.K, self.found.viewmat, settings)
        write_png(folder / "overlay.png", shown)
        frames = list(self._frames(settings))
        write_video(folder / f"course.{video}", frames, fps=max(len(frames) / 4, 4))

    def _write_pose(self, folder: Path, units: str) -> None:
        """model.safetensors and pose.json, which names it and the picture."""
        subject, frame = self.subject, self.subject.frame
        model, path = folder / "model.safetensors", folder / "pose.json"
        save_ellipsoids(model, subject.ellipsoids.to("cpu"))
        view = View(
            name=subject.path.stem, viewmat=self.found.viewmat, K=frame.K, width=frame.width, height=frame.height
        )
        save_cameras(path, Views((view,), units=units, model_path=model), "pose")
        # The folder may be moved, and the picture is not: its path must not depend on the folder's.
        document = {**json.loads(path.read_text(encoding="utf-8")), "image": str(subject.path.resolve())}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def _frames(self, settings: RenderSettings) -> Iterator[NDArray[np.uint8]]:
        """The crop with each pose over it, or with about FRAMES of them."""
        subject = self.subject
        picture = subject.frame.crop.image.permute(1, 2, 0).numpy()
        for pose in [*self.course[:: max(len(self.course) // FRAMES, 1)], self.course[-1]]:
            yield overlay(picture, subject.ellipsoids, subject.frame.crop_intrinsics, pose, settings)


def estimate(
    picture: str | Path,
    model: PoseModel | str | Path,
    settings: PictureEstimation | None = None,
    *,
    device: str | torch.device = "cpu",
) -> Posed:
    """Estimate the pose of the object in a picture, as `voge pose estimate` does.

    Args:
        picture: its file.
        model: of `train`, or its run or file; with `features` in the settings, the file of one known object.
        settings: how, and what is known of the picture.
        device: where.

    Raises:
        DataError: the picture or the model cannot be used.
        SettingsError: the settings leave open where the object is, or which one.
    """
    return look_at_picture(picture, model, settings or PictureEstimation(), torch.device(device)).estimate()


def look_at_picture(
    picture: str | Path, model: PoseModel | str | Path, settings: PictureEstimation, device: torch.device
) -> Subject:
    """Read a picture and prepare its estimator; arguments and errors are those of `estimate`."""
    refinement = replace(settings.refinement, free=settings.refinement.free or Free.pose)
    settings = replace(settings, refinement=refinement)
    if settings.features is not None:
        if isinstance(model, PoseModel):
            raise SettingsError("features are for one known object; give the file of its ellipsoids or mesh as model")
        return _known(Path(picture), Path(model), settings.features, settings, device)
    trained = model if isinstance(model, PoseModel) else load_model(model).to(device)
    return _of_category(Path(picture), trained, settings)


def save_all(folder: str | Path, found: Sequence[Posed], *, video: str = "mp4", units: str | None = None) -> None:
    """Write the files of several pictures, a folder each by its name; with units also bop.csv, BOP's file of results.

    Args:
        folder: of one picture, the files lie in it.
        found: a picture each.
        video, units: as of `Posed.save`.
    """
    folder = Path(folder)
    for one in found:
        one.save(folder / one.subject.path.stem if len(found) > 1 else folder, video=video, units=units)
    if units is not None:
        poses = [(one.subject.path, one.found.viewmat, one.found.score, round(one.seconds, 3)) for one in found]
        bop.save_estimates(folder / "bop.csv", [bop.Estimated(*pose) for pose in poses], units)


def _of_category(path: Path, model: PoseModel, settings: PictureEstimation) -> Subject:
    """A picture of a member of a trained category."""
    names = list(model.categories)
    name = settings.category or (names[0] if len(names) == 1 else None)
    if name not in model.categories:
        raise SettingsError(f"--category must be one of the model's, {', '.join(names)}; got {name}")
    category = model.categories[name]
    photo = read_pixels(path)
    image = bytes_of(photo.values)
    frame = boxed_frame(image, _box(settings, path, photo), category.framing, settings.focal)
    estimator = Estimator(model.network, category, settings)
    return Subject(path, image, frame, estimator, category.ellipsoids, photo.notes)


def _known(path: Path, model: Path, features: str, settings: PictureEstimation, device: torch.device) -> Subject:
    """A picture of one known object, to be refined from a rough pose."""
    if settings.pose is None:
        raise SettingsError("--features refines a rough pose; give it by --pose pose.json")
    network = fixed(features).to(device)
    (view,) = load_cameras(settings.pose, "pose")
    photo = read_pixels(path, size=(view.width, view.height))
    image = bytes_of(photo.values)
    if (view.width, view.height) != (image.shape[1], image.shape[0]):
        sizes = f"{view.width}x{view.height}, {path} is {image.shape[1]}x{image.shape[0]}"
        raise DataError(settings.pose, f"its camera is {sizes}", "give the camera of the picture")
    loaded = load_object(model, settings.convert)
    try:
        frame, framing = instance_frame(image, loaded.ellipsoids, view.K, view.viewmat)
        placed = loaded.ellipsoids.to(torch.float32).to(device)
        category = instance_category(placed, network, frame, framing, settings.settings)
    except ValueError as error:
        raise DataError(model, str(error)) from error
    estimator = Estimator(network, category, settings, known_clutter=False)
    return Subject(path, image, frame, estimator, placed, (*photo.notes, *loaded.notes))


def _box(settings: PictureEstimation, path: Path, photo: Pixels) -> Box:
    """Find the box around the object in a picture, from the settings."""
    width, height = photo.size
    if settings.mask is not None:
        mask = read_mask(settings.mask, photo, mask_id=settings.mask_id).share.numpy() > 0.5
        if mask.shape != (height, width):
            found = f"{mask.shape[1]}x{mask.shape[0]}"
            raise DataError(settings.mask, f"is {found}, {path} is {width}x{height}", "give the mask of the picture")
        try:
            return mask_box(mask)
        except ValueError as error:
            raise DataError(settings.mask, str(error)) from error
    if settings.box is None:
        raise SettingsError("say where the object is: --box LEFT,TOP,RIGHT,BOTTOM or --mask FILE")
    left, top, right, bottom = settings.box
    if left >= width or top >= height or right <= 0 or bottom <= 0:
        raise DataError(path, f"is {width}x{height}; the box {settings.box} is outside of it")
    return left, top, right, bottom
