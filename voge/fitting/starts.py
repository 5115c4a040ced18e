"""Starts of a fit: a sphere, a box, and where the cameras look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from voge.convert import from_mesh
from voge.convert.settings import FLATNESS, KAPPA, OPTICAL_DEPTH
from voge.scene.capture import Capture
from voge.scene.disk import each
from voge.scene.ellipsoids import Ellipsoids

GRAY = 0.5
DIFFERENT = 0.1  # from the border's color, in any channel
INSIDE = 0.6  # of the radius


class Start(NamedTuple):
    """Ellipsoids, and the faces between them where they are a mesh's vertices."""

    ellipsoids: Ellipsoids  # N
    faces: Tensor | None  # (F, 3) int64 rows of the ellipsoids


def sphere(count: int, radius: float = 1.0, center: Sequence[float] = (0, 0, 0)) -> Start:
    """The vertices of a subdivided icosahedron: 12, 42, 162, 642, 2562 or 10242 gray ellipsoids.

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
    return Start(from_mesh(vertices, faces, colors=torch.full_like(vertices, GRAY)), faces)


def box(per_side: int = 3, radius: float = 1.0, center: Sequence[float] = (0, 0, 0)) -> Start:
    """A cube of 6 per_side^2 flat gray ellipsoids, each for a square of a face, turned as the face is.

    Args:
        per_side: squares along an edge.
        radius: half an edge, world units.
        center: of the cube.
    """
    if per_side < 1:
        raise ValueError(f"per_side must be at least 1, got {per_side}")
    side = 2 * radius / per_side
    line = (torch.arange(per_side) + 0.5) * side - radius
    u, v = (t.reshape(-1) for t in torch.meshgrid(line, line, indexing="ij"))
    width = KAPPA["triangle"] * side / 12**0.5  # the deviation of a square is side / sqrt(12)
    means, scales = [], []
    for axis in range(3):
        for sign in (1, -1):
            flat = torch.stack([torch.full_like(u, sign * radius), u, v], 1)
            means.append(flat.roll(axis, 1))
            scales.append(torch.tensor([FLATNESS * width, width, width]).roll(axis).expand_as(flat))
    count = 6 * per_side**2
    density = torch.full((count,), OPTICAL_DEPTH["triangle"] * side**2 / (2 * math.pi * width**2))
    place = torch.cat(means) + torch.tensor(center, dtype=torch.float32)
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(count, 1)
    return Start(Ellipsoids(place, torch.cat(scales), quats, density, torch.full_like(place, GRAY)), None)


def enclosed(captures: Sequence[Capture]) -> tuple[tuple[float, float, float], float]:
    """The middle and the radius of a sphere that is about as large as what the cameras look at.

    The middle is nearest to all optical axes; the radius is what the masks cover, or without masks a part of what
    differs from the pictures' borders.

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
    background = border_color(captures)
    radii = torch.cat([_seen_radii(c, background) for c in captures]) * away
    x, y, z = middle.tolist()
    seen = (away > 0) & (radii > 0) if (radii[away > 0] > 0).any() else away > 0  # not where the object is not in view
    return (x, y, z), float(radii[seen].median())


def border_color(captures: Sequence[Capture]) -> Tensor:
    """(3,) the median color of the pictures' outermost pixels: that of a plain background."""
    edges = []
    for capture in captures:
        for image in each(capture.kept_images):
            edges += [image[[0, -1]].reshape(-1, 3), image[:, [0, -1]].reshape(-1, 3)]
    return torch.cat(edges).median(0).values


def _seen_radii(capture: Capture, background: Tensor) -> Tensor:
    """Radius at distance 1 of a disc as large as the object is in each view."""
    focal = capture.cameras.Ks[:, 0, 0].double().cpu()
    area = torch.zeros(len(capture), dtype=torch.float64, device=capture.kept_images.device)
    if capture.kept_masks is not None:
        for row, mask in enumerate(each(capture.kept_masks)):
            area[row] = mask.sum(dtype=torch.float64)
    else:
        behind = background.to(area.device)
        for row, image in enumerate(each(capture.kept_images)):
            # Without masks the sphere begins inside: what is outside the object learns the background and stays.
            area[row] = INSIDE**2 * ((image - behind).abs_().amax(-1) > DIFFERENT).sum()
    return (area.cpu() / math.pi).sqrt() / focal
