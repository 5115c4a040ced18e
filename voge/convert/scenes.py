"""Models and scene files as objects of one scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from voge.convert.files import Converted, load_model, load_object
from voge.convert.settings import Conversion
from voge.io.scenes import SUFFIXES, SceneObject, free_name, load_scene


@dataclass(frozen=True, eq=False)
class Placed:
    """A model and where it stands."""

    path: Path  # of the model, or of the scene file that has it as a primitive
    name: str
    entry: SceneObject | None = None  # of a scene file

    @property
    def pose(self) -> Tensor | None:
        """Object to world (4, 4), or None where both are the same."""
        return None if self.entry is None else self.entry.pose

    def load(self, conversion: Conversion | None = None) -> Converted:
        """Ellipsoids of the object in its own frame; errors are those of `voge.convert.files.load_object`."""
        if self.entry is None:
            return load_model(self.path, conversion)
        return load_object(self.path, self.entry, conversion)


def find_objects(models: Sequence[str | Path]) -> tuple[list[Placed], Path | None]:
    """Take scene files apart.

    Args:
        models: files of ellipsoids, meshes, points or scenes.

    Returns:
        All objects under names of their own, and the camera file of the first scene that names one.

    Raises:
        DataError: a scene file is missing or malformed.
    """
    found: list[Placed] = []
    cameras = None
    for model in map(Path, models):
        taken = {placed.name for placed in found}
        if model.suffix.lower() not in SUFFIXES:
            found.append(Placed(model, free_name(model.stem, taken)))
            continue
        scene = load_scene(model)
        cameras = cameras or scene.cameras
        for entry in scene.objects:
            found.append(Placed(entry.model or model, free_name(entry.name, taken), entry))
            taken.add(found[-1].name)
    return found, cameras
