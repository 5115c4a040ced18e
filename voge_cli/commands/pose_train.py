"""voge pose train: a network, and a feature an ellipsoid, of categories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Exit, Option

from voge import option
from voge.pose.settings import Training
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
    from voge.pose.network.training import Trainer
    from voge_cli.runs import RunFolder

COMMAND = "pose train"


@dataclass(frozen=True, kw_only=True)
class PoseTrainConfig(Training, Deterministic, Device):
    """Settings of `voge pose train`."""

    data: str | None = option.option(None, "folder of PASCAL3D+ or ObjectNet3D")
    out: str = option.option("pose_run", "where to write", flag="--out", short="-o", metavar="PATH")
    log_every: int = option.option(10, "steps between two lines of metrics.jsonl", at_least=1)
    save_every: int = option.option(500, "steps between two checkpoints", at_least=1)


@option_groups
def train(
    given: Given[PoseTrainConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="DIR [KEY=VALUE]...", help="Folder of PASCAL3D+ or ObjectNet3D; then settings."),
    ] = None,
    resume: Annotated[Path | None, Option("--resume", metavar="RUN", help="Go on with a run.")] = None,
) -> None:
    """Train neural ellipsoids of categories: a network, and a feature an ellipsoid.

    Writes the run folder --out (default: pose_run) with model.safetensors. --config small trains a small network in
    minutes. On several GPUs: torchrun --nproc-per-node N -m voge_cli pose train ...
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "data": one_input(COMMAND, "one folder", inputs)}
    file = configuring.config
    if resume is not None:
        from voge_cli.runs import RunFolder

        if options["out"] is not None or file is not None:
            raise UsageError(
                "--resume goes on in the run's folder with its configuration; leave --out and --config out"
            )
        file = str(RunFolder.reopen(resume, COMMAND).record)
    loaded = configs.load("pose_train", PoseTrainConfig, file=file, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        config, text = loaded.value, loaded.text()
        if config.data is None:
            raise UsageError("give the folder of a data set: voge pose train DIR")
        document = work(Path(config.data), config, console, text, overwrite=configuring.overwrite, resume=resume)
        return document["out"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: Path, config: PoseTrainConfig, console: Console, text: str, *, overwrite: bool = False,
    resume: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Train on one data set, or go on, in a run that `text`, its configuration, describes; returns the figures."""
    from voge.pose.data.datasets import open_data
    from voge.pose.network.processes import joined_processes
    from voge.pose.network.training import Trainer, prepare
    from voge.rendering.devices import choose_device, make_deterministic
    from voge_cli.runs import RunFolder, drive

    with joined_processes(config.device) as (device, rank):
        console = console if rank == 0 else Console(verbosity=-1)
        chosen = choose_device(device, config.settings.backend)
        if config.deterministic:
            make_deterministic(chosen.device)
        console.note(str(chosen))
        material = console.told(prepare(open_data(item), config))
        for line in material.left_out:
            console.detail(f"left out: {line}")
        trainer = Trainer(material, config, chosen.device)
        if rank != 0:
            for _ in trainer.run():
                pass
            raise Exit  # the first process speaks for all
        path = resume or Path(config.out)
        run = RunFolder.reopen(path, COMMAND) if resume else RunFolder.create(path, COMMAND, text, overwrite=overwrite)
        seconds = _load(trainer, run) if resume else 0.0
        seconds = drive(
            trainer.run(), trainer, run, console,  # type: ignore[arg-type]
            label="training", log_every=config.log_every, save_every=config.save_every, seconds=seconds,
        )  # fmt: skip
        return _finish(trainer, run, seconds)


def _load(trainer: Trainer, run: RunFolder) -> float:
    """Take up the last checkpoint; returns the seconds spent before."""
    saved = run.load()
    if saved is None:
        return 0.0
    try:
        trainer.load(saved.state)
    except ValueError as error:
        raise UsageError(f"{run.path}: {error}; resume it with the configuration it was begun with") from error
    run.rewind(trainer.done)
    return float(saved.facts.get("seconds", 0.0))


def _finish(trainer: Trainer, run: RunFolder, seconds: float) -> dict[str, Any]:
    """Write the model and the figures."""
    model = trainer.model()
    model.save_run(run.path)
    figures = {
        "out": str(run.path),
        "model": str(run.path / "model.safetensors"),
        "steps": trainer.steps,
        "images": len(trainer.material.items),
        "categories": {name: len(category.ellipsoids) for name, category in model.categories.items()},
        "loss": run.lines()[-1].get("loss"),
        "seconds": round(seconds, 1),
        "device": str(trainer.device),
    }
    run.finish(figures)
    return figures
