"""voge fit: ellipsoids from pictures of several views."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from voge import option
from voge.fitting.settings import FitFilesSettings
from voge.io.settings import Video
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import (
    Configuring,
    Deterministic,
    Device,
    Given,
    Progress,
    Report,
    one_input,
    option_groups,
    perform,
)

if TYPE_CHECKING:
    from voge_cli.config import Loaded

EVERY = "must be at least 1 step"
NONE = "must be at least 0, 0 for none"


@dataclass(frozen=True, kw_only=True)
class FitConfig(FitFilesSettings, Device, Deterministic):
    """Settings of `voge fit`."""

    out: str | None = option.out("where to write", "runs/<name>_fit")
    log_every: int = option.option(20, "steps between two lines of metrics.jsonl", at_least=1, rule=EVERY)
    save_every: int = option.option(200, "steps between two checkpoints", at_least=1, rule=EVERY)
    film_every: int = option.option(
        20, "steps between two frames of the video of the fit; 0: no video", at_least=0, rule=NONE
    )
    turntable: int = option.option(48, "frames of the turntable; 0: none", at_least=0, rule=NONE)
    video: Video = option.option(Video.mp4, "format of the videos: mp4, gif or webp")


@option_groups
def fit(
    given: Given[FitConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[INPUT] [KEY=VALUE]...",
            help="transforms.json, a COLMAP model or another camera file; or a mesh, or teapot, to take views of.",
        ),
    ] = None,
    resume: Annotated[str | None, Option("--resume", metavar="DIR", help="Go on with a run.")] = None,
) -> None:
    """Fit ellipsoids to pictures of several views.

    Writes the folder --out (default: runs/<name>_fit): ellipsoids.safetensors, report.html, metrics, pictures, videos,
    and a checkpoint to --resume from. Ctrl-C writes one as well. KEY=VALUE after the options changes any setting that
    --print-config shows.
    """
    from voge.fitting.inputs import NOTHING, sort_input
    from voge_cli import config as configs
    from voge_cli.runs import resumed

    inputs, overrides = configs.split_arguments(arguments or [])
    source = one_input("fit", "one input", inputs)
    options: dict[str, Any] = {**given.values, **(sort_input(source) if source else {})}
    if "cameras.file" in options:  # in place of the mesh that a packaged config names
        overrides = ["mesh=null", *overrides]
    file = configuring.config
    if resume is not None:
        given_too = {"an input": inputs, "--out": options["out"], "--config": file}
        file = resumed("fit", resume, {**given_too, "--overwrite": configuring.overwrite})
        options["out"] = resume
    loaded = configs.load("fit", FitConfig, file=file, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        if loaded.value.source is None:
            raise UsageError(NOTHING)
        document = work(
            loaded.value.source, loaded, console, overwrite=configuring.overwrite, resume=resume is not None
        )
        return document["report"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: str, loaded: Loaded[FitConfig], console: Console, *, overwrite: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Fit to one camera file or mesh in a run folder and write what came out; returns the figures."""
    from voge.fitting.files import FittedFiles, begin
    from voge.fitting.inputs import load_inputs
    from voge.io.images import write_video
    from voge.rendering.devices import choose_device, make_deterministic
    from voge_cli import outputs
    from voge_cli.fit_run import FPS, fit_run, open_run, write_page

    config = loaded.value
    path = Path(config.out or f"runs/{Path(item).resolve().stem}_fit")
    if not resume:
        outputs.check_folder(path, overwrite)
    if config.film_every or config.turntable:
        outputs.check_video(config.video)
    chosen = choose_device(config.device, config.settings.backend)
    if config.deterministic:
        make_deterministic(chosen.device)
    console.note(str(chosen))
    inputs = console.told(load_inputs(config, device=chosen.device))
    fitting = begin(inputs, config)
    run, seconds = open_run(path, loaded, fitting, resume=resume, overwrite=overwrite)
    seconds, film = fit_run(fitting, config, run, seconds, console)
    result = FittedFiles(fitting.result(), inputs, config)
    pictures = result.save(run.path)
    figures = {"steps": config.steps, "seconds": round(seconds, 3), **result.figures()}
    videos = [film] if film is not None else []
    if config.turntable:
        videos.append(run.path / f"turntable.{config.video.value}")
        frames = console.track(result.turntable(config.turntable), config.turntable, "turntable")
        write_video(videos[-1], frames, fps=FPS)
    run.finish({**figures, "views": result.views()})
    write_page(run, config, figures, [*((video, video.name) for video in videos), *pictures])
    group = "held_out" if "held_out" in figures else "train"
    console.note(f"{group}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures[group].items()))
    return {"out": str(run.path), "report": str(run.path / "report.html"), **figures}
