"""Extent of a set of ellipsoids, and the camera distance that shows all of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from voge.scene.ellipsoids import Ellipsoids


@dataclass(frozen=True, slots=True)
class Box:
    """The bounding box of a set's means, world units."""

    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def center(self) -> tuple[float, float, float]:
        """The middle: what pictures look at."""
        a, b, c = ((low + high) / 2 for low, high in zip(self.low, self.high, strict=True))
        return a, b, c

    @property
    def size(self) -> tuple[float, float, float]:
        """Lengths of the sides."""
        a, b, c = (high - low for low, high in zip(self.low, self.high, strict=True))
        return a, b, c


def bounding_box(ellipsoids: Ellipsoids) -> Box:
    """Box around a set."""
    means = ellipsoids.means.detach().double()
    return Box(tuple(means.amin(0).tolist()), tuple(means.amax(0).tolist()))


def camera_distance(
    ellipsoids: Ellipsoids, elevation: float, fov: float, aspect: float, *, up: str = "y", ortho: bool = False
) -> float:
    """The distance from the box's middle at which all of a set is in the picture, with 5 % to spare.

    It is the same for every azimuth, so that views compare and a turntable neither jumps nor clips: each
    ellipsoid sweeps a circle about the upright axis, and the distance that the worst point of the circle
    needs has a closed form.

    Args:
        ellipsoids: N, each taken to reach two standard deviations from its mean.
        elevation: of the camera, degrees.
        fov: vertical field of view, degrees; `ortho` shows at the distance what fov shows there.
        aspect: width over height of the picture.
        up: the world's upright axis, "y" or "z".
        ortho: the camera is orthographic.
    """
    offset = ellipsoids.means.detach().double() - ellipsoids.means.new_tensor(bounding_box(ellipsoids).center).double()
    upright = "xyz".index(up)
    height = offset[:, upright]
    around = offset[:, [axis for axis in range(3) if axis != upright]].norm(dim=1)
    sin, cos = math.sin(math.radians(elevation)), math.cos(math.radians(elevation))
    across = math.tan(math.radians(fov) / 2) * aspect  # half the picture at distance 1
    above = math.tan(math.radians(fov) / 2)
    reach = 2 * ellipsoids.scales.detach().double().amax(1)
    if ortho:
        sides = (around + reach) / across
        ends = (abs(cos) * height.abs() + abs(sin) * around + reach) / above
        return 1.05 * float(torch.maximum(sides, ends).max())
    # A point at (x, y) in the picture's plane and z nearer than the middle needs distance |x| / across + z.
    sides = around * math.hypot(1 / across, cos) + height * sin
    ends = torch.maximum(
        height * (sin + cos / above) + around * abs(cos - sin / above),
        height * (sin - cos / above) + around * abs(cos + sin / above),
    )
    needed = torch.maximum(sides, ends) + reach / math.sin(math.atan(min(across, above)))
    return 1.05 * float(needed.max())


def rounding(ellipsoids: Ellipsoids) -> float:
    """Largest move of the means by float32, in median widths of the ellipsoids: below 0.1 nobody sees it."""
    step = float(ellipsoids.means.abs().max()) * 2.0**-24
    return step / float(ellipsoids.scales.amax(1).median())
