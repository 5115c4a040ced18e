"""Cuboids, spheres and cylinders with colored sides, as meshes and as ellipsoids.

Every primitive fills a box around its frame's origin and has the six sides of that box, in the order of SIDES: a
sphere is the box's surface blown up, a cylinder stands along y. So one list of colors means the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor

from voge.convert import from_mesh
from voge.scene.ellipsoids import Ellipsoids

SIDES = ("-x", "+x", "-y", "+y", "-z", "+z")
COUNT = 1000  # enough for pictures of some 400 pixels: a cuboid's silhouette is within half a pixel
GRAY = (0.75, 0.75, 0.75)

Color = Sequence[float]


class Shape(str, Enum):
    """Surface of a primitive."""

    cuboid = "cuboid"
    sphere = "sphere"
    cylinder = "cylinder"


def primitive(
    shape: Shape | str, size: Sequence[float], colors: Sequence[Color] = (GRAY,), count: int = COUNT
) -> Ellipsoids:
    """Ellipsoids of a primitive around the origin.

    Args:
        shape: see Shape.
        size: of its box along x, y and z, world units; unequal ones stretch spheres and cylinders.
        colors: (r, g, b) in [0, 1]: one for all sides, three for the sides across x, y and z, or six as in SIDES.
        count: about how many ellipsoids.

    Raises:
        ValueError: a size, a color or the count is wrong.
    """
    vertices, faces, side = primitive_mesh(shape, size, count)
    return from_mesh(vertices, faces, colors=side_colors(colors)[side])


def primitive_mesh(shape: Shape | str, size: Sequence[float], count: int = COUNT) -> tuple[Tensor, Tensor, Tensor]:
    """Vertices (V, 3) float64, faces (F, 3) counter-clockwise from outside, and each vertex' side (V,), 0 to 5.

    Sides share no vertices, so that their colors do not run into each other.
    """
    shape = Shape(shape)
    if len(size) != 3 or not all(0 < s < math.inf for s in size):
        raise ValueError(f"size must be 3 positive numbers, got {list(size)}")
    if count < 24:
        raise ValueError(f"count must be at least 24, four vertices a side; got {count}")
    box = torch.tensor(size, dtype=torch.float64)
    edge = _edge(box, count)
    vertices, faces, sides, first = [], [], [], 0
    for number in range(len(SIDES)):
        axis, outward = number // 2, number % 2
        across = [(axis + 1) % 3, (axis + 2) % 3][:: 1 if outward else -1]  # right-handed seen from outside
        cells = [max(round(float(box[a]) / edge), 1) for a in across]
        u, v = (torch.linspace(-1, 1, n + 1, dtype=torch.float64) for n in cells)
        cube = torch.empty(cells[0] + 1, cells[1] + 1, 3, dtype=torch.float64)
        cube[..., axis], cube[..., across[0]], cube[..., across[1]] = 2.0 * outward - 1, u[:, None], v
        vertices.append(_bend(shape, cube.flatten(0, 1)) * box / 2)
        faces.append(first + _grid_faces(*cells))
        sides.append(torch.full((len(vertices[-1]),), number))
        first += len(vertices[-1])
    return torch.cat(vertices), torch.cat(faces), torch.cat(sides)


def side_colors(colors: Sequence[Color]) -> Tensor:
    """(6, 3) float64, one color a side, from one, three or six."""
    if len(colors) not in (1, 3, 6) or not all(len(c) == 3 and all(0 <= part <= 1 for part in c) for c in colors):
        raise ValueError(f"colors must be 1, 3 or 6 lists of 3 numbers in [0, 1], got {colors}")
    return torch.tensor(colors, dtype=torch.float64).repeat_interleave(6 // len(colors), 0)


def _edge(box: Tensor, count: int) -> float:
    """The spacing of `count` vertices on the surface of a box."""
    x, y, z = box.tolist()
    return math.sqrt(2 * (x * y + y * z + z * x) / count)


def _bend(shape: Shape, cube: Tensor) -> Tensor:
    """Points (V, 3) of the cube [-1, 1]^3's surface on that of the shape in it, evenly spread."""
    if shape is Shape.cuboid:
        return cube
    if shape is Shape.sphere:  # equal steps along a side become equal angles
        return torch.nn.functional.normalize(torch.tan(cube * math.pi / 4), dim=1)
    # Squares about the axis become circles, those on the caps too (Shirley and Chiu 1997).
    flat = cube[:, [0, 2]]
    reach = flat.abs().amax(1, keepdim=True)
    angles = flat / reach.clamp_min(1e-12) * (math.pi / 4)
    circle = reach * torch.nn.functional.normalize(torch.tan(angles), dim=1)
    return torch.stack([circle[:, 0], cube[:, 1], circle[:, 1]], 1)


def _grid_faces(rows: int, columns: int) -> Tensor:
    """Triangles (F, 3) of a grid of (rows + 1) x (columns + 1) vertices."""
    index = torch.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    a, b, c, d = index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]
    return torch.stack([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)], 2).reshape(-1, 3)
