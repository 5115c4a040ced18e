"""Simple shading of ellipsoids by their normals, before rendering."""

from __future__ import annotations

import torch
from torch import Tensor

from voge import checks


def shade(
    colors: Tensor, normals: Tensor, positions: Tensor, light: Tensor, *, ambient: float = 0.35, two_sided: bool = False
) -> Tensor:
    """Lambert's law with one point light: color x (ambient + (1 - ambient) cos of the angle to the light).

    Args:
        colors: (N, C) what the surface reflects.
        normals: (N, 3) outward, any length.
        positions: (N, 3) world space.
        light: (3,) position of the light, world space; the camera's center makes a headlight.
        ambient: share of light that comes from everywhere, 0 to 1; 1 leaves the colors as they are.
        two_sided: light falls on the back of a surface as well (normals of unknown sign).

    Returns:
        (N, C), never brighter than `colors`. Differentiable in all tensors.
    """
    checks.shapes(colors=(colors, "N C"), normals=(normals, "N 3"), positions=(positions, "N 3"), light=(light, "3"))
    if not 0 <= ambient <= 1:
        raise ValueError(f"ambient must lie between 0 and 1, got {ambient}")
    towards = torch.nn.functional.normalize(light - positions, dim=-1)
    cosine = (torch.nn.functional.normalize(normals, dim=-1) * towards).sum(-1, keepdim=True)
    facing = cosine.abs() if two_sided else cosine.clamp_min(0)
    return colors * (ambient + (1 - ambient) * facing)
