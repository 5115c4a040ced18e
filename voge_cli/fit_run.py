"""The run of `voge fit` in its folder, logged, filmed, saved and resumed, and the page that shows it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voge.errors import DataError
from voge.fitting import pictures
from voge.fitting.fitter import Fitting
from voge.io import images
from voge.optim.optimizer import Step
from voge_cli import report
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.outputs import write_record
from voge_cli.runs import CHECKPOINT, RunFolder, drive

if TYPE_CHECKING:
    from voge_cli.commands.fit import FitConfig
    from voge_cli.config import Loaded

FPS = 24


def open_run(
    path: Path, loaded: Loaded[FitConfig], fitting: Fitting, *, resume: bool, overwrite: bool
) -> tuple[RunFolder, float]:
    """The folder of a new run, or that of an earlier one with its state loaded; and the seconds spent before."""
    if not resume:
        return RunFolder.create(path, "fit", loaded.text(), overwrite=overwrite), 0.0
    run = RunFolder.reopen(path, "fit")
    checkpoint = run.load()
    if checkpoint is None:
        run.rewind(0)
        return run, 0.0
    try:
        fitting.load(checkpoint.state)
    except (ValueError, KeyError, RuntimeError) as error:
        raise DataError(run.path / CHECKPOINT, f"does not fit the configuration ({error})", "start again") from error
    if fitting.optimizer.done > loaded.value.steps:
        raise UsageError(f"{path} has done {fitting.optimizer.done} steps, more than --steps {loaded.value.steps}")
    run.rewind(fitting.optimizer.done)
    write_record(run.path, "fit", loaded.text())
    return run, float(checkpoint.facts.get("seconds", 0.0))


def fit_run(
    fitting: Fitting, config: FitConfig, run: RunFolder, seconds: float, console: Console
) -> tuple[float, Path | None]:
    """Take the steps that are left; returns the seconds spent, those of earlier runs included, and the film."""
    film = _Film(run.path / "frames", fitting, config.film_every)
    film.begin()
    if (before := fitting.optimizer.done) < config.steps:
        began = time.perf_counter()
        seconds = drive(
            fitting.steps(),
            fitting.optimizer,
            run,
            console,
            label="fit",
            log_every=config.log_every,
            save_every=config.save_every,
            seconds=seconds,
            state=fitting.state,
            watch=film.watch,
        )
        rate = (config.steps - before) / (time.perf_counter() - began)
        console.note(f"{config.steps - before} steps, {rate:.3g} a second")
    path = run.path / f"video.{config.video.value}"
    film.finish(path)
    return seconds, path if path.exists() else None


@dataclass(frozen=True)
class _Film:
    """The optimization as seen from the first view: a frame every now and then, kept as files so that it can go on."""

    folder: Path
    fitting: Fitting
    every: int  # steps; 0 for no film

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

    def finish(self, path: Path) -> None:
        """Write the video, where there are frames, and remove the frames."""
        if frames := self._frames():
            read = (images.to_bytes(images.read_picture(frame)) for frame in frames)
            images.write_video(path, (np.asarray(images.opaque(frame)) for frame in read), fps=FPS)
            shutil.rmtree(self.folder)

    def _take(self, step: int) -> None:
        self.folder.mkdir(exist_ok=True)
        # Frames do not stay: the least compression takes a third of the time.
        images.write_png(self.folder / f"{step:07d}.png", pictures.frame(self.fitting), compression=1)

    def _frames(self) -> list[Path]:
        return sorted(self.folder.glob("*.png"))


def write_page(
    run: RunFolder, config: FitConfig, figures: Mapping[str, Any], shown: Sequence[tuple[Path, str]]
) -> None:
    """Write report.html of the figures, and of videos and pictures with their captions."""
    lines = run.lines()
    terms = [name for name in lines[-1] if name not in ("step", "seconds")] if lines else []
    curves = {name: [(line["step"], line[name]) for line in lines if name in line] for name in terms}
    flat: dict[str, object] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            flat |= {f"{name} {key}": number for key, number in value.items()}
        else:
            flat[name] = value
    page = report.page(
        f"VoGE: fit of {config.source}",
        report.text(f"{figures['ellipsoids']} ellipsoids after {config.steps} steps. To repeat it:"),
        report.commands([f"voge fit --config {run.record} --out {run.path}_again"]),
        *(report.figure(path, caption) for path, caption in shown),
        report.curves(curves, "terms of the loss, weighted, over steps"),
        report.table(flat),
    )
    (run.path / "report.html").write_text(page, encoding="utf-8")
