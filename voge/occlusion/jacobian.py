"""Jacobians of pictures of several objects, by differences.

For each object only the part of the picture that it reaches is rendered. The whole scene is traced there, so that what
hides the object, and what it hides, is exact.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from voge.occlusion.levels import Level
from voge.occlusion.problem import Bodies, Body
from voge.rendering.renderer import Rendered, render
from voge.scene.cameras import CameraModel, Cameras

MARGIN = 2  # pixels around an object's box, for its picture's soft edge


@torch.no_grad()
def jacobian(level: Level, bodies: Bodies, poses: Tensor, mask: Tensor, steps: Tensor) -> Tensor:
    """(M, D) of the level's residuals in the coordinates of `mask` (O, 7), by forward differences of `steps` (D,)."""
    base = bodies.place(poses)
    parts = []
    for target in level.targets:
        picture = render(base, target.camera, level.settings)
        columns = []
        for number, step in enumerate(steps.tolist()):
            increment = torch.zeros_like(steps)
            increment[number] = step
            moved = bodies.retract(poses, increment, mask)
            owner = int(mask.nonzero()[number, 0])
            changed = _changed(level, picture, target.camera, bodies, poses, moved, owner)
            columns.append(level.slope(changed, target)[0] / step)
        parts.append(torch.stack(columns, 1))
    return torch.cat(parts)


def _changed(
    level: Level, base: Rendered, camera: Cameras, bodies: Bodies, before: Tensor, after: Tensor, owner: int
) -> Rendered:
    """By how much a picture changes when one object moves."""
    body = bodies.bodies[owner]
    change = Rendered(*(torch.zeros_like(part) for part in (base.image, base.alpha, base.depth)))
    box = window(camera, body, torch.stack([before[owner], after[owner]]))
    if box is None:
        return change
    top, bottom, left, right = box
    seen = render(bodies.place(after), crop(camera, box), level.settings)
    change.image[:, top:bottom, left:right] = seen.image - base.image[:, top:bottom, left:right]
    change.alpha[:, top:bottom, left:right] = seen.alpha - base.alpha[:, top:bottom, left:right]
    return change


def crop(camera: Cameras, box: tuple[int, int, int, int]) -> Cameras:
    """The camera of a part of its picture: rows top to bottom, columns left to right."""
    top, bottom, left, right = box
    Ks = camera.Ks.clone()
    Ks[:, 0, 2] -= left
    Ks[:, 1, 2] -= top
    return replace(camera, Ks=Ks, width=right - left, height=bottom - top)


def window(camera: Cameras, body: Body, poses: Tensor) -> tuple[int, int, int, int] | None:
    """Rows and columns (top, bottom, left, right) that a body may be seen in, in any of the poses (P, 4, 4).

    None where it is out of the picture; the whole picture where it reaches behind the camera or a lens bends it.
    """
    whole = (0, camera.height, 0, camera.width)
    if camera.distortion is not None:
        return whole
    corners = (poses[:, None, :3, :3] @ body.corners[..., None]).squeeze(-1) + poses[:, None, :3, 3]
    pixels, depth = camera.to(torch.float64).to("cpu").project(corners.flatten(0, 1))
    if camera.model is not CameraModel.orthographic and bool((depth <= 0).any()):
        return None if bool((depth <= 0).all()) else whole
    low, high = pixels[0].amin(0) - MARGIN, pixels[0].amax(0) + MARGIN
    left, top = (max(math.floor(v), 0) for v in low.tolist())
    right, bottom = (
        min(math.ceil(v), side) for v, side in zip(high.tolist(), (camera.width, camera.height), strict=True)
    )
    return (top, bottom, left, right) if top < bottom and left < right else None
