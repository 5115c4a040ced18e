"""Color spaces: sRGB, as 8-bit files store colors, and linear light, in which light adds up."""

from __future__ import annotations

import torch
from torch import Tensor


def srgb_to_linear(colors: Tensor) -> Tensor:
    """Linear light of sRGB values (IEC 61966-2-1); values above 1 go on, differentiable."""
    curve = ((colors.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(colors <= 0.04045, colors / 12.92, curve)


def linear_to_srgb(light: Tensor) -> Tensor:
    """sRGB values of linear light, the inverse of `srgb_to_linear`."""
    curve = 1.055 * light.clamp_min(0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curve)
