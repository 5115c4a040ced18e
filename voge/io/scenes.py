"""Scene files: several models with their poses in one world, as JSON or YAML.

    {"objects": [{"model": "cow.safetensors", "name": "cow", "pose": {"translation": [0.5, 0, 0], "scale": 2}}],
     "cameras": "transforms.json"}

`pose` maps the object's to the world's frame: 4 rows of 4 numbers, or keys of POSE, by default the
identity. Paths are relative to the scene file. `cameras` may be left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from voge.io import DataError
from voge.similarity import axis_quat, check_similarity, euler_quat, similarity

SUFFIXES = (".json", ".yaml", ".yml")
SCENE = ("objects", "cameras")
OBJECT = ("model", "pose", "name")
ROTATIONS: dict[str, tuple[int, Callable[[list[float]], Tensor]]] = {
    "rotation_euler": (3, lambda turns: euler_quat(*turns)),  # degrees about x, then y, then z, axes fixed
    "rotation_axis": (4, lambda turn: axis_quat(turn[:3], turn[3])),  # x, y, z, degrees
    "rotation_quat": (4, lambda quat: torch.tensor(quat, dtype=torch.float64)),  # w, x, y, z
}
POSE = ("translation", *ROTATIONS, "scale")


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """A model of a scene file and where it stands."""

    model: Path
    name: str
    pose: Tensor  # (4, 4) float64, object to world


@dataclass(frozen=True, slots=True, eq=False)
class SceneFile:
    """What a scene file says."""

    objects: tuple[SceneObject, ...]
    cameras: Path | None = None


def load_scene(path: str | Path) -> SceneFile:
    """Read a scene file; the models themselves are not read.

    Raises:
        DataError: the file is missing or malformed; one line with the entry, the rule and the nearest right key.
    """
    path = Path(path)
    parsed = _parse(path)
    if isinstance(parsed, dict) and not any(get_close_matches(str(key), ["objects"]) for key in parsed):
        remedy = 'write "objects": [{"model": "FILE"}]; a file of cameras is given with --cameras'
        raise DataError(path, "is no scene: it has no objects", remedy)
    content = _mapping(path, "the scene", parsed, SCENE)
    objects = content["objects"]
    if not isinstance(objects, list) or not objects:
        raise DataError(path, "must have a list of objects", 'write "objects": [{"model": "FILE"}]')
    made: list[SceneObject] = []
    for number, entry in enumerate(objects):
        made.append(_object(path, number, entry, {earlier.name for earlier in made}))
    cameras = content.get("cameras")
    if not isinstance(cameras, str | None):
        raise DataError(path, f"cameras must name a file, got {cameras}")
    return SceneFile(tuple(made), None if cameras is None else path.parent / cameras)


def _parse(path: Path) -> Any:
    if not path.is_file():
        raise DataError(path, "is a folder, not a scene file" if path.is_dir() else "no such file")
    as_json = path.suffix.lower() == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if as_json else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(path, f"is no {'JSON' if as_json else 'YAML'} ({error})") from error


def _object(path: Path, number: int, entry: Any, taken: Collection[str]) -> SceneObject:
    where = f"objects[{number}]"
    if isinstance(entry, str):
        entry = {"model": entry}
    content = _mapping(path, where, entry, OBJECT)
    model = content.get("model")
    if not isinstance(model, str):
        raise DataError(path, f"{where} must have a model", "name a file of ellipsoids, a mesh or points")
    name = str(content.get("name", free_name(Path(model).stem, taken)))
    if name in taken:
        raise DataError(path, f"has several objects named '{name}'", "give each a name of its own")
    pose = content.get("pose", {})
    try:
        matrix = _matrix(pose) if isinstance(pose, list) else _composed(path, f"{where}.pose", pose)
        check_similarity(matrix)
    except DataError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(path, f"{where}.pose {error}") from error
    return SceneObject(path.parent / model, name, matrix)


def free_name(stem: str, taken: Collection[str]) -> str:
    """The stem, or where that is taken the stem with the first free number: cow, cow_2, cow_3."""
    candidates = (stem if number == 1 else f"{stem}_{number}" for number in range(1, len(taken) + 2))
    return next(name for name in candidates if name not in taken)


def _matrix(rows: list[Any]) -> Tensor:
    if len(rows) != 4 or not all(isinstance(row, list) and len(row) == 4 for row in rows):
        raise ValueError("must be 4 rows of 4 numbers, from the object's to the world's frame")
    return torch.tensor([_numbers("pose", row, 4) for row in rows], dtype=torch.float64)


def _composed(path: Path, where: str, pose: Any) -> Tensor:
    content = _mapping(path, where, pose, POSE)
    given = [name for name in ROTATIONS if name in content]
    if len(given) > 1:
        raise DataError(path, f"{where} has {' and '.join(given)}", "give one rotation")
    scale = content.get("scale", 1.0)
    if isinstance(scale, bool) or not isinstance(scale, int | float) or not 0 < scale < math.inf:
        raise ValueError(f"scale must be one positive number, got {scale}")
    translation = _numbers("translation", content.get("translation", [0, 0, 0]), 3)
    quat = None
    for name in given:
        count, convert = ROTATIONS[name]
        numbers = _numbers(name, content[name], count)
        if name != "rotation_euler" and not any(numbers[: 3 if name == "rotation_axis" else 4]):
            raise ValueError(f"{name} must not be zero, got {numbers}")
        quat = convert(numbers)
    return similarity(translation, quat, scale)


def _numbers(name: str, value: Any, count: int) -> list[float]:
    good = isinstance(value, list) and len(value) == count
    if not good or any(isinstance(n, bool) or not isinstance(n, int | float) or not math.isfinite(n) for n in value):
        raise ValueError(f"{name} must be {count} finite numbers, got {value}")
    return [float(number) for number in value]


def _mapping(path: Path, where: str, value: Any, known: Collection[str]) -> Mapping[str, Any]:
    """A mapping without unknown keys; the error names the nearest right one."""
    if not isinstance(value, dict):
        raise DataError(path, f"{where} must have keys and values ({', '.join(known)}), got {type(value).__name__}")
    for key in value:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise DataError(path, f"{where} has an unknown key '{key}'", hint)
    return value
