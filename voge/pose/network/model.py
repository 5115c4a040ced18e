"""Neural ellipsoids: a category's shape, a feature vector an ellipsoid, and what the background looks like."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from voge.convert import from_mesh
from voge.convert.settings import COVERAGE, MeshMethod
from voge.errors import DataError, ExtractorError
from voge.io.ellipsoids import save_ellipsoids
from voge.io.files import atomic_file
from voge.meshes.mesh import Mesh, build_mesh
from voge.meshes.resample import resample
from voge.pose.data.crops import Framing
from voge.pose.network.features import Trainable, memory_format, trainable
from voge.pose.settings import Shape
from voge.scene.ellipsoids import Ellipsoids

if TYPE_CHECKING:
    from voge.pose.data.datasets import DataSet

VERSION = 1  # of the file
_HEADER = "voge_pose"
_TENSORS = ("means", "scales", "quats", "density", "features", "clutter")


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """Category of a model: its ellipsoids with features, its backgrounds, its crops."""

    name: str
    ellipsoids: Ellipsoids  # N of them in the models' frame, features (N, C) of unit length
    clutter: Tensor  # (K, C) typical features of backgrounds
    framing: Framing

    def to(self, device: torch.device) -> Category:
        """Return the same category on another device."""
        return replace(self, ellipsoids=self.ellipsoids.to(device), clutter=self.clutter.to(device))


@dataclass(frozen=True, slots=True, eq=False)
class PoseModel:
    """A trained network and its categories: the product of `voge.pose.train`."""

    network: Trainable
    categories: dict[str, Category]
    extractor: str  # the network's name and settings, to make it again
    channels: int
    width: float

    def save(self, path: str | Path) -> None:
        """Write the network and all categories into one file."""
        from safetensors.torch import save

        tensors = {f"network/{name}": tensor for name, tensor in self.network.state_dict().items()}
        for name, category in self.categories.items():
            made = {**{key: getattr(category.ellipsoids, key) for key in _TENSORS[:-1]}, "clutter": category.clutter}
            tensors |= {f"category/{name}/{key}": tensor for key, tensor in made.items()}
        header = {
            "version": VERSION, "extractor": self.extractor, "channels": self.channels, "width": self.width,
            "framings": {name: asdict(category.framing) for name, category in self.categories.items()},
        }  # fmt: skip
        on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        with atomic_file(Path(path)) as temporary:
            temporary.write_bytes(save(on_cpu, metadata={_HEADER: json.dumps(header, sort_keys=True)}))

    def save_run(self, folder: str | Path) -> None:
        """Write model.safetensors, and each category as ellipsoids that other commands read."""
        folder = Path(folder)
        self.save(folder / "model.safetensors")
        for name, category in self.categories.items():
            save_ellipsoids(folder / "ellipsoids" / f"{name}.safetensors", category.ellipsoids.to("cpu"))

    def to(self, device: torch.device) -> PoseModel:
        """Return the same model on another device, ready to use."""
        network = self.network.to(device, memory_format=memory_format(device)).eval()  # type: ignore[call-overload]
        return replace(self, network=network, categories={k: c.to(device) for k, c in self.categories.items()})


def holds_model(path: Path) -> bool:
    """Say whether a path is a run of `voge pose train`, or its model file."""
    from safetensors import SafetensorError, safe_open

    path = path / "model.safetensors" if path.is_dir() else path
    try:
        with safe_open(path, framework="pt") as file:
            return _HEADER in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def load_model(path: str | Path) -> PoseModel:
    """Read a model, or the one in a run's folder.

    Raises:
        DataError: the file is missing or no such model.
        ExtractorError: its network needs a package that is missing.
    """
    from safetensors import SafetensorError, safe_open

    run = Path(path)
    path = run / "model.safetensors" if run.is_dir() else run
    if not path.is_file():
        raise DataError(path, "no such file", "give the folder of a run of voge pose train")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(path, f"cannot be read as a pose model ({error})", "train it again") from error
    if header.get("version") != VERSION:
        raise DataError(path, f"is no pose model of version {VERSION}", "give one made by voge pose train")
    try:
        network = trainable(header["extractor"], header["channels"], width=header["width"], pretrained=False)
    except ExtractorError as error:
        raise ExtractorError(f"{run}: {error}") from error
    prefix = "network/"
    try:
        network.load_state_dict({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
        categories = {name: _category(name, tensors, framing) for name, framing in header["framings"].items()}
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise DataError(path, f"is damaged ({str(error).splitlines()[0][:200]})", "train it again") from error
    return PoseModel(network.eval(), categories, header["extractor"], header["channels"], header["width"])


def category_ellipsoids(
    data: DataSet, category: str, shape: Shape, count: int, *,
    used: Collection[int] = (), method: MeshMethod = MeshMethod.hat, coverage: float | None = None,
) -> Ellipsoids:  # fmt: skip
    """`shape_ellipsoids` of a data set's meshes, or of those that are used.

    Args:
        data: the set.
        category: of it.
        shape, count, method, coverage: as there.
        used: numbers of meshes, from 1; none: all.

    Raises:
        DataError: there are no meshes, one cannot be read, or the one taken cannot have as few vertices.
    """
    meshes = data.meshes(category)
    chosen = [mesh for number, mesh in enumerate(meshes, 1) if number in used] or meshes
    try:
        return shape_ellipsoids(chosen, shape, count, method=method, coverage=coverage)
    except ValueError as error:
        folder = data.mesh_files(category)[0].parent
        raise DataError(folder, f"{category}: {error}", "take a larger count, or shape=cuboid") from error


def shape_ellipsoids(
    meshes: Sequence[Mesh], shape: Shape = Shape.cuboid, count: int = 1000, *,
    method: MeshMethod = MeshMethod.hat, coverage: float | None = None,
) -> Ellipsoids:  # fmt: skip
    """About `count` ellipsoids, without features, that stand for meshes of one category in their frame.

    Args:
        meshes: of the category.
        shape: see Shape.
        count: of ellipsoids, about.
        method: of the conversion; `vertex` with `coverage` is the paper's.
        coverage: zeta of `vertex`.

    Raises:
        ValueError: a mesh cannot have as few vertices.
    """
    mesh = mean_cuboid(meshes, count) if shape is Shape.cuboid else resample(_most_usual(meshes), count)
    assert isinstance(mesh, Mesh)
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    return from_mesh(vertices, faces, method=method, coverage=COVERAGE if coverage is None else coverage)


def mean_cuboid(meshes: Sequence[Mesh], count: int) -> Mesh:
    """A cuboid of the meshes' mean extents, its faces in even squares with about `count` corners in all."""
    low = np.mean([mesh.vertices.min(0) for mesh in meshes], axis=0)
    high = np.mean([mesh.vertices.max(0) for mesh in meshes], axis=0)
    sides = high - low
    area = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[2] * sides[0])
    steps = np.maximum(np.rint(sides / math.sqrt(area / count)), 1).astype(int)
    vertices, faces, start = [], [], 0
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        grid = np.stack(np.meshgrid(np.linspace(low[u], high[u], steps[u] + 1),
                                    np.linspace(low[v], high[v], steps[v] + 1), indexing="ij"), -1)  # fmt: skip
        number = np.arange(grid[..., 0].size).reshape(grid.shape[:2])
        a, b, c, d = (n.ravel() for n in (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]))
        squares = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
        for end, turned in ((high[axis], squares), (low[axis], squares[:, ::-1])):
            points = np.empty((number.size, 3))
            points[:, axis], points[:, u], points[:, v] = end, grid[..., 0].ravel(), grid[..., 1].ravel()
            vertices.append(points)
            faces.append(turned + start)
            start += len(points)
    return build_mesh(np.concatenate(vertices), np.concatenate(faces))


def _most_usual(meshes: Sequence[Mesh]) -> Mesh:
    """The mesh whose extents are nearest to the mean ones."""
    extents = np.stack([np.ptp(mesh.vertices, axis=0) for mesh in meshes])
    return meshes[int(np.linalg.norm(extents - extents.mean(0), axis=1).argmin())]


def _category(name: str, tensors: dict[str, Tensor], framing: dict[str, float]) -> Category:
    found = {key: tensors[f"category/{name}/{key}"] for key in _TENSORS}
    clutter = found.pop("clutter")
    return Category(name, Ellipsoids(**found), clutter, Framing(**framing))  # type: ignore[arg-type]
