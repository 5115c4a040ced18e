"""voge demo: the packaged teapot through convert, render and fit, with a report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from voge import option
from voge.io.settings import Video, parse_size
from voge.rendering.settings import Backend
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded

# What takes well under a minute on two cores: with compiled code, and with plain torch.
AMPLE = {"resolution": 10, "size": "320x256", "turntable": 48, "steps": 150}
MODEST = {"resolution": 8, "size": "160x128", "turntable": 16, "steps": 10}


def _sized(name: str, help: str, **facts: Any) -> Any:
    default_text = f"{AMPLE[name]}, with plain torch {MODEST[name]}"
    return option.option(None, help, default_text=default_text, **facts)


@dataclass(frozen=True, kw_only=True)
class DemoConfig(Device):
    """Settings of `voge demo`."""

    out: str = option.option("voge_demo", "where to write", flag="--out", short="-o", metavar="PATH")
    resolution: int | None = _sized("resolution", "squares along the side of a patch of the teapot", at_least=2)
    size: str | None = _sized(
        "size", "width x height of the pictures, pixels", holds=parse_size, flag="--size", metavar="WxH"
    )
    turntable: int | None = _sized(
        "turntable",
        "frames of the video",
        at_least=1,
        rule="must be at least 1 frame",
        flag="--turntable",
        metavar="N",
    )
    steps: int | None = _sized("steps", "steps of the fit", at_least=1)
    video: Video = option.option(Video.mp4, "format of the videos: mp4, gif or webp")
    backend: Backend = option.option(Backend.auto, "code that renders", flag="--backend")


@option_groups
def demo(
    given: Given[DemoConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Settings.")] = None,
) -> None:
    """Show convert, render and fit at work on the Utah teapot.

    Everything goes into one folder (default: voge_demo) with a report to look at.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    if inputs:
        raise UsageError(f"voge demo takes no input, got {inputs[0]}; to render a file: voge render {inputs[0]}")
    loaded = configs.load("demo", DemoConfig, file=configuring.config, options=given.values, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        document = work(Path(loaded.value.out), loaded, console, overwrite=configuring.overwrite)
        return document["report"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(item: Path, loaded: Loaded[DemoConfig], console: Console, *, overwrite: bool = False) -> dict[str, Any]:
    """Fill a folder with what a user would type, one after the other; returns the figures."""
    from voge.imaging.settings import Light
    from voge.io.files import atomic_folder
    from voge.rendering.devices import choose_device
    from voge_cli import outputs
    from voge_cli.demo_page import AZIMUTHS, OUTPUTS, write_page
    from voge_cli.demo_run import convert_teapot, fit_teapot, take_pictures

    outputs.check_folder(item, overwrite)
    chosen = choose_device(loaded.value.device, loaded.value.backend)
    console.note(str(chosen))
    config, sizes = loaded.value, MODEST if chosen.backend is Backend.torch else AMPLE
    loaded = loaded.filled({name: size for name, size in sizes.items() if getattr(config, name) is None})
    config = loaded.value
    started = time.perf_counter()
    with atomic_folder(item) as folder:
        model = convert_teapot(folder, config.resolution or 2, console)
        converted = time.perf_counter()
        album = {name: getattr(config, name) for name in ("size", "turntable", "video")}
        album |= {"azimuth": AZIMUTHS, "outputs": OUTPUTS, "light": Light(enabled=True)}
        take_pictures(Path(model["out"]), folder, album, chosen, console)
        rendered = time.perf_counter()
        fitted = fit_teapot(folder, item, config, chosen, console)
        figures = {
            "ellipsoids": model["count"],
            "device": str(chosen.device),
            "backend": chosen.backend.value,
            "seconds_convert": round(converted - started, 2),
            "seconds_render": round(rendered - converted, 2),
            "seconds_fit": round(time.perf_counter() - rendered, 2),
            "held_out_iou": fitted["held_out"]["iou"],
            "held_out_psnr": fitted["held_out"]["psnr"],
        }
        write_page(folder, config, figures)
        outputs.write_record(folder, "demo", loaded.text())
    return {"out": str(item), "report": str(item / "report.html"), **figures}
