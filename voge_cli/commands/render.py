"""voge render: pictures, a contact sheet and videos of ellipsoids, meshes, points or scenes of several."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from voge import option
from voge.imaging.settings import AlbumSettings
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded

# Options that place cameras by angles.
ANGLES = {"azimuth": "--azim", "elevation": "--elev", "distance": "--dist", "fov": "--fov", "ortho": "--ortho"}


@dataclass(frozen=True, kw_only=True)
class RenderConfig(AlbumSettings, Device):
    """Settings of `voge render`."""

    models: list[str] = option.option([], "ellipsoids, meshes, points or scene files; several are one scene")
    out: str | None = option.out("where to write", "<stem>_render in the current folder")


@option_groups
def render(
    given: Given[RenderConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="MODEL... [KEY=VALUE]...",
            help="Ellipsoids, meshes, points or scene files (JSON, YAML): one scene; then settings.",
        ),
    ] = None,
) -> None:
    """Render pictures of ellipsoids, meshes or points.

    Writes the folder --out (default: <stem>_render): OUTPUT/VIEW.png for every azimuth at every elevation or
    every view of --cameras, all but rgb and alpha also as .npz, a contact sheet, and a video with --turntable or
    --film. KEY=VALUE after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs

    models, overrides = configs.split_arguments(arguments or [])
    _check_angles(given.values)
    options = {**given.values, "models": models or None}
    loaded = configs.load("render", RenderConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        document = work(loaded.value.models, loaded, console, overwrite=configuring.overwrite)
        return document["out"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(item: list[str], loaded: Loaded[RenderConfig], console: Console, *, overwrite: bool = False) -> dict[str, Any]:
    """Render one scene, of one model or of several, into a folder; returns what is in it."""
    from voge.imaging.album import write_album
    from voge.imaging.loading import NO_MODEL, load_studio
    from voge.imaging.studio import DEFAULT_SIZE
    from voge.io.files import atomic_folder
    from voge.rendering.devices import choose_device
    from voge_cli import outputs

    config = loaded.value
    first = next(iter(item), config.cameras.file)
    if first is None:
        raise UsageError(NO_MODEL)
    folder = Path(config.out or f"{Path(first).stem}_render")
    outputs.check_folder(folder, overwrite)
    chosen = choose_device(config.device, config.settings.backend)
    started = time.perf_counter()
    studio = console.told(load_studio(item, config, chosen.device))
    console.note(str(chosen))
    console.detail(studio.summary())
    for warning in studio.warnings():
        console.note(f"warning: {warning}")
    record = loaded if studio.views else loaded.filled({"size": config.size or DEFAULT_SIZE})
    with atomic_folder(folder) as staging:
        write_album(studio, staging, console.track)
        outputs.write_record(staging, "render", record.text())
        files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    return {
        "out": str(folder),
        "files": files,
        **studio.document(),
        "device": str(chosen.device),
        "backend": chosen.backend.value,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _check_angles(given: Mapping[str, Any]) -> None:
    """Cameras of a file have places and lenses of their own; only a turntable beside them is placed by angles."""
    if given["cameras.file"] is None or given["turntable"]:
        return
    if names := [flag for key, flag in ANGLES.items() if given[key] is not None]:
        raise UsageError(f"{' and '.join(names)} cannot change the views of --cameras; leave one of them out")
