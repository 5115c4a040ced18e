"""The folder that a render leaves: pictures of every view, videos, and a contact sheet of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voge.imaging.previews import FeaturePalette
from voge.imaging.writer import RenderWriter
from voge.io import images
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.studio import Shot, Studio

SHEET_COLUMNS = 8  # at most, and at most as many frames of a turntable
SHEET_VIEWS = 48  # at most, evenly chosen: a sheet of thousands helps nobody

Picture = NDArray[np.uint8]


def _check_videos(studio: Studio) -> None:
    """Refuse before rendering what could not be written after it."""
    config = studio.config
    if config.turntable or config.film:
        try:
            images.check_video(f"a.{config.video.value}")
        except RuntimeError as error:
            raise UsageError(f"{error} (video=gif)") from error
    if config.film:
        if "rgb" not in config.outputs:
            raise UsageError("a film is made of rgb; add it to --outputs, or leave --film out")
        sizes = {(shot.camera.width, shot.camera.height) for shot in studio.stills}
        if len(sizes) > 1:
            found = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:4])
            raise UsageError(f"a film needs views of one size, these have {found}; give one with --size")


def write_album(studio: Studio, folder: Path, console: Console) -> None:
    """All that the config asks for: OUTPUT/VIEW files, the videos, and sheet.png of both."""
    _check_videos(studio)
    sheet = _Sheet(studio.stills)
    rgb = _write_stills(studio, folder, console, sheet)
    if studio.config.film:
        images.write_video(folder / f"film.{studio.config.video.value}", rgb, fps=studio.config.fps)
    else:
        for _ in rgb:
            pass
    rows = sheet.rows(len(studio.config.azimuth) if studio.views is None else 1)
    if studio.config.turntable:
        frames = _write_turntable(studio, folder, console)
        columns = max(4, *map(len, rows))
        rows += [frames[i : i + columns] for i in range(0, len(frames), columns)]
    images.write_png(folder / "sheet.png", images.contact_sheet(rows))


class _Sheet:
    """Thumbnails by output, of evenly chosen views."""

    def __init__(self, shots: list[Shot]) -> None:
        shown = min(len(shots), SHEET_VIEWS)
        self.chosen = {shots[i * len(shots) // shown].name for i in range(shown)}
        self.small: dict[str, list[Picture]] = {}

    def add(self, view: str, output: str, picture: Picture) -> None:
        if view in self.chosen:
            self.small.setdefault(output, []).append(images.thumbnail(picture))

    def rows(self, azimuths: int) -> list[list[Picture]]:
        """The outputs of a single view side by side, else a row of views an output; an elevation starts a row."""
        if len(self.chosen) == 1:
            return [[pictures[0] for pictures in self.small.values()]]
        columns = min(azimuths if azimuths > 1 else len(self.chosen), SHEET_COLUMNS)
        return [pictures[i : i + columns] for pictures in self.small.values() for i in range(0, len(pictures), columns)]


def _write_stills(studio: Studio, folder: Path, console: Console, sheet: _Sheet) -> Iterator[Picture]:
    """Write the outputs of every view; gives the colors over white or the background, for a film."""
    config = studio.config
    outputs = [output.value for output in config.outputs]
    features = studio.scene.ellipsoids.features
    writer = RenderWriter(
        folder=folder,
        scene=studio.scene,
        depth_kind=config.depth.kind,
        normal_frame=config.normal.frame,
        feature_files=[file.value for file in config.features.files],
        palette=FeaturePalette.of(features.cpu()) if "features" in outputs and features is not None else None,
    )
    hidden = ["alpha"] if "features" in outputs and "alpha" not in outputs else []
    for shot in console.track(studio.stills, len(studio.stills), "views"):
        made = studio.take(shot, [*outputs, *hidden])
        shown = writer.write(shot.name, made, shot.camera, outputs)
        for output, picture in shown.items():
            sheet.add(shot.name, output, images.to_bytes(picture))
        if "rgb" in shown:
            yield images.opaque(shown["rgb"])
    writer.finish()


def _write_turntable(studio: Studio, folder: Path, console: Console) -> list[Picture]:
    """The video; returns some of its frames for the contact sheet."""
    count, small = studio.config.turntable, []
    shown = min(count, SHEET_COLUMNS)
    chosen = {i * count // shown for i in range(shown)}

    def frames() -> Iterator[Picture]:
        for number, shot in enumerate(console.track(studio.turntable(), count, "turntable")):
            frame = images.opaque(studio.take(shot, ["rgb"])["rgb"])
            if number in chosen:
                small.append(images.thumbnail(frame))
            yield frame

    images.write_video(folder / f"turntable.{studio.config.video.value}", frames(), fps=studio.config.fps)
    return small
