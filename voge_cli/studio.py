"""Pictures of one scene from planned views, written as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.cameras import CameraModel, Cameras, intrinsics, orbit
from voge.ellipsoids import Ellipsoids
from voge.io import images
from voge.pictures import Light, show_depth, show_normals, take_pictures
from voge.placement import bounding_box, camera_distance
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.schemas import RenderConfig, parse_background, parse_size

SHEET_COLUMNS = 8  # at most, and at most as many frames of a turntable
DEPTH_KIND = "ray distance"  # mean along the ray from the camera, divided by alpha


@dataclass(frozen=True)
class View:
    """A camera's place, in degrees and world units."""

    azimuth: float
    elevation: float
    distance: float


@dataclass(frozen=True, eq=False)
class Studio:
    """A scene and how it is looked at."""

    scene: Ellipsoids
    config: RenderConfig
    target: tuple[float, float, float]  # what the cameras look at: the middle of the scene
    distance: float

    @classmethod
    def around(cls, scene: Ellipsoids, config: RenderConfig) -> Studio:
        """Cameras around the middle of a scene, at a distance that shows all of it unless one is given."""
        width, height = parse_size(config.size)
        distance = config.distance or max(
            camera_distance(scene, e, config.fov, width / height, up=config.up.value, ortho=config.ortho)
            for e in config.elevation
        )
        return cls(scene, config, bounding_box(scene).center, distance)

    def stills(self) -> list[View]:
        """Every azimuth at every elevation."""
        return [View(a, e, self.distance) for e in self.config.elevation for a in self.config.azimuth]

    def turntable(self) -> list[View]:
        """Once around from the first view."""
        start, count = self.stills()[0], self.config.turntable
        return [View(start.azimuth + 360 * i / count, start.elevation, self.distance) for i in range(count)]

    def camera(self, view: View) -> Cameras:
        """The camera of a view, on the scene's device."""
        width, height = parse_size(self.config.size)
        viewmat = orbit(view.azimuth, view.elevation, view.distance, at=self.target, up=self.config.up.value)
        K = intrinsics(width, height, fov=self.config.fov)
        if self.config.ortho:  # pixels a world unit, the same as the pinhole camera has at the target
            K = intrinsics(width, height, focal=float(K[0, 0]) / view.distance)
        model = CameraModel.orthographic if self.config.ortho else CameraModel.pinhole
        cameras = Cameras(viewmat[None], K[None], width, height, model)
        return cameras.to(self.scene.dtype).to(self.scene.device)

    def take(self, view: View, outputs: Sequence[str], *, opaque: bool = False) -> dict[str, Tensor]:
        """Pictures of a view, on the CPU; `opaque` puts white behind a transparent background."""
        background = parse_background(self.config.background) or ((1, 1, 1) if opaque else None)
        with torch.no_grad():
            made = take_pictures(
                self.scene,
                self.camera(view),
                self.config.settings,
                outputs=outputs,
                background=background,
                light=self._light(),
            )
        return {name: picture.cpu() for name, picture in made.items()}

    def _light(self) -> Light:
        """The light that was asked for; without colours, normals are all there is to see."""
        light = self.config.light
        shapeless = self.scene.features is None and "normals" in self.scene.extra
        return Light(enabled=True, ambient=light.ambient, position=light.position) if shapeless else light


def write_pictures(studio: Studio, folder: Path, console: Console) -> None:
    """All that the config asks for: <output>/<view>.png, depth also .npz, the turntable, and sheet.png of both."""
    if studio.config.turntable:
        try:
            images.check_video(_video_path(studio, folder))
        except RuntimeError as error:
            raise UsageError(f"{error} (video=gif)") from error
    rows = _write_stills(studio, folder, console)
    if studio.config.turntable:
        frames = _write_turntable(studio, folder, console)
        columns = max(4, *map(len, rows))
        rows += [frames[i : i + columns] for i in range(0, len(frames), columns)]
    images.write_png(folder / "sheet.png", images.contact_sheet(rows))


def _write_stills(studio: Studio, folder: Path, console: Console) -> list[list[NDArray[np.uint8]]]:
    """Rows for the contact sheet: the outputs of a single view side by side, else a row of views an output."""
    outputs = [output.value for output in studio.config.outputs]
    for name in outputs:
        (folder / name).mkdir()
    small: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in outputs}
    views = studio.stills()
    for number, view in enumerate(console.track(views, len(views), "views")):
        for name, picture in studio.take(view, outputs).items():
            shown = _write_picture(folder / name / f"{number:04d}", name, picture, studio.camera(view))
            small[name].append(images.thumbnail(shown))
    if "depth" in outputs:
        _write_depth_pngs(folder / "depth")
    if len(views) == 1:
        return [[small[name][0] for name in outputs]]
    azimuths = len(studio.config.azimuth)
    columns = min(azimuths if azimuths > 1 else len(views), SHEET_COLUMNS)
    return [small[name][i : i + columns] for name in outputs for i in range(0, len(views), columns)]


def _write_turntable(studio: Studio, folder: Path, console: Console) -> list[NDArray[np.uint8]]:
    """The video; returns some of its frames for the contact sheet."""
    views = studio.turntable()
    frames = [
        images.to_bytes(studio.take(view, ["rgb"], opaque=True)["rgb"])
        for view in console.track(views, len(views), "turntable")
    ]
    images.write_video(_video_path(studio, folder), frames, fps=studio.config.fps)
    shown = min(len(frames), SHEET_COLUMNS)
    return [images.thumbnail(frames[i * len(frames) // shown]) for i in range(shown)]


def _video_path(studio: Studio, folder: Path) -> Path:
    return folder / f"turntable.{studio.config.video.value}"


def _write_picture(stem: Path, output: str, picture: Tensor, camera: Cameras) -> Tensor:
    """Write one picture, except depth's PNG; returns what a person can look at."""
    if output == "depth":
        images.write_npz(
            stem.with_suffix(".npz"),
            depth=picture,
            kind=DEPTH_KIND,
            K=camera.Ks[0].cpu(),
            viewmat=camera.viewmats[0].cpu(),
        )
        return show_depth(picture)
    shown = show_normals(picture) if output == "normal" else picture
    text = {"normal_frame": "world", "normal_code": "(n + 1) / 2"} if output == "normal" else {}
    images.write_png(stem.with_suffix(".png"), shown, text)
    return shown


def _write_depth_pngs(folder: Path) -> None:
    """One scale for all views, so that they compare; it is known only when all are rendered."""
    paths = sorted(folder.glob("*.npz"))
    farthest = max(float(_read_depth(path).max()) for path in paths)
    scale = farthest / images.DEPTH_STEPS or 1.0
    for path in paths:
        images.write_depth_png(path.with_suffix(".png"), _read_depth(path), scale=scale, kind=DEPTH_KIND)


def _read_depth(path: Path) -> NDArray[np.float32]:
    with np.load(path) as arrays:
        return arrays["depth"]
