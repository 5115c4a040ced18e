"""Planes of mirror symmetry of a set of points, found from the points alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

_DIRECTIONS = 200  # start normals over the half sphere: some 10 degrees apart, within what the refinement mends
_COARSE, _FINE = 400, 4000  # points that starts are compared by, and planes refined by
_REFINED = 6  # best starts that are refined
_ROUNDS = 30
SYMMETRIC = 0.02  # of the extent: a plane whose mirror images are farther from the points on average is none


@dataclass(frozen=True, slots=True)
class Plane:
    """All x with normal . x = offset."""

    normal: tuple[float, float, float]  # unit
    offset: float  # world units
    error: float = 0.0  # mean distance of the points' mirror images from the points, over their extent

    def mirror(self, points: Tensor) -> Tensor:
        """Points (..., 3) on the other side."""
        normal = points.new_tensor(self.normal)
        return points - 2 * ((points @ normal) - self.offset)[..., None] * normal

    @classmethod
    def of(cls, numbers: Sequence[float], points: Tensor) -> Plane:
        """The plane a x + b y + c z = d of [a, b, c, d], or of [a, b, c] through the middle of the points' box.

        Raises:
            ValueError: there are neither 3 nor 4 numbers, or the normal is zero.
        """
        given = np.asarray(numbers, np.float64)
        length = np.linalg.norm(given[:3])
        if given.shape not in ((3,), (4,)) or not np.isfinite(given).all() or length == 0:
            raise ValueError(
                f"a plane must be [a, b, c, d] with a normal that is not zero, or [a, b, c]; got {numbers}"
            )
        places = _places(points)
        middle = (places.min(0) + places.max(0)) / 2
        normal = given[:3] / length
        offset = given[3] / length if len(given) == 4 else normal @ middle
        return _measured(places, normal, float(offset))


def find_plane(points: Tensor) -> Plane:
    """The plane across which points (P, 3) are most nearly symmetric.

    Normals all over the half sphere, through the mean, are compared by how far mirrored points are from the points;
    the best are refined by pairing each mirror image with the nearest point and solving for the plane in closed
    form, as in iterative closest points. Whether the best is good enough, `Plane.error` says: see SYMMETRIC.
    """
    places = _places(points)
    random = np.random.default_rng(0)
    fine = places[random.permutation(len(places))[:_FINE]]
    coarse = fine[:_COARSE]
    starts = np.concatenate([np.eye(3), _half_sphere(_DIRECTIONS)])
    middle = fine.mean(0)
    ranked = sorted((_measured(coarse, normal, normal @ middle) for normal in starts), key=lambda plane: plane.error)
    refined = [_refined(fine, plane) for plane in ranked[:_REFINED]]
    return min(refined, key=lambda plane: plane.error)


def _places(points: Tensor) -> Array:
    return points.detach().double().cpu().numpy()


def _half_sphere(count: int) -> Array:
    """Unit vectors (count, 3) spread evenly, z >= 0: a Fibonacci lattice."""
    step = np.arange(count) + 0.5
    z, angle = 1 - step / count, np.pi * (1 + 5**0.5) * step
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)


def _mirror(places: Array, normal: Array, offset: float) -> Array:
    return np.asarray(places - 2 * (places @ normal - offset)[:, None] * normal)


def _measured(places: Array, normal: Array, offset: float) -> Plane:
    distance, _ = _tree(places).query(_mirror(places, normal, offset), workers=-1)
    extent = float(np.linalg.norm(np.ptp(places, axis=0))) or 1.0
    a, b, c = normal.tolist()
    return Plane((a, b, c), float(offset), float(distance.mean()) / extent)


def _refined(places: Array, plane: Plane) -> Plane:
    """The plane nearby with the least error."""
    tree, best = _tree(places), _measured(places, np.array(plane.normal), plane.offset)
    normal, offset = np.array(plane.normal), plane.offset
    for _ in range(_ROUNDS):
        _, pair = tree.query(_mirror(places, normal, offset), workers=-1)
        other = places[pair]
        # The plane that best maps each point p on its pair q: its normal n makes sum (n.p')(n.q') least, about the
        # means of both, and it passes half-way between these.
        first, second = places.mean(0), other.mean(0)
        spread = (places - first).T @ (other - second)
        normal = np.linalg.eigh(spread + spread.T)[1][:, 0]
        offset = float(normal @ (first + second)) / 2
        found = _measured(places, normal, offset)
        if found.error >= best.error - 1e-6:
            return min(best, found, key=lambda each: each.error)
        best = found
    return best


def _tree(places: Array) -> Any:
    from scipy.spatial import cKDTree

    return cKDTree(places)


def plane_of(points: Tensor, given: str | Sequence[float]) -> Plane:
    """A plane that was given, x, y, z, or numbers as in `Plane.of`, or found where `given` is "auto".

    Raises:
        ValueError: no such plane, or none was found.
    """
    axes = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
    if not isinstance(given, str):
        return Plane.of(given, points)
    if given in axes:
        return Plane.of(axes[given], points)
    if given != "auto":
        raise ValueError(f"a plane must be auto, x, y, z or numbers; got '{given}'")
    found = find_plane(points)
    # Even of a symmetric surface, points lie half their spacing beside each other's mirror images.
    places = _places(points)
    spacing = _tree(places).query(places, k=[2], workers=-1)[0].mean() / np.linalg.norm(np.ptp(places, axis=0))
    if found.error > SYMMETRIC + spacing / 2:
        raise ValueError(
            f"no plane of symmetry was found (mirror images are off by {found.error:.1%} of the extent on average)"
        )
    return found
