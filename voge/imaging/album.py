"""The folder that a render leaves: pictures of every view, videos, and a contact sheet of them.

    render_album(["cow.obj"], "cow", AlbumSettings(turntable=48))

The folder holds what `voge render` writes, but for its record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import SettingsError
from voge.imaging.loading import load_studio
from voge.imaging.previews import FeaturePalette
from voge.imaging.settings import AlbumSettings
from voge.imaging.studio import Shot, Studio
from voge.imaging.writer import RenderWriter
from voge.io import images
from voge.io.files import atomic_folder

SHEET_COLUMNS = 8  # at most, and at most as many frames of a turntable
SHEET_VIEWS = 48  # at most, evenly chosen: a sheet of thousands helps nobody

Picture = NDArray[np.uint8]
Track = Callable[[Iterable[Any], int, str], Iterable[Any]]  # gives the items, and tells how many of how many, of what


def untracked(items: Iterable[Any], _total: int, _label: str) -> Iterable[Any]:
    """The items themselves: nothing is told of progress."""
    return items


def render_album(
    models: Sequence[str | Path],
    folder: str | Path,
    settings: AlbumSettings | None = None,
    *,
    device: str | torch.device = "cpu",
    track: Track = untracked,
) -> Studio:
    """Render models into a folder, as `voge render` does; a folder that is there is replaced.

    Args:
        models: files of ellipsoids, meshes, points or scenes: one scene.
        folder: for OUTPUT/VIEW files, the videos, and sheet.png of both.
        settings: which pictures, and how.
        device: where.
        track: wraps the views while they are rendered, to tell of progress.

    Returns:
        The scene and its views, with notes on the files.

    Raises:
        DataError: a file cannot be used, or lacks what an output needs.
        SettingsError: there is no model, the camera file has no such view, or a video cannot be written.
    """
    studio = load_studio(models, settings, device)
    with atomic_folder(folder) as staging:
        write_album(studio, staging, track)
    return studio


def _check_videos(studio: Studio) -> None:
    """Refuse before rendering what could not be written after it."""
    settings = studio.settings
    if settings.turntable or settings.film:
        images.check_video(f"a.{settings.video.value}")
    if settings.film:
        if "rgb" not in settings.outputs:
            raise SettingsError("a film is made of rgb; add it to --outputs, or leave --film out")
        sizes = {(shot.camera.width, shot.camera.height) for shot in studio.stills}
        if len(sizes) > 1:
            found = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:4])
            raise SettingsError(f"a film needs views of one size, these have {found}; give one with --size")


def write_album(studio: Studio, folder: Path, track: Track = untracked) -> None:
    """Write all that the settings ask for: OUTPUT/VIEW files, the videos, and sheet.png of both.

    Raises:
        SettingsError: a video cannot be written here, or not of these views.
    """
    _check_videos(studio)
    sheet = _Sheet(studio.stills)
    rgb = _write_stills(studio, folder, track, sheet)
    if studio.settings.film:
        images.write_video(folder / f"film.{studio.settings.video.value}", rgb, fps=studio.settings.fps)
    else:
        for _ in rgb:
            pass
    rows = sheet.rows(len(studio.settings.azimuth) if studio.views is None else 1)
    if studio.settings.turntable:
        frames = _write_turntable(studio, folder, track)
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


def _write_stills(studio: Studio, folder: Path, track: Track, sheet: _Sheet) -> Iterator[Picture]:
    """Write the outputs of every view; gives the colors over white or the background, for a film."""
    settings = studio.settings
    outputs = [output.value for output in settings.outputs]
    features = studio.scene.ellipsoids.features
    writer = RenderWriter(
        folder=folder,
        scene=studio.scene,
        depth_kind=settings.depth.kind,
        normal_frame=settings.normal.frame,
        feature_files=[file.value for file in settings.features.files],
        palette=FeaturePalette.of(features.cpu()) if "features" in outputs and features is not None else None,
    )
    hidden = ["alpha"] if "features" in outputs and "alpha" not in outputs else []
    for shot in track(studio.stills, len(studio.stills), "views"):
        made = studio.take(shot, [*outputs, *hidden])
        shown = writer.write(shot.name, made, shot.camera, outputs)
        for output, picture in shown.items():
            sheet.add(shot.name, output, images.to_bytes(picture))
        if "rgb" in shown:
            yield images.opaque(shown["rgb"])
    writer.finish()


def _write_turntable(studio: Studio, folder: Path, track: Track) -> list[Picture]:
    """The video; returns some of its frames for the contact sheet."""
    count, small = studio.settings.turntable, []
    shown = min(count, SHEET_COLUMNS)
    chosen = {i * count // shown for i in range(shown)}

    def frames() -> Iterator[Picture]:
        for number, frame in enumerate(track(studio.frames(), count, "turntable")):
            if number in chosen:
                small.append(images.thumbnail(frame))
            yield frame

    images.write_video(folder / f"turntable.{studio.settings.video.value}", frames(), fps=studio.settings.fps)
    return small
