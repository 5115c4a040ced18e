"""Pictures of a mesh to fit to: ray-cast, lit by a point light, from around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from voge.fitting.settings import Sweep
from voge.imaging.lighting import shade
from voge.meshes.mesh import Mesh
from voge.meshes.raycast import render_mesh
from voge.scene.cameras import Cameras, intrinsics, orbit
from voge.scene.capture import Capture


def sweep_cameras(sweep: Sweep) -> Cameras:
    """The views of a sweep, evenly spaced in both angles."""
    azimuth = torch.linspace(*sweep.azimuth, sweep.views)
    elevation = torch.linspace(*sweep.elevation, sweep.views)
    return cameras_at(sweep, azimuth, elevation)


def cameras_at(sweep: Sweep, azimuth: Tensor, elevation: Tensor) -> Cameras:
    """Views from other angles (V,), degrees, with the lens and the distance of a sweep."""
    K = intrinsics(sweep.size, sweep.size, focal=sweep.focal * sweep.size / 128)
    viewmats = orbit(azimuth, elevation, sweep.distance)
    return Cameras(viewmats, K.expand(len(viewmats), 3, 3).contiguous(), sweep.size, sweep.size)


def random_cameras(sweep: Sweep, count: int, seed: int) -> Cameras:
    """Views from directions that are spread evenly at random over the sphere."""
    generator = torch.Generator().manual_seed(seed)
    return _cameras_from(sweep, torch.randn(count, 3, generator=generator))


def unseen_cameras(sweep: Sweep, count: int = 5, spread: float = 20.0) -> Cameras:
    """Views of the side that a sweep sees least: from where the nearest of its cameras is farthest, and around.

    Args:
        sweep: the views that see.
        count: views; the first from the middle of that side.
        spread: degrees between the first and the others.
    """
    seen = torch.nn.functional.normalize(sweep_cameras(sweep).centers, dim=1)
    tried = _fibonacci(4096)
    middle = tried[(tried @ seen.mT).amax(1).argmin()]
    across = torch.linalg.cross(middle, torch.eye(3)[middle.abs().argmin()])
    across = torch.nn.functional.normalize(across, dim=0)
    beside = torch.linalg.cross(middle, across)
    turn, tilt = 2 * torch.pi * torch.arange(count - 1) / max(count - 1, 1), torch.deg2rad(torch.tensor(spread))
    ring = turn.cos()[:, None] * across + turn.sin()[:, None] * beside
    return _cameras_from(sweep, torch.cat([middle[None], tilt.cos() * middle + tilt.sin() * ring]))


def _cameras_from(sweep: Sweep, directions: Tensor) -> Cameras:
    x, y, z = torch.nn.functional.normalize(directions, dim=1).unbind(1)
    return cameras_at(sweep, torch.rad2deg(torch.atan2(x, z)), torch.rad2deg(torch.asin(y)))


def _fibonacci(count: int) -> Tensor:
    """(count, 3) directions, evenly spread."""
    step = torch.arange(count, dtype=torch.float64)
    z = 1 - (2 * step + 1) / count
    angle, radius = step * (torch.pi * (3 - 5**0.5)), (1 - z * z).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], 1).float()


def to_size_one(mesh: Mesh) -> Mesh:
    """The middle of the bounding box at the origin, and the largest coordinate 1."""
    low, high = mesh.vertices.min(0), mesh.vertices.max(0)
    moved = mesh.vertices - (low + high) / 2
    return replace(mesh, vertices=moved / np.abs(moved).max())


def photograph(
    mesh: Mesh,
    cameras: Cameras,
    *,
    light: Sequence[float] | None = (0.0, 0.0, -3.0),
    ambient: float = 0.6,
    samples: int = 3,
) -> Capture:
    """Pictures and masks of a mesh from V cameras.

    Args:
        mesh: see `voge.meshes.raycast.render_mesh`.
        cameras: V views, on the CPU.
        light: position of the point light, world space; None leaves colors as they are.
        ambient: share of light that comes from everywhere: the tutorial's 0.5 of 0.5 + 0.3, its highlights left out,
            since what changes with the view is no color of a surface.
        samples: rays along each side of a pixel.
    """
    pictures = render_mesh(mesh, cameras, samples, smooth=True)
    image = pictures.image
    if light is not None:
        covered = pictures.alpha.clamp_min(1e-6)[..., None]
        rays = cameras.rays()
        places = rays.origins + rays.directions * pictures.depth[..., None] / covered
        colors, normals, flat = (t.reshape(-1, 3) for t in (image, pictures.normals, places))
        image = shade(colors, normals, flat, image.new_tensor(light), ambient=ambient).reshape(image.shape)
    return Capture(cameras, image.contiguous(), pictures.alpha)
