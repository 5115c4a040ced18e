"""From files to fitted ellipsoids, as `voge fit` does.

settings = FitFilesSettings(cameras=CameraFile(file="transforms.json"), holdout="8", steps=500)
result = voge.fitting.fit_files(settings)
result.figures()["held_out"]["psnr"]
result.save("fitted")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import SettingsError
from voge.fitting import pictures
from voge.fitting.fitter import Fitted, Fitting
from voge.fitting.inputs import Inputs, load_inputs
from voge.fitting.scores import ViewScore, score, summary
from voge.fitting.settings import FitFilesSettings
from voge.io.cameras import View, Views, save_cameras
from voge.io.ellipsoids import save_ellipsoids
from voge.io.images import write_png
from voge.optim import metrics
from voge.optim.optimizer import Step
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.viewpoints import resized

THRESHOLD = 0.05  # of the F-score, world units


def fit_files(
    settings: FitFilesSettings,
    *,
    device: torch.device | str = "cpu",
    watch: Callable[[Fitting, Step], None] | None = None,
) -> FittedFiles:
    """Load pictures and a start, and fit ellipsoids to them.

    Args:
        settings: which files, and how to fit.
        device: where the fit happens.
        watch: called after every step, such as to print `step.values()`.

    Raises:
        DataError: a file cannot be used.
        SettingsError: the settings ask for what cannot be.
        voge.errors.DivergedError: a loss or a gradient is not finite; names it and the step.
    """
    inputs = load_inputs(settings, device=device)
    fitting = begin(inputs, settings)
    for step in fitting.steps():
        if watch is not None:
            watch(fitting, step)
    return FittedFiles(fitting.result(), inputs, settings)


def begin(inputs: Inputs, settings: FitFilesSettings) -> Fitting:
    """The fit of what was loaded, before its first step.

    Raises:
        SettingsError: inputs and settings do not belong together.
    """
    try:
        return Fitting(inputs.captures, inputs.start, settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error


@dataclass(frozen=True, eq=False)
class FittedFiles:
    """Ellipsoids that were fitted, and what they were fitted to."""

    fitted: Fitted
    inputs: Inputs
    settings: FitFilesSettings

    @property
    def ellipsoids(self) -> Ellipsoids:
        """The fitted ellipsoids, with metadata that say where they come from."""
        return replace(self.fitted.ellipsoids, metadata={**self.inputs.metadata, "method": "fit"})

    @cached_property
    def groups(self) -> dict[str, list[Capture]]:
        """The captures by name: `train` with the refined cameras, then those that were held out."""
        pairs = zip(self.inputs.captures, self.fitted.cameras, strict=True)
        groups = {"train": [capture.seen_from(cameras) for capture, cameras in pairs]}
        device = self.fitted.ellipsoids.device
        return groups | {name: [c.to(device) for c in captures] for name, captures in self.inputs.tests.items()}

    @cached_property
    def scores(self) -> dict[str, list[ViewScore]]:
        """A score of every view, by the name of its group."""
        made, background, render = self.ellipsoids, self.fitted.background, self.settings.settings
        return {name: score(made, captures, background, render) for name, captures in self.groups.items()}

    def figures(self) -> dict[str, Any]:
        """The number of ellipsoids, the mean scores of each group and, of a mesh's views, the error of the shape."""
        figures: dict[str, Any] = {"ellipsoids": len(self.ellipsoids)}
        figures |= {name: _rounded(summary(scores)) for name, scores in self.scores.items()}
        if self.inputs.surface is not None:
            figures["shape"] = _shape(metrics.shape_error(self.ellipsoids.means, self.inputs.surface, THRESHOLD))
        return figures

    def views(self) -> dict[str, list[dict[str, Any]]]:
        """The scores of every view as plain values, by the name of its group."""
        return {name: [_view(score) for score in scores] for name, scores in self.scores.items()}

    def compared(self) -> Iterator[pictures.Compared]:
        """Some views of each group before and after the fit, beside their targets."""
        start, background = self.inputs.start.ellipsoids, self.fitted.background
        return pictures.compare(start, self.ellipsoids, self.groups, background, self.settings.settings)

    def turntable(self, count: int) -> Iterator[NDArray[np.uint8]]:
        """Frames (H, W, 3) of one turn around the ellipsoids."""
        first = self.groups["train"][0].cameras
        return pictures.turntable(self.ellipsoids, first, self.fitted.background, self.settings.settings, count)

    def cameras(self) -> Views:
        """The cameras of the views that were fitted to, refined, of the size that their pictures have in the files."""
        known = {view.name: view for view in self.inputs.views or ()}
        views = []
        for capture in self.groups["train"]:
            full = capture.cameras.to(torch.float64)
            for i, name in enumerate(capture.names):
                view = known.get(name)
                if view is None:
                    views.append(View.of(full[i], name))
                else:
                    one = resized(full[i], view.width, view.height)
                    views.append(View.of(one, name, image=view.image, mask=view.mask))
        return Views(tuple(views), units="unknown" if self.inputs.views is None else self.inputs.views.units)

    def save(self, folder: str | Path) -> list[tuple[Path, str]]:
        """Write ellipsoids.safetensors, cameras.json where cameras were refined, and the pictures of images/.

        Returns:
            The pictures' files with their captions.
        """
        folder = Path(folder)
        (folder / "images").mkdir(parents=True, exist_ok=True)
        save_ellipsoids(folder / "ellipsoids.safetensors", self.ellipsoids.to("cpu"))
        if self.settings.moves_cameras:
            save_cameras(folder / "cameras.json", self.cameras(), "json")
        shown = []
        for picture in self.compared():
            shown.append((folder / "images" / f"{picture.name}.png", picture.caption))
            write_png(shown[-1][0], picture.pixels)
        return shown


def _shape(error: metrics.ShapeError) -> dict[str, float]:
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


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def _view(found: ViewScore) -> dict[str, Any]:
    numbers = {name: getattr(found, name) for name in ("psnr", "psnr_object", "ssim", "iou")}
    known = {name: value for name, value in numbers.items() if value is not None and np.isfinite(value)}
    return {"name": found.name, **_rounded(known)}
