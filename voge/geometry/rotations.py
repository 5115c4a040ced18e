"""Rotations as unit quaternions (w, x, y, z) and as matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def quats_to_matrices(quats: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of quaternions (..., 4) in order (w, x, y, z), normalized first."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    matrices: Tensor = torch.stack(rows, -1).unflatten(-1, (3, 3))
    return matrices


def matrices_to_quats(matrices: Tensor) -> Tensor:
    """Unit quaternions (..., 4), (w, x, y, z), w >= 0, of rotation matrices (..., 3, 3).

    There are four ways to divide. The division by the largest component is taken (Shepperd 1978): nothing is lost
    near a half turn, and gradients stay finite.
    """
    m = matrices
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    # Row i is 4 q_i q: four parallel vectors, of which the longest is kept.
    candidates = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, wx, wy, wz], -1),
            torch.stack([wx, 1 + xx - yy - zz, xy, xz], -1),
            torch.stack([wy, xy, 1 - xx + yy - zz, yz], -1),
            torch.stack([wz, xz, yz, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = candidates.diagonal(dim1=-2, dim2=-1).argmax(-1)
    index = best[..., None, None].expand(*best.shape, 1, 4)
    quats = torch.nn.functional.normalize(candidates.gather(-2, index).squeeze(-2), dim=-1)
    return torch.where(quats[..., :1] < 0, -quats, quats)


def multiply_quats(left: Tensor, right: Tensor) -> Tensor:
    """The Hamilton product of quaternions (..., 4): the rotation `right` followed by `left`."""
    lw, lv = left[..., :1], left[..., 1:]
    rw, rv = right[..., :1], right[..., 1:]
    lv, rv = torch.broadcast_tensors(lv, rv)
    return torch.cat([lw * rw - (lv * rv).sum(-1, keepdim=True), lw * rv + rw * lv + torch.linalg.cross(lv, rv)], -1)
