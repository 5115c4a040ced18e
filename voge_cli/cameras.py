"""voge cameras: what a file of cameras holds, in another format, or as a picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, option_groups, perform

if TYPE_CHECKING:
    from voge.io.cameras import View, Views
    from voge.scene.ellipsoids import Ellipsoids
    from voge_cli.console import Console
    from voge_cli.schemas import ShowCamerasConfig

FORMATS = Literal["transforms", "colmap", "colmap-text", "bop", "pytorch3d", "npz", "json", "pose"]


@option_groups
def cameras(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="FILE [KEY=VALUE]...",
            help="transforms.json, a COLMAP model, a BOP scene, PyTorch3D, matrices or pose.json; then settings.",
        ),
    ] = None,
    source: Annotated[FORMATS | None, Option("--from", help="Format of FILE. Default: told from it.")] = None,
    to: Annotated[FORMATS | None, Option("--to", help="Write the cameras to --out in this format.")] = None,
    model: Annotated[
        Path | None,
        Option("--model", metavar="MODEL", help="What they look at: checks sizes and sides; -o is a picture of all."),
    ] = None,
    units: Annotated[
        Literal["mm", "cm", "m"] | None, Option("--units", help="The file's unit, where it does not say it.")
    ] = None,
    convention: Annotated[
        Literal["opencv", "opengl"] | None, Option("--convention", help="Axes of matrices, if FILE does not say.")
    ] = None,
    direction: Annotated[
        Literal["world_to_camera", "camera_to_world"] | None,
        Option("--direction", help="What matrices map, if FILE does not say."),
    ] = None,
    image_size: Annotated[
        str | None, Option("--image-size", metavar="WxH", help="Of the pictures taken, if FILE does not say.")
    ] = None,
    object_id: Annotated[
        int | None, Option("--object", metavar="ID", help="BOP: the object whose frame is the world.")
    ] = None,
    azim: Annotated[
        float | None, Option("--azim", help="From where the picture shows all, degrees. Default: 35.")
    ] = None,
    elev: Annotated[float | None, Option("--elev", help="Likewise. Default: 25.")] = None,
    up: Annotated[Literal["y", "z"] | None, Option("--up", help="The world's upright axis. Default: y.")] = None,
    size: Annotated[str | None, Option("--size", metavar="WxH", help="Of the picture. Default: 960x720.")] = None,
) -> None:
    """Show, check, convert or draw cameras.

    Prints a table of the views: image size, focal lengths, lens, where each camera is and looks. With --to,
    writes them to --out in another format. With --out alone, draws them as a PNG: frusta and axes, over
    --model if there is one. KEY=VALUE after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import ShowCamerasConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if len(inputs) > 1:
        raise UsageError(f"voge cameras takes one file or folder, got {len(inputs)}: {' '.join(inputs)}")
    options = {
        "input": inputs[0] if inputs else None,
        "out": writing.out and str(writing.out),
        "format": source,
        "to": to,
        "model": model and str(model),
        "units": units,
        "convention": convention,
        "direction": direction,
        "image_size": image_size,
        "object_id": object_id,
        "azimuth": azim,
        "elevation": elev,
        "up": up,
        "size": size,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    loaded = configs.load("cameras", ShowCamerasConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: run(loaded.value, c, overwrite=writing.overwrite), compute.progress)


def run(config: ShowCamerasConfig, console: Console, *, overwrite: bool = False) -> tuple[str, dict[str, Any]]:
    """Read, check and write; returns what to print, as text and as a document."""
    from voge_cli.camera_table import describe, table

    if config.input is None:
        raise UsageError("give a file of cameras")
    if config.out is not None:
        _check_out(config, overwrite)
    elif config.to is not None:
        raise UsageError(f"--to {config.to} needs --out: where to write")
    views = read(config, console)
    model = _load(config, views, console)
    document = describe(config.input, views, model)
    for note in views.notes:
        console.note(f"{config.input}: {note}")
    for warning in document.get("warnings", []):
        console.note(f"warning: {warning}")
    lines = table(document)
    if config.out is None:
        return "\n".join(lines), document
    for line in lines:
        console.detail(line)
    for loss in _write(config, views, model):
        console.note(f"{config.to} keeps no {loss}")
    return config.out, {"out": config.out, **document}


def read(config: ShowCamerasConfig, console: Console) -> Views:
    """The views of the file, with units."""
    from voge.io.cameras import load_cameras
    from voge.io.settings import parse_size

    assert config.input is not None
    views = load_cameras(
        config.input,
        config.format,
        size=parse_size(config.image_size) if config.image_size else None,
        convention=config.convention.value if config.convention else None,
        direction=config.direction.value if config.direction else None,
        object_id=config.object_id,
    )
    if config.units is None or views.units == config.units.value:
        return views
    if views.units != "unknown":
        raise UsageError(f"{config.input} is in {views.units}, not {config.units.value}; leave --units out")
    return replace(views, units=config.units.value)


def _load(config: ShowCamerasConfig, views: Views, console: Console) -> Ellipsoids | None:
    """The model given, or the one that a pose.json names."""
    from voge.convert.files import load_model

    path = Path(config.model) if config.model else views.model_path
    if path is None:
        return None
    if config.model is None and not path.exists():
        console.note(f"{config.input}: its model {path} is not there, so nothing is checked against it")
        return None
    return console.told(load_model(path, config.convert)).ellipsoids


def _check_out(config: ShowCamerasConfig, overwrite: bool) -> None:
    """Refuse what cannot or must not be written, before any work."""
    from voge.io.cameras import FORMATS as KNOWN
    from voge_cli import outputs

    assert config.out is not None
    out = Path(config.out)
    suffixes: tuple[str, ...] = (".png",) if config.to is None else KNOWN[config.to].suffixes
    if suffixes and out.suffix.lower() not in suffixes:
        what = "the picture of the cameras" if config.to is None else f"{config.to} cameras"
        hint = "; a format is chosen with --to" if config.to is None else ""
        raise UsageError(f"{out}: {what} must be called {' or '.join(suffixes)}{hint}")
    if suffixes:
        outputs.check_file(out, overwrite)
    elif not (overwrite and _replaceable(out)):
        outputs.check_folder(out, overwrite)


def _replaceable(folder: Path) -> bool:
    """Whether a folder holds nothing but cameras: no points of a reconstruction, and no pictures."""
    if not folder.is_dir():
        return False
    cameras = {f"{stem}.{kind}" for stem in ("cameras", "images") for kind in ("bin", "txt")}
    cameras |= {"scene_camera.json", "scene_gt.json"}
    files = list(folder.iterdir())
    empty = [file for file in files if file.stem == "points3D" and file.is_file() and file.stat().st_size < 80]
    return all(file.name in cameras or file in empty for file in files)


def _write(config: ShowCamerasConfig, views: Views, model: Ellipsoids | None) -> list[str]:
    """Write what was asked for; returns what a format does not keep."""
    from voge.io.cameras import load_cameras, save_cameras

    assert config.out is not None
    if config.to is None:
        _draw(config, list(views), model, config.out)
        return []
    save_cameras(config.out, views, config.to)
    return _losses(views, load_cameras(config.out, config.to))


def _losses(given: Views, found: Views) -> list[str]:
    """What writing and reading did not give back, beside the cameras themselves."""
    import os

    def paths(views: Views, key: str) -> list[str | None]:
        files = [getattr(view, key) for view in views]
        return [None if file is None else os.path.abspath(file) for file in files]

    pairs = {
        "units": ("unknown" if given.units == "unknown" else "", "unknown" if found.units == "unknown" else ""),
        "names": ([view.name for view in given], [view.name for view in found]),
        "paths of pictures": (paths(given, "image"), paths(found, "image")),
        "paths of masks": (paths(given, "mask"), paths(found, "mask")),
    }
    there = {"paths of pictures": any(v.image for v in given), "paths of masks": any(v.mask for v in given)}
    return [name for name, (a, b) in pairs.items() if a != b and there.get(name, True)]


def _draw(config: ShowCamerasConfig, views: list[View], model: Ellipsoids | None, out: str) -> None:
    """The picture of cameras and model."""
    from voge.imaging.overview import draw_overview
    from voge.io.images import write_png
    from voge.io.settings import parse_size
    from voge_cli.devices import choose_device

    if model is not None:
        model = model.to(choose_device(config.device, config.settings.backend).device)
        if model.features is not None and model.features.shape[1] not in (1, 3):
            model = replace(model, features=None)  # no colors: gray shows where it is
    picture = draw_overview(
        views,
        model,
        config.settings,
        size=parse_size(config.size),
        azimuth=config.azimuth,
        elevation=config.elevation,
        up=config.up.value,
    )
    write_png(out, picture)
