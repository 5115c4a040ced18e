"""Objects with start poses and freedoms, and pictures with their cameras: what is known and what is sought."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from voge import checks
from voge.geometry import rigid
from voge.scene.cameras import CameraModel, Cameras
from voge.scene.ellipsoids import Ellipsoids, cat
from voge.scene.extent import bounding_box
from voge.scene.objects import place

Triple = tuple[bool, bool, bool]


@dataclass(frozen=True, kw_only=True)
class Freedom:
    """The part of a pose that may change, and how far."""

    translation: Triple = (True, True, True)  # along the world's axes
    rotation: Triple = (True, True, True)  # about the object's axes, through the body's center
    scale: bool = False
    low: tuple[float, float, float] = (-math.inf,) * 3  # world units, of the center
    high: tuple[float, float, float] = (math.inf,) * 3
    angle: float = 180.0  # degrees from the start at most
    scales: tuple[float, float] = (0.1, 10.0)  # least and largest scale, over that of the start

    def __post_init__(self) -> None:
        for name in ("translation", "rotation"):
            value = getattr(self, name)
            if len(value) != 3 or not all(isinstance(axis, bool) for axis in value):
                raise ValueError(f"{name} must be three of true and false, got {value}")
        if len(self.low) != 3 or len(self.high) != 3 or not all(map(float.__le__, map(float, self.low), self.high)):
            raise ValueError(f"low and high must be three numbers each, low below high; got {self.low} and {self.high}")
        if not 0 <= self.angle <= 180:
            raise ValueError(f"angle must lie between 0 and 180 degrees, got {self.angle}")
        if len(self.scales) != 2 or not 0 < self.scales[0] <= 1 <= self.scales[1]:
            raise ValueError(f"scales must be a least one of at most 1 and a largest of at least 1, got {self.scales}")

    @property
    def mask(self) -> list[bool]:
        """True for each of the 7 coordinates of `voge.geometry.rigid` that may change."""
        return [*self.translation, *self.rotation, self.scale]


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Object that is posed: its ellipsoids, start and freedom."""

    name: str
    ellipsoids: Ellipsoids  # in the object's frame
    pose: Tensor  # (4, 4) similarity from object to world: where it starts
    free: Freedom = field(default_factory=Freedom)
    center: tuple[float, float, float] | None = None  # that it turns about, object frame; None: middle of its box
    pivot: Tensor = field(init=False)  # (3,) float64: that center
    diameter: float = field(init=False)  # the diagonal of its bounding box, own units
    corners: Tensor = field(init=False)  # (8, 3) float64 of a box that holds all that is seen of it, own frame

    def __post_init__(self) -> None:
        box = bounding_box(self.ellipsoids)
        center = box.center if self.center is None else self.center
        object.__setattr__(self, "pose", self.pose.detach().double().cpu())
        object.__setattr__(self, "pivot", torch.tensor(center, dtype=torch.float64))
        object.__setattr__(self, "diameter", math.hypot(*box.size))
        # Three standard deviations beyond the means: what is farther out weighs less than 1 % of what is in.
        beyond = 3 * float(self.ellipsoids.scales.detach().max())
        sides = [(low - beyond, high + beyond) for low, high in zip(box.low, box.high, strict=True)]
        corners = torch.cartesian_prod(*(torch.tensor(side, dtype=torch.float64) for side in sides))
        object.__setattr__(self, "corners", corners)

    @property
    def start_center(self) -> Tensor:
        """(3,) float64: where its center starts, in the world."""
        return self.pose[:3, :3] @ self.pivot + self.pose[:3, 3]

    def moved(self, poses: Tensor, increments: Tensor, camera: Cameras | None = None) -> Tensor:
        """Poses (P, 4, 4) after increments (P, 7) of `voge.geometry.rigid`, within what is allowed.

        With a camera, and where no direction is barred, translations are across its ray to the object, twice, and
        along it: what the picture tells well and what it tells badly do not mix.
        """
        if camera is not None and all(self.free.translation):
            axes = ray_axes(camera, poses[:, :3, :3] @ self.pivot + poses[:, :3, 3])
            shifts = (increments[:, None, rigid.TRANSLATION] @ axes).squeeze(1)
            increments = torch.cat([shifts, increments[:, 3:]], 1)
        return self.bounded(rigid.move(poses, increments, self.pivot))

    def bounded(self, poses: Tensor) -> Tensor:
        """The nearest of each of the poses (P, 4, 4) that its freedom allows."""
        free = self.free
        if free.angle < 180:
            poses = self._turned_back(poses)
        scale = rigid.scale_of(poses)
        allowed = scale.clamp(*(float(rigid.scale_of(self.pose)) * part for part in free.scales))
        linear = poses[:, :3, :3] * (allowed / scale)[:, None, None]
        centers = poses[:, :3, :3] @ self.pivot + poses[:, :3, 3]
        centers = centers.clamp(centers.new_tensor(free.low), centers.new_tensor(free.high))
        shift = centers - linear @ self.pivot
        return torch.cat([torch.cat([linear, shift[..., None]], 2), poses[:, 3:]], 1)

    def _turned_back(self, poses: Tensor) -> Tensor:
        """Rotations at most the allowed angle away from the start's, about the center."""
        angle = rigid.angle_between(self.pose, poses)
        over = angle > self.free.angle
        if not bool(over.any()):
            return poses
        start, centers = rigid.turn_of(self.pose), poses[:, :3, :3] @ self.pivot
        part = torch.where(over, self.free.angle / angle, 1.0)
        turn = rigid.rotation(rigid.rotation_vector(start.mT @ rigid.turn_of(poses)) * part[:, None])
        turned = rigid.scale_of(poses)[:, None, None] * (start @ turn)
        poses = poses.clone()
        poses[:, :3, :3] = torch.where(over[:, None, None], turned, poses[:, :3, :3])
        poses[:, :3, 3] += centers - poses[:, :3, :3] @ self.pivot
        return poses


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One picture of the scene; what is None is not compared."""

    camera: Cameras  # one view
    image: Tensor | None = None  # (H, W, C) colors or any features, over the background
    silhouette: Tensor | None = None  # (H, W) in [0, 1]: where there are objects
    mask: Tensor | None = None  # (H, W) in [0, 1]: how much a pixel counts; None: all count 1

    def __post_init__(self) -> None:
        size = f"{self.camera.height} {self.camera.width}"
        if len(self.camera) != 1:
            raise ValueError(f"camera must be one view, got {len(self.camera)}")
        if self.image is None and self.silhouette is None:
            raise ValueError("image or silhouette must be given; got neither")
        if self.image is not None:
            checks.shapes(image=(self.image, f"{size} C"))
        for name in ("silhouette", "mask"):
            if getattr(self, name) is not None:
                checks.shapes(**{name: (getattr(self, name), size)})


@dataclass(frozen=True, eq=False)
class Bodies:
    """All objects as one set, and how increments move them."""

    bodies: Sequence[Body]
    camera: Cameras | None = None  # along whose rays, and across them, free bodies move; None: the world's axes

    @cached_property
    def ellipsoids(self) -> Ellipsoids:
        """The ellipsoids of all objects, each in its own frame."""
        return cat([replace(body.ellipsoids, extra={}) for body in self.bodies])

    @cached_property
    def counts(self) -> list[int]:
        """Ellipsoids of each object."""
        return [len(body.ellipsoids) for body in self.bodies]

    @cached_property
    def index(self) -> Tensor:
        """(N,) the object of each ellipsoid."""
        device = self.ellipsoids.device
        return torch.repeat_interleave(
            torch.arange(len(self.bodies), device=device), torch.tensor(self.counts, device=device)
        )

    @cached_property
    def starts(self) -> Tensor:
        """(O, 4, 4) float64 on the CPU."""
        return torch.stack([body.pose for body in self.bodies])

    @cached_property
    def pivots(self) -> Tensor:
        """(O, 3) float64, object frames."""
        return torch.stack([body.pivot for body in self.bodies])

    @cached_property
    def mask(self) -> Tensor:
        """(O, 7) what may change."""
        return torch.tensor([body.free.mask for body in self.bodies])

    def sizes(self, poses: Tensor) -> Tensor:
        """(O,) diameters in world units."""
        own = torch.tensor([body.diameter for body in self.bodies], dtype=torch.float64)
        return own * rigid.scale_of(poses)

    def centers(self, poses: Tensor) -> Tensor:
        """(O, 3) the objects' centers in the world."""
        return (poses[:, :3, :3] @ self.pivots[..., None]).squeeze(-1) + poses[:, :3, 3]

    def retract(self, poses: Tensor, increment: Tensor, mask: Tensor) -> Tensor:
        """Poses (O, 4, 4) moved by the increment (D,) of the coordinates in `mask` (O, 7), D in all; within bounds."""
        full = torch.zeros(mask.shape, dtype=torch.float64)
        full[mask] = increment
        moved = [
            body.moved(pose[None], own[None], self.camera)
            for body, pose, own in zip(self.bodies, poses, full, strict=True)
        ]
        return torch.cat(moved)

    def bounded(self, poses: Tensor) -> Tensor:
        """The nearest poses (O, 4, 4) that the freedoms allow."""
        return torch.cat([body.bounded(pose[None]) for body, pose in zip(self.bodies, poses, strict=True)])

    def place(self, poses: Tensor) -> Ellipsoids:
        """The scene with these poses."""
        return place(self.ellipsoids, poses, self.index)


def ray_axes(camera: Cameras, points: Tensor) -> Tensor:
    """(P, 3, 3) float64: rows across the ray to each of the points (P, 3), rightwards and down, and along it."""
    viewmat = camera.viewmats[0].double().cpu()
    if camera.model is CameraModel.orthographic:
        return viewmat[:3, :3].expand(len(points), 3, 3)
    center = camera.centers[0].double().cpu()
    along = torch.nn.functional.normalize(points - center, dim=1)
    down = torch.nn.functional.normalize(torch.linalg.cross(along, viewmat[0, :3].expand_as(along)), dim=1)
    return torch.stack([torch.linalg.cross(down, along), down, along], 1)
