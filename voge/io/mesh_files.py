"""Mesh and point files to raw arrays: what trimesh reads, and what it skips or does not know."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from voge.errors import DataError
from voge.io import ply
from voge.io.mesh_checks import check_mesh_file, read_text
from voge.meshes.mesh import Array

NO_FACES = np.zeros((0, 3), np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Skin:
    """A picture on a mesh."""

    image: Array  # (H, W, 3) uint8, rows from the top; one object wherever the picture is the same
    uv: Array  # (V, 2) float64 texture coordinates, v upwards
    tint: tuple[float, float, float]  # multiplies the picture


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of a file in world coordinates: a mesh, or points where it has no faces."""

    vertices: Array  # (V, 3) float64
    faces: Array = field(default_factory=lambda: NO_FACES)  # (F, 3) int64
    colors: Array | None = None  # (V, 3) in [0, 1]
    normals: Array | None = None  # (V, 3) float64
    skin: Skin | None = None  # instead of colors


def read_parts(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    """The pieces of a file, unchecked, and what the user should know of it. Raises whatever a parser may."""
    readers = {".npy": _read_arrays, ".npz": _read_arrays, ".xyz": _read_text}
    return readers.get(path.suffix.lower(), _read_scene)(path)


def _read_scene(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    """Every mesh and cloud of a file that trimesh reads, moved by its node's transform."""
    import trimesh

    kind = path.suffix.lower().lstrip(".")
    if kind not in trimesh.exchange.load.mesh_formats():
        raise DataError(path, f"files of type '.{kind}' are not supported", "use OBJ, GLB, PLY, STL, OFF, XYZ or NPZ")
    notes = list(check_mesh_file(path))
    scene = _load(path, kind)
    parts: list[Part] = []
    images: dict[int, Array] = {}
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        geometry = scene.geometry[name]
        vertices = np.asarray(geometry.vertices, np.float64)
        if vertices.size and vertices.shape[1] != 3:
            raise DataError(path, f"has vertices of {vertices.shape[1]} coordinates, not 3", "export it again")
        moved = vertices if np.array_equal(transform, np.eye(4)) else trimesh.transform_points(vertices, transform)
        if isinstance(geometry, trimesh.Trimesh):
            faces = np.asarray(geometry.faces, np.int64)
            mirrored = np.linalg.det(transform[:3, :3]) < 0
            colors, skin = _mesh_colors(geometry, images, notes)
            colors = _coff_colors(path, len(vertices)) if kind == "off" else colors
            parts.append(Part(moved, faces[:, ::-1] if mirrored else faces, colors, skin=skin))
        elif isinstance(geometry, trimesh.PointCloud):
            if kind == "ply" and _face_count(path):
                raise DataError(path, f"its {_face_count(path)} faces cannot be read", "export the mesh again")
            stored = np.asarray(geometry.colors)
            colors = unit_colors(stored[:, :3]) if len(stored) == len(vertices) else None
            normals = _ply_normals(geometry)
            parts.append(Part(moved, NO_FACES, colors, None if normals is None else normals @ transform[:3, :3].T))
    return parts, tuple(dict.fromkeys(notes))


def _load(path: Path, kind: str) -> Any:
    """The scene as trimesh has it."""
    import trimesh

    class Beside(trimesh.resolvers.FilePathResolver):
        """Files beside the mesh, also under names with %20 for a space, as glTF writes them."""

        def get(self, name: str) -> bytes:
            return bytes(super().get(name if (path.parent / name).is_file() else unquote(name)))

    if kind == "gltf":
        with path.open("rb") as stream:
            return trimesh.load_scene(stream, file_type=kind, resolver=Beside(str(path)), process=False)
    if kind != "obj":
        return trimesh.load_scene(path, process=False)
    # As text in which every byte has a meaning: trimesh fails on remarks that are not UTF-8.
    text = io.StringIO(read_text(path))
    try:
        return trimesh.load_scene(text, file_type=kind, resolver=Beside(str(path)), process=False)
    except IndexError as error:
        raise DataError(path, f"a face names vertex data that are not there ({error})", "export it again") from error


def _read_text(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    """Lines of numbers; `#` and `//` begin remarks."""
    text = read_text(path).replace(",", " ").replace(";", " ")
    try:
        rows = np.loadtxt(text.splitlines(), dtype=np.float64, ndmin=2, comments=("#", "//"))
    except ValueError as error:
        raise DataError(path, f"has a row that is not numbers ({error})", "give x y z in every row") from error
    return [_columns(path, rows)], ()


def _columns(path: Path, rows: Array) -> Part:
    """Points from rows of x y z, then a color (0 to 255, or 0 to 1), a normal, or both in this order."""
    if rows.dtype.kind not in "fiu":
        raise DataError(path, f"holds {rows.dtype}, not numbers", "save an array of floats")
    if not rows.size:
        return Part(np.zeros((0, 3)))
    if rows.ndim != 2 or rows.shape[1] not in (3, 6, 9):
        raise DataError(
            path, f"has points of shape {rows.shape}", "give 3 columns x y z, then a color or a normal or both"
        )
    points, first, second = rows[:, :3].astype(np.float64), rows[:, 3:6], rows[:, 6:].astype(np.float64)
    if rows.shape[1] == 3:
        return Part(points)
    if rows.shape[1] == 6 and np.allclose(np.linalg.norm(first, axis=1), 1, atol=0.01):
        return Part(points, normals=first.astype(np.float64))
    return Part(points, colors=unit_colors(first), normals=second if second.size else None)


def _read_arrays(path: Path) -> tuple[list[Part], tuple[str, ...]]:
    """`.npy` of columns as in text, or `.npz` with `points` (or `vertices` and `faces`), `colors`, `normals`."""
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return [_columns(path, loaded)], ()
        arrays = {name: loaded[name] for name in loaded.files}
    points = arrays.get("points", arrays.get("vertices"))
    if points is None:
        raise DataError(path, f"has no array 'points' or 'vertices', only {sorted(arrays)}", "rename the array")
    for name in {"points", "vertices", "faces", "colors", "normals"} & set(arrays):
        array = arrays[name]
        if array.ndim != 2 or array.shape[1] != 3 or (name != "faces" and len(array) != len(points)):
            rows = "F" if name == "faces" else str(len(points))
            raise DataError(path, f"array '{name}' must have shape ({rows}, 3), got {array.shape}", "reshape it")
        if array.dtype.kind not in "fiu":
            raise DataError(path, f"array '{name}' holds {array.dtype}, not numbers", "save floats")
    faces, colors, normals = arrays.get("faces"), arrays.get("colors"), arrays.get("normals")
    if faces is not None and faces.dtype.kind not in "iu":
        raise DataError(path, f"array 'faces' must hold integers, got {faces.dtype}", "convert it")
    return [
        Part(
            points.astype(np.float64),
            NO_FACES if faces is None else faces.astype(np.int64),
            None if colors is None else unit_colors(colors),
            None if normals is None else normals.astype(np.float64),
        )
    ], ()


def unit_colors(colors: Array) -> Array:
    """Colors as float32 in [0, 1]: integers by their range, floats above 1 as if they were 0 to 255."""
    if colors.dtype == np.uint16:
        top = 65535.0
    else:
        top = 255.0 if colors.dtype.kind in "iu" or (colors.size and np.nanmax(colors) > 1) else 1.0
    return np.clip(np.nan_to_num(colors.astype(np.float64)) / top, 0, 1).astype(np.float32)


def _mesh_colors(geometry: Any, images: dict[int, Array], notes: list[str]) -> tuple[Array | None, Skin | None]:
    """Colors (V, 3) in [0, 1] of the vertices, the faces or the material, or else a texture."""
    visual = geometry.visual
    if visual.kind in ("vertex", "face"):
        return unit_colors(np.asarray(visual.vertex_colors)[:, :3]), None
    if visual.kind != "texture":
        return None, None
    material = visual.material
    image = getattr(material, "baseColorTexture", getattr(material, "image", None))
    factor = getattr(material, "baseColorFactor", None)
    tint = np.ones(3) if factor is None else unit_colors(np.asarray(factor)[:3])
    if image is not None and visual.uv is not None:
        if id(image) not in images:  # several meshes may share a picture
            images[id(image)] = np.asarray(image.convert("RGB"))
        return None, Skin(images[id(image)], np.asarray(visual.uv, np.float64), tuple(tint.tolist()))
    if visual.uv is not None:
        notes.append("it has texture coordinates but no readable texture, so colors come from the materials")
    # Not material.diffuse: trimesh fills in a gray that the file does not have.
    plain = factor if factor is not None else getattr(material, "kwargs", {}).get("kd")
    if plain is None or np.size(plain) < 3:
        return None, None
    return np.tile(unit_colors(np.asarray(plain)[:3]), (len(geometry.vertices), 1)), None


def _coff_colors(path: Path, count: int) -> Array | None:
    """Vertex colors of a COFF file, which trimesh skips."""
    lines = (line.partition("#")[0].split() for line in path.read_text(errors="replace").splitlines())
    words = [line for line in lines if line]
    if not words[0][0].upper().startswith("COFF"):
        return None
    start = 1 if len(words[0]) > 1 else 2  # the counts may follow on the first line
    rows = [line[3:6] for line in words[start : start + count]]
    if any(len(row) < 3 for row in rows):
        raise DataError(path, "is COFF, but a vertex has no color", "export it as OFF or with colors everywhere")
    return unit_colors(np.array(rows, np.float64))


def _face_count(path: Path) -> int:
    face = ply.read_header(path).element("face")
    return 0 if face is None else face.count


def _ply_elements(geometry: Any) -> Mapping[str, Any]:
    return geometry.metadata.get("_ply_raw", {}).get("vertex", {})


def _ply_normals(geometry: Any) -> Array | None:
    """(P, 3) of a PLY point cloud; trimesh keeps them among the raw elements only."""
    data = _ply_elements(geometry).get("data", {})
    if not all(name in (data if isinstance(data, dict) else data.dtype.names) for name in ("nx", "ny", "nz")):
        return None
    return np.stack([np.asarray(data[name], np.float64).reshape(-1) for name in ("nx", "ny", "nz")], 1)
