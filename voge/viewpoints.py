"""Cameras as users ask for them: around a target by angles, and a camera's picture in another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from voge.cameras import CameraModel, Cameras, intrinsics, orbit


def orbit_camera(
    azimuth: float,
    elevation: float,
    distance: float,
    *,
    at: Sequence[float],
    size: tuple[int, int],
    fov: float,
    up: str = "y",
    ortho: bool = False,
) -> Cameras:
    """One view of a target.

    Args:
        azimuth, elevation: degrees, see `voge.orbit`.
        distance: from the target, world units.
        at: the target, world space.
        size: width and height in pixels.
        fov: vertical field of view, degrees.
        up: the world's upright axis.
        ortho: parallel rays; at the target the picture has the size that `fov` gives.
    """
    K = intrinsics(*size, fov=fov)
    if ortho:  # pixels a world unit, the same as the pinhole camera has at the target
        K = intrinsics(*size, focal=float(K[0, 0]) / distance)
    model = CameraModel.orthographic if ortho else CameraModel.pinhole
    return Cameras(orbit(azimuth, elevation, distance, at=at, up=up)[None], K[None], *size, model)


def resized(cameras: Cameras, width: int, height: int) -> Cameras:
    """The same views in another size: intrinsics are scaled along each axis, so that all stays in the picture.

    Another shape (width over height) stretches the picture.
    """
    scale = torch.tensor([width / cameras.width, height / cameras.height, 1]).to(cameras.Ks)
    return replace(cameras, Ks=cameras.Ks * scale[:, None], width=width, height=height)
