"""What `voge fit` is given: pictures to fit to, pictures to test on, and a start; all checked before any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.fitting.starts import Start, box, enclosed, sphere
from voge.imaging.scale_check import proportions, sanity
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh, build_mesh
from voge.scene.capture import Capture, split
from voge.scene.ellipsoids import Ellipsoids
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.fit.schema import FitConfig, StartKind

if TYPE_CHECKING:
    from voge.io.cameras import Views

PACKAGED = ("teapot", "cuboid")
MESHES = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off")
_SAMPLES = 100_000  # points of a mesh's surface: 0.007 apart on an object of size 1, where the threshold is 0.05
_RESOLUTION = 12  # of the teapot's patches: 9,000 triangles


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a fit works on, on the CPU."""

    captures: list[Capture]
    tests: dict[str, list[Capture]]  # by name: held_out, and of a mesh's views unseen
    start: Start
    views: Views | None = None  # as the camera file has them, those held out included
    surface: Tensor | None = None  # (S, 3) samples of the true surface
    threshold: float = 0.05  # of the F-score, world units
    metadata: dict[str, str] = field(default_factory=dict)  # of the result


def sort_input(path: str) -> dict[str, str]:
    """The configuration that an input on the command line means: cameras, or a mesh."""
    if path in PACKAGED and not Path(path).exists():
        return {"mesh": path}
    return {"mesh" if Path(path).suffix.lower() in MESHES else "cameras.file": path}


def load_inputs(config: FitConfig, console: Console) -> Inputs:
    """Read or render all of it.

    Raises:
        voge.errors.DataError: a file cannot be used, or two do not belong together.
        UsageError: the configuration asks for what cannot be.
    """
    if config.cameras.file is not None:
        return _from_files(config, Path(config.cameras.file), console)
    if config.mesh is not None:
        return _from_mesh(config, config.mesh, console)
    raise UsageError("give what to fit to: transforms.json, a COLMAP model, or a mesh (or teapot) to take views of")


def _from_files(config: FitConfig, path: Path, console: Console) -> Inputs:
    from voge.io.captures import load_captures
    from voge_cli.scenes import load_views

    views = load_views(path, config.cameras, None, console)
    captures, notes = load_captures(
        views,
        path,
        images=_folder(config.images),
        masks=_folder(config.masks),
        use_masks=config.use_masks,
        downscale=config.downscale,
    )
    for note in notes:
        console.note(note)
    names = _held_out(config.holdout, [view.name for view in views])
    try:
        captures, held_out = split(captures, names)
    except ValueError as error:
        raise UsageError(f"holdout: {error}") from error
    masked = sum(len(c) for c in captures if c.masks is not None)
    total = sum(map(len, captures))
    console.note(f"{total} views of {path} ({masked} with masks), {len(names)} held out")
    start = _start(config, captures, (None, None), console)
    console.note(str(proportions(start.ellipsoids, views)))
    for line in sanity(start.ellipsoids, views, units=views.units):
        console.note(f"warning: {line}")
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
    from voge.io.captures import read_names

    return list(read_names(Path(holdout)))


def _from_mesh(config: FitConfig, name: str, console: Console) -> Inputs:
    import trimesh

    from voge.fitting.targets import photograph, to_size_one

    if config.holdout is not None:
        raise UsageError("holdout is for pictures of files; views of a mesh are tested on sweep.held_out random ones")
    mesh = to_size_one(_load_mesh(name, console))
    sweep = config.sweep
    take = partial(photograph, mesh, light=sweep.light, ambient=sweep.ambient, samples=sweep.samples)
    try:
        captures = [take(sweep.cameras()).shrunk(config.downscale)]
    except ImportError as error:
        raise UsageError(f"{error} (or voge[raycast])") from error
    tests = {}
    if sweep.held_out:
        found = {"held_out": sweep.random(sweep.held_out, seed=config.seed + 1), "unseen_side": sweep.unseen()}
        tests = {key: [take(cameras)] for key, cameras in found.items()}
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    surface = torch.from_numpy(np.asarray(solid.sample(_SAMPLES, seed=0)))
    start = _start(config, captures, ((0.0, 0.0, 0.0), 1.0), console)
    console.note(f"{sweep.views} views of {name}, scaled to a largest coordinate of 1")
    return Inputs(captures, tests, start, surface=surface, metadata={"units": "unknown", "source": Path(name).name})


def _load_mesh(name: str, console: Console) -> Mesh:
    if name in PACKAGED and not Path(name).exists():
        from voge.assets.cuboid import cuboid
        from voge.assets.teapot import teapot

        vertices, faces, colors = teapot(_RESOLUTION) if name == "teapot" else cuboid()
        return build_mesh(vertices, faces, colors=colors)
    geometry = load_geometry(name)
    for note in geometry.notes:
        console.note(f"{name}: {note}")
    if not isinstance(geometry, Mesh):
        raise DataError(name, "has points but no faces", "views are taken of meshes")
    return geometry


def _start(
    config: FitConfig,
    captures: Sequence[Capture],
    known: tuple[tuple[float, float, float] | None, float | None],
    console: Console,
) -> Start:
    """The set to begin with; `known` are the middle and the radius of the object, where they are."""
    from voge.convert.files import load_model

    start = config.start
    if start.kind in (StartKind.sphere, StartKind.box):
        center, radius = tuple(start.center or ()) or known[0], start.radius or known[1]
        if center is None or radius is None:
            try:
                middle, reach = enclosed(captures)
            except ValueError as error:
                raise UsageError(f"{error}; give start.center and start.radius") from error
            center, radius = center or middle, radius or reach
        place = ", ".join(f"{x:.3g}" for x in center)
        console.note(f"start: a {start.kind.value} of {start.count} ellipsoids, radius {radius:.3g}, around ({place})")
        try:
            if start.kind is StartKind.sphere:
                return sphere(start.count, radius, center)
            return box(_per_side(start.count), radius, center)
        except ValueError as error:
            raise UsageError(f"start.{error}") from error
    assert start.file is not None
    path = Path(start.file)
    faces = None
    if start.kind is StartKind.mesh:
        geometry = load_geometry(path)
        if not isinstance(geometry, Mesh):
            raise DataError(path, "has points but no faces", "use start.kind=points")
        faces = torch.from_numpy(geometry.faces)
    made = console.told(load_model(path, start.convert)).ellipsoids
    if faces is not None and len(made) != int(faces.max()) + 1:
        faces = None  # another method or count than one ellipsoid a vertex
    console.note(f"start: {len(made)} ellipsoids of {path}")
    return Start(_colored(made, config.sh_degree), faces)


def _per_side(count: int) -> int:
    """n of the 6 n^2 ellipsoids of a box."""
    n = max(round((count / 6) ** 0.5), 1)
    if 6 * n * n != count:
        raise ValueError(f"count of a box must be 6 n^2, such as {6 * n * n}; got {count}")
    return n


def _colored(ellipsoids: Ellipsoids, sh_degree: int) -> Ellipsoids:
    """With colors (N, 3), and without extras that would not follow; harmonics do where they are asked for."""
    colors = ellipsoids.features
    if colors is None or colors.shape[1] not in (1, 3):
        colors = torch.full_like(ellipsoids.means, 0.5)
    extra = {name: tensor for name, tensor in ellipsoids.extra.items() if name == "sh" and sh_degree}
    return replace(ellipsoids, features=colors.expand(-1, 3).clamp(0, 1), extra=extra)
