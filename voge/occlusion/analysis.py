"""Visible parts of objects, and the order in which they hide each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.occlusion.problem import Bodies
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras

HIDES = 0.01  # of an object's picture: less is its neighbors' soft edge


@dataclass(frozen=True, slots=True, eq=False)
class Visibility:
    """Seen share of O objects in V views."""

    visible: Tensor  # (O,) share of what would be seen of the object alone that is seen, 0 to 1; 0 out of view
    in_view: Tensor  # (O,) bool: whether the object alone would be seen at all
    hides: Tensor  # (O, O) share of object j's picture that goes when object i is put beside it, alone


@torch.no_grad()
def visibility(
    bodies: Bodies, poses: Tensor, cameras: Sequence[Cameras], settings: RenderSettings | None = None
) -> Visibility:
    """Measure how much of each object is seen, over all views together, and which object hides which.

    Args:
        bodies: O objects.
        poses: (O, 4, 4) from object to world.
        cameras: one view each.
        settings: of the renderer.
    """
    count = len(bodies.bodies)
    scene = bodies.place(poses)
    labels = torch.eye(count, dtype=scene.dtype, device=scene.device)[bodies.index]
    scene = replace(scene, features=labels)
    seen, alone = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    hides = torch.zeros(count, count, dtype=torch.float64)
    sets = scene.split(bodies.counts)
    for camera in cameras:
        seen += render(scene, camera, settings).image.sum((0, 1, 2)).double().cpu()
        pictures = [render(one, camera, settings) for one in sets]
        alone += torch.stack([picture.alpha.sum() for picture in pictures]).double().cpu()
        for i in range(count):
            for j in range(count):
                if i != j:
                    nearer = pictures[i].depth * pictures[j].alpha < pictures[j].depth * pictures[i].alpha
                    hidden = (pictures[i].alpha * pictures[j].alpha)[nearer]
                    hides[i, j] += float(hidden.sum())
    whole = alone.clamp_min(1e-12)
    return Visibility((seen / whole).clamp(0, 1), alone > 1, hides / whole)


def depth_order(hides: Tensor) -> list[tuple[int, int]]:
    """Edges (i, j) of the depth order graph: i hides part of j. Two objects may hide parts of each other."""
    return [(i, j) for i, j in (hides > HIDES).nonzero().tolist()]
