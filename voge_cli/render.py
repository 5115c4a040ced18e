"""voge render: pictures, a contact sheet and a turntable of ellipsoids, meshes or points."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, option_groups

if TYPE_CHECKING:
    from voge.ellipsoids import Ellipsoids
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.schemas import RenderConfig


@option_groups
def render(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(metavar="MODEL... [KEY=VALUE]...", help="Ellipsoids, meshes or points, one scene; then settings."),
    ] = None,
    azim: Annotated[str | None, Option("--azim", metavar="A,...", help="Azimuths, degrees. Default: 30.")] = None,
    elev: Annotated[str | None, Option("--elev", metavar="E,...", help="Elevations, degrees. Default: 20.")] = None,
    dist: Annotated[float | None, Option("--dist", help="Distance, world units. Default: all is in view.")] = None,
    fov: Annotated[float | None, Option("--fov", help="Vertical field of view, degrees. Default: 40.")] = None,
    turntable: Annotated[int | None, Option("--turntable", metavar="N", help="Also a video of N frames.")] = None,
    video: Annotated[
        Literal["mp4", "gif", "webp"] | None, Option("--video", help="Format of the video. Default: mp4.")
    ] = None,
    size: Annotated[str | None, Option("--size", metavar="WxH", help="Pixels. Default: 512x512.")] = None,
    outputs: Annotated[
        str | None, Option("--outputs", metavar="O,...", help="Of rgb, alpha, depth, normal. Default: rgb.")
    ] = None,
    background: Annotated[
        str | None, Option("--background", metavar="COLOR", help="white, black, transparent or r,g,b. Default: white.")
    ] = None,
    ortho: Annotated[bool | None, Option("--ortho", help="Parallel rays.")] = None,
    light: Annotated[bool | None, Option("--light", help="Shade by the normals, lit from the camera.")] = None,
) -> None:
    """Render pictures of ellipsoids, meshes or points.

    Writes the folder --out (default: <stem>_render): OUTPUT/VIEW.png for every azimuth at every elevation,
    depth also as .npz, a contact sheet, and a video with --turntable. KEY=VALUE after the options changes
    any setting that --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import RenderConfig

    models, overrides = configs.split_arguments(arguments or [])
    options = {
        "models": models or None,
        "out": writing.out and str(writing.out),
        "azimuth": _numbers("--azim", azim),
        "elevation": _numbers("--elev", elev),
        "distance": dist,
        "fov": fov,
        "turntable": turntable,
        "video": video,
        "size": size,
        "outputs": outputs and outputs.split(","),
        "background": background,
        "ortho": ortho,
        "light.enabled": light,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    loaded = configs.load("render", RenderConfig, file=writing.config, options=options, overrides=overrides)
    if writing.print_config:
        print(loaded.text(report.json))
        return
    console = report.console(compute.progress)
    with console.warnings_as_notes():
        folder, document = render_models(loaded, console, overwrite=writing.overwrite)
    console.result(str(folder), document)


def render_models(
    loaded: Loaded[RenderConfig], console: Console, *, overwrite: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Load, render and write; returns the folder and what is in it."""
    from dataclasses import asdict

    from voge.io.files import atomic_folder
    from voge_cli import outputs
    from voge_cli.devices import choose_device
    from voge_cli.studio import Studio, write_pictures

    config = loaded.value
    if not config.models:
        raise UsageError("give a model to render: a file of ellipsoids, a mesh or points")
    folder = Path(config.out or f"{Path(config.models[0]).stem}_render")
    outputs.check_folder(folder, overwrite)
    chosen = choose_device(config.device, config.settings.backend)
    started = time.perf_counter()
    studio = Studio.around(load_scene(config, console).to(chosen.device), config)
    console.note(str(chosen))
    target = ", ".join(f"{number:.4g}" for number in studio.target)
    console.detail(f"{len(studio.scene)} ellipsoids; cameras {studio.distance:.4g} from ({target}), fov {config.fov:g}")
    with atomic_folder(folder) as staging:
        write_pictures(studio, staging, console)
        outputs.write_record(staging, "render", loaded.text())
        files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    return folder, {
        "out": str(folder),
        "files": files,
        "ellipsoids": len(studio.scene),
        "target": list(studio.target),
        "views": [asdict(view) for view in studio.stills()],
        "device": str(chosen.device),
        "backend": chosen.backend.value,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _numbers(option: str, text: str | None) -> list[float] | None:
    """The numbers of a list such as 0,90,180."""
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers with commas between, such as 0,90,180; got '{text}'") from None


def load_scene(config: RenderConfig, console: Console) -> Ellipsoids:
    """All models as one set that has what the outputs need."""
    from dataclasses import replace

    import torch

    from voge.ellipsoids import cat
    from voge_cli.models import load_model
    from voge_cli.schemas import Output

    paths = [Path(model) for model in config.models]
    sets = [load_model(path, config.convert, console) for path in paths]
    for path, made in zip(paths, sets, strict=True):
        _check_suits(path, made, config)
    if Output.rgb not in config.outputs and not config.turntable:
        sets = [replace(made, features=None) for made in sets]
    elif bare := [str(path) for path, made in zip(paths, sets, strict=True) if made.features is None]:
        shaded = " and shaded by their normals" if len(bare) == len(sets) else ""
        console.note(f"without colours, so shown in grey{shaded}: {', '.join(bare)}")
    if any(made.features is not None for made in sets):
        sets = [_with_colors(made) for made in sets]
    if len({made.dtype for made in sets}) > 1:
        sets = [made.to(torch.float32) for made in sets]
    return cat(sets)


def _check_suits(path: Path, ellipsoids: Ellipsoids, config: RenderConfig) -> None:
    """Refuse a model that lacks what an output needs."""
    from voge.io import DataError
    from voge_cli.schemas import Output

    channels = 3 if ellipsoids.features is None else ellipsoids.features.shape[1]
    if (Output.rgb in config.outputs or config.turntable) and channels not in (1, 3):
        raise DataError(path, f"has {channels} features, which are no colours", "leave rgb and the turntable out")
    if (Output.normal in config.outputs or config.light.enabled) and "normals" not in ellipsoids.extra:
        raise DataError(path, "has no normals", "convert it from a mesh or points, or leave normal and light out")


def _with_colors(ellipsoids: Ellipsoids) -> Ellipsoids:
    """The set with colours (N, 3): its own, greys spread over the channels, or the default grey."""
    from dataclasses import replace

    import torch

    from voge.pictures import GREY

    if ellipsoids.features is None:
        return replace(ellipsoids, features=torch.full_like(ellipsoids.means, GREY))
    return replace(ellipsoids, features=ellipsoids.features.expand(-1, 3))
