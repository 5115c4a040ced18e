"""voge occlusion: where several objects stand, from pictures in which some hide others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Randomness, Report, Writing, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.occlusion.schema import OcclusionConfig


@option_groups
def occlusion(
    writing: Writing,
    compute: Compute,
    randomness: Randomness,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[SCENE] [IMAGE]... [KEY=VALUE]...", help="Scene file (JSON, YAML); target pictures; settings."
        ),
    ] = None,
    method: Annotated[
        Literal["solver", "gradient"] | None, Option("--method", help="What moves objects. Default: solver.")
    ] = None,
    aggregation: Annotated[
        Literal["exact", "paper", "sorted"] | None, Option("--aggregation", help="Default: exact.")
    ] = None,
    multi_start: Annotated[
        bool | None, Option("--multi-start/--no-multi-start", help="Look for objects all over the view. Default: yes.")
    ] = None,
    loss: Annotated[
        str | None, Option("--loss", metavar="L,...", help="Of color, silhouette, features. Default: color.")
    ] = None,
    cameras: Annotated[str | None, Option("--cameras", metavar="FILE", help="In place of the scene's.")] = None,
    steps: Annotated[int | None, Option("--steps", help="Of gradient descent. Default: 200.")] = None,
    resume: Annotated[str | None, Option("--resume", metavar="DIR", help="Go on with a run.")] = None,
) -> None:
    """Find where objects stand that hide each other.

    Writes the folder --out (default: runs/<scene>_occlusion): scene.json and scene_gt.json with the poses, report.html,
    metrics, pictures, a video, and a checkpoint to --resume from. --config cuboids is the case of the paper.
    """
    from voge_cli import config as configs
    from voge_cli.occlusion.schema import OcclusionConfig
    from voge_cli.outputs import RECORD
    from voge_cli.runs import RunFolder

    inputs, overrides = configs.split_arguments(arguments or [])
    options: dict[str, Any] = {
        "scene": inputs[0] if inputs else None,
        "images": inputs[1:] or None,
        "losses": loss and loss.split(","),
        "cameras.file": cameras,
        "out": writing.out and str(writing.out),
        "device": compute.device,
        "solve.method": method,
        "solve.search.enabled": multi_start,
        "solve.gradient.steps": steps,
        "settings.aggregation": aggregation,
        "settings.backend": compute.backend,
        "seed": randomness.seed,
        "deterministic": randomness.deterministic,
    }
    file = writing.config
    if resume is not None:
        if inputs or writing.out or writing.config or writing.overwrite:
            raise UsageError("--resume goes on with what its folder says; leave inputs, --out, --config out")
        file = str(RunFolder.reopen(Path(resume), "occlusion").path / RECORD)
        options["out"] = resume
    loaded = configs.load("occlusion", OcclusionConfig, file=file, options=options, overrides=overrides)
    work = lambda c: run_occlusion(loaded, c, overwrite=writing.overwrite, resume=resume is not None)  # noqa: E731
    perform(loaded, writing, report, work, compute.progress)


def run_occlusion(
    loaded: Loaded[OcclusionConfig], console: Console, *, overwrite: bool = False, resume: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Load, solve and write; returns the report's path and the figures."""
    from voge.io.images import check_video
    from voge_cli import outputs
    from voge_cli.devices import choose_device
    from voge_cli.occlusion.inputs import load_inputs
    from voge_cli.occlusion.results import write_results
    from voge_cli.occlusion.work import solve_run
    from voge_cli.runs import RunFolder, make_deterministic

    config = loaded.value
    path = Path(config.out or f"runs/{Path(config.scene or 'scene').stem}_occlusion")
    if not resume:
        outputs.check_folder(path, overwrite)
    if config.frames:
        try:
            check_video(f"a.{config.video.value}")
        except RuntimeError as error:
            raise UsageError(f"{error} (video=gif)") from error
    chosen = choose_device(config.device, config.settings.backend)
    if config.deterministic:
        make_deterministic(chosen.device)
    console.note(str(chosen))
    inputs = load_inputs(config, console, chosen.device)
    if resume:
        run = RunFolder.reopen(path, "occlusion")
    else:
        run = RunFolder.create(path, "occlusion", loaded.text(), overwrite=overwrite)
    seconds, poses, trail = solve_run(inputs, config, run, console)
    figures = write_results(run, loaded, inputs, poses, trail, seconds, console)
    return run.path / "report.html", {"out": str(run.path), "report": str(run.path / "report.html"), **figures}
