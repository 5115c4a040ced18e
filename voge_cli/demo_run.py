"""The steps of `voge demo`: a teapot is converted, rendered and fitted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voge.imaging.studio import Shot
    from voge.rendering.devices import Chosen
    from voge_cli.commands.demo import DemoConfig
    from voge_cli.console import Console

# Of the pictures that are fitted to.
PHOTOS = {
    "size": "64x64",
    "azimuth": [30.0 * i for i in range(12)],
    "elevation": [-20.0, 35.0],
    "distance": 12.0,
    "background": "transparent",
}


def convert_teapot(folder: Path, resolution: int, console: Console) -> dict[str, Any]:
    """Write teapot.ply, so that there is a mesh to look at, and teapot.safetensors made of it."""
    import trimesh

    from voge.assets.teapot import teapot
    from voge.scene.settings import Up
    from voge_cli.commands.convert import ConvertConfig, work

    vertices, faces, colors = teapot(resolution)
    mesh = folder / "teapot.ply"
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(mesh)
    return work(mesh, ConvertConfig(out=str(mesh.with_suffix(".safetensors")), up=Up.y), console)


def take_pictures(model: Path, folder: Path, album: Mapping[str, Any], chosen: Chosen, console: Console) -> list[Shot]:
    """Render a model into a folder; returns its views."""
    from voge.imaging.album import write_album
    from voge.imaging.loading import load_studio
    from voge.imaging.settings import AlbumSettings
    from voge.rendering.settings import RenderSettings

    settings = AlbumSettings(**album, settings=RenderSettings(backend=chosen.backend))
    studio = load_studio([model], settings, chosen.device)
    folder.mkdir(exist_ok=True)
    write_album(studio, folder, console.track)
    return studio.stills


def fit_teapot(folder: Path, out: Path, config: DemoConfig, chosen: Chosen, console: Console) -> dict[str, Any]:
    """Take small pictures with alpha and a camera file, as a user would have them, and fit ellipsoids to them."""
    from voge.io.cameras import View, Views, save_cameras
    from voge_cli import config as configs
    from voge_cli.commands.fit import FitConfig, work

    photos = folder / "photos"
    shots = take_pictures(folder / "teapot.safetensors", photos, PHOTOS, chosen, console)
    views = (View.of(shot.camera, shot.name, image=photos / "rgb" / f"{shot.name}.png") for shot in shots)
    cameras = photos / "transforms.json"
    save_cameras(cameras, Views(tuple(views)), "transforms")
    options = {
        "cameras.file": str(cameras),
        "out": str(folder / "fit"),
        "steps": config.steps,
        "holdout": "4",
        "start.count": 642,
        "coarse.factor": 1,
        "turntable": 0,
        "film_every": 15,
        "video": config.video.value,
        "device": str(chosen.device),
        "settings.backend": config.backend.value,
    }
    figures = work(str(cameras), configs.load("fit", FitConfig, options=options), console)
    for name in ("config.yaml", "report.html"):  # the folder is about to be called by its name
        file = folder / "fit" / name
        file.write_text(file.read_text(encoding="utf-8").replace(str(folder), str(out)), encoding="utf-8")
    return figures
