"""Cameras as users ask for them: around a target by angles, and a camera's picture in another size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voge.geometry.rotations import quats_to_matrices
from voge.geometry.similarity import axis_quat
from voge.scene.cameras import CameraModel, Cameras, intrinsics, orbit


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


def around(count: int, azimuth: float = 0.0) -> list[float]:
    """Azimuths of a turntable, degrees: `count` of them once around, from the first."""
    return [azimuth + 360 * i / count for i in range(count)]


def resized(cameras: Cameras, width: int, height: int) -> Cameras:
    """The same views in another size: intrinsics are scaled along each axis, so that all stays in the picture.

    Another shape (width over height) stretches the picture.
    """
    scale = torch.tensor([width / cameras.width, height / cameras.height, 1]).to(cameras.Ks)
    return replace(cameras, Ks=cameras.Ks * scale[:, None], width=width, height=height)


def turned(camera: Cameras, target: Sequence[float], azimuth: float, elevation: float, *, up: str = "y") -> Cameras:
    """One view moved on its sphere around a target, which stays where it is in the picture.

    Args:
        camera: one view, anywhere.
        target: world space.
        azimuth: degrees about the upright axis, in the sense of `voge.orbit`.
        elevation: degrees upwards, before that.
        up: the world's upright axis.
    """
    viewmat = camera.viewmats[0].double()
    right = viewmat[0, :3]
    upright = (0.0, 1.0, 0.0) if up == "y" else (0.0, 0.0, 1.0)
    around, above = axis_quat(upright, azimuth), axis_quat(right.tolist(), -elevation)
    turn = quats_to_matrices(around) @ quats_to_matrices(above)
    middle = viewmat.new_tensor(target)
    # The camera goes along with a turn of the world about the target: x -> turn (x - target) + target.
    rotation = viewmat[:3, :3] @ turn.mT.to(viewmat)
    shift = viewmat[:3, 3] + viewmat[:3, :3] @ middle - rotation @ middle
    moved = torch.cat([torch.cat([rotation, shift[:, None]], 1), viewmat[3:]])
    return replace(camera, viewmats=moved[None].to(camera.viewmats))


def upright_axis(viewmat: Tensor) -> str:
    """The axis of the world, "y" or "z", that is more upright in the picture of a camera (4, 4)."""
    _, y, z = viewmat[1, :3].abs().tolist()  # how far each axis points down or up in the picture
    return "y" if y >= z else "z"
