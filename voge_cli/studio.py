"""A scene, the cameras that look at it, and pictures taken by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from voge.imaging.pictures import take_pictures
from voge.imaging.settings import Light, parse_background
from voge.io import images
from voge.io.settings import parse_size
from voge.scene.cameras import Cameras
from voge.scene.extent import bounding_box, camera_distance
from voge.scene.objects import Scene
from voge.scene.viewpoints import orbit_camera, resized
from voge_cli.schemas import RenderConfig

if TYPE_CHECKING:
    from voge.io.cameras import Views

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
    config: RenderConfig
    views: Views | None = None  # of a camera file

    @cached_property
    def target(self) -> tuple[float, float, float]:
        """What cameras look at that are placed by angles: the middle of the scene."""
        return bounding_box(self.scene.ellipsoids).center

    @cached_property
    def distance(self) -> float:
        """Of these cameras from the target: as given, or one that shows all of the scene."""
        config, (width, height) = self.config, self._size
        return config.distance or max(
            camera_distance(
                self.scene.ellipsoids, e, config.fov, width / height, up=config.up.value, ortho=config.ortho
            )
            for e in config.elevation
        )

    @cached_property
    def stills(self) -> list[Shot]:
        """The views of the camera file, or every azimuth at every elevation."""
        if self.views is not None:
            return [self._shot_of(view) for view in self.views]
        angles = [(a, e) for e in self.config.elevation for a in self.config.azimuth]
        return [self._orbit(f"{i:04d}", *pair) for i, pair in enumerate(angles)]

    def turntable(self) -> Iterator[Shot]:
        """Once around, from the first azimuth and elevation."""
        azimuth, elevation, count = self.config.azimuth[0], self.config.elevation[0], self.config.turntable
        return (self._orbit(f"{i:04d}", azimuth + 360 * i / count, elevation) for i in range(count))

    def take(self, shot: Shot, outputs: Sequence[str]) -> dict[str, Tensor]:
        """Pictures of a view, on the CPU."""
        config, ellipsoids = self.config, self.scene.ellipsoids
        camera = shot.camera.to(ellipsoids.dtype).to(ellipsoids.device)
        with torch.no_grad():
            made = take_pictures(
                ellipsoids,
                camera,
                config.settings,
                outputs=outputs,
                background=self._background(camera),
                light=self._light(),
                color_space=config.color_space,
                depth_kind=config.depth.kind,
                normal_frame=config.normal.frame,
            )
        return {name: picture.cpu() for name, picture in made.items()}

    @property
    def _size(self) -> tuple[int, int]:
        return parse_size(self.config.size or DEFAULT_SIZE)

    def _orbit(self, name: str, azimuth: float, elevation: float) -> Shot:
        config = self.config
        camera = orbit_camera(
            azimuth,
            elevation,
            self.distance,
            at=self.target,
            size=self._size,
            fov=config.fov,
            up=config.up.value,
            ortho=config.ortho,
        )
        return Shot(name, camera, {"azimuth": azimuth, "elevation": elevation, "distance": self.distance})

    def _shot_of(self, view: Any) -> Shot:
        camera = view.cameras()
        return Shot(view.name, resized(camera, *self._size) if self.config.size else camera)

    def _background(self, camera: Cameras) -> tuple[float, ...] | Tensor | None:
        """As given; a picture covers the view."""
        background = parse_background(self.config.background)
        if not isinstance(background, Path):
            return background
        return torch.from_numpy(images.cover(self._picture, camera.width, camera.height)).to(camera.Ks)

    @cached_property
    def _picture(self) -> Any:
        return images.read_picture(self.config.background)

    def _light(self) -> Light:
        """The light that was asked for; without colors, normals are all there is to see."""
        light, ellipsoids = self.config.light, self.scene.ellipsoids
        shapeless = ellipsoids.features is None and "normals" in ellipsoids.extra
        return Light(enabled=True, ambient=light.ambient, position=light.position) if shapeless else light
