"""Pictures of a solved scene: each view before, target and after, the scene from the side, and the way there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.occlusion.files import SolvedScene
from voge.occlusion.problem import Bodies, Target
from voge.rendering.renderer import render
from voge.scene.cameras import Cameras
from voge.scene.viewpoints import orbit_camera, resized

VIDEO_SIDE = 400  # pixels of the longer side, at most


class Picture(NamedTuple):
    """One picture to look at."""

    name: str  # of its file, without suffix
    caption: str
    pixels: NDArray[Any]  # (H, W, 3) in [0, 1]


def take_pictures(solved: SolvedScene, side: float = 90.0) -> Iterator[Picture]:
    """Each target's view before, as it should be, and after; then the scene from the side before and after.

    Args:
        solved: the scene.
        side: azimuth of the side view from the first camera, degrees.
    """
    bodies, poses = solved.problem.bodies, solved.solution.poses
    for number, target in enumerate(solved.problem.targets):
        before = _render(bodies, bodies.starts, target.camera)
        after = _render(bodies, poses, target.camera)
        for name, picture in (("before", before), ("target", _shown(target)), ("after", after)):
            yield Picture(f"{number:04d}_{name}", f"{name}, view {number}", picture.numpy())
    camera = side_camera(solved, side)
    for name, places in (("before", bodies.starts), ("after", poses)):
        yield Picture(f"side_{name}", f"from the side, {name}", _render(bodies, places, camera).numpy())


def side_camera(solved: SolvedScene, degrees: float) -> Cameras:
    """A camera that sees the result from the side: about as far away, turned around the middle of the objects."""
    bodies, poses = solved.problem.bodies, solved.solution.poses
    first = solved.problem.targets[0].camera
    middle = bodies.centers(poses).mean(0)
    offset = first.centers[0].double().cpu() - middle
    distance = max(float(offset.norm()), 2 * float(bodies.sizes(poses).max()))
    azimuth = math.degrees(math.atan2(float(offset[0]), float(offset[2]))) + degrees
    elevation = math.degrees(math.asin(max(-1.0, min(1.0, float(offset[1] / offset.norm().clamp_min(1e-9))))))
    camera = orbit_camera(azimuth, elevation, distance, at=middle.tolist(), size=(first.width, first.height), fov=60)
    return camera.to(torch.float32).to(bodies.ellipsoids.device)


def film(solved: SolvedScene, count: int) -> Iterator[NDArray[Any]]:
    """At most `count` frames (H, 2 W, 3) of the way to the solution, as the first camera sees it, beside its target."""
    path, bodies, target = solved.solution.path, solved.problem.bodies, solved.problem.targets[0]
    camera = target.camera
    share = min(VIDEO_SIDE / max(camera.width, camera.height), 1.0)
    camera = resized(camera, *(2 * max(round(share * side / 2), 8) for side in (camera.width, camera.height)))
    beside = _shown(target).permute(2, 0, 1)[None]
    beside = torch.nn.functional.interpolate(beside, (camera.height, camera.width), mode="area")[0].permute(1, 2, 0)
    for number in torch.linspace(0, len(path) - 1, min(count, len(path))).round().long().tolist():
        yield torch.cat([_render(bodies, path[number][0], camera), beside], 1).numpy()


@torch.no_grad()
def _render(bodies: Bodies, poses: Tensor, camera: Cameras) -> Tensor:
    seen = render(bodies.place(poses), camera)
    return _colors(seen.image[0] if seen.image.shape[-1] else seen.alpha[0, ..., None])


def _shown(target: Target) -> Tensor:
    """A target's picture (H, W, 3), or its silhouette."""
    if target.image is not None:
        return _colors(target.image)
    assert target.silhouette is not None
    return _colors(target.silhouette[..., None])


def _colors(picture: Tensor) -> Tensor:
    """(H, W, 3) to look at: the first three channels, or gray."""
    return (picture[..., :3] if picture.shape[-1] >= 3 else picture[..., :1].expand(-1, -1, 3)).clamp(0, 1).cpu()
