"""The page that shows what `voge demo` made, with the commands that repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voge_cli import report

if TYPE_CHECKING:
    from voge_cli.commands.demo import DemoConfig

AZIMUTHS = [30, 120, 210, 300]
OUTPUTS = ["rgb", "alpha", "depth", "normal"]


def write_page(folder: Path, config: DemoConfig, figures: Mapping[str, object]) -> None:
    """Write report.html, which shows all of it."""
    angles, video = ",".join(map(str, AZIMUTHS)), f"turntable.{config.video.value}"
    page = report.page(
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
    (folder / "report.html").write_text(page, encoding="utf-8")
