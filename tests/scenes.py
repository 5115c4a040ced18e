"""Scenes that several test files share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import voge


def random_ellipsoids(
    count: int, seed: int = 0, dtype: torch.dtype = torch.float64, channels: int = 3
) -> voge.Ellipsoids:
    """Overlapping ellipsoids of several sizes and shapes about the origin."""
    g = torch.Generator("cpu").manual_seed(seed)
    with torch.device("cpu"):
        e = voge.Ellipsoids(
            means=torch.randn(count, 3, generator=g, dtype=torch.float64) * 0.5,
            scales=torch.rand(count, 3, generator=g, dtype=torch.float64) * 0.25 + 0.03,
            quats=torch.randn(count, 4, generator=g, dtype=torch.float64),
            density=torch.rand(count, generator=g, dtype=torch.float64) * 2 + 0.05,
            features=torch.rand(count, channels, generator=g, dtype=torch.float64),
        )
    return e.to(dtype).to(torch.get_default_device())


def hostile_ellipsoids(kind: str, dtype: torch.dtype = torch.float64) -> voge.Ellipsoids:
    """Sets at the edges of what a user can pass, 24 ellipsoids each; seen from distance 3 along z."""
    e = random_ellipsoids(24, seed=7)
    means, scales, density = e.means, e.scales, e.density
    if kind == "flat":  # ratio 1e-3
        scales = scales * torch.tensor([1.0, 1.0, 1e-3], dtype=torch.float64)
    elif kind == "needle":
        scales = scales * torch.tensor([1.0, 1e-2, 1e-2], dtype=torch.float64)
    elif kind == "tiny":
        # Beside the viewing ray of a pixel, else nothing of them is seen.
        scales, means = torch.full_like(scales, 1e-4), means * torch.tensor([1e-4, 1e-4, 1.0], dtype=torch.float64)
    elif kind == "huge":
        scales = scales * 1e3
    elif kind == "coincident":
        means, scales = means[:1].expand(24, 3), scales[:1].expand(24, 3)
    elif kind == "behind":
        means = means + torch.tensor([0.0, 0.0, 6.0], dtype=torch.float64)
    elif kind == "around":
        means, scales = means + torch.tensor([0.0, 0.0, 3.0], dtype=torch.float64), scales * 4
    elif kind == "opaque":
        density = density * 50
    elif kind == "translucent":
        density = density * 0.02
    else:
        raise ValueError(kind)
    return voge.Ellipsoids(means, scales, e.quats, density, e.features).to(dtype)


HOSTILE = ("flat", "needle", "tiny", "huge", "coincident", "behind", "around", "opaque", "translucent")


def cameras(
    width: int,
    height: int,
    views: int = 1,
    dtype: torch.dtype = torch.float64,
    model: str = "pinhole",
    azimuth: float = 0.0,
) -> voge.Cameras:
    """Views from distance 3, with an off-center principal point, unequal focal lengths and skew."""
    azimuths = azimuth + torch.arange(views, dtype=torch.float64) * 100
    viewmats = voge.orbit(
        azimuths, 15.0 * (azimuth != 0), torch.tensor(3.0, dtype=torch.float64), theta=10.0 * (azimuth != 0)
    )
    focal = width / 2 / math.tan(math.radians(25)) if model == "pinhole" else width / 3
    K = torch.tensor([[focal, 0.03 * focal, width / 2 + 1.3], [0, 1.1 * focal, height / 2 - 0.7], [0, 0, 1]])
    Ks = K.to(torch.float64).expand(views, 3, 3)
    return voge.Cameras(viewmats.to(dtype), Ks.to(dtype), width, height, voge.CameraModel(model))


def centered_camera(size: int = 33, dtype: torch.dtype = torch.float64) -> voge.Cameras:
    """A camera at (0, 0, 3) whose middle pixel looks through the origin."""
    viewmats = voge.orbit(0.0, 0.0, torch.tensor(3.0, dtype=torch.float64))[None].to(dtype)
    return voge.Cameras(viewmats, voge.intrinsics(size, size, fov=50.0)[None].to(dtype), size, size)


def random_like(tensor: Tensor, seed: int = 1) -> Tensor:
    """Uniform random numbers in a tensor's shape, dtype and device, made on the CPU."""
    g = torch.Generator("cpu").manual_seed(seed)
    return torch.rand(tensor.shape, generator=g, dtype=torch.float64, device="cpu").to(tensor)
