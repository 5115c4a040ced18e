"""Several objects in one world: rendered together, told apart by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.geometry.rigid import scale_of, turn_of
from voge.geometry.rotations import matrices_to_quats, multiply_quats
from voge.scene.ellipsoids import Ellipsoids, cat


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """All objects as one set, so that overlapping and touching ones are integrated together."""

    ellipsoids: Ellipsoids  # of all objects, in order, world space
    names: tuple[str, ...]  # of the objects
    counts: tuple[int, ...]  # ellipsoids of each object

    @property
    def object_index(self) -> Tensor:
        """(N,) int32: the object that each ellipsoid belongs to."""
        counts = torch.tensor(self.counts, device=self.ellipsoids.device)
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts).int()

    def objects(self) -> list[Ellipsoids]:
        """The objects apart."""
        return self.ellipsoids.split(self.counts)

    def to(self, target: torch.device | torch.dtype | str) -> Scene:
        """The same scene on another device or in another float dtype."""
        return replace(self, ellipsoids=self.ellipsoids.to(target))


def assemble(names: Sequence[str], objects: Sequence[Ellipsoids], poses: Sequence[Tensor | None]) -> Scene:
    """A scene of objects, each moved from its own frame into the world.

    Args:
        names: of the objects.
        objects: each in its own frame; float32 where their precision differs.
        poses: (4, 4) similarities from object to world; None leaves an object where it is.
    """
    if len({made.dtype for made in objects}) > 1:
        objects = [made.to(torch.float32) for made in objects]
    moved = [
        made if pose is None else made.transform(pose.to(made.means)) for made, pose in zip(objects, poses, strict=True)
    ]
    return Scene(cat(moved), tuple(names), tuple(len(made) for made in moved))


def place(ellipsoids: Ellipsoids, poses: Tensor, index: Tensor) -> Ellipsoids:
    """Every ellipsoid moved by its object's pose, without waiting for the device; differentiable in the poses.

    Args:
        ellipsoids: N, of all objects, each in its own object's frame. Extras are left out.
        poses: (O, 4, 4) similarities from object to world, of any float dtype, on any device.
        index: (N,) int64, the object of each ellipsoid.
    """
    scale = scale_of(poses)
    quats = matrices_to_quats(turn_of(poses))
    numbers = torch.cat([poses[:, :3, :3].flatten(1), poses[:, :3, 3], quats, scale[:, None]], 1)
    linear, shift, quats, scale = numbers.to(ellipsoids.means)[index].split([9, 3, 4, 1], 1)
    return replace(
        ellipsoids,
        means=(linear.unflatten(1, (3, 3)) @ ellipsoids.means[..., None]).squeeze(-1) + shift,
        scales=ellipsoids.scales * scale,
        quats=multiply_quats(quats, ellipsoids.quats),
        extra={},
    )
