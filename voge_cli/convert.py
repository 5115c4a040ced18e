"""voge convert: meshes and points to ellipsoids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Report, Writing, option_groups, perform

if TYPE_CHECKING:
    from voge.scene.ellipsoids import Ellipsoids
    from voge_cli.console import Console
    from voge_cli.schemas import ConvertConfig


@option_groups
def convert(
    writing: Writing,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="IN [KEY=VALUE]...",
            help="A mesh (OBJ, GLB, glTF, PLY, STL, OFF), points (PLY, GLB, XYZ, NPY, NPZ) or ellipsoids (SAFETENSORS, "
            "NPZ, 3DGS PLY); then settings.",
        ),
    ] = None,
    method: Annotated[
        Literal["auto", "hat", "triangle", "vertex", "points"] | None,
        Option("--method", help="One ellipsoid a vertex (hat, vertex), triangle or point. Default: auto."),
    ] = None,
    count: Annotated[
        int | None,
        Option("--count", help="How many: edges are split or collapsed, points thinned. Default: as the file."),
    ] = None,
    coverage: Annotated[
        float | None, Option("--coverage", help="Method vertex: density half-way along an edge. Default: 0.5.")
    ] = None,
    flatness: Annotated[float | None, Option("--flatness", help="Thickness over width. Default: 0.05.")] = None,
    neighbors: Annotated[
        int | None, Option("--neighbors", help="Points: nearest ones that tell spacing and plane. Default: 16.")
    ] = None,
    units: Annotated[
        Literal["mm", "cm", "m"] | None, Option("--units", help="The file's unit: recorded, nothing is scaled.")
    ] = None,
    up: Annotated[
        Literal["y", "z"] | None, Option("--up", help="The file's upright axis; z is turned to y, and recorded.")
    ] = None,
    normalize: Annotated[
        bool | None, Option("--normalize", help="Move to the origin and scale to radius 1; recorded.")
    ] = None,
    crop: Annotated[
        str | None,
        Option("--crop", metavar="X,Y,Z,X,Y,Z", help="Keep what lies in this box (lowest, then highest corner)."),
    ] = None,
    stats: Annotated[bool, Option("--stats", help="Print a table of what was made.")] = False,
) -> None:
    """Convert a mesh or points to ellipsoids, or ellipsoids to another format.

    Writes --out by its suffix: .safetensors (default: <stem>.safetensors in the current folder), .npz, .ply as 3D
    Gaussian Splatting has it, or .glb of colored points. KEY=VALUE after the options changes any setting that
    --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import ConvertConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if len(inputs) > 1:
        raise UsageError(f"voge convert takes one file, got {len(inputs)}: {' '.join(inputs)}")
    options = {
        "input": inputs[0] if inputs else None,
        "out": writing.out and str(writing.out),
        "method": method,
        "count": count,
        "coverage": coverage,
        "flatness": flatness,
        "neighbors": neighbors,
        "units": units,
        "up": up,
        "normalize": normalize,
        "crop": _box(crop),
    }
    loaded = configs.load("convert", ConvertConfig, file=writing.config, options=options, overrides=overrides)

    def work(console: Console) -> tuple[str, dict[str, Any]]:
        path, document = convert_file(loaded.value, console, overwrite=writing.overwrite)
        return "\n".join([str(path), *(_table(document) if stats else [])]), document

    perform(loaded, writing, report, work)


def convert_file(config: ConvertConfig, console: Console, *, overwrite: bool = False) -> tuple[Path, dict[str, Any]]:
    """Read, convert and write; returns the path and what was made."""
    from voge.io.ellipsoids import WRITTEN, save_ellipsoids
    from voge_cli.models import load_model, summary
    from voge_cli.outputs import check_file
    from voge_cli.schemas import Conversion

    if config.input is None:
        raise UsageError("give a file to convert")
    source = Path(config.input)
    path = Path(config.out or f"{source.stem}.safetensors")
    if path.suffix.lower() not in WRITTEN:
        raise UsageError(f"{path}: ellipsoids are written to {', '.join(WRITTEN)}")
    check_file(path, overwrite)
    conversion = Conversion(**{field.name: getattr(config, field.name) for field in fields(Conversion)})
    loaded = load_model(source, conversion, console, strict=True, crop=config.crop, unit=config.normalize)
    made = _placed(loaded, config)
    _warn_of_rounding(made, console)
    try:
        save_ellipsoids(path, made)
    except ValueError as error:  # the suffix was checked: the format has no place for what there is
        raise UsageError(f"{path}: {error}") from error
    console.note(f"{len(made)} ellipsoids")
    return path, {"out": str(path), **summary(made)}


def _box(text: str | None) -> list[float] | None:
    """The numbers of --crop; the configuration checks how many."""
    try:
        return None if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"--crop takes xmin,ymin,zmin,xmax,ymax,zmax, got '{text}'") from None


def _placed(ellipsoids: Ellipsoids, config: ConvertConfig) -> Ellipsoids:
    """Turned and normalized as asked, with the record."""
    from dataclasses import replace

    from voge.imaging.placement import normalize, turn_upright

    metadata = dict(ellipsoids.metadata)
    if config.units is not None:
        metadata["units"] = config.units.value
    if config.up is not None:
        metadata["frame"] = "right-handed, y up"
    made = replace(ellipsoids, metadata=metadata)
    if config.up is not None and config.up.value == "z":
        made = turn_upright(made)
    return normalize(made) if config.normalize else made


def _warn_of_rounding(ellipsoids: Ellipsoids, console: Console) -> None:
    from voge.imaging.placement import rounding

    lost = rounding(ellipsoids)
    if lost > 0.1:
        console.note(
            f"warning: so far from the origin float32 moves the ellipsoids by up to {lost:.2g} of their width; "
            "add --normalize, which is recorded and can be undone"
        )


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
