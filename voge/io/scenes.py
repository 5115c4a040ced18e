"""Scene files: several models with their poses in one world, as JSON or YAML.

    {"objects": [{"model": "cow.safetensors", "name": "cow", "pose": {"translation": [0.5, 0, 0], "scale": 2}}],
     "cameras": "transforms.json"}

`pose` maps the object's to the world's frame: 4 rows of 4 numbers, or keys of POSE, by default the
identity. Paths are relative to the scene file. `cameras` may be left out.

In place of a model there may be a primitive, {"shape": "cuboid", "size": [1, 2, 3], "colors": [[1, 0, 0]]} (see
`voge.convert.primitives`). For `voge occlusion` objects may also have `free` (keys of FREE) and `truth`, a pose to
compare with; the scene `targets`, each with keys of TARGET.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from voge.errors import DataError
from voge.geometry.similarity import axis_quat, check_similarity, euler_quat, similarity
from voge.io.files import atomic_file

SUFFIXES = (".json", ".yaml", ".yml")
SCENE = ("objects", "cameras", "targets")
OBJECT = ("model", "primitive", "pose", "name", "free", "truth", "center")
PRIMITIVE = ("shape", "size", "colors", "count")
FREE = ("translation", "rotation", "scale", "low", "high", "angle", "scales")
ORBIT = ("azimuth", "elevation", "distance", "theta", "at", "up", "size", "focal", "fov")
TARGET = ("image", "features", "silhouette", "mask", "frame")
ROTATIONS: dict[str, tuple[int, Callable[[list[float]], Tensor]]] = {
    "rotation_euler": (3, lambda turns: euler_quat(*turns)),  # degrees about x, then y, then z, axes fixed
    "rotation_axis": (4, lambda turn: axis_quat(turn[:3], turn[3])),  # x, y, z, degrees
    "rotation_quat": (4, lambda quat: torch.tensor(quat, dtype=torch.float64)),  # w, x, y, z
}
POSE = ("translation", *ROTATIONS, "scale")


@dataclass(frozen=True, slots=True, eq=False)
class SceneObject:
    """A model of a scene file and where it stands."""

    model: Path | None  # None: a primitive
    name: str
    pose: Tensor  # (4, 4) float64, object to world
    primitive: Mapping[str, Any] | None = None  # arguments of `voge.convert.primitives.primitive`
    free: Mapping[str, Any] = field(default_factory=dict)  # of FREE, unchecked values
    truth: Tensor | None = None  # (4, 4) where it really stands, for tests
    center: tuple[float, float, float] | None = None  # that it turns about, in its own frame


@dataclass(frozen=True, slots=True, eq=False)
class SceneFile:
    """Content of a scene file."""

    objects: tuple[SceneObject, ...]
    cameras: Path | None = None  # a file
    orbit: Mapping[str, Any] | None = None  # or one view by its angles, keys of ORBIT
    targets: tuple[Mapping[str, Any], ...] = ()  # of TARGET, paths resolved


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
    targets = tuple(_target(path, number, entry) for number, entry in enumerate(content.get("targets", [])))
    if isinstance(cameras, dict):
        return SceneFile(tuple(made), None, _orbit(path, cameras), targets)
    if not isinstance(cameras, str | None):
        raise DataError(path, f"cameras must name a file or have {', '.join(ORBIT)}, got {cameras}")
    return SceneFile(tuple(made), None if cameras is None else path.parent / cameras, None, targets)


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
    model, shape = content.get("model"), content.get("primitive")
    if shape is not None:
        shape = _mapping(path, f"{where}.primitive", shape, PRIMITIVE)
    if shape is None and not isinstance(model, str):
        raise DataError(path, f"{where} must have a model", "name a file of ellipsoids, a mesh or points")
    if shape is not None and model is not None:
        raise DataError(path, f"{where} has a model and a primitive", "give one of them")
    stem = Path(model).stem if isinstance(model, str) else str((shape or {}).get("shape", "primitive"))
    name = str(content.get("name", free_name(stem, taken)))
    if name in taken:
        raise DataError(path, f"has several objects named '{name}'", "give each a name of its own")
    matrix = _pose(path, f"{where}.pose", content.get("pose", {}))
    truth = _pose(path, f"{where}.truth", content["truth"]) if "truth" in content else None
    free = _mapping(path, f"{where}.free", content.get("free", {}), FREE)
    center = None
    if "center" in content:
        try:
            x, y, z = _numbers("center", content["center"], 3)
        except ValueError as error:
            raise DataError(path, f"{where}.{error}") from error
        center = (x, y, z)
    file = path.parent / model if isinstance(model, str) else None
    return SceneObject(file, name, matrix, shape, free, truth, center)


def _pose(path: Path, where: str, pose: Any) -> Tensor:
    try:
        matrix = _matrix(pose) if isinstance(pose, list) else _composed(path, where, pose)
        check_similarity(matrix)
        return matrix
    except DataError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(path, f"{where} {error}") from error


def _target(path: Path, number: int, entry: Any) -> Mapping[str, Any]:
    content = _mapping(path, f"targets[{number}]", {"image": entry} if isinstance(entry, str) else entry, TARGET)
    files = {key: path.parent / str(value) for key, value in content.items() if key != "frame"}
    if not {"image", "features", "silhouette"} & set(files):
        raise DataError(path, f"targets[{number}] must have an image, features or a silhouette")
    return {**files, **({"frame": str(content["frame"])} if "frame" in content else {})}


def _orbit(path: Path, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    content = _mapping(path, "cameras", entry, ORBIT)
    if missing := [key for key in ("azimuth", "elevation", "distance", "size") if key not in content]:
        raise DataError(path, f"cameras lacks {' and '.join(missing)}")
    if ("focal" in content) == ("fov" in content):
        raise DataError(path, "cameras must have focal (pixels) or fov (degrees), one of them")
    try:
        for key in ("azimuth", "elevation", "distance", "theta", "focal", "fov"):
            if key in content:
                _numbers(key, [content[key]], 1)
        width, height = _numbers("size", content["size"], 2)
        at = _numbers("at", content.get("at", [0, 0, 0]), 3)
    except ValueError as error:
        raise DataError(path, f"cameras.{error}") from error
    return {**content, "size": (int(width), int(height)), "at": at}


def save_scene(path: str | Path, scene: SceneFile, poses: Tensor) -> None:
    """Write a scene with other poses (O, 4, 4), as JSON that `load_scene` reads; paths become absolute."""
    objects = []
    for entry, pose in zip(scene.objects, poses.tolist(), strict=True):
        source = {"model": str(entry.model.resolve())} if entry.model is not None else {"primitive": entry.primitive}
        objects.append({"name": entry.name, **source, "pose": pose})
    document: dict[str, Any] = {"objects": objects}
    if scene.cameras is not None:
        document["cameras"] = str(scene.cameras.resolve())
    elif scene.orbit is not None:
        document["cameras"] = {**scene.orbit, "size": list(scene.orbit["size"])}
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


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
