"""Scenes to render: the surface of a cube as a lattice of ellipsoids of any number, or a model of the user."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from voge.scene.cameras import Cameras, intrinsics, orbit
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box

AZIMUTH, ELEVATION = 30.0, 20.0  # degrees, of the first view; further ones are spread around


class Stand(NamedTuple):
    """The place and the lens of a camera."""

    distance: float  # world units, from the origin
    focal: float  # over the smaller side of the picture


CUBE_STAND = Stand(6.0, 1.65)  # the cube fills most of the picture
MODEL_STAND = Stand(2.7, 126 / 128)  # so does a model whose largest coordinate is 1


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One thing to render, on the CPU; `Contender.prepare` moves it."""

    name: str
    ellipsoids: Ellipsoids  # with features (N, C)
    cameras: Cameras

    @property
    def pixels(self) -> int:
        """Number of pixels of all views."""
        return len(self.cameras) * self.cameras.width * self.cameras.height


def cube(intervals: int, width: float = 1.0) -> Ellipsoids:
    """The surface lattice of [-1, 1]^3: 6 n^2 + 2 isotropic ellipsoids of density 1, without features.

    The number of ellipsoids that a ray meets does not depend on n, so time shows how a renderer scales with N alone.

    Args:
        intervals: n, along an edge; at least 1.
        width: 1 makes densities fall to a half midway between neighbors; hits grow with its square.
    """
    grid = torch.linspace(-1, 1, intervals + 1)
    face = torch.cartesian_prod(grid, grid)
    rim = face[(face.abs() == 1).any(-1)]
    inner = grid[1:-1].repeat_interleave(len(rim))
    means = torch.cat(
        [
            torch.cat([torch.full((len(face), 1), -1.0), face], 1),
            torch.cat([inner[:, None], rim.repeat(intervals - 1, 1)], 1),
            torch.cat([torch.full((len(face), 1), 1.0), face], 1),
        ]
    )
    scale = width * (2 / intervals) / math.sqrt(8 * math.log(2))
    quats = torch.zeros(len(means), 4)
    quats[:, 0] = 1
    return Ellipsoids(means, torch.full_like(means, scale), quats, torch.ones(len(means)))


def intervals_for(count: int) -> int:
    """The n whose cube has the number of ellipsoids nearest to `count`."""
    return max(round(math.sqrt(max(count - 2, 0) / 6)), 1)


def framed(ellipsoids: Ellipsoids) -> Ellipsoids:
    """The set with the middle of its bounding box at the origin and its largest coordinate 1.

    Raises:
        ValueError: all means are one point.
    """
    box = bounding_box(ellipsoids)
    reach = max(box.size) / 2
    if reach == 0:
        raise ValueError("a set whose means are all one point cannot be scaled to size 1")
    matrix = torch.eye(4, dtype=ellipsoids.dtype) / reach
    matrix[:3, 3] = -torch.tensor(box.center, dtype=ellipsoids.dtype) / reach
    matrix[3, 3] = 1
    return ellipsoids.detach().transform(matrix)


def scene(
    name: str,
    ellipsoids: Ellipsoids,
    stand: Stand,
    size: tuple[int, int],
    *,
    channels: int = 3,
    views: int = 1,
    seed: int = 0,
) -> Scene:
    """Ellipsoids with random features in [0, 1], seen from `views` cameras around the origin.

    Args:
        name: of the scene.
        ellipsoids: features are replaced, extra attributes left out.
        stand: of every camera.
        size: width and height in pixels.
        channels: C of the features.
        views: V, at equal steps of azimuth.
        seed: of the features.
    """
    width, height = size
    random = torch.Generator().manual_seed(seed)
    features = torch.rand(len(ellipsoids), channels, generator=random, dtype=ellipsoids.dtype)
    azimuth = AZIMUTH + 360 / views * torch.arange(views, dtype=ellipsoids.dtype)
    K = intrinsics(width, height, focal=stand.focal * min(size)).to(ellipsoids.dtype)
    cameras = Cameras(orbit(azimuth, ELEVATION, stand.distance), K.expand(views, 3, 3).contiguous(), width, height)
    return Scene(name, replace(ellipsoids, features=features, extra={}), cameras)
