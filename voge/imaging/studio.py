"""A scene, the cameras that look at it, and pictures taken by them.

    studio = voge.imaging.load_studio(["cow.obj"], AlbumSettings(azimuth=[0, 90]))
    pictures = studio.take(studio.stills[0], ["rgb", "depth"])

Pictures are tensors on the CPU; `voge.imaging.album` writes them into a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.imaging.pictures import take_pictures
from voge.imaging.scale_check import proportions, sanity
from voge.imaging.settings import AlbumSettings, Light, parse_background
from voge.io import images
from voge.io.settings import parse_size
from voge.scene.cameras import Cameras
from voge.scene.extent import bounding_box, camera_distance
from voge.scene.objects import Scene
from voge.scene.viewpoints import around, orbit_camera, resized

if TYPE_CHECKING:
    from voge.io.cameras import View, Views

DEFAULT_SIZE = "512x512"


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
