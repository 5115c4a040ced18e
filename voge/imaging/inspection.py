"""Files of cameras: what they hold, how a model stands before them, and a picture of both.

    inspected = inspect_cameras("transforms.json", InspectionSettings(model="cow.obj"))
    write_png("cameras.png", inspected.draw())

`inspected.document()` is what `voge cameras --json` prints.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.convert.files import Converted, load_model
from voge.errors import SettingsError
from voge.imaging.overview import draw_overview
from voge.imaging.scale_check import Proportions, proportions, sanity
from voge.imaging.settings import InspectionSettings
from voge.io.cameras import View, Views, load_cameras
from voge.io.settings import parse_size
from voge.scene.ellipsoids import Ellipsoids


@dataclass(frozen=True, eq=False)
class Inspected:
    """Cameras of a file, and what they look at."""

    path: str
    views: Views
    settings: InspectionSettings
    model: Ellipsoids | None = None  # on the CPU
    notes: tuple[str, ...] = ()  # what the user should know of the files, a line each

    @cached_property
    def proportions(self) -> Proportions | None:
        """Size of the model in every view, or None without a model."""
        return None if self.model is None else proportions(self.model, self.views)

    def warnings(self) -> list[str]:
        """Say what looks wrong between cameras and model, a line each."""
        return [] if self.model is None else sanity(self.model, self.views)

    def document(self) -> dict[str, Any]:
        """Give what a user asks about cameras first, as plain numbers and strings."""
        sights = [None] * len(self.views) if self.proportions is None else self.proportions.sights
        items = [_view(view, sight) for view, sight in zip(self.views, sights, strict=True)]
        document = {"file": self.path, "format": self.views.format, "units": self.views.units, "views": items}
        if self.model is None or self.proportions is None:
            return document
        units = self.model.metadata.get("units", "unknown")
        model = {"diameter": _short(self.proportions.diameter), "units": units, "summary": str(self.proportions)}
        return {**document, "model": model, "warnings": self.warnings()}

    def draw(self, device: str | torch.device = "cpu") -> NDArray[np.uint8]:
        """Draw cameras and model, rendered on a device; returns (H, W, 3)."""
        wanted, model = self.settings, self.model
        if model is not None:
            model = model.to(device)
            if model.features is not None and model.features.shape[1] not in (1, 3):
                model = replace(model, features=None)  # no colors: gray shows where it is
        return draw_overview(
            list(self.views),
            model,
            wanted.settings,
            size=parse_size(wanted.size),
            azimuth=wanted.azimuth,
            elevation=wanted.elevation,
            up=wanted.up.value,
        )


def inspect_cameras(path: str | Path, settings: InspectionSettings | None = None) -> Inspected:
    """Read a file of cameras and the model that they look at, as `voge cameras` does.

    Args:
        path: a file or folder of cameras.
        settings: what the file leaves open, and the model; a pose.json names its own.

    Raises:
        DataError: a file cannot be used.
        SettingsError: the file is in other units than the settings say.
    """
    settings = settings or InspectionSettings()
    views = load_cameras(
        path,
        settings.format,
        size=parse_size(settings.image_size) if settings.image_size else None,
        convention=settings.convention and settings.convention.value,
        direction=settings.direction and settings.direction.value,
        object_id=settings.object_id,
    )
    if settings.units is not None and views.units != settings.units.value:
        if views.units != "unknown":
            raise SettingsError(f"{path} is in {views.units}, not {settings.units.value}; leave --units out")
        views = replace(views, units=settings.units.value)
    loaded = _model(path, views, settings)
    notes = (*loaded.notes, *(f"{path}: {note}" for note in views.notes))
    return Inspected(str(path), views, settings, loaded.ellipsoids, notes)


@dataclass(frozen=True, eq=False)
class _Model:
    """A model, or why there is none."""

    ellipsoids: Ellipsoids | None = None
    notes: tuple[str, ...] = ()


def _model(path: str | Path, views: Views, settings: InspectionSettings) -> _Model | Converted:
    """The model given, or the one that a pose.json names."""
    model = Path(settings.model) if settings.model else views.model_path
    if model is None:
        return _Model()
    if settings.model is None and not model.exists():
        return _Model(None, (f"{path}: its model {model} is not there, so nothing is checked against it",))
    return load_model(model, settings.convert)


def _view(view: View, sight: Any) -> dict[str, Any]:
    (fx, skew, cx), (_, fy, cy), _ = view.K.tolist()
    cameras = view.cameras()
    item = {
        "name": view.name,
        "width": view.width,
        "height": view.height,
        "focal": [_short(fx), _short(fy)],
        "principal_point": [_short(cx), _short(cy)],
        "skew": _short(skew),
        "model": view.model.value,
        "distortion": None if view.distortion is None else [_short(k) for k in view.distortion.tolist()],
        "center": [_short(x) for x in cameras.centers[0].tolist()],
        "looks_along": [_short(x) for x in cameras.forwards[0].tolist()],
        "image": None if view.image is None else str(view.image),
        "mask": None if view.mask is None else str(view.mask),
    }
    if sight is None:
        return item
    return {**item, "distance": _short(sight.distance), "object_pixels": _short(sight.size)}


def _short(number: float) -> float:
    # Noise of 1e-17 would fill the table.
    return float(f"{number:.6g}") if abs(number) > 1e-12 else 0.0
