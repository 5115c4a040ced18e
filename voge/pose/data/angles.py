"""Viewpoints as PASCAL3D+ writes them, and the poses they stand for.

An object's frame has z up and, for PASCAL3D+'s models, its front towards -y. Azimuth 0 looks along +y at the front;
azimuth turns the camera towards +x, elevation lifts it, theta turns the picture's content counter-clockwise: the
angles of `voge.orbit` with up "z". `voge.io.cameras.pose.pascal3d` writes out the data set's own projection.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from voge.scene.cameras import orbit


class Viewpoint(NamedTuple):
    """Angles in degrees, numbers or tensors of one shape (...)."""

    azimuth: Tensor
    elevation: Tensor
    theta: Tensor


def to_viewmat(azimuth: Tensor, elevation: Tensor, theta: Tensor, distance: Tensor | float) -> Tensor:
    """Viewmats (..., 4, 4) of viewpoints in degrees, the object's origin on the optical axis at `distance`."""
    return orbit(azimuth, elevation, distance, theta, up="z")


def from_rotation(rotation: Tensor) -> Viewpoint:
    """The viewpoint whose `to_viewmat` has this rotation (..., 3, 3): azimuth in [0, 360), the others in [-180, 180].

    Seen from straight above or below azimuth and theta turn about one axis: azimuth is 0 then.
    """
    back = -rotation[..., 2, :]  # from the object towards the camera
    across = torch.linalg.vector_norm(back[..., :2], dim=-1)
    pole = across < 1e-6
    azimuth = torch.where(pole, torch.zeros_like(across), torch.atan2(back[..., 0], -back[..., 1]))
    elevation = torch.atan2(back[..., 2], across)
    sin_a, cos_a, sin_e, cos_e = azimuth.sin(), azimuth.cos(), elevation.sin(), elevation.cos()
    zero = torch.zeros_like(sin_a)
    # Where the camera's x axis would point with theta 0, and its y axis.
    right = torch.stack([cos_a, sin_a, zero], -1)
    down = torch.stack([sin_e * sin_a, -sin_e * cos_a, -cos_e], -1)
    first = rotation[..., 0, :]
    theta = torch.atan2((first * down).sum(-1), (first * right).sum(-1))
    return Viewpoint(torch.rad2deg(azimuth) % 360, torch.rad2deg(elevation), torch.rad2deg(theta))


def towards(point: Tensor) -> Tensor:
    """Rotations (..., 3, 3) that turn the optical axis to directions (..., 3) of the camera frame, the shortest way.

    A pose relative to the line of sight, as the angles give it, becomes one of a camera that sees the object off its
    axis: viewmat = [R towards(p)..., p].
    """
    axis = torch.nn.functional.normalize(point, dim=-1)
    x, y, z = axis.unbind(-1)
    # Rodrigues' formula for e_z -> axis; (1 + z) is far from 0 for anything in front of the camera.
    k = 1 / (1 + z)
    rows = [1 - k * x * x, -k * x * y, x, -k * x * y, 1 - k * y * y, y, -x, -y, z]
    matrices: Tensor = torch.stack(rows, -1).unflatten(-1, (3, 3))
    return matrices
