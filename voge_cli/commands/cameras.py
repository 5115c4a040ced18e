"""voge cameras: what a file of cameras holds, in another format, or as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from typer import Argument, Option

from voge import option
from voge.imaging.settings import InspectionSettings
from voge.io.settings import CAMERA_FORMATS, CAMERA_READERS
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, one_input, option_groups, perform

Format = Literal[CAMERA_FORMATS]  # type: ignore[valid-type]
Source = Literal[CAMERA_READERS]  # type: ignore[valid-type]
HEAD = ("view", "size", "focal", "principal point", "lens", "center", "looks along")


@dataclass(frozen=True, kw_only=True)
class CamerasConfig(InspectionSettings, Device):
    """Settings of `voge cameras`."""

    input: str | None = option.option(None, "file or folder of cameras")
    to: str | None = option.option(
        None,
        "write the cameras in this format",
        holds=lambda name: name in CAMERA_FORMATS,
        rule=f"must be one of {', '.join(CAMERA_FORMATS)}",
    )
    out: str | None = option.out("where to write the cameras, or without --to their picture", "")


@option_groups
def cameras(
    given: Given[CamerasConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="FILE [KEY=VALUE]...",
            help="transforms.json, COLMAP, BOP, PyTorch3D, matrices, pose.json or another (--from); then settings.",
        ),
    ] = None,
    source: Annotated[Source | None, Option("--from", help="Format of FILE. Default: told from it.")] = None,
    to: Annotated[Format | None, Option("--to", help="Write the cameras to --out in this format.")] = None,
) -> None:
    """Show, check, convert or draw cameras.

    Prints a table of the views: image size, focal lengths, lens, where each camera is and looks. With --to,
    writes them to --out in another format. With --out alone, draws them as a PNG: frusta and axes, over
    --model if there is one. KEY=VALUE after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    named = {"input": one_input("cameras", "one file or folder", inputs), "format": source, "to": to}
    options = {**given.values, **named}
    loaded = configs.load("cameras", CamerasConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        config = loaded.value
        if config.input is None:
            raise UsageError("give a file of cameras")
        document = work(config.input, config, console, overwrite=configuring.overwrite)
        return document["out"] if config.out else "\n".join(_table(document)), document

    perform(loaded, configuring, report, shown, progress.progress)


def work(item: str, config: CamerasConfig, console: Console, *, overwrite: bool = False) -> dict[str, Any]:
    """Read and check one file of cameras, and write what was asked for; returns what the cameras are."""
    from voge.imaging.inspection import inspect_cameras
    from voge.io.converted_views import convert_cameras
    from voge.io.images import write_png
    from voge.rendering.devices import choose_device

    if config.out is not None:
        _check_out(Path(config.out), config.to, overwrite)
    elif config.to is not None:
        raise UsageError(f"--to {config.to} needs --out: where to write")
    inspected = console.told(inspect_cameras(item, config))
    document = inspected.document()
    for warning in document.get("warnings", []):
        console.note(f"warning: {warning}")
    if config.out is None:
        return document
    for line in _table(document):
        console.detail(line)
    if config.to is not None:
        for loss in convert_cameras(inspected.views, config.out, config.to):
            console.note(f"{config.to} keeps no {loss}")
    else:
        needed = "cpu" if inspected.model is None else choose_device(config.device, config.settings.backend).device
        write_png(config.out, inspected.draw(needed))
    return {"out": config.out, **document}


def _check_out(out: Path, to: str | None, overwrite: bool) -> None:
    """Refuse what cannot or must not be written, before any work."""
    from voge.io.cameras import FORMATS
    from voge.io.converted_views import only_cameras
    from voge_cli import outputs

    suffixes: tuple[str, ...] = (".png",) if to is None else FORMATS[to].suffixes
    if suffixes and out.suffix.lower() not in suffixes:
        what = "the picture of the cameras" if to is None else f"{to} cameras"
        hint = "; a format is chosen with --to" if to is None else ""
        raise UsageError(f"{out}: {what} must be called {' or '.join(suffixes)}{hint}")
    if suffixes:
        outputs.check_file(out, overwrite)
    elif not (overwrite and only_cameras(out)):
        outputs.check_folder(out, overwrite)


def _table(document: dict[str, Any]) -> list[str]:
    """Lines: what the file is, a row a view, and the object's size."""
    views = document["views"]
    kind = f"{document['format']}, {len(views)} {'view' if len(views) == 1 else 'views'}, units {document['units']}"
    with_model = "distance" in views[0]
    rows = [HEAD + (("distance", "object px") if with_model else ()), *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [kind, *lines, *([document["model"]["summary"]] if with_model else [])]


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    row = (
        view["name"],
        f"{view['width']}x{view['height']}",
        _numbers(view["focal"]),
        _numbers(view["principal_point"]),
        view["model"] + (" skew" if view["skew"] else ""),
        _numbers(view["center"]),
        _numbers(view["looks_along"]),
    )
    return (*row, f"{view['distance']:.4g}", f"{view['object_pixels']:.0f}") if "distance" in view else row


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
