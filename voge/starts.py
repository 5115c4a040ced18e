"""What a fit starts from, where it is not given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from voge.captures import Capture
from voge.convert import from_mesh
from voge.ellipsoids import Ellipsoids

GREY = 0.5


class Start(NamedTuple):
    """Ellipsoids, and the faces between them where they are a mesh's vertices."""

    ellipsoids: Ellipsoids  # N
    faces: Tensor | None  # (F, 3) int64 rows of the ellipsoids


def sphere(count: int, radius: float = 1.0, center: Sequence[float] = (0, 0, 0)) -> Start:
    """The vertices of a subdivided icosahedron: 12, 42, 162, 642, 2562 or 10242 grey ellipsoids.

    Raises:
        ValueError: another count.
    """
    import trimesh

    counts = [10 * 4**level + 2 for level in range(6)]
    if count not in counts:
        raise ValueError(f"count of a sphere must be one of {', '.join(map(str, counts))}; got {count}")
    mesh = trimesh.creation.icosphere(subdivisions=counts.index(count), radius=radius)
    vertices = torch.from_numpy(np.array(mesh.vertices)) + torch.tensor(center, dtype=torch.float64)
    faces = torch.from_numpy(np.array(mesh.faces)).long()
    return Start(from_mesh(vertices, faces, colors=torch.full_like(vertices, GREY)), faces)


def enclosed(captures: Sequence[Capture]) -> tuple[tuple[float, float, float], float]:
    """The middle and the radius of a sphere that is about as large as what the cameras look at.

    The middle is nearest to all optical axes; the radius is what the masks cover, or half of what the pictures do.

    Raises:
        ValueError: the optical axes are parallel, or all cameras look away from where they meet.
    """
    centers = torch.cat([c.cameras.centers for c in captures]).double().cpu()
    forwards = torch.cat([c.cameras.forwards for c in captures]).double().cpu()
    across = torch.eye(3).double() - forwards[:, :, None] * forwards[:, None, :]
    normal = across.sum(0)
    if torch.linalg.eigvalsh(normal)[0] < 1e-6 * len(centers):
        raise ValueError("the cameras look along parallel lines, so that where the object is cannot be told")
    middle = torch.linalg.solve(normal, (across @ centers[:, :, None]).sum(0))[:, 0]
    away = ((middle - centers) * forwards).sum(1)
    if not (away > 0).any():
        raise ValueError("all cameras look away from where their axes meet")
    radii = torch.cat([_seen_radii(c) for c in captures]) * away
    x, y, z = middle.tolist()
    return (x, y, z), float(radii[away > 0].median())


def _seen_radii(capture: Capture) -> Tensor:
    """Radius at distance 1 of a disc as large as each view's mask, or with half the picture's shorter side."""
    focal = capture.cameras.Ks[:, 0, 0].double().cpu()
    if capture.masks is None:
        pixels = torch.full_like(focal, min(capture.cameras.width, capture.cameras.height) / 4)
    else:
        pixels = (capture.masks.double().sum((1, 2)).cpu() / math.pi).sqrt()
    return pixels / focal
