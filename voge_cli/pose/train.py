"""What voge pose train does: the run folder, one process or several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from typer import Exit

from voge.errors import ExtractorError
from voge.io.ellipsoids import save_ellipsoids
from voge.pose.data.datasets import open_data
from voge.pose.network.training import Material, Trainer, prepare
from voge.scene.ellipsoids import Ellipsoids
from voge_cli.console import Console
from voge_cli.devices import choose_device
from voge_cli.errors import UsageError
from voge_cli.runs import RunFolder, drive, make_deterministic

if TYPE_CHECKING:
    from voge_cli.config import Loaded
    from voge_cli.pose.schemas import PoseTrainConfig

COMMAND = "pose train"


def train_model(
    loaded: Loaded[PoseTrainConfig], console: Console, *, overwrite: bool, resume: Path | None
) -> tuple[Path, dict[str, Any]]:
    """Train, or go on; returns the run's folder and its figures."""
    config = loaded.value
    if config.data is None:
        raise UsageError("give the folder of a data set: voge pose train DIR")
    with _processes(config.device) as (device, rank):
        console = console if rank == 0 else Console(verbosity=-1)
        chosen = choose_device(device, config.settings.backend)
        if config.deterministic:
            make_deterministic(chosen.device)
        console.note(str(chosen))
        training = config.training()
        material = prepare(open_data(Path(config.data)), training, config.categories)
        _tell(material, console)
        try:
            trainer = Trainer(material, training, chosen.device)
        except ExtractorError as error:
            raise UsageError(str(error)) from error
        if rank != 0:
            for _ in trainer.run():
                pass
            raise Exit  # the first process speaks for all
        path = resume or Path(config.out)
        run = RunFolder.reopen(path, COMMAND) if resume else _created(path, loaded, overwrite)
        seconds = _load(trainer, run) if resume else 0.0
        seconds = drive(
            trainer.run(), trainer, run, console,  # type: ignore[arg-type]
            label="training", log_every=config.log_every, save_every=config.save_every, seconds=seconds,
        )  # fmt: skip
        return path, _finish(trainer, run, seconds)


def _created(path: Path, loaded: Loaded[PoseTrainConfig], overwrite: bool) -> RunFolder:
    return RunFolder.create(path, COMMAND, loaded.text(), overwrite=overwrite)


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
    """Write the model, and each category as ellipsoids that other commands read."""
    model = trainer.model()
    model.save(run.path / "model.safetensors")
    for name, category in model.categories.items():
        on_cpu: Ellipsoids = category.ellipsoids.to("cpu")
        save_ellipsoids(run.path / "ellipsoids" / f"{name}.safetensors", on_cpu)
    last = run.lines()[-1]
    figures = {
        "out": str(run.path),
        "model": str(run.path / "model.safetensors"),
        "steps": trainer.steps,
        "images": len(trainer.material.items),
        "categories": {name: len(category.ellipsoids) for name, category in model.categories.items()},
        "loss": last.get("loss"),
        "seconds": round(seconds, 1),
        "device": str(trainer.device),
    }
    run.finish(figures)
    return figures


def _tell(material: Material, console: Console) -> None:
    for name, framing in material.framings.items():
        images = sum(item.category == name for item in material.items)
        size = f"{framing.width}x{framing.height}"
        console.note(f"{name}: {images} images, crops of {size}, {len(material.shapes[name])} ellipsoids")
    if material.left_out:
        console.note(f"left out {len(material.left_out)} images that cannot be used, such as {material.left_out[0]}")
    for line in material.left_out:
        console.detail(f"left out: {line}")


@contextmanager
def _processes(device: str) -> Iterator[tuple[str, int]]:
    """Under torchrun, join the other processes, each with its own device; gives the device and the rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device, 0
        return
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield (f"cuda:{local}" if gpu else device), dist.get_rank()
    finally:
        dist.destroy_process_group()
