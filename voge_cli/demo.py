"""voge demo: the packaged teapot through convert, render and fit, with a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, option_groups, perform

if TYPE_CHECKING:
    import torch

    from voge.io.cameras import Views
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.schemas import DemoConfig
    from voge_cli.studio import Studio

PHOTO = "64x64"  # pixels of the pictures that are fitted to
AZIMUTHS = [30, 120, 210, 300]
OUTPUTS = ["rgb", "alpha", "depth", "normal"]
# What takes well under a minute on two cores: with compiled code, and with plain torch.
AMPLE = {"resolution": 10, "size": "320x256", "turntable": 48, "steps": 150}
MODEST = {"resolution": 8, "size": "160x128", "turntable": 16, "steps": 10}


@option_groups
def demo(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Settings.")] = None,
    size: Annotated[str | None, Option("--size", metavar="WxH", help="Pixels.")] = None,
    turntable: Annotated[int | None, Option("--turntable", metavar="N", help="Frames of the video.")] = None,
) -> None:
    """Show convert, render and fit at work on the Utah teapot.

    Everything goes into one folder (default: voge_demo) with a report to look at.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import DemoConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if inputs:
        raise UsageError(f"voge demo takes no input, got {inputs[0]}; to render a file: voge render {inputs[0]}")
    options = {
        "out": writing.out and str(writing.out),
        "size": size,
        "turntable": turntable,
        "device": compute.device,
        "backend": compute.backend,
    }
    loaded = configs.load("demo", DemoConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: run_demo(loaded, c, overwrite=writing.overwrite), compute.progress)


def run_demo(loaded: Loaded[DemoConfig], console: Console, *, overwrite: bool = False) -> tuple[Path, dict[str, Any]]:
    """What a user would type, one after the other; returns the report's path and the figures."""
    from voge.io.files import atomic_folder
    from voge_cli import outputs
    from voge_cli.devices import choose_device

    config = loaded.value
    out = Path(config.out)
    outputs.check_folder(out, overwrite)
    chosen = choose_device(config.device, config.backend)
    console.note(str(chosen))
    sizes = MODEST if chosen.backend.value == "torch" else AMPLE
    loaded = loaded.filled({name: size for name, size in sizes.items() if getattr(config, name) is None})
    config = loaded.value
    started = time.perf_counter()
    with atomic_folder(out) as folder:
        made = _convert_teapot(folder, config.resolution, console)
        converted = time.perf_counter()
        _render_teapot(folder, config, chosen.device, console)
        rendered = time.perf_counter()
        fitted = _fit_teapot(folder, out, config, chosen.device, console)
        figures = {
            "ellipsoids": made["count"],
            "device": str(chosen.device),
            "backend": chosen.backend.value,
            "seconds_convert": round(converted - started, 2),
            "seconds_render": round(rendered - converted, 2),
            "seconds_fit": round(time.perf_counter() - rendered, 2),
            "held_out_iou": fitted["held_out"]["iou"],
            "held_out_psnr": fitted["held_out"]["psnr"],
        }
        (folder / "report.html").write_text(_report(folder, config, figures), encoding="utf-8")
        outputs.write_record(folder, "demo", loaded.text())
    return out / "report.html", {"out": str(out), "report": str(out / "report.html"), **figures}


def _convert_teapot(folder: Path, resolution: int | None, console: Console) -> dict[str, Any]:
    """teapot.ply, so that there is a mesh to look at, and teapot.safetensors made of it."""
    import trimesh

    from voge.assets.teapot import teapot
    from voge.scene.settings import Up
    from voge_cli.commands.convert import ConvertConfig, work

    assert resolution is not None
    vertices, faces, colors = teapot(resolution)
    mesh = folder / "teapot.ply"
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(mesh)
    return work(mesh, ConvertConfig(out=str(mesh.with_suffix(".safetensors")), up=Up.y), console)


def _render_teapot(folder: Path, config: DemoConfig, device: torch.device, console: Console) -> None:
    """Pictures, contact sheet and turntable."""
    from voge.io.ellipsoids import load_ellipsoids
    from voge.scene.objects import assemble
    from voge_cli import config as configs
    from voge_cli.album import write_album
    from voge_cli.schemas import RenderConfig
    from voge_cli.studio import Studio

    options = {
        "size": config.size,
        "azimuth": AZIMUTHS,
        "outputs": OUTPUTS,
        "turntable": config.turntable,
        "video": config.video.value,
        "light.enabled": True,
        "settings.backend": config.backend.value,
    }
    loaded = configs.load("render", RenderConfig, options=options)
    scene = assemble(["teapot"], [load_ellipsoids(folder / "teapot.safetensors")], [None]).to(device)
    write_album(Studio(scene, loaded.value), folder, console)


def _fit_teapot(folder: Path, out: Path, config: DemoConfig, device: torch.device, console: Console) -> dict[str, Any]:
    """Small pictures with alpha and a camera file, as a user would have them, and ellipsoids fitted to those."""
    from voge.io.cameras import save_cameras
    from voge.io.ellipsoids import load_ellipsoids
    from voge.scene.objects import assemble
    from voge_cli import config as configs
    from voge_cli.album import write_album
    from voge_cli.commands.fit import FitConfig, work
    from voge_cli.schemas import RenderConfig
    from voge_cli.studio import Studio

    views = {"size": PHOTO, "azimuth": [30.0 * i for i in range(12)], "elevation": [-20.0, 35.0], "distance": 12.0}
    options = {**views, "background": "transparent", "settings.backend": config.backend.value}
    scene = assemble(["teapot"], [load_ellipsoids(folder / "teapot.safetensors")], [None]).to(device)
    studio = Studio(scene, configs.load("render", RenderConfig, options=options).value)
    (folder / "photos").mkdir()
    write_album(studio, folder / "photos", console)
    cameras = _as_views(studio, folder / "photos" / "rgb")
    save_cameras(folder / "photos" / "transforms.json", cameras, "transforms")
    chosen = {
        "cameras.file": str(folder / "photos" / "transforms.json"),
        "out": str(folder / "fit"),
        "steps": config.steps,
        "holdout": "4",
        "start.count": 642,
        "coarse.factor": 1,
        "turntable": 0,
        "film_every": 15,
        "video": config.video.value,
        "device": str(device),
        "settings.backend": config.backend.value,
    }
    figures = work(str(folder / "photos" / "transforms.json"), configs.load("fit", FitConfig, options=chosen), console)
    for name in ("config.yaml", "report.html"):  # the folder is about to be called by its name
        file = folder / "fit" / name
        file.write_text(file.read_text(encoding="utf-8").replace(str(folder), str(out)), encoding="utf-8")
    return figures


def _as_views(studio: Studio, pictures: Path) -> Views:
    """The cameras of a studio's views, with their pictures."""
    from voge.io.cameras import View, Views

    made = []
    for shot in studio.stills:
        camera = shot.camera
        made.append(
            View(
                name=shot.name,
                viewmat=camera.viewmats[0].double(),
                K=camera.Ks[0].double(),
                width=camera.width,
                height=camera.height,
                image=pictures / f"{shot.name}.png",
            )
        )
    return Views(tuple(made))


def _report(folder: Path, config: DemoConfig, figures: dict[str, Any]) -> str:
    """The page that shows all of it."""
    from voge_cli import report

    angles, video = ",".join(map(str, AZIMUTHS)), f"turntable.{config.video.value}"
    return report.page(
        "VoGE: the Utah teapot",
        report.text("A mesh converted to Gaussian ellipsoids, and pictures of them. To repeat it in this folder:"),
        report.commands(
            [
                "voge convert teapot.ply --up y -o again.safetensors",
                f"voge render again.safetensors --light --azim {angles} --outputs {','.join(OUTPUTS)} \\",
                f"    --size {config.size} --turntable {config.turntable} --video {config.video.value}",
            ]
        ),
        report.figure(folder / video, video),
        *(report.figure(folder / "rgb" / f"{i:04d}.png", f"azimuth {angle}") for i, angle in enumerate(AZIMUTHS)),
        report.figure(folder / "sheet.png", "sheet.png, from the top: colors, alpha, depth, normals, turntable"),
        report.text(
            "Ellipsoids fitted to 24 small pictures, of which 6 were held out (fit/report.html). To repeat it:"
        ),
        report.commands(["voge fit photos/transforms.json --holdout 4 start.count=642 coarse.factor=1 -o fit_again"]),
        report.figure(folder / "fit" / f"video.{config.video.value}", "the fit, step by step"),
        *(report.figure(path, "before, target, after") for path in sorted((folder / "fit/images").glob("held*"))[:2]),
        report.table(figures),
    )
