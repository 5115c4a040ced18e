"""Moves geometry, records the move, and cuts geometry to a box.

The metadata keep every move under `source_to_world`, so that an export can undo it. This 4x4 matrix (JSON, rows) leads
from the coordinates of the source file to the present ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from voge.meshes.mesh import Array, Mesh, Points, faces_of, points_of
from voge.scene.ellipsoids import Ellipsoids

T = TypeVar("T", bound=Ellipsoids | Mesh | Points)

MOVED = "source_to_world"


def turn_upright(ellipsoids: Ellipsoids) -> Ellipsoids:
    """Turn a set with z up to y up: (x, y, z) becomes (x, z, -y)."""
    matrix = torch.tensor([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=torch.float64)
    return _move(ellipsoids, matrix)


def normalize(ellipsoids: Ellipsoids) -> Ellipsoids:
    """Move the middle of the bounding box to the origin and scale the farthest mean to distance 1.

    Raises:
        ValueError: all means are one point.
    """
    means = ellipsoids.means.detach().double()
    center = (means.amin(0) + means.amax(0)) / 2
    reach = float((means - center).norm(dim=1).max())
    if reach == 0:
        raise ValueError("a set whose means are all one point cannot be normalized")
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3] /= reach
    matrix[:3, 3] = -center.cpu() / reach
    return _move(ellipsoids, matrix)


def to_unit(geometry: Mesh | Points) -> tuple[Mesh | Points, list[list[float]]]:
    """Geometry moved and scaled as `normalize` does to ellipsoids, in float64; and the 4x4 matrix that did it.

    Before ellipsoids are made, since float32 keeps 7 digits: far from the origin none are left for the shape.
    """
    places = geometry.vertices if isinstance(geometry, Mesh) else geometry.points
    center = (places.min(0) + places.max(0)) / 2
    reach = float(np.linalg.norm(places - center, axis=1).max()) or 1.0
    moved = (places - center) / reach
    matrix = np.eye(4)
    matrix[:3, :3] /= reach
    matrix[:3, 3] = -center / reach
    record: list[list[float]] = matrix.tolist()
    return _at(geometry, moved), record


def crop(thing: T, box: Sequence[float]) -> T:
    """Keep what lies in the box (xmin, ymin, zmin, xmax, ymax, zmax): points, ellipsoids by mean, faces by center.

    Raises:
        ValueError: nothing does.
    """
    places: Array
    if isinstance(thing, Mesh):
        places = thing.vertices[thing.faces].mean(1)
    else:
        places = thing.points if isinstance(thing, Points) else thing.means.detach().double().cpu().numpy()
    inside = np.all((places >= box[:3]) & (places <= box[3:]), axis=1)
    if not inside.any():
        low, high = ([float(f"{x:.4g}") for x in corner] for corner in (places.min(0), places.max(0)))
        raise ValueError(f"crop leaves nothing: all lies between {low} and {high}")
    kept: Ellipsoids | Mesh | Points
    if isinstance(thing, Mesh):
        kept = faces_of(thing, inside)
    elif isinstance(thing, Points):
        kept = points_of(thing, inside)
    else:
        kept = thing[torch.from_numpy(inside).to(thing.device)]
    return cast(T, kept)


def _at(geometry: Mesh | Points, places: Array) -> Mesh | Points:
    return replace(geometry, vertices=places) if isinstance(geometry, Mesh) else replace(geometry, points=places)


def _move(ellipsoids: Ellipsoids, matrix: Tensor) -> Ellipsoids:
    """Apply a similarity (4, 4), float64, and keep it in the metadata."""
    identity = torch.eye(4, dtype=torch.float64)
    earlier = ellipsoids.metadata.get(MOVED)
    before = identity if earlier is None else identity.new_tensor(json.loads(earlier))
    moved = ellipsoids.transform(matrix.to(ellipsoids.means))
    record = json.dumps((matrix @ before).tolist())
    return replace(moved, metadata={**ellipsoids.metadata, MOVED: record})
