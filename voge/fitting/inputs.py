"""Inputs of a fit: pictures to fit to, pictures to test on, and a start; all are checked before any step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voge.convert.files import load_model
from voge.errors import DataError, SettingsError
from voge.fitting.settings import FitFilesSettings, StartKind
from voge.fitting.starts import Start, box, enclosed, sphere
from voge.fitting.targets import photograph, random_cameras, sweep_cameras, to_size_one, unseen_cameras
from voge.imaging.scale_check import proportions, sanity
from voge.io.cameras import Views
from voge.io.captures import load_captures, read_names
from voge.io.chosen_views import load_views
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh, build_mesh
from voge.scene.capture import Capture, split
from voge.scene.ellipsoids import Ellipsoids

PACKAGED = ("teapot", "cuboid")
MESHES = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off")
NOTHING = "give what to fit to: transforms.json, a COLMAP model, or a mesh (or teapot) to take views of"
_SAMPLES = 100_000  # points of a mesh's surface: 0.007 apart on an object of size 1, where the threshold is 0.05
_RESOLUTION = 12  # of the teapot's patches: 9,000 triangles


@dataclass(frozen=True, eq=False)
class Inputs:
    """Pictures to fit to and to test on, and the start of a fit."""

    captures: list[Capture]  # fitted to
    tests: dict[str, list[Capture]]  # by name, on the CPU: held_out, and of a mesh's views unseen_side
    start: Start
    views: Views | None = None  # as the camera file has them, those held out included
    surface: Tensor | None = None  # (S, 3) samples of the true surface
    metadata: dict[str, str] = field(default_factory=dict)  # of the ellipsoids that are fitted
    notes: tuple[str, ...] = ()  # what the user should know, a line each


def sort_input(path: str) -> dict[str, str]:
    """The settings that an input means, by dotted key: cameras, or a mesh."""
    if path in PACKAGED and not Path(path).exists():
        return {"mesh": path}
    return {"mesh" if Path(path).suffix.lower() in MESHES else "cameras.file": path}


def load_inputs(settings: FitFilesSettings, *, device: torch.device | str = "cpu") -> Inputs:
    """Read the pictures of a camera file, or take pictures of a mesh, and make the start.

    Args:
        settings: which files, and how they are used.
        device: where the captures that are fitted to go.

    Raises:
        DataError: a file cannot be used, or two do not belong together.
        SettingsError: the settings ask for what cannot be.
    """
    notes: list[str] = []
    if settings.cameras.file is not None:
        inputs = _from_files(settings, Path(settings.cameras.file), notes)
    elif settings.mesh is not None:
        inputs = _from_mesh(settings, settings.mesh, notes)
    else:
        raise SettingsError(NOTHING)
    return replace(inputs, captures=[capture.to(device) for capture in inputs.captures], notes=tuple(notes))


def _from_files(settings: FitFilesSettings, path: Path, notes: list[str]) -> Inputs:
    views = load_views(path, settings.cameras)
    notes += [f"{path}: {note}" for note in views.notes]
    captures, found = load_captures(
        views,
        path,
        images=_folder(settings.images),
        masks=_folder(settings.masks),
        use_masks=settings.use_masks,
        mask_id=settings.mask_id,
        downscale=settings.downscale,
        memory=1e9 * settings.max_picture_memory,
    )
    notes += found
    names = _held_out(settings.holdout, [view.name for view in views])
    try:
        captures, held_out = split(captures, names)
    except ValueError as error:
        raise SettingsError(f"holdout: {error}") from error
    masked = sum(len(c) for c in captures if c.kept_masks is not None)
    total = sum(map(len, captures))
    notes.append(f"{total} views of {path} ({masked} with masks), {len(names)} held out")
    start = _start(settings, captures, (None, None), notes)
    notes.append(str(proportions(start.ellipsoids, views)))
    notes += [f"warning: {line}" for line in sanity(start.ellipsoids, views, units=views.units)]
    return Inputs(captures, {"held_out": held_out} if held_out else {}, start, views, metadata={"units": views.units})


def _folder(name: str | None) -> Path | None:
    if name is not None and not Path(name).is_dir():
        raise DataError(name, "no such folder")
    return None if name is None else Path(name)


def _held_out(holdout: str | None, names: Sequence[str]) -> list[str]:
    if holdout is None:
        return []
    if holdout.isdigit():
        return list(names[int(holdout) - 1 :: int(holdout)])
    return list(read_names(Path(holdout)))


def _from_mesh(settings: FitFilesSettings, name: str, notes: list[str]) -> Inputs:
    import trimesh

    if settings.holdout is not None:
        raise SettingsError(
            "holdout is for pictures of files; views of a mesh are tested on sweep.held_out random ones"
        )
    mesh = to_size_one(_load_mesh(name, notes))
    sweep = settings.sweep
    take = partial(photograph, mesh, light=sweep.light, ambient=sweep.ambient, samples=sweep.samples)
    try:
        captures = [take(sweep_cameras(sweep)).shrunk(settings.downscale)]
    except ImportError as error:
        raise SettingsError(f"{error} (or voge[raycast])") from error
    tests = {}
    if sweep.held_out:
        random = random_cameras(sweep, sweep.held_out, seed=settings.seed + 1)
        tests = {"held_out": [take(random)], "unseen_side": [take(unseen_cameras(sweep))]}
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    surface = torch.from_numpy(np.asarray(solid.sample(_SAMPLES, seed=0)))
    start = _start(settings, captures, ((0.0, 0.0, 0.0), 1.0), notes)
    notes.append(f"{sweep.views} views of {name}, scaled to a largest coordinate of 1")
    return Inputs(captures, tests, start, surface=surface, metadata={"units": "unknown", "source": Path(name).name})


def _load_mesh(name: str, notes: list[str]) -> Mesh:
    if name in PACKAGED and not Path(name).exists():
        from voge.assets.cuboid import cuboid
        from voge.assets.teapot import teapot

        vertices, faces, colors = teapot(_RESOLUTION) if name == "teapot" else cuboid()
        return build_mesh(vertices, faces, colors=colors)
    geometry = load_geometry(name)
    notes += [f"{name}: {note}" for note in geometry.notes]
    if not isinstance(geometry, Mesh):
        raise DataError(name, "has points but no faces", "views are taken of meshes")
    return geometry


def _start(
    settings: FitFilesSettings,
    captures: Sequence[Capture],
    known: tuple[tuple[float, float, float] | None, float | None],
    notes: list[str],
) -> Start:
    """The set to begin with; `known` are the middle and the radius of the object, where they are."""
    start = settings.start
    if start.kind not in (StartKind.sphere, StartKind.box):
        return _start_of_file(settings, notes)
    center, radius = tuple(start.center or ()) or known[0], start.radius or known[1]
    if center is None or radius is None:
        try:
            middle, reach = enclosed(captures)
        except ValueError as error:
            raise SettingsError(f"{error}; give start.center and start.radius") from error
        center, radius = center or middle, radius or reach
    place = ", ".join(f"{x:.3g}" for x in center)
    notes.append(f"start: a {start.kind.value} of {start.count} ellipsoids, radius {radius:.3g}, around ({place})")
    try:
        if start.kind is StartKind.sphere:
            return sphere(start.count, radius, center)
        return box(_per_side(start.count), radius, center)
    except ValueError as error:
        raise SettingsError(f"start.{error}") from error


def _start_of_file(settings: FitFilesSettings, notes: list[str]) -> Start:
    start = settings.start
    assert start.file is not None  # checked by the settings
    path = Path(start.file)
    faces = None
    if start.kind is StartKind.mesh:
        geometry = load_geometry(path)
        if not isinstance(geometry, Mesh):
            raise DataError(path, "has points but no faces", "use start.kind=points")
        faces = torch.from_numpy(geometry.faces)
    loaded = load_model(path, start.convert)
    notes += loaded.notes
    ellipsoids = loaded.ellipsoids
    if faces is not None and len(ellipsoids) != int(faces.max()) + 1:
        faces = None  # another method or count than one ellipsoid a vertex
    notes.append(f"start: {len(ellipsoids)} ellipsoids of {path}")
    return Start(_colored(ellipsoids, settings.sh_degree), faces)


def _per_side(count: int) -> int:
    """The n of a box of 6 n^2 ellipsoids."""
    n = max(round(math.sqrt(count / 6)), 1)
    if 6 * n * n != count:
        raise ValueError(f"count of a box must be 6 n^2, such as {6 * n * n}; got {count}")
    return n


def _colored(ellipsoids: Ellipsoids, sh_degree: int) -> Ellipsoids:
    """Give ellipsoids colors (N, 3), and leave out extras but for harmonics that are asked for."""
    colors = ellipsoids.features
    if colors is None or colors.shape[1] not in (1, 3):
        colors = torch.full_like(ellipsoids.means, 0.5)
    extra = {name: tensor for name, tensor in ellipsoids.extra.items() if name == "sh" and sh_degree}
    return replace(ellipsoids, features=colors.expand(-1, 3).clamp(0, 1), extra=extra)
