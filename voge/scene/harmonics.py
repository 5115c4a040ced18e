"""View-dependent colors: real spherical harmonics of degree 0 to 3, as 3D Gaussian Splatting has them.

A set's features are its colors without direction: 0.5 + Y00 f_dc. extra["sh"] (N, K, 3), K = 3, 8 or 15 for
degree 1, 2 or 3, holds the other coefficients, by degree l and in it by order m = -l to l. The functions are the
textbook's real harmonics with the Condon-Shortley phase (-1)^m, unit norm over the sphere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from voge import checks
from voge.scene.cameras import CameraModel, Cameras
from voge.scene.settings import MAX_DEGREE

Y00 = 0.5 / math.sqrt(math.pi)  # the constant function: a coefficient f_dc adds Y00 f_dc to the color
_C1 = math.sqrt(3 / (4 * math.pi))
_C2 = math.sqrt(15 / (4 * math.pi)), math.sqrt(5 / (16 * math.pi))
_C3 = tuple(math.sqrt(square / math.pi) for square in (35 / 32, 105 / 4, 21 / 32, 7 / 16))


def degree_of(count: int) -> int:
    """The degree that has `count` coefficients a channel beside the constant one: 0, 3, 8 or 15.

    Raises:
        ValueError: no degree from 0 to 3 has so many.
    """
    counts = [(degree + 1) ** 2 - 1 for degree in range(MAX_DEGREE + 1)]
    if count not in counts:
        raise ValueError(f"spherical harmonics must have {counts} coefficients a channel beside the first; got {count}")
    return counts.index(count)


def basis(directions: Tensor, degree: int) -> Tensor:
    """The functions of degree 1 to `degree` in unit directions (..., 3), shape (..., (degree + 1)^2 - 1)."""
    x, y, z = directions.unbind(-1)
    functions: list[Tensor] = []
    if degree >= 1:
        functions += [-_C1 * y, _C1 * z, -_C1 * x]
    if degree >= 2:
        a, b = _C2
        functions += [a * x * y, -a * y * z, b * (3 * z * z - 1), -a * x * z, a / 2 * (x * x - y * y)]
    if degree >= 3:
        a, b, c, d = _C3
        functions += [
            -a * y * (3 * x * x - y * y),
            b * x * y * z,
            -c * y * (5 * z * z - 1),
            d * z * (5 * z * z - 3),
            -c * x * (5 * z * z - 1),
            b / 2 * z * (x * x - y * y),
            -a * x * (x * x - 3 * y * y),
        ]
    return torch.stack(functions, -1) if functions else directions.new_zeros(*directions.shape[:-1], 0)


def evaluate(features: Tensor, sh: Tensor, directions: Tensor) -> Tensor:
    """Colors, shaped as the directions of view they are seen along; differentiable, at least 0, as 3DGS shows them.

    Args:
        features: (N, 3) the colors without direction, 0.5 + Y00 f_dc.
        sh: (N, K, 3) the other coefficients, K = 0, 3, 8 or 15.
        directions: (N, 3), or (V, N, 3) of V cameras: from the camera's center to each mean, world space, of any
            length but 0.
    """
    along = (directions, "N 3" if directions.ndim == 2 else "V N 3")
    sizes = checks.shapes(features=(features, "N 3"), sh=(sh, "N K 3"), directions=along)
    unit = torch.nn.functional.normalize(directions, dim=-1)
    functions = basis(unit, degree_of(sizes["K"]))
    return (features + torch.einsum("...nk,nkc->...nc", functions, sh)).clamp_min(0)


def seen_from(cameras: Cameras, means: Tensor, features: Tensor, sh: Tensor) -> Tensor:
    """Colors (V, N, 3) as each camera sees them; differentiable, in the poses too.

    Args:
        cameras: V views. They see each mean along the line from their center, orthographic ones along their axis.
        means: (N, 3) world space.
        features, sh: see `evaluate`.
    """
    if cameras.model is CameraModel.orthographic:
        return evaluate(features, sh, cameras.forwards[:, None].expand(-1, len(means), 3))
    return evaluate(features, sh, means - cameras.centers[:, None])


def rotate(sh: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients (N, K, 3) of the same colors after their object was turned by `rotation` (3, 3).

    What was seen along d is then seen along R d, so the new coefficients c' satisfy Y(d) c' = Y(R^T d) c for all d.
    Each degree maps to itself; its matrix is found from as many generic directions as it has functions, twice over.
    """
    degree = degree_of(sh.shape[1])
    directions = _directions(rotation.double())
    seen, turned = basis(directions, degree), basis(directions @ rotation.double(), degree)
    blocks = []
    for level in range(1, degree + 1):
        rows = slice(level**2 - 1, (level + 1) ** 2 - 1)
        matrix = torch.linalg.lstsq(seen[:, rows], turned[:, rows]).solution
        blocks.append(torch.einsum("ij,njc->nic", matrix.to(sh), sh[:, rows]))
    return torch.cat(blocks, 1) if blocks else sh


def of_degree(sh: Tensor, degree: int) -> Tensor:
    """Coefficients (N, K, 3) of another degree: those of higher ones left out, missing ones 0."""
    return torch.nn.functional.pad(sh, (0, 0, 0, (degree + 1) ** 2 - 1 - sh.shape[1]))


def cat(coefficients: Sequence[Tensor]) -> Tensor:
    """Coefficients (N, K, 3) of several sets as one, those of lower degree filled up with 0."""
    most = max(degree_of(sh.shape[1]) for sh in coefficients)
    return torch.cat([of_degree(sh, most) for sh in coefficients])


def _directions(like: Tensor, count: int = 32) -> Tensor:
    """(count, 3) unit directions, evenly spread (a Fibonacci lattice)."""
    step = torch.arange(count, dtype=like.dtype, device=like.device)
    z = 1 - (2 * step + 1) / count
    angle = step * (math.pi * (3 - math.sqrt(5)))
    radius = (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)
