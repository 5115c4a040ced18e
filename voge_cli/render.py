"""voge render: pictures, a contact sheet and videos of ellipsoids, meshes, points or scenes of several."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, numbers, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.schemas import RenderConfig
    from voge_cli.studio import Studio

NO_MODEL = "give a model to render: a file of ellipsoids, a mesh, points or a scene file"


@option_groups
def render(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="MODEL... [KEY=VALUE]...",
            help="Ellipsoids, meshes, points or scene files (JSON, YAML): one scene; then settings.",
        ),
    ] = None,
    azim: Annotated[str | None, Option("--azim", metavar="A,...", help="Azimuths, degrees. Default: 30.")] = None,
    elev: Annotated[str | None, Option("--elev", metavar="E,...", help="Elevations, degrees. Default: 20.")] = None,
    dist: Annotated[float | None, Option("--dist", help="Distance, world units. Default: all is in view.")] = None,
    fov: Annotated[float | None, Option("--fov", help="Vertical field of view, degrees. Default: 40.")] = None,
    cameras: Annotated[
        str | None, Option("--cameras", metavar="FILE", help="Cameras to render from, instead of the angles.")
    ] = None,
    frame: Annotated[
        str | None, Option("--frame", metavar="NAME|I,...", help="Of these cameras: by name, or number from 0.")
    ] = None,
    turntable: Annotated[int | None, Option("--turntable", metavar="N", help="Also a video of N frames.")] = None,
    video: Annotated[
        Literal["mp4", "gif", "webp"] | None, Option("--video", help="Format of the video. Default: mp4.")
    ] = None,
    film: Annotated[bool | None, Option("--film", help="Also a video of the views, in order.")] = None,
    size: Annotated[
        str | None, Option("--size", metavar="WxH", help="Pixels. Default: 512x512, or as the cameras have it.")
    ] = None,
    outputs: Annotated[
        str | None,
        Option("--outputs", metavar="O,...", help="Of rgb, alpha, depth, normal, id, features. Default: rgb."),
    ] = None,
    background: Annotated[
        str | None,
        Option("--background", metavar="B", help="white, black, transparent, r,g,b or a picture. Default: white."),
    ] = None,
    ortho: Annotated[bool | None, Option("--ortho", help="Parallel rays.")] = None,
    light: Annotated[bool | None, Option("--light", help="Shade by the normals, lit from the camera.")] = None,
) -> None:
    """Render pictures of ellipsoids, meshes or points.

    Writes the folder --out (default: <stem>_render): OUTPUT/VIEW.png for every azimuth at every elevation or
    every view of --cameras, all but rgb and alpha also as .npz, a contact sheet, and a video with --turntable or
    --film. KEY=VALUE after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import RenderConfig

    models, overrides = configs.split_arguments(arguments or [])
    if cameras is not None and not turntable:
        _refuse_angles({"--azim": azim, "--elev": elev, "--dist": dist, "--fov": fov, "--ortho": ortho})
    options = {
        "models": models or None,
        "out": writing.out and str(writing.out),
        "azimuth": numbers("--azim", azim),
        "elevation": numbers("--elev", elev),
        "distance": dist,
        "fov": fov,
        "cameras.file": cameras,
        "cameras.frames": frame and frame.split(","),
        "turntable": turntable,
        "film": film,
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
    perform(loaded, writing, report, lambda c: render_models(loaded, c, overwrite=writing.overwrite), compute.progress)


def render_models(
    loaded: Loaded[RenderConfig], console: Console, *, overwrite: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Load, render and write; returns the folder and what is in it."""
    from voge.io.files import atomic_folder
    from voge_cli import outputs
    from voge_cli.album import write_album
    from voge_cli.devices import choose_device
    from voge_cli.studio import DEFAULT_SIZE

    config = loaded.value
    first = next(iter(config.models), config.cameras.file)
    if first is None:
        raise UsageError(NO_MODEL)
    folder = Path(config.out or f"{Path(first).stem}_render")
    outputs.check_folder(folder, overwrite)
    chosen = choose_device(config.device, config.settings.backend)
    started = time.perf_counter()
    studio = _studio(config, console, chosen.device)
    console.note(str(chosen))
    _tell_sizes(studio, console)
    record = loaded if studio.views else loaded.filled({"size": config.size or DEFAULT_SIZE})
    with atomic_folder(folder) as staging:
        write_album(studio, staging, console)
        outputs.write_record(staging, "render", record.text())
        files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    scene = studio.scene
    return folder, {
        "out": str(folder),
        "files": files,
        "ellipsoids": len(scene.ellipsoids),
        "objects": dict(zip(scene.names, scene.counts, strict=True)),
        "target": list(studio.target),
        "views": [shot.describe() for shot in studio.stills],
        "device": str(chosen.device),
        "backend": chosen.backend.value,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _studio(config: RenderConfig, console: Console, device: Any) -> Studio:
    """The scene on its device, and its cameras."""
    from voge.io.settings import parse_size
    from voge_cli.scenes import Placed, find_objects, load_objects, load_views
    from voge_cli.studio import Studio

    placed, camera_file = find_objects(config)
    if camera_file is None and config.cameras.frames is not None:
        raise UsageError("--frame chooses from the views of a camera file; give one with --cameras")
    size = parse_size(config.size) if config.size else None
    views = None if camera_file is None else load_views(camera_file, config.cameras, size, console)
    if not placed and views is not None and views.model_path is not None:  # a pose.json names its model
        placed = [Placed(views.model_path, views.model_path.stem)]
    if not placed:
        raise UsageError(NO_MODEL)
    if views is not None:
        console.note(f"{len(views)} views of {camera_file}")
    return Studio(load_objects(placed, config, console).to(device), config, views)


def _tell_sizes(studio: Studio, console: Console) -> None:
    """Warn where cameras and scene do not belong together; with -v, say how large it is and how far."""
    from voge.imaging.scale_check import proportions, sanity

    scene, cameras = studio.scene.ellipsoids, [shot.camera for shot in studio.stills]
    middle = ", ".join(f"{number:.4g}" for number in studio.target)
    console.detail(f"{len(scene)} ellipsoids around ({middle}); {proportions(scene, cameras)}")
    if studio.views is None and studio.config.distance is None:
        return  # placed to show all of it
    for line in sanity(scene, cameras, units=studio.views.units if studio.views else None):
        console.note(f"warning: {line}")


def _refuse_angles(options: dict[str, Any]) -> None:
    """Cameras of a file have places and lenses of their own; only a turntable beside them is placed by angles."""
    if given := [name for name, value in options.items() if value is not None]:
        raise UsageError(f"{' and '.join(given)} cannot change the views of --cameras; leave one of them out")
