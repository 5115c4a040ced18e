"""voge pose check-data: what is missing from a copy of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from voge.option import Settings, option
from voge_cli.console import Console
from voge_cli.errors import ExitCode, UsageError
from voge_cli.options import Given, Report, one_input, option_groups


@dataclass(frozen=True, kw_only=True)
class CheckDataConfig(Settings):
    """Settings of `voge pose check-data`."""

    data: str | None = option(None, "folder of PASCAL3D+ or ObjectNet3D")
    occluded: str | None = option(
        None, "Occluded PASCAL3D+", flag="--occluded", metavar="DIR", default_text="found in or beside DIR"
    )
    decode: bool = option(False, "read the images too", flag="--decode")


@option_groups
def check_data(
    given: Given[CheckDataConfig],
    report: Report,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="DIR [KEY=VALUE]...", help="Folder of PASCAL3D+ or ObjectNet3D; then settings."),
    ] = None,
) -> None:
    """Say what is missing from a copy of a data set.

    Looks at every list, annotation, image and mesh. Exits with 3, after the report, where something cannot be used.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "data": one_input("pose check-data", "one folder", inputs)}
    config = configs.load("pose_check_data", CheckDataConfig, options=options, overrides=overrides).value
    if config.data is None:
        raise UsageError("give the folder of a data set: voge pose check-data DIR")
    console = report.console()
    text, document = work(Path(config.data), config, console)
    console.result(text, document)
    if document["problems"]:
        raise typer.Exit(ExitCode.data)


def work(item: Path, config: CheckDataConfig, console: Console) -> tuple[str, dict[str, Any]]:
    """Look at all of one data set; returns a report, and the same as a document."""
    from voge.pose.data.check import Finding
    from voge.pose.data.check import check_data as check

    def tell(finding: Finding) -> None:
        console.detail(f"{finding.name}: {finding.usable} of {finding.total} usable")

    checked = check(item, config.occluded, decode=config.decode, watch=tell)
    return "\n".join(checked.lines(console.verbosity > 0)), checked.document()
