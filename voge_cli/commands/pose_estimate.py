"""voge pose estimate: poses in a data set, or in pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from voge import option
from voge.io.settings import Video
from voge.pose.settings import PictureEstimation, SetEstimation
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

COMMAND = "pose estimate"
# What calls that fill one folder may differ in.
LEFT_OPEN = {"out": None, "shard": None, "workers": 1, "device": "auto", "limit": None, "levels": ["L0"],
             "categories": None}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PoseEstimateConfig(SetEstimation, PictureEstimation, Device):
    """Settings of `voge pose estimate`."""

    inputs: list[str] = option.option([], "a data set's folder, or pictures")
    model: str | None = option.option(
        None, "run or file of voge pose train; with --features ellipsoids or a mesh", flag="--model", metavar="RUN|FILE"
    )
    out: str | None = option.out("where to write", "<stem>_pose")
    shard: str | None = option.option(None, "estimate part I of N of a data set", flag="--shard", metavar="I/N")
    video: Video = option.option(Video.mp4, "mp4, gif or webp: how the pose converges in a picture")


@option_groups
def estimate(
    given: Given[PoseEstimateConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="INPUT... [KEY=VALUE]...", help="Folder of a data set, or pictures; then settings."),
    ] = None,
) -> None:
    """Estimate poses of objects in a data set or in pictures.

    A data set gives predictions/*.jsonl and metrics.json with Acc pi/6, Acc pi/18 and the median error; the same
    command again estimates only what is missing. Pictures give pose.json, estimate.json, an overlay, a video and, with
    units=mm|cm|m, bop.csv.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "inputs": inputs or None}
    loaded = configs.load(
        "pose_estimate", PoseEstimateConfig, file=configuring.config, options=options, overrides=overrides
    )

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        config = loaded.value
        if not config.inputs:
            raise UsageError("give the folder of a data set, or pictures: voge pose estimate INPUT --model RUN")
        if config.model is None:
            raise UsageError("give the model: --model RUN of voge pose train, or with --features the object's file")
        first = Path(config.inputs[0])
        if not first.is_dir():
            pictures = [Path(name) for name in config.inputs]
            return work_on_pictures(pictures, config, console, text=loaded.text(), overwrite=configuring.overwrite)
        if len(config.inputs) > 1 or config.features is not None:
            raise UsageError("a data set is estimated alone, with a trained model; give pictures for anything else")
        record = loaded.filled(LEFT_OPEN).text()
        return work(first, config, console, record=record, overwrite=configuring.overwrite)

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: Path, config: PoseEstimateConfig, console: Console, *, record: str, overwrite: bool = False
) -> tuple[str, dict[str, Any]]:
    """Estimate the poses in one data set, or in a shard of it; returns the table and the figures."""
    import torch

    from voge.io.files import atomic_file
    from voge.pose.data.datasets import open_data
    from voge.pose.estimation.predictions import Evaluation, forget_predictions
    from voge.pose.network.model import load_model
    from voge.pose.shards import find_shard
    from voge.rendering.devices import choose_device
    from voge_cli import outputs

    assert config.model is not None
    shard, folder = find_shard(config.shard), Path(config.out or f"{item.resolve().name}_pose")
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    model = load_model(config.model).to(chosen.device)
    data = open_data(item, None if config.occluded is None else Path(config.occluded))
    evaluation = Evaluation(data, model, config, shard)
    refusal = "has predictions of another model or configuration"
    if outputs.begin(folder, COMMAND, record, overwrite, refusal=refusal):
        forget_predictions(folder)
    evaluation.keep(folder)
    console.told(evaluation)
    for made in console.track(evaluation.run(), len(evaluation.work), "images"):
        if made.failure is not None:
            console.note(f"failed: {made.failure}")
    gpu = torch.cuda.get_device_name(chosen.device) if chosen.device.type == "cuda" else None
    document = {"out": str(folder), **evaluation.document(), "device": str(chosen.device), "gpu": gpu}
    with atomic_file(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return "\n".join(filter(None, [str(folder), evaluation.table()])), document


def work_on_pictures(
    pictures: Sequence[Path], config: PoseEstimateConfig, console: Console, *, text: str, overwrite: bool = False
) -> tuple[str, dict[str, Any]]:
    """Estimate the poses in pictures, one after the other; returns the folder and what was found."""
    from voge.io.files import atomic_folder
    from voge.pose.estimation.pictures import look_at_picture, save_all
    from voge.pose.network.model import load_model
    from voge.rendering.devices import choose_device
    from voge_cli import outputs

    assert config.model is not None
    folder = Path(config.out or f"{pictures[0].stem}_pose")
    outputs.check_folder(folder, overwrite)
    outputs.check_video(config.video)
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    if config.features is not None and len(pictures) > 1:
        raise UsageError(f"--features takes one picture, got {len(pictures)}")
    model = Path(config.model) if config.features else load_model(config.model).to(chosen.device)
    subjects = [console.told(look_at_picture(path, model, config, chosen.device)) for path in pictures]
    units = None if config.units is None else config.units.value
    with atomic_folder(folder) as staging:
        found = [subject.estimate() for subject in subjects]
        save_all(staging, found, video=config.video.value, units=units)
        outputs.write_record(staging, COMMAND, text)
    for one in found:
        console.note(one.line())
    poses = [one.document() for one in found]
    return str(folder), {"out": str(folder), "device": str(chosen.device), "poses": poses}
