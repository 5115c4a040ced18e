"""voge pose: training, estimation and data of category-level poses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from voge_cli.errors import ExitCode, UsageError
from voge_cli.options import Compute, Randomness, Report, Writing, numbers, option_groups, perform

app = typer.Typer(
    add_completion=False,
    name="pose",
    help="Poses of objects by neural features: train, estimate, and the data for it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Settings = Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Settings.")]


@app.command()
@option_groups
def train(
    writing: Writing,
    compute: Compute,
    randomness: Randomness,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="DIR [KEY=VALUE]...", help="Folder of PASCAL3D+ or ObjectNet3D; then settings."),
    ] = None,
    categories: Annotated[str | None, Option("--categories", metavar="C,...", help="Default: all of DIR.")] = None,
    extractor: Annotated[
        str | None,
        Option("--extractor", help="compact, resnet50, efficientnet, timm:NAME, hub:REPO:NAME. Default: resnet50."),
    ] = None,
    epochs: Annotated[float | None, Option("--epochs", metavar="N", help="Default: 100.")] = None,
    batch: Annotated[int | None, Option("--batch", metavar="N", help="Images a step. Default: 32.")] = None,
    workers: Annotated[
        int | None, Option("--workers", metavar="N", help="Threads that read images. Default: 4.")
    ] = None,
    resume: Annotated[Path | None, Option("--resume", metavar="RUN", help="Go on with a run.")] = None,
) -> None:
    """Train neural ellipsoids of categories: a network, and a feature an ellipsoid.

    Writes the run folder --out (default: pose_run) with model.safetensors. --config small trains a small network in
    minutes. On several GPUs: torchrun --nproc-per-node N -m voge_cli pose train ...
    """
    from voge_cli import config as configs
    from voge_cli.pose.schemas import PoseTrainConfig
    from voge_cli.pose.train import COMMAND, train_model

    inputs, overrides = configs.split_arguments(arguments or [])
    if len(inputs) > 1:
        raise UsageError(f"voge pose train takes one folder, got {len(inputs)}")
    options = {
        "data": inputs[0] if inputs else None,
        "categories": categories and categories.split(","),
        "out": writing.out and str(writing.out),
        "extractor": extractor,
        "epochs": epochs,
        "batch": batch,
        "workers": workers,
        "seed": randomness.seed,
        "deterministic": randomness.deterministic,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    file = writing.config
    if resume is not None:
        from voge_cli.runs import RunFolder

        if writing.out is not None or file is not None:
            raise UsageError(
                "--resume goes on in the run's folder with its configuration; leave --out and --config out"
            )
        file = str(RunFolder.reopen(resume, COMMAND).record)
    loaded = configs.load("pose_train", PoseTrainConfig, file=file, options=options, overrides=overrides)
    perform(
        loaded,
        writing,
        report,
        lambda c: train_model(loaded, c, overwrite=writing.overwrite, resume=resume),
        compute.progress,
    )


@app.command()
@option_groups
def estimate(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="INPUT... [KEY=VALUE]...", help="Folder of a data set, or pictures; then settings."),
    ] = None,
    model: Annotated[
        str | None,
        Option("--model", metavar="RUN|FILE", help="Of voge pose train; with --features ellipsoids or a mesh."),
    ] = None,
    features: Annotated[
        str | None,
        Option("--features", help="Without training: rgb, or a pretrained extractor such as efficientnet."),
    ] = None,
    categories: Annotated[str | None, Option("--categories", metavar="C,...", help="Of a data set.")] = None,
    level: Annotated[
        str | None, Option("--level", metavar="L,...", help="Of a data set: L0 to L3. Default: L0.")
    ] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", help="Images a category and level at most.")] = None,
    shard: Annotated[str | None, Option("--shard", metavar="I/N", help="Estimate part I of N of a data set.")] = None,
    category: Annotated[str | None, Option("--category", help="Of pictures.")] = None,
    box: Annotated[
        str | None, Option("--box", metavar="L,T,R,B", help="Where the object is in a picture, pixels.")
    ] = None,
    mask: Annotated[str | None, Option("--mask", metavar="FILE", help="The object's silhouette, instead.")] = None,
    pose: Annotated[
        str | None, Option("--pose", metavar="FILE", help="pose.json: camera and rough pose, for --features.")
    ] = None,
    starts: Annotated[int | None, Option("--starts", metavar="N", help="Poses that are scored. Default: 144.")] = None,
    refine: Annotated[
        Literal["lm", "adam", "none"] | None, Option("--refine", help="How the best are refined. Default: lm.")
    ] = None,
    batch: Annotated[int | None, Option("--batch", metavar="N", help="Images at once. Default: 32.")] = None,
) -> None:
    """Estimate poses of objects in a data set or in pictures.

    A data set gives predictions/*.jsonl and metrics.json with Acc pi/6, Acc pi/18 and the median error; the same
    command again estimates only what is missing. Pictures give pose.json, estimate.json, an overlay, a video and, with
    units=mm|cm|m, bop.csv.
    """
    from voge_cli import config as configs
    from voge_cli.pose.estimate import estimate as work
    from voge_cli.pose.schemas import PoseEstimateConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {
        "inputs": inputs or None,
        "out": writing.out and str(writing.out),
        "model": model,
        "features": features,
        "categories": categories and categories.split(","),
        "levels": level and level.split(","),
        "limit": limit,
        "shard": shard,
        "category": category,
        "box": numbers("--box", box),
        "mask": mask,
        "pose": pose,
        "starts": starts,
        "refinement.method": refine,
        "batch": batch,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    loaded = configs.load(
        "pose_estimate", PoseEstimateConfig, file=writing.config, options=options, overrides=overrides
    )
    perform(loaded, writing, report, lambda c: work(loaded, c, overwrite=writing.overwrite), compute.progress)


@app.command()
@option_groups
def synth(
    writing: Writing,
    report: Report,
    arguments: Settings = None,
    categories: Annotated[
        str | None, Option("--categories", metavar="C,...", help="Of aeroplane, bus, car, chair. Default: all but bus.")
    ] = None,
    train: Annotated[int | None, Option("--train", metavar="N", help="Training images a category.")] = None,
    test: Annotated[int | None, Option("--test", metavar="N", help="Test images a category and level.")] = None,
    seed: Annotated[int | None, Option("--seed", metavar="N", help="Of all random numbers. Default: 0.")] = None,
    workers: Annotated[int | None, Option("--workers", metavar="N", help="Processes. Default: 2.")] = None,
    shard: Annotated[str | None, Option("--shard", metavar="I/N", help="Make part I of N of the images.")] = None,
) -> None:
    """Make a synthetic data set with exact labels, in the layout of PASCAL3D+ and Occluded PASCAL3D+.

    Ray-cast pictures of procedural objects; test images have shapes of their own. The same command again goes on
    where it was interrupted.
    """
    from voge_cli import config as configs
    from voge_cli.pose.data import make_set
    from voge_cli.pose.schemas import SynthConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if inputs:
        raise UsageError(f"voge pose synth takes no input, got {inputs[0]}; the folder to fill is --out")
    options = {
        "out": writing.out and str(writing.out),
        "categories": categories and categories.split(","),
        "train": train,
        "test": test,
        "seed": seed,
        "workers": workers,
        "shard": shard,
    }
    loaded = configs.load("pose_synth", SynthConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: make_set(loaded, c, overwrite=writing.overwrite), "auto")


@app.command("check-data")
@option_groups
def check_data(
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="DIR [KEY=VALUE]...", help="Folder of PASCAL3D+ or ObjectNet3D; then settings."),
    ] = None,
    occluded: Annotated[
        str | None, Option("--occluded", metavar="DIR", help="Occluded PASCAL3D+. Default: found in or beside DIR.")
    ] = None,
    decode: Annotated[bool | None, Option("--decode", help="Read the images too.")] = None,
) -> None:
    """Say what is missing from a copy of a data set.

    Looks at every list, annotation, image and mesh. Exits with 3, after the report, where something cannot be used.
    """
    from voge_cli import config as configs
    from voge_cli.pose.data import check_folder
    from voge_cli.pose.schemas import CheckDataConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if len(inputs) > 1:
        raise UsageError(f"voge pose check-data takes one folder, got {len(inputs)}")
    options = {"data": inputs[0] if inputs else None, "occluded": occluded, "decode": decode}
    loaded = configs.load("pose_check_data", CheckDataConfig, options=options, overrides=overrides)
    console = report.console()
    text, document = check_folder(loaded.value, console)
    console.result(text, document)
    if document["problems"]:
        raise typer.Exit(ExitCode.data)
