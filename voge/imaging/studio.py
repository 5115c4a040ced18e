"""A scene, the cameras that look at it, and pictures taken by them.

studio = load_studio(["cow.obj"], AlbumSettings(azimuth=[0, 90]))
pictures = studio.take(studio.stills[0], ["rgb", "depth"])
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.convert.scenes import Placed, find_objects
from voge.errors import DataError, SettingsError
from voge.imaging.pictures import GRAY, take_pictures
from voge.imaging.scale_check import proportions, sanity
from voge.imaging.settings import AlbumSettings, Light, Output, parse_background
from voge.io import images
from voge.io.chosen_views import load_views
from voge.io.settings import parse_size
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box, camera_distance
from voge.scene.objects import Scene, assemble
from voge.scene.viewpoints import around, orbit_camera, resized

if TYPE_CHECKING:
    from voge.io.cameras import View, Views

DEFAULT_SIZE = "512x512"
NO_MODEL = "give a model to render: a file of ellipsoids, a mesh, points or a scene file"


@dataclass(frozen=True, eq=False)
class Shot:
    """A view to be taken."""

    name: str  # of its files
    camera: Cameras  # one view
    facts: Mapping[str, Any] = field(default_factory=dict)  # angles, for the JSON document

    def describe(self) -> dict[str, Any]:
        """Name, size and angles, as plain values."""
        return {"name": self.name, "width": self.camera.width, "height": self.camera.height, **self.facts}


@dataclass(frozen=True, eq=False)
class Studio:
    """A scene and how it is looked at. Views are taken one by one, so that memory does not grow with their number."""

    scene: Scene
    settings: AlbumSettings = field(default_factory=AlbumSettings)
    views: Views | None = None  # of a camera file
    notes: tuple[str, ...] = ()  # what the user should know of the files, a line each

    @cached_property
    def target(self) -> tuple[float, float, float]:
        """Middle of the scene: the point that cameras placed by angles look at."""
        return bounding_box(self.scene.ellipsoids).center

    @cached_property
    def distance(self) -> float:
        """Distance of these cameras from the target: as given, or one that shows all of the scene."""
        wanted, (width, height) = self.settings, self._size
        return wanted.distance or max(
            camera_distance(
                self.scene.ellipsoids, e, wanted.fov, width / height, up=wanted.up.value, ortho=wanted.ortho
            )
            for e in wanted.elevation
        )

    @cached_property
    def stills(self) -> list[Shot]:
        """The views of the camera file, or every azimuth at every elevation."""
        if self.views is not None:
            return [self._shot_of(view) for view in self.views]
        angles = [(a, e) for e in self.settings.elevation for a in self.settings.azimuth]
        return [self._orbit(f"{i:04d}", *pair) for i, pair in enumerate(angles)]

    def turntable(self) -> Iterator[Shot]:
        """Once around, from the first azimuth and elevation."""
        azimuths = around(self.settings.turntable, self.settings.azimuth[0])
        return (self._orbit(f"{i:04d}", azimuth, self.settings.elevation[0]) for i, azimuth in enumerate(azimuths))

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """Pictures (H, W, 3) of the turntable, over white where the background is transparent."""
        return (images.opaque(self.take(shot, ["rgb"])["rgb"]) for shot in self.turntable())

    def take(self, shot: Shot, outputs: Sequence[str]) -> dict[str, Tensor]:
        """Take pictures of a view.

        Args:
            shot: the view.
            outputs: names of `voge.imaging.settings.Output`.

        Returns:
            By output, on the CPU: see `voge.imaging.pictures.take_pictures` for shapes and values.
        """
        wanted, ellipsoids = self.settings, self.scene.ellipsoids
        camera = shot.camera.to(ellipsoids.dtype).to(ellipsoids.device)
        with torch.no_grad():
            made = take_pictures(
                ellipsoids,
                camera,
                wanted.settings,
                outputs=outputs,
                background=self._background(camera),
                light=self._light(),
                color_space=wanted.color_space,
                depth_kind=wanted.depth.kind,
                normal_frame=wanted.normal.frame,
            )
        return {name: picture.cpu() for name, picture in made.items()}

    def document(self) -> dict[str, Any]:
        """Give the number of ellipsoids, the objects, the target and the views, as plain values."""
        return {
            "ellipsoids": len(self.scene.ellipsoids),
            "objects": dict(zip(self.scene.names, self.scene.counts, strict=True)),
            "target": list(self.target),
            "views": [shot.describe() for shot in self.stills],
        }

    def summary(self) -> str:
        """Say in a line how large the scene is, where its middle lies, and how far the cameras are."""
        middle = ", ".join(f"{number:.4g}" for number in self.target)
        seen = proportions(self.scene.ellipsoids, [shot.camera for shot in self.stills])
        return f"{len(self.scene.ellipsoids)} ellipsoids around ({middle}); {seen}"

    def warnings(self) -> list[str]:
        """Say what looks wrong between cameras and scene, a line each (see `voge.imaging.scale_check.sanity`)."""
        if self.views is None and self.settings.distance is None:
            return []  # placed to show all of it
        cameras = [shot.camera for shot in self.stills]
        return sanity(self.scene.ellipsoids, cameras, units=self.views.units if self.views else None)

    @property
    def _size(self) -> tuple[int, int]:
        return parse_size(self.settings.size or DEFAULT_SIZE)

    def _orbit(self, name: str, azimuth: float, elevation: float) -> Shot:
        wanted = self.settings
        camera = orbit_camera(
            azimuth,
            elevation,
            self.distance,
            at=self.target,
            size=self._size,
            fov=wanted.fov,
            up=wanted.up.value,
            ortho=wanted.ortho,
        )
        return Shot(name, camera, {"azimuth": azimuth, "elevation": elevation, "distance": self.distance})

    def _shot_of(self, view: View) -> Shot:
        camera = view.cameras()
        return Shot(view.name, resized(camera, *self._size) if self.settings.size else camera)

    def _background(self, camera: Cameras) -> tuple[float, ...] | Tensor | None:
        """As given; a picture covers the view."""
        background = parse_background(self.settings.background)
        if not isinstance(background, Path):
            return background
        return torch.from_numpy(images.cover(self._picture, camera.width, camera.height)).to(camera.Ks)

    @cached_property
    def _picture(self) -> Any:
        return images.read_picture(self.settings.background)

    def _light(self) -> Light:
        """The light that was asked for; without colors, normals are all there is to see."""
        light, ellipsoids = self.settings.light, self.scene.ellipsoids
        shapeless = ellipsoids.features is None and "normals" in ellipsoids.extra
        return Light(enabled=True, ambient=light.ambient, position=light.position) if shapeless else light


def load_studio(
    models: Sequence[str | Path], settings: AlbumSettings | None = None, device: str | torch.device = "cpu"
) -> Studio:
    """Load models as one scene, and the cameras to see it from.

    Args:
        models: files of ellipsoids, meshes, points or scenes; none where a pose.json names its model.
        settings: views, pictures and how files are read.
        device: where the scene lies.

    Raises:
        DataError: a file cannot be used, or lacks what an output needs.
        SettingsError: there is no model, or the camera file has no such view.
    """
    settings = settings or AlbumSettings()
    placed, camera_file = find_objects(models)
    if settings.cameras.file is not None:
        camera_file = Path(settings.cameras.file)
    if camera_file is None and settings.cameras.frames is not None:
        raise SettingsError("--frame chooses from the views of a camera file; give one with --cameras")
    views, notes = None, []
    if camera_file is not None:
        views = load_views(camera_file, settings.cameras, size=settings.pixels)
        notes += [f"{camera_file}: {note}" for note in views.notes] + [f"{len(views)} views of {camera_file}"]
        if not placed and views.model_path is not None:  # a pose.json names its model
            placed = [Placed(views.model_path, views.model_path.stem)]
    if not placed:
        raise SettingsError(NO_MODEL)
    loaded = [each.load(settings.convert) for each in placed]
    notes += [note for each in loaded for note in each.notes]
    sets, gray = _dressed([each.path for each in placed], [each.ellipsoids for each in loaded], settings)
    scene = assemble([each.name for each in placed], sets, [each.pose for each in placed])
    return Studio(scene.to(device), settings, views, (*notes, *gray))


def _dressed(
    paths: Sequence[Path], sets: Sequence[Ellipsoids], settings: AlbumSettings
) -> tuple[Sequence[Ellipsoids], list[str]]:
    """The sets with features that the outputs need, alike in all of them; and a note where some have none."""
    colored = Output.rgb in settings.outputs or settings.turntable > 0
    for path, ellipsoids in zip(paths, sets, strict=True):
        _check_suits(path, ellipsoids, settings, colored)
    if Output.features in settings.outputs:
        _check_channels(paths, sets)
    elif not colored:
        sets = [replace(ellipsoids, features=None) for ellipsoids in sets]
    if not colored:
        return sets, []
    bare = [str(path) for path, ellipsoids in zip(paths, sets, strict=True) if ellipsoids.features is None]
    shaded = " and shaded by their normals" if len(bare) == len(sets) else ""
    if len({_channels(ellipsoids) for ellipsoids in sets}) > 1:
        sets = [_with_colors(ellipsoids) for ellipsoids in sets]
    return sets, [f"without colors, so shown in gray{shaded}: {', '.join(bare)}"] if bare else []


def _channels(ellipsoids: Ellipsoids) -> int:
    return 0 if ellipsoids.features is None else ellipsoids.features.shape[1]


def _check_suits(path: Path, ellipsoids: Ellipsoids, settings: AlbumSettings, colored: bool) -> None:
    """Refuse a model that lacks what an output needs."""
    channels = _channels(ellipsoids)
    if colored and channels not in (0, 1, 3):
        raise DataError(path, f"has {channels} features, which are no colors", "leave rgb and the turntable out")
    if (Output.normal in settings.outputs or settings.light.enabled) and "normals" not in ellipsoids.extra:
        raise DataError(path, "has no normals", "convert it from a mesh or points, or leave normal and light out")


def _check_channels(paths: Sequence[Path], sets: Sequence[Ellipsoids]) -> None:
    """Refuse to render features that are not there, or not alike."""
    first = _channels(sets[0])
    for path, ellipsoids in zip(paths, sets, strict=True):
        if not _channels(ellipsoids):
            raise DataError(path, "has no features", "leave features out of the outputs")
        if _channels(ellipsoids) != first:
            raise DataError(path, f"has {_channels(ellipsoids)} features, {paths[0]} has {first}", "render them apart")


def _with_colors(ellipsoids: Ellipsoids) -> Ellipsoids:
    """The set with colors (N, 3): its own, grays spread over the channels, or the default gray."""
    if ellipsoids.features is None:
        return replace(ellipsoids, features=torch.full_like(ellipsoids.means, GRAY))
    return replace(ellipsoids, features=ellipsoids.features.expand(-1, 3))
