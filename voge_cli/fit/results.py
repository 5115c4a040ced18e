"""What a fit leaves in its folder: the film of it, pictures, figures and the page that shows all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.fitting.evaluate import ViewScore, score, summary
from voge.fitting.fitter import Fitted, Fitting
from voge.imaging.pictures import take_pictures
from voge.io import images
from voge.io.ellipsoids import save_ellipsoids
from voge.optim import metrics
from voge.optim.optimizer import Step
from voge.scene.cameras import CameraModel, Cameras
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box, camera_distance
from voge.scene.viewpoints import orbit_camera, resized, upright_axis
from voge_cli import report
from voge_cli.config import Loaded
from voge_cli.console import Console
from voge_cli.fit.inputs import Inputs
from voge_cli.fit.schema import FitConfig
from voge_cli.runs import RunFolder

FILM_SIDE = 384  # pixels that a frame's longer side has at most
SHOWN = 4  # views in the report
FPS = 24
_FRAMES = "frames"  # folder of the film's frames while the run lasts

Picture = NDArray[np.uint8]


class Film:
    """The optimization as seen from the first view: a frame every now and then, kept as files so that it can go on."""

    def __init__(self, folder: Path, fitting: Fitting, config: FitConfig) -> None:
        self.folder, self.fitting, self.every = folder / _FRAMES, fitting, config.film_every
        self.settings = config.settings
        camera = fitting.comparison.captures[0].cameras[0]
        zoom = FILM_SIDE / max(camera.width, camera.height)
        self.camera = resized(camera, max(round(camera.width * zoom), 1), max(round(camera.height * zoom), 1))

    def begin(self) -> None:
        """Forget the frames after the present step; the first frame is the start."""
        for frame in self._frames():
            if int(frame.stem) > self.fitting.optimizer.done:
                frame.unlink()
        if self.every and not self.fitting.optimizer.done:
            self._take(0)

    def watch(self, step: Step) -> None:
        """Take a frame where one is due."""
        if self.every and (step.number % self.every == 0 or step.number == self.fitting.settings.steps):
            self._take(step.number)

    def finish(self, path: Path) -> bool:
        """Write the video and remove the frames; false where there are none."""
        frames = self._frames()
        if frames:
            images.write_video(path, (np.asarray(images.opaque(_read(frame))) for frame in frames), fps=FPS)
            shutil.rmtree(self.folder)
        return bool(frames)

    def _take(self, step: int) -> None:
        self.folder.mkdir(exist_ok=True)
        fitting = self.fitting
        with torch.no_grad():
            made = take_pictures(
                fitting.ellipsoids(), self.camera, self.settings, outputs=["rgb"], background=fitting.background()
            )
        # They do not stay: the least compression takes a third of the time.
        images.write_png(self.folder / f"{step:07d}.png", made["rgb"].cpu().numpy(), compression=1)

    def _frames(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


def _read(path: Path) -> Any:
    return images.to_bytes(images.read_picture(path))


def write_results(
    run: RunFolder, loaded: Loaded[FitConfig], inputs: Inputs, fitting: Fitting, seconds: float, console: Console
) -> dict[str, Any]:
    """All files of a finished run; returns the figures of metrics.json."""
    config, fitted = loaded.value, fitting.result()
    made = replace(fitted.ellipsoids, metadata={**inputs.metadata, "method": "fit"})
    save_ellipsoids(run.path / "ellipsoids.safetensors", made.to("cpu"))
    _write_cameras(run.path, inputs, fitting, fitted)
    device = made.device
    groups = {
        "train": [replace(c, cameras=k) for c, k in zip(fitting.comparison.captures, fitted.cameras, strict=True)]
    }
    groups |= {name: [c.to(device) for c in captures] for name, captures in inputs.tests.items()}
    scores = {name: score(made, captures, fitted.background, config.settings) for name, captures in groups.items()}
    figures: dict[str, Any] = {
        "steps": config.steps,
        "seconds": round(seconds, 3),
        "ellipsoids": len(made),
        **{name: _rounded(summary(each)) for name, each in scores.items()},
    }
    if inputs.surface is not None:
        figures["shape"] = _shape(made, inputs)
    pictures = _write_pictures(run.path / "images", inputs, groups, made, fitted, config)
    film = run.path / f"video.{config.video.value}"
    Film(run.path, fitting, config).finish(film)
    turntable = run.path / f"turntable.{config.video.value}"
    if config.turntable:
        frames = _turntable(made, groups["train"][0].cameras, fitted.background, config)
        images.write_video(turntable, console.track(frames, config.turntable, "turntable"), fps=FPS)
    run.finish({**figures, "views": {name: [_view(s) for s in each] for name, each in scores.items()}})
    page = _page(run, config, figures, pictures, [path for path in (film, turntable) if path.exists()])
    (run.path / "report.html").write_text(page, encoding="utf-8")
    for name in ("held_out", "train"):
        if name in figures:
            shown = ", ".join(f"{key} {value:.4g}" for key, value in figures[name].items())
            console.note(f"{name}: {shown}")
            break
    return figures


def _shape(ellipsoids: Ellipsoids, inputs: Inputs) -> dict[str, float]:
    assert inputs.surface is not None
    error = metrics.shape_error(ellipsoids.means, inputs.surface, inputs.threshold)
    return _rounded(
        {
            "chamfer": error.chamfer,
            "centers_to_surface": error.accuracy,
            "surface_to_centers": error.completeness,
            "f_score": error.f_score,
            "precision": error.precision,
            "recall": error.recall,
            "threshold": error.threshold,
        }
    )


def _write_cameras(folder: Path, inputs: Inputs, fitting: Fitting, fitted: Fitted) -> None:
    """cameras.json, with the refined cameras of the views that were fitted to, where there are any."""
    from voge.io.cameras import View, Views, save_cameras

    if not fitting.comparison.moves_cameras:
        return
    known = {view.name: view for view in inputs.views or ()}
    views = []
    for capture, cameras in zip(fitting.comparison.captures, fitted.cameras, strict=True):
        full = cameras.to(torch.float64).to("cpu")
        for i, name in enumerate(capture.names):
            view = known.get(name)
            one = full[i] if view is None else resized(full[i], view.width, view.height)
            views.append(
                View(
                    name=name,
                    viewmat=one.viewmats[0],
                    K=one.Ks[0],
                    width=one.width,
                    height=one.height,
                    model=CameraModel(one.model),
                    distortion=None if one.distortion is None else one.distortion[0],
                    image=None if view is None else view.image,
                    mask=None if view is None else view.mask,
                )
            )
    units = "unknown" if inputs.views is None else inputs.views.units
    save_cameras(folder / "cameras.json", Views(tuple(views), units=units), "json")


def _write_pictures(
    folder: Path,
    inputs: Inputs,
    groups: dict[str, list[Capture]],
    made: Ellipsoids,
    fitted: Fitted,
    config: FitConfig,
) -> list[tuple[str, Path]]:
    """Before, target and after of some views side by side; and every held-out view as rendered."""
    folder.mkdir(exist_ok=True)
    start, shown = inputs.start.ellipsoids.to(torch.float32).to(made.device), []

    def rendered(ellipsoids: Ellipsoids, camera: Cameras) -> Any:
        with torch.no_grad():
            pictures = take_pictures(ellipsoids, camera, config.settings, outputs=["rgb"], background=fitted.background)
        return pictures["rgb"].cpu().numpy()

    for group, captures in groups.items():
        views = [(capture, i) for capture in captures for i in range(len(capture))]
        for capture, i in views[:: max(len(views) // SHOWN, 1)][:SHOWN]:
            camera, name = capture.cameras[i], capture.names[i]
            target = capture.over(fitted.background)[i].cpu().numpy()
            row = np.concatenate([rendered(start, camera), target, rendered(made, camera)], 1)
            path = folder / f"{group}_{name}.png"
            images.write_png(path, row)
            shown.append((f"{group} {name}: before, target, after", path))
    return shown


def _turntable(made: Ellipsoids, cameras: Cameras, background: Tensor, config: FitConfig) -> Iterator[Picture]:
    """Once around, upright as the first camera sees the world."""
    up = upright_axis(cameras.viewmats[0])
    middle, elevation, fov = bounding_box(made).center, 20.0, 40.0
    distance = camera_distance(made, elevation, fov, 1.0, up=up)
    for i in range(config.turntable):
        camera = orbit_camera(
            360 * i / config.turntable, elevation, distance, at=middle, size=(FILM_SIDE, FILM_SIDE), fov=fov, up=up
        ).to(made.device)
        with torch.no_grad():
            frame = take_pictures(made, camera, config.settings, outputs=["rgb"], background=background)["rgb"]
        yield images.to_bytes(frame.cpu().numpy())


def _page(
    run: RunFolder, config: FitConfig, figures: dict[str, Any], pictures: list[tuple[str, Path]], videos: list[Path]
) -> str:
    lines = run.lines()
    terms = [name for name in lines[-1] if name not in ("step", "seconds")] if lines else []
    curves = {name: [(line["step"], line[name]) for line in lines if name in line] for name in terms}
    flat: dict[str, object] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name} {key}": number for key, number in value.items()}
        else:
            flat[name] = value
    return report.page(
        f"VoGE: fit of {config.source}",
        report.text(f"{figures['ellipsoids']} ellipsoids after {config.steps} steps. To repeat it:"),
        report.commands([f"voge fit --config {run.record} --out {run.path}_again"]),
        *(report.figure(path, path.name) for path in videos),
        *(report.figure(path, caption) for caption, path in pictures),
        report.curves(curves, "terms of the loss, weighted, over steps"),
        report.table(flat),
    )


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def _view(found: ViewScore) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in ("psnr", "psnr_object", "ssim", "iou")}
    known = {name: value for name, value in numbers.items() if value is not None and np.isfinite(value)}
    return {"name": found.name, **_rounded(known)}
