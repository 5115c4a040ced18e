"""Poses of objects: similarities (rotation, one scale, translation) as 4x4 matrices from object to world.

Float64 on the CPU: poses are read from files and composed before anything is rendered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from voge.geometry.rotations import multiply_quats, quats_to_matrices


def similarity(translation: Sequence[float] = (0, 0, 0), quat: Tensor | None = None, scale: float = 1.0) -> Tensor:
    """The matrix (4, 4) of x_world = scale R x_object + translation; without a quaternion R is the identity."""
    matrix = torch.eye(4, dtype=torch.float64)
    if quat is not None:
        matrix[:3, :3] = quats_to_matrices(quat.double())
    matrix[:3, :3] *= scale
    matrix[:3, 3] = matrix.new_tensor(translation)
    return matrix


def axis_quat(axis: Sequence[float], degrees: float) -> Tensor:
    """The quaternion (w, x, y, z) of a right-handed turn about an axis of any length but 0."""
    direction = torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0)
    half = math.radians(degrees) / 2
    return torch.cat([direction.new_tensor([math.cos(half)]), math.sin(half) * direction])


def euler_quat(x: float, y: float, z: float) -> Tensor:
    """The quaternion of turns in degrees about the fixed axes x, then y, then z: R = Rz Ry Rx."""
    about_x, about_y, about_z = axis_quat((1, 0, 0), x), axis_quat((0, 1, 0), y), axis_quat((0, 0, 1), z)
    return multiply_quats(about_z, multiply_quats(about_y, about_x))


def check_similarity(matrix: Tensor) -> None:
    """Check that a matrix (4, 4) is a similarity that keeps the hand.

    Raises:
        ValueError: says which rule is broken.
    """
    if tuple(matrix.shape) != (4, 4) or not matrix.isfinite().all():
        raise ValueError("must be 4 rows of 4 finite numbers")
    if matrix[3].tolist() != [0, 0, 0, 1]:
        raise ValueError(f"must have the last row [0, 0, 0, 1], got {matrix[3].tolist()}; is it transposed?")
    linear = matrix[:3, :3].double()
    volume = float(torch.linalg.det(linear))
    if volume <= 0:
        raise ValueError(f"must keep the hand (determinant above 0, got {volume:g}); it mirrors or flattens the object")
    rotation = linear / volume ** (1 / 3)
    error = float((rotation @ rotation.mT - torch.eye(3).double()).abs().max())
    if error > 1e-3:
        raise ValueError(f"must be a rotation, one scale and a translation; R R^T is {error:.2g} from the identity")
