"""voge pose: training, estimation and data of category-level poses."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Argument, Option

from voge_cli.errors import ExitCode, UsageError
from voge_cli.options import Report, Writing, option_groups, perform

app = typer.Typer(
    name="pose",
    help="Poses of objects by neural features: train, estimate, and the data for it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Settings = Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Settings.")]


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
    from voge_cli.pose_data import make_set
    from voge_cli.pose_schemas import SynthConfig

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
    from voge_cli.pose_data import check_folder
    from voge_cli.pose_schemas import CheckDataConfig

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
