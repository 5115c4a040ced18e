"""Scene files to occlusion problems, and solved ones to files: what `voge occlusion` does, for Python.

solved = voge.occlusion.solve_scene("scene.json", ["photo.png"])
solved.solution.poses, solved.document()
solved.save("folder")
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voge.convert.files import load_object
from voge.errors import DataError
from voge.geometry import rigid
from voge.imaging.pictures import GRAY
from voge.io.bop import save_poses
from voge.io.files import atomic_file
from voge.io.scenes import SceneFile, SceneObject, load_scene, save_scene
from voge.occlusion.problem import Bodies, Body, Freedom, Target
from voge.occlusion.settings import Loss, SceneSettings
from voge.occlusion.solution import Solution, solve
from voge.occlusion.targets import load_targets

PACKAGED = ("cuboids",)  # scenes that come with the package


@dataclass(frozen=True, eq=False)
class Problem:
    """An occlusion problem as files tell it."""

    scene: SceneFile
    bodies: Bodies
    targets: list[Target]
    notes: tuple[str, ...] = ()  # what the user should know of the files, a line each

    @property
    def names(self) -> list[str]:
        """The objects' names, in order."""
        return [body.name for body in self.bodies.bodies]

    @property
    def truth(self) -> Tensor | None:
        """The poses (O, 4, 4) float64 where the objects really stand, where the scene says that of all."""
        poses = [entry.truth for entry in self.scene.objects if entry.truth is not None]
        return torch.stack(poses) if len(poses) == len(self.scene.objects) else None


@dataclass(frozen=True, eq=False)
class SolvedScene:
    """A problem of files and its solution."""

    problem: Problem
    solution: Solution

    def document(self) -> dict[str, Any]:
        """The figures as plain numbers and texts; what is not known is null."""
        solution = self.solution
        return {
            "cost": solution.cost,
            "steps": len(solution.path),
            "hides": self._hides(),
            "warnings": list(solution.warnings),
            "convention": "object_to_world: 4x4, column vectors; world right-handed, cameras OpenCV",
            "objects": {name: self._object(number) for number, name in enumerate(self.problem.names)},
        }

    def save(self, folder: str | Path) -> None:
        """Write scene.json with the poses found, scene_gt.json (see `voge.io.bop`) and order.json (who hides whom)."""
        folder, poses = Path(folder), self.solution.poses
        folder.mkdir(parents=True, exist_ok=True)
        save_scene(folder / "scene.json", self.problem.scene, poses)
        viewmats = [target.camera.viewmats[0].double().cpu() for target in self.problem.targets]
        save_poses(folder / "scene_gt.json", [viewmat @ poses for viewmat in viewmats])
        order = {"objects": self.problem.names, "hides": self._hides()}
        with atomic_file(folder / "order.json") as temporary:
            temporary.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")

    def _hides(self) -> list[list[str]]:
        names = self.problem.names
        return [[names[i], names[j]] for i, j in self.solution.order]

    def _object(self, number: int) -> dict[str, Any]:
        solution, truth, bodies = self.solution, self.problem.truth, self.problem.bodies
        margin = float(solution.margins[number])
        figures = {
            "visible": round(float(solution.visible[number]), 4),
            "evidence": round(float(solution.evidence[number]), 4),
            "margin": None if math.isnan(margin) else round(margin, 4),
            "object_to_world": solution.poses[number].tolist(),
        }
        if truth is None:
            return figures
        away = (bodies.centers(solution.poses) - bodies.centers(truth)).norm(dim=1)
        turned = rigid.angle_between(solution.poses, truth)
        return figures | {"position_error": float(away[number]), "rotation_error": float(turned[number])}


def solve_scene(
    path: str | Path,
    images: Sequence[str | Path] = (),
    settings: SceneSettings | None = None,
    *,
    device: torch.device | str = "cpu",
) -> SolvedScene:
    """Find the poses with which a scene file's objects look like their pictures, as `voge occlusion` does.

    Args:
        path: a scene file (docs/occlusion.md), or the name of a packaged one.
        images: target pictures, one a camera, in place of the scene's.
        settings: how files are read and poses are found.
        device: where to compute.

    Raises:
        DataError: a file cannot be used, or does not suit the others.
        DivergedError, FloatingPointError: a picture is not finite.
    """
    settings = settings or SceneSettings()
    problem = load_problem(path, images, settings, device=device)
    return SolvedScene(problem, solve(problem.bodies.bodies, problem.targets, settings.problem))


def load_problem(
    path: str | Path,
    images: Sequence[str | Path] = (),
    settings: SceneSettings | None = None,
    *,
    device: torch.device | str = "cpu",
) -> Problem:
    """Read a scene file with its objects, cameras and target pictures; float32. See `solve_scene`."""
    settings, device = settings or SceneSettings(), torch.device(device)
    if str(path) in PACKAGED and not Path(path).exists():
        path = str(files("voge.assets") / f"{path}.json")
    path = Path(path)
    scene = load_scene(path)
    if settings.cameras.file is not None:
        scene = replace(scene, cameras=Path(settings.cameras.file), orbit=None)
    loaded = [load_object(path, entry, settings.convert) for entry in scene.objects]
    made = [_body(path, entry, each.ellipsoids, settings) for entry, each in zip(scene.objects, loaded, strict=True)]
    bodies = Bodies([replace(body, ellipsoids=body.ellipsoids.to(device)) for body in made])
    channels = {0 if b.ellipsoids.features is None else b.ellipsoids.features.shape[1] for b in bodies.bodies}
    if len(channels) > 1:
        raise DataError(path, f"has objects with {sorted(channels)} features", "give all the same number")
    targets = load_targets(path, scene, [Path(image) for image in images], bodies, settings)
    return Problem(scene, bodies, targets, tuple(note for each in loaded for note in each.notes))


def _body(path: Path, entry: SceneObject, ellipsoids: Any, settings: SceneSettings) -> Body:
    if ellipsoids.features is None and Loss.color in settings.losses:
        ellipsoids = replace(ellipsoids, features=torch.full_like(ellipsoids.means, GRAY))
    try:
        return Body(entry.name, ellipsoids.to(torch.float32), entry.pose, _freedom(entry.free), entry.center)
    except (ValueError, TypeError) as error:
        raise DataError(path, f"{entry.name}: free.{error}") from error


def _freedom(free: Mapping[str, Any]) -> Freedom:
    """A Freedom of a scene file's `free`; a single true or false stands for all three axes."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in free.items()}
    for name in ("translation", "rotation"):
        if isinstance(values.get(name), bool):
            values[name] = (values[name],) * 3
    return Freedom(**values)
