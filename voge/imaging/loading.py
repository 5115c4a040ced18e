"""Models and scene files as one scene that has what the pictures of it need.

    studio = load_studio(["cow.obj"], AlbumSettings(azimuth=[0, 90]))

Objects of scene files stand where their poses say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from voge.convert.scenes import Placed, find_objects
from voge.errors import DataError, SettingsError
from voge.imaging.pictures import GRAY
from voge.imaging.settings import AlbumSettings, Output
from voge.imaging.studio import Studio
from voge.io.chosen_views import load_views
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.objects import assemble

NO_MODEL = "give a model to render: a file of ellipsoids, a mesh, points or a scene file"


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
