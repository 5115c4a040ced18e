"""Increments of poses: what a pose may do, and how a few numbers move it.

An increment of one pose has 7 coordinates: translation along the world's axes (world units), rotation about the
object's axes (a rotation vector, radians) and the logarithm of the scale. Rotation and scale are about a center in the
object's frame.
Translation and turning about that center do not mix: the center goes where the translation takes it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voge.geometry.rotations import matrices_to_quats

COORDINATES = 7
TRANSLATION, ROTATION, SCALE = slice(0, 3), slice(3, 6), slice(6, 7)


def move(poses: Tensor, increments: Tensor, centers: Tensor) -> Tensor:
    """Poses (..., 4, 4) after increments (..., 7) about centers (..., 3) of the objects' frames; differentiable."""
    linear, shift = poses[..., :3, :3], poses[..., :3, 3:]
    turn = rotation(increments[..., ROTATION]) * increments[..., SCALE, None].exp()
    moved = linear @ turn
    center = centers[..., None]
    shift = shift + linear @ center - moved @ center + increments[..., TRANSLATION, None]
    return torch.cat([torch.cat([moved, shift], -1), poses[..., 3:, :]], -2)


def rotation(vectors: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3): axis times angle in radians (Rodrigues)."""
    # By sinc, whose slope at 0 is exact; a matrix exponential would wait for a GPU.
    cross = cross_matrix(vectors)
    turns = vectors.norm(dim=-1)[..., None, None] / (2 * math.pi)
    eye = torch.eye(3, dtype=vectors.dtype, device=vectors.device)
    return eye + torch.sinc(2 * turns) * cross + torch.sinc(turns).square() / 2 * (cross @ cross)


def rotation_vector(matrix: Tensor) -> Tensor:
    """The rotation vector (..., 3) of rotation matrices (..., 3, 3), the inverse of `rotation`; angles up to pi."""
    quats = matrices_to_quats(matrix)
    sine = quats[..., 1:].norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(sine, quats[..., :1])
    return quats[..., 1:] * torch.where(sine > 1e-12, angle / sine.clamp_min(1e-12), 2.0)


def cross_matrix(vectors: Tensor) -> Tensor:
    """The matrices (..., 3, 3) of the cross product with vectors (..., 3) from the left."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    matrices: Tensor = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    return matrices


def scale_of(poses: Tensor) -> Tensor:
    """The scale (...) of similarities (..., 4, 4)."""
    scales: Tensor = torch.linalg.det(poses[..., :3, :3]).pow(1 / 3)
    return scales


def turn_of(poses: Tensor) -> Tensor:
    """The rotations (..., 3, 3) of similarities (..., 4, 4)."""
    return poses[..., :3, :3] / scale_of(poses)[..., None, None]


def angle_between(first: Tensor, second: Tensor) -> Tensor:
    """The angle (...) in degrees, 0 to 180, between the rotations of two similarities (..., 4, 4)."""
    return rotation_error(turn_of(first), turn_of(second))


def rotation_error(first: Tensor, second: Tensor) -> Tensor:
    """The angle (...) in degrees, 0 to 180, between two rotations (..., 3, 3): |log(A^T B)|_F / sqrt 2."""
    # The arc tangent is exact for small angles and for half turns, where the arc cosine of the trace loses half of
    # the digits.
    between = first.mT @ second
    skew = between - between.mT
    sine = torch.stack([skew[..., 2, 1], skew[..., 0, 2], skew[..., 1, 0]], -1).norm(dim=-1) / 2
    cosine = (between.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2
    return torch.rad2deg(torch.atan2(sine, cosine))
