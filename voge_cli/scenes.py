"""What `voge render` is given, as one scene that has what the outputs need, and the cameras to see it from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from voge.convert.files import load_model
from voge.convert.primitives import primitive
from voge.convert.settings import Conversion
from voge.errors import DataError
from voge.imaging.pictures import GRAY
from voge.imaging.settings import Output
from voge.io.scenes import SUFFIXES, free_name, load_scene
from voge.io.settings import CameraFile
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.objects import Scene, assemble
from voge_cli.console import Console
from voge_cli.schemas import RenderConfig

if TYPE_CHECKING:
    from voge.io.cameras import Views


@dataclass(frozen=True, eq=False)
class Placed:
    """A model file and where it stands."""

    path: Path
    name: str
    pose: Tensor | None = None
    primitive: Mapping[str, Any] | None = None  # in place of a file: what `voge.convert.primitives.primitive` takes


def find_objects(config: RenderConfig) -> tuple[list[Placed], Path | None]:
    """The models given, scene files taken apart; and the camera file: the one given, else a scene's."""
    found: list[Placed] = []
    cameras = None
    for model in map(Path, config.models):
        if model.suffix.lower() not in SUFFIXES:
            found.append(Placed(model, free_name(model.stem, {placed.name for placed in found})))
            continue
        scene = load_scene(model)
        cameras = cameras or scene.cameras
        for entry in scene.objects:
            name = free_name(entry.name, {placed.name for placed in found})
            found.append(Placed(entry.model or model, name, entry.pose, entry.primitive))
    return found, Path(config.cameras.file) if config.cameras.file else cameras


def load_objects(placed: Sequence[Placed], config: RenderConfig, console: Console) -> Scene:
    """All models as one scene.

    Raises:
        voge.errors.DataError: a file cannot be used, or lacks what an output needs.
    """
    paths = [each.path for each in placed]
    sets = [load_one(each, config.convert, console) for each in placed]
    for path, made in zip(paths, sets, strict=True):
        _check_suits(path, made, config)
    if "features" in config.outputs:
        _check_channels(paths, sets)
    elif not _colors_needed(config):
        sets = [replace(made, features=None) for made in sets]
    if _colors_needed(config):
        if bare := [str(path) for path, made in zip(paths, sets, strict=True) if made.features is None]:
            shaded = " and shaded by their normals" if len(bare) == len(sets) else ""
            console.note(f"without colors, so shown in gray{shaded}: {', '.join(bare)}")
        if len({_channels(made) for made in sets}) > 1:
            sets = [_with_colors(made) for made in sets]
    return assemble([each.name for each in placed], sets, [each.pose for each in placed])


def load_one(placed: Placed, convert: Conversion, console: Console) -> Ellipsoids:
    """One object in its own frame.

    Raises:
        voge.errors.DataError: the file cannot be used, or the primitive is wrong.
    """
    if placed.primitive is None:
        return console.told(load_model(placed.path, convert)).ellipsoids
    try:
        return primitive(**{"shape": "cuboid", "size": (1, 1, 1), **placed.primitive})
    except (ValueError, TypeError) as error:
        raise DataError(placed.path, f"{placed.name}: {error}") from error


def load_views(path: Path, given: CameraFile, size: tuple[int, int] | None, console: Console) -> Views:
    """The views of a camera file that were chosen (see `voge.io.chosen_views`); the console is told its notes."""
    from voge.io.chosen_views import load_views as load

    views = load(path, given, size=size)
    for note in views.notes:
        console.note(f"{path}: {note}")
    return views


def _colors_needed(config: RenderConfig) -> bool:
    return Output.rgb in config.outputs or config.turntable > 0


def _channels(ellipsoids: Ellipsoids) -> int:
    return 0 if ellipsoids.features is None else ellipsoids.features.shape[1]


def _check_suits(path: Path, ellipsoids: Ellipsoids, config: RenderConfig) -> None:
    """Refuse a model that lacks what an output needs."""
    channels = _channels(ellipsoids)
    if _colors_needed(config) and channels not in (0, 1, 3):
        raise DataError(path, f"has {channels} features, which are no colors", "leave rgb and the turntable out")
    if (Output.normal in config.outputs or config.light.enabled) and "normals" not in ellipsoids.extra:
        raise DataError(path, "has no normals", "convert it from a mesh or points, or leave normal and light out")


def _check_channels(paths: Sequence[Path], sets: Sequence[Ellipsoids]) -> None:
    """Refuse to render features that are not there, or not alike."""
    first = _channels(sets[0])
    for path, made in zip(paths, sets, strict=True):
        if not _channels(made):
            raise DataError(path, "has no features", "leave features out of the outputs")
        if _channels(made) != first:
            raise DataError(path, f"has {_channels(made)} features, {paths[0]} has {first}", "render them apart")


def _with_colors(ellipsoids: Ellipsoids) -> Ellipsoids:
    """The set with colors (N, 3): its own, grays spread over the channels, or the default gray."""
    if ellipsoids.features is None:
        return replace(ellipsoids, features=torch.full_like(ellipsoids.means, GRAY))
    return replace(ellipsoids, features=ellipsoids.features.expand(-1, 3))
