"""voge convert: meshes and points to ellipsoids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from voge import option
from voge.convert.settings import ConvertSettings
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Given, Report, one_input, option_groups, perform


@dataclass(frozen=True, kw_only=True)
class ConvertConfig(ConvertSettings):
    """Settings of `voge convert`."""

    input: str | None = option.option(None, "mesh, points or ellipsoids")
    out: str | None = option.out("where to write", "<stem>.safetensors in the current folder")


@option_groups
def convert(
    given: Given[ConvertConfig],
    configuring: Configuring,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="IN [KEY=VALUE]...",
            help="A mesh (OBJ, GLB, glTF, PLY, STL, OFF), points (PLY, GLB, XYZ, NPY, NPZ) or ellipsoids (SAFETENSORS, "
            "NPZ, 3DGS PLY); then settings.",
        ),
    ] = None,
    stats: Annotated[bool, Option("--stats", help="Print a table of what was made.")] = False,
) -> None:
    """Convert a mesh or points to ellipsoids, or ellipsoids to another format.

    Writes --out by its suffix: .safetensors (default: <stem>.safetensors in the current folder), .npz, .ply as 3D
    Gaussian Splatting has it, or .glb of colored points. KEY=VALUE after the options changes any setting that
    --print-config shows.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "input": one_input("convert", "one file", inputs)}
    loaded = configs.load("convert", ConvertConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        if loaded.value.input is None:
            raise UsageError("give a file to convert")
        document = work(Path(loaded.value.input), loaded.value, console, overwrite=configuring.overwrite)
        return "\n".join([document["out"], *(_table(document) if stats else [])]), document

    perform(loaded, configuring, report, shown)


def work(item: Path, config: ConvertConfig, console: Console, *, overwrite: bool = False) -> dict[str, Any]:
    """Convert one file and write its ellipsoids; returns what was made."""
    from voge.convert.files import convert_file, summary
    from voge.io.ellipsoids import WRITTEN, save_ellipsoids
    from voge_cli.outputs import check_file

    path = Path(config.out or f"{item.stem}.safetensors")
    if path.suffix.lower() not in WRITTEN:
        raise UsageError(f"{path}: ellipsoids are written to {', '.join(WRITTEN)}")
    check_file(path, overwrite)
    ellipsoids = console.told(convert_file(item, config)).ellipsoids
    try:
        save_ellipsoids(path, ellipsoids)
    except ValueError as error:  # the suffix was checked: the format has no place for what there is
        raise UsageError(f"{path}: {error}") from error
    console.note(f"{len(ellipsoids)} ellipsoids")
    return {"out": str(path), **summary(ellipsoids)}


def _table(document: Mapping[str, Any]) -> list[str]:
    """Lines of name and value."""
    rows = {name: value for name, value in document.items() if name not in ("out", "metadata")} | document["metadata"]
    return [f"{name:<16} {_cell(value)}" for name, value in rows.items()]


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "  ".join(f"{name} {_cell(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_cell(inner) for inner in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
