"""Meshes of the formats that only trimesh reads here: 3MF, COLLADA and others, where its decoders are installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import Content, Part, unit_colors


def read(path: Path) -> Content:
    """Every mesh of a file, moved by its node's transform.

    Raises:
        DataError: trimesh does not know the format.
    """
    import trimesh

    kind = path.suffix.lower().lstrip(".")
    if kind not in trimesh.exchange.load.mesh_formats():
        raise DataError(path, f"files of type '.{kind}' are not supported", "use OBJ, GLB, PLY, STL, OFF, XYZ or NPZ")
    scene = trimesh.load_scene(path, process=False)
    parts = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        geometry = scene.geometry[name]
        if not isinstance(geometry, trimesh.Trimesh):
            continue
        faces = np.asarray(geometry.faces, np.int64)
        mirrored = np.linalg.det(transform[:3, :3]) < 0
        moved = trimesh.transform_points(np.asarray(geometry.vertices, np.float64), transform)
        parts.append(Part(moved, faces[:, ::-1] if mirrored else faces, _colors(geometry)))
    return Content(parts, (f"read by trimesh {trimesh.__version__}: textures of '.{kind}' are not read",))


def _colors(geometry: Any) -> Any:
    if geometry.visual.kind not in ("vertex", "face"):
        return None
    return unit_colors(np.asarray(geometry.visual.vertex_colors)[:, :3])
