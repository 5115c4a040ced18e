"""Lens distortion: OpenCV's polynomial (Brown-Conrady, rational) and its equidistant fisheye.

Both take the normalized image plane, where a pinhole camera would have (x/z, y/z), to where the lens
puts it; K then makes pixels of it. Rays need the inverse, which has no closed form: Newton's steps find
it without gradients, and one more at the solution carries them. There the step's derivative is the
implicit function theorem's, -J^-1 df/d(parameters), so first derivatives are exact, whatever the number
of steps. Second derivatives are not.

Beyond some radius a polynomial may turn back, so that no direction leads to a pixel. Such pixels get the
ray that they would have without a lens, and no gradient to the lens; `invertible` of Cameras tells which.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

STEPS = 10  # of Newton; quadratic convergence needs 4 to 6, the rest is for pixels near the turning point
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}  # on the normalized plane, where the image is about 1 wide
OPENCV_SIZES = (4, 5, 8)  # k1, k2, p1, p2[, k3[, k4, k5, k6]], OpenCV's order
FISHEYE_SIZES = (4,)  # k1 to k4

Pair = tuple[Tensor, Tensor]  # x and y, each (V, ...)


def distort(plane: Tensor, coefficients: Tensor) -> Tensor:
    """OpenCV's model: undistorted (V, ..., 2) on the normalized plane to distorted; coefficients (V, 4, 5 or 8)."""
    x, y = plane.unbind(-1)
    return torch.stack(_distort(x, y, coefficients), -1)


def undistort(plane: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of `distort`, and (V, ...) whether there is one."""
    # x and y apart and contiguous: strided ones take half as long again.
    given = plane[..., 0].contiguous(), plane[..., 1].contiguous()
    found = target = given[0].detach(), given[1].detach()
    fixed = coefficients.detach()
    for _ in range(STEPS):
        found = _opencv_step(found, target, fixed)
    reached = _before_the_fold(found, fixed)
    for value, wanted in zip(_distort(*found, fixed), target, strict=True):
        reached = reached & _close(value, wanted)
    on_axis = torch.zeros_like(found[0])  # where the step is harmless
    found = torch.where(reached, found[0], on_axis), torch.where(reached, found[1], on_axis)
    solved = torch.stack(_opencv_step(found, given, coefficients, fixed), -1)
    return torch.where(reached[..., None], solved, plane), reached


def fisheye_project(local: Tensor, coefficients: Tensor) -> Tensor:
    """Points (V, ..., 3) in the camera frame to the distorted plane (V, ..., 2); the sides and behind included."""
    square = (local[..., :2] ** 2).sum(-1)
    off_axis = square > 0
    radius = torch.where(off_axis, square, 1).sqrt()  # sqrt has no derivative at 0
    angle = torch.atan2(radius, local[..., 2])
    scale = torch.where(off_axis, _bent(angle, coefficients) / radius, 1 / local[..., 2])
    return local[..., :2] * scale[..., None]


def fisheye_unproject(plane: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Distorted plane (V, ..., 2) to unit directions (V, ..., 3) in the camera frame, and whether there is one."""
    square = (plane**2).sum(-1)
    off_axis = square > 0
    radius = torch.where(off_axis, square, 1).sqrt()
    angle, reached = _fisheye_angle(torch.where(off_axis, radius, 0), coefficients)
    scale = torch.where(off_axis, angle.sin() / radius, 1)
    return torch.cat([plane * scale[..., None], angle.cos()[..., None]], -1), reached


def _fisheye_angle(radius: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    target, fixed = radius.detach(), coefficients.detach()
    angle = target.clamp(max=math.pi)
    for _ in range(STEPS):
        angle = angle + (target - _bent(angle, fixed)) / _slope(angle, fixed)
    grows = torch.stack([_slope(angle * part / 4, fixed) > 0 for part in range(1, 5)]).all(0)
    reached = _close(_bent(angle, fixed), target) & (angle >= 0) & (angle <= math.pi) & grows
    angle = torch.where(reached, angle, 0)
    solved = angle + (radius - _bent(angle, coefficients)) / _slope(angle, fixed)
    return torch.where(reached, solved, radius.clamp(max=math.pi)), reached


def _bent(angle: Tensor, coefficients: Tensor) -> Tensor:
    """Distance from the image's middle at which the fisheye shows an angle (radians) off its axis."""
    square = angle * angle
    k1, k2, k3, k4 = _columns(coefficients, angle)
    return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))


def _slope(angle: Tensor, coefficients: Tensor) -> Tensor:
    square = angle * angle
    k1, k2, k3, k4 = _columns(coefficients, angle)
    return 1 + square * (3 * k1 + square * (5 * k2 + square * (7 * k3 + square * 9 * k4)))


def _distort(x: Tensor, y: Tensor, coefficients: Tensor) -> Pair:
    above, below, p1, p2 = _parts(coefficients, x)
    square, xy = x * x + y * y, 2 * x * y
    radial = _polynomial(square, above)
    radial = radial / _polynomial(square, below) if below else radial
    return x * radial + p1 * xy + p2 * (square + 2 * x * x), y * radial + p1 * (square + 2 * y * y) + p2 * xy


def _opencv_step(found: Pair, target: Pair, coefficients: Tensor, fixed: Tensor | None = None) -> Pair:
    """One step of Newton; the Jacobian takes `fixed` coefficients where the residual's carry gradients."""
    a, b, c, d = _jacobian(*found, coefficients if fixed is None else fixed)
    x, y = _distort(*found, coefficients)
    gap_x, gap_y = target[0] - x, target[1] - y
    share = 1 / (a * d - b * c)
    return found[0] + (d * gap_x - b * gap_y) * share, found[1] + (a * gap_y - c * gap_x) * share


def _jacobian(x: Tensor, y: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dx'/dx, dx'/dy, dy'/dx, dy'/dy of `distort`."""
    above, below, p1, p2 = _parts(coefficients, x)
    square = x * x + y * y
    radial, growth = _polynomial(square, above), _derivative(square, above)  # growth: by the squared radius
    if below:
        divisor = _polynomial(square, below)
        radial = radial / divisor
        growth = (growth - radial * _derivative(square, below)) / divisor
    mixed = 2 * (x * y * growth + p1 * x + p2 * y)
    return (
        radial + 2 * x * x * growth + 2 * p1 * y + 6 * p2 * x,
        mixed,
        mixed,
        radial + 2 * y * y * growth + 6 * p1 * y + 2 * p2 * x,
    )


def _before_the_fold(plane: Pair, coefficients: Tensor) -> Tensor:
    """True where the lens keeps orientation all the way from the axis: beyond a fold lie ghosts of other pixels."""
    kept = torch.ones_like(plane[0], dtype=torch.bool)
    for part in range(1, 5):
        a, b, c, d = _jacobian(plane[0] * (part / 4), plane[1] * (part / 4), coefficients)
        kept = kept & (a * d - b * c > 0) & (a + d > 0)
    return kept


def _parts(coefficients: Tensor, like: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """k1, k2[, k3], which multiply, [k4, k5, k6], which divide, p1 and p2; what is left out costs nothing."""
    k1, k2, p1, p2, *rest = _columns(coefficients, like)
    return [k1, k2, *rest[:1]], rest[1:], p1, p2


def _polynomial(square: Tensor, factors: list[Tensor]) -> Tensor:
    """1 + k1 s + k2 s^2 + ... by Horner's rule."""
    value = factors[-1]
    for factor in reversed(factors[:-1]):
        value = factor + square * value
    return 1 + square * value


def _derivative(square: Tensor, factors: list[Tensor]) -> Tensor:
    value = len(factors) * factors[-1]
    for power in range(len(factors) - 1, 0, -1):
        value = power * factors[power - 1] + square * value
    return value


def _columns(coefficients: Tensor, like: Tensor) -> list[Tensor]:
    """The coefficients, each shaped to broadcast against `like` (V, ...)."""
    return [column.reshape(-1, *[1] * (like.ndim - 1)) for column in coefficients.unbind(1)]


def _close(found: Tensor, target: Tensor) -> Tensor:
    return (found - target).abs() <= TOLERANCE[found.dtype] * (1 + target.abs())
