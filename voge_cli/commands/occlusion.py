"""voge occlusion: where several objects stand, from pictures in which some hide others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge import option
from voge.io.settings import Video
from voge.occlusion.settings import SceneSettings
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Deterministic, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded


@dataclass(frozen=True, kw_only=True)
class OcclusionConfig(SceneSettings, Device, Deterministic):
    """Settings of `voge occlusion`."""

    scene: str | None = option.option(None, "scene file (docs/occlusion.md), or a packaged one: cuboids")
    images: list[str] = option.option([], "target pictures, one a camera, in place of the scene's `targets`")
    out: str | None = option.out("where to write", "runs/<scene>_occlusion")
    log_every: int = option.option(1, "steps between lines of metrics.jsonl", at_least=1)
    save_every: int = option.option(
        50, "steps between checkpoints of gradient descent; the solver saves after every piece of work", at_least=1
    )
    video: Video = option.option(Video.mp4, "format of the video: mp4, gif or webp")
    frames: int = option.option(60, "frames of the video, at most; 0: no video", at_least=0)
    side: float = option.option(90.0, "azimuth of the side view from the first camera, degrees")


@option_groups
def occlusion(
    given: Given[OcclusionConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[SCENE] [IMAGE]... [KEY=VALUE]...", help="Scene file (JSON, YAML); target pictures; settings."
        ),
    ] = None,
    aggregation: Annotated[
        Literal["exact", "paper", "sorted"] | None,
        Option("--aggregation", help="How the ellipsoids that a ray meets are weighed. Default: exact."),
    ] = None,
    resume: Annotated[str | None, Option("--resume", metavar="DIR", help="Go on with a run.")] = None,
) -> None:
    """Find where objects stand that hide each other.

    Writes the folder --out (default: runs/<scene>_occlusion): scene.json and scene_gt.json with the poses, report.html,
    metrics, pictures, a video, and a checkpoint to --resume from. --config cuboids is the case of the paper.
    """
    from voge_cli import config as configs
    from voge_cli.runs import resumed

    inputs, overrides = configs.split_arguments(arguments or [])
    options: dict[str, Any] = {**given.values, "settings.aggregation": aggregation}
    options |= {"scene": inputs[0] if inputs else None, "images": inputs[1:] or None}
    file = configuring.config
    if resume is not None:
        given_too = {"inputs": inputs, "--out": options["out"], "--config": file}
        file = resumed("occlusion", resume, {**given_too, "--overwrite": configuring.overwrite})
        options["out"] = resume
    loaded = configs.load("occlusion", OcclusionConfig, file=file, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        if loaded.value.scene is None:
            raise UsageError("give a scene file, or --config cuboids for the paper's")
        document = work(loaded.value.scene, loaded, console, overwrite=configuring.overwrite, resume=resume is not None)
        return document["report"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: str, loaded: Loaded[OcclusionConfig], console: Console, *, overwrite: bool = False, resume: bool = False
) -> dict[str, Any]:
    """Solve one scene in its run folder and write what was found; returns the figures."""
    from voge.io.images import write_png, write_video
    from voge.occlusion import SolvedScene, conclude, load_problem, pictures
    from voge.rendering.devices import choose_device, make_deterministic
    from voge_cli import outputs
    from voge_cli.occlusion_run import solve_run, write_page
    from voge_cli.runs import RunFolder

    config = loaded.value
    path = Path(config.out or f"runs/{Path(item).stem}_occlusion")
    if not resume:
        outputs.check_folder(path, overwrite)
    if config.frames:
        outputs.check_video(config.video)
    chosen = choose_device(config.device, config.settings.backend)
    if config.deterministic:
        make_deterministic(chosen.device)
    console.note(str(chosen))
    problem = console.told(load_problem(item, config.images, config, device=chosen.device))
    if resume:
        run = RunFolder.reopen(path, "occlusion")
    else:
        run = RunFolder.create(path, "occlusion", loaded.text(), overwrite=overwrite)
    seconds, poses, trail = solve_run(problem, config, run, console)
    solved = SolvedScene(problem, conclude(problem.bodies, problem.targets, config.problem, poses, trail))
    for note in solved.solution.warnings:
        console.note(f"warning: {note}")
    solved.save(run.path)
    figures = {**solved.document(), "seconds": round(seconds, 3)}
    run.finish(figures)
    (run.path / "images").mkdir(exist_ok=True)
    shown = []
    for picture in pictures.take_pictures(solved, config.side):
        shown.append((run.path / "images" / f"{picture.name}.png", picture.caption))
        write_png(shown[-1][0], picture.pixels)
    if config.frames and len(trail) > 1:
        shown.append((run.path / f"video.{config.video.value}", "the way there; beside it the target"))
        write_video(shown[-1][0], pictures.film(solved, config.frames), fps=12)
    write_page(run.path, solved, figures, shown)
    return {"out": str(run.path), "report": str(run.path / "report.html"), **figures}
