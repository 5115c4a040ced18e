"""voge fit: ellipsoids from pictures of several views."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Randomness, Report, Writing, option_groups, perform

if TYPE_CHECKING:
    from voge.fitting.fitter import Fitting
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.fit.schema import FitConfig
    from voge_cli.runs import RunFolder

CAMERA_PARTS = ("poses", "focals")  # what `--optimize cameras` means


@option_groups
def fit(
    writing: Writing,
    compute: Compute,
    randomness: Randomness,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[INPUT] [KEY=VALUE]...",
            help="transforms.json, a COLMAP model or another camera file; or a mesh, or teapot, to take views of.",
        ),
    ] = None,
    steps: Annotated[int | None, Option("--steps", help="In all, a resumed run's included. Default: 2000.")] = None,
    views_per_step: Annotated[int | None, Option("--views-per-step", help="Default: 5.")] = None,
    optimize: Annotated[
        str | None,
        Option("--optimize", metavar="P,...", help="Of means, scales, quats, density, colors, cameras, centers."),
    ] = None,
    sh_degree: Annotated[
        int | None, Option("--sh-degree", help="Of harmonics, 1 to 3: colors that depend on the view. Default: 0.")
    ] = None,
    holdout: Annotated[
        str | None, Option("--holdout", metavar="N|FILE", help="Test on every N-th view, or on those a file names.")
    ] = None,
    images: Annotated[str | None, Option("--images", metavar="DIR", help="Where the pictures are.")] = None,
    masks: Annotated[str | None, Option("--masks", metavar="DIR", help="Where the masks are.")] = None,
    downscale: Annotated[float | None, Option("--downscale", help="Divide the pictures' sides by this.")] = None,
    background: Annotated[
        str | None, Option("--background", metavar="B", help="black, white, random or learned. Default: black.")
    ] = None,
    resume: Annotated[str | None, Option("--resume", metavar="DIR", help="Go on with a run.")] = None,
) -> None:
    """Fit ellipsoids to pictures of several views.

    Writes the folder --out (default: runs/<name>_fit): ellipsoids.safetensors, report.html, metrics, pictures, videos,
    and a checkpoint to --resume from. Ctrl-C writes one as well. KEY=VALUE after the options changes any setting that
    --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.fit.inputs import sort_input
    from voge_cli.fit.schema import FitConfig
    from voge_cli.outputs import RECORD
    from voge_cli.runs import RunFolder

    inputs, overrides = configs.split_arguments(arguments or [])
    if len(inputs) > 1:
        raise UsageError(f"voge fit takes one input, got {len(inputs)}: {' '.join(inputs)}")
    options: dict[str, Any] = {
        "steps": steps,
        "views_per_step": views_per_step,
        "optimize": optimize and _parts(optimize),
        "sh_degree": sh_degree,
        "holdout": holdout,
        "images": images,
        "masks": masks,
        "downscale": downscale,
        "background": background,
        "out": writing.out and str(writing.out),
        "device": compute.device,
        "settings.backend": compute.backend,
        "seed": randomness.seed,
        "deterministic": randomness.deterministic,
    }
    for key, path in sort_input(inputs[0]).items() if inputs else ():
        options[key] = path
        if key == "cameras.file":  # in place of the mesh that a packaged config names
            overrides = ["mesh=null", *overrides]
    file = writing.config
    if resume is not None:
        _refuse_with_resume(inputs, writing)
        file = str(RunFolder.reopen(Path(resume), "fit").path / RECORD)
        options["out"] = resume
    loaded = configs.load("fit", FitConfig, file=file, options=options, overrides=overrides)
    perform(
        loaded,
        writing,
        report,
        lambda c: run_fit(loaded, c, overwrite=writing.overwrite, resume=resume is not None),
        compute.progress,
    )


def run_fit(
    loaded: Loaded[FitConfig], console: Console, *, overwrite: bool = False, resume: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Load, fit, evaluate and write; returns the report's path and the final metrics."""
    from voge.fitting.fitter import Fitting
    from voge_cli import outputs
    from voge_cli.devices import choose_device
    from voge_cli.fit.inputs import load_inputs
    from voge_cli.fit.results import Film, write_results
    from voge_cli.runs import drive, make_deterministic

    config = loaded.value
    if config.source is None:
        raise UsageError("give what to fit to: transforms.json, a COLMAP model, or a mesh (or teapot) to take views of")
    path = Path(config.out or f"runs/{config.source.resolve().stem}_fit")
    if not resume:
        outputs.check_folder(path, overwrite)
    _check_video(config)
    chosen = choose_device(config.device, config.settings.backend)
    if config.deterministic:
        make_deterministic(chosen.device)
    console.note(str(chosen))
    inputs = load_inputs(config, console)
    try:
        fitting = Fitting([c.to(chosen.device) for c in inputs.captures], inputs.start, config.fit)
    except ValueError as error:
        raise UsageError(str(error)) from error
    run, seconds = _open(path, loaded, fitting, resume=resume, overwrite=overwrite)
    film = Film(run.path, fitting, config)
    film.begin()
    if fitting.optimizer.done < config.steps:
        began = time.perf_counter()
        before = fitting.optimizer.done
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
    figures = write_results(run, loaded, inputs, fitting, seconds, console)
    return run.path / "report.html", {"out": str(run.path), "report": str(run.path / "report.html"), **figures}


def _open(
    path: Path, loaded: Loaded[FitConfig], fitting: Fitting, *, resume: bool, overwrite: bool
) -> tuple[RunFolder, float]:
    """The folder of a new run, or that of an earlier one with its state loaded; and the seconds spent before."""
    from voge.errors import DataError
    from voge_cli.outputs import write_record
    from voge_cli.runs import CHECKPOINT, RunFolder

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


def _parts(text: str) -> list[str]:
    """The list of --optimize, with `cameras` taken apart."""
    parts: list[str] = []
    for part in text.split(","):
        parts += CAMERA_PARTS if part == "cameras" else [part]
    return list(dict.fromkeys(parts))


def _refuse_with_resume(inputs: list[str], writing: Writing) -> None:
    given = {"an input": inputs, "--out": writing.out, "--config": writing.config, "--overwrite": writing.overwrite}
    if wrong := [name for name, value in given.items() if value]:
        raise UsageError(f"--resume goes on with what its folder says; leave {' and '.join(wrong)} out")


def _check_video(config: FitConfig) -> None:
    """Refuse before fitting what could not be written after it."""
    from voge.io.images import check_video

    if config.film_every or config.turntable:
        try:
            check_video(f"a.{config.video.value}")
        except RuntimeError as error:
            raise UsageError(f"{error} (video=gif)") from error
