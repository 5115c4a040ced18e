"""One object given the others: many poses of it scored, and improved, as one batch of views.

An object out of the light gets no gradient, and one far from its pixels a misleading one; looking everywhere needs
neither. Moving one object is moving the camera the other way, so all its poses are views of one resting set and are
rendered together. The rest of the scene is rendered once, and in each pixel the nearer of the two layers covers the
other: for objects that do not pass through each other that is the picture of the scene.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.geometry.rotations import quats_to_matrices
from voge.occlusion.levels import Level
from voge.occlusion.problem import Body
from voge.occlusion.settings import Search
from voge.optim.least_squares import LeastSquares, minimize_many
from voge.rendering.renderer import Rendered, render
from voge.scene.cameras import CameraModel, Cameras
from voge.scene.ellipsoids import Ellipsoids

PIXELS = 2**21  # rendered at once: some 60 bytes each with temporaries


@dataclass(frozen=True, eq=False)
class Layers:
    """One object before, behind and between the rest of a scene, at one level."""

    level: Level
    ellipsoids: Ellipsoids  # of the object, in its own frame
    rest: list[Rendered] | None  # of the other objects, a picture a target; None: there are none

    @classmethod
    @torch.no_grad()
    def of(cls, level: Level, ellipsoids: Ellipsoids, others: Ellipsoids | None) -> Layers:
        """The layers of an object in its own frame and of others in the world."""
        cameras = [target.camera for target in level.targets]
        rest = None if others is None else [render(others, camera, level.settings) for camera in cameras]
        return cls(level, ellipsoids, rest)

    def costs(self, poses: Tensor) -> Tensor:
        """(P,) the scene's sum of squared residuals with the object in each of the poses (P, 4, 4)."""
        return self._batched(poses, lambda residuals: residuals.square().sum(1, dtype=torch.float64).cpu())

    def residuals(self, poses: Tensor) -> Tensor:
        """(P, M) those residuals."""
        return self._batched(poses, lambda residuals: residuals)

    @torch.no_grad()
    def _batched(self, poses: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        pixels = sum(target.camera.width * target.camera.height for target in self.level.targets)
        chunks = poses.split(max(PIXELS // pixels, 1))
        return torch.cat([reduce(self._compare(chunk)) for chunk in chunks])

    def _compare(self, poses: Tensor) -> Tensor:
        parts = []
        for number, target in enumerate(self.level.targets):
            views, scale = views_of(target.camera, poses)
            seen = render(self.ellipsoids, views, self.level.settings)
            seen = replace(seen, depth=seen.depth * scale[:, None, None])
            picture = seen if self.rest is None else layered(seen, self.rest[number])
            parts.append(self.level.compare(picture, target))
        return torch.cat(parts, 1)


def views_of(camera: Cameras, poses: Tensor) -> tuple[Cameras, Tensor]:
    """Cameras in the object's frame that see it as one camera in the world does in each of its poses (P, 4, 4).

    Returns:
        P views, and (P,) what their depths are multiplied by to be the world's: a scaled object is seen as the object
        itself from so much nearer.
    """
    local = camera.viewmats[0].double().cpu() @ poses
    scale = rigid.scale_of(local)
    viewmats = local.clone()
    viewmats[:, :3] /= scale[:, None, None]
    Ks = camera.Ks.expand(len(poses), 3, 3)
    if camera.model is CameraModel.orthographic:
        Ks = torch.cat([Ks[:, :2, :2] * scale.to(Ks)[:, None, None], Ks[:, :2, 2:]], 2)
        Ks = torch.cat([Ks, camera.Ks[:, 2:].expand(len(poses), 1, 3)], 1)
    distortion = None if camera.distortion is None else camera.distortion.expand(len(poses), -1)
    return replace(camera, viewmats=viewmats.to(camera.viewmats), Ks=Ks.contiguous(), distortion=distortion), scale.to(
        Ks
    )


def layered(first: Rendered, second: Rendered) -> Rendered:
    """Two pictures of a view as one: in each pixel the layer that is nearer covers the other."""
    in_front = (first.depth * second.alpha < second.depth * first.alpha) | (second.alpha == 0)
    image = torch.where(
        in_front[..., None],
        first.image + (1 - first.alpha)[..., None] * second.image,
        second.image + (1 - second.alpha)[..., None] * first.image,
    )
    alpha = 1 - (1 - first.alpha) * (1 - second.alpha)
    return Rendered(image, alpha, torch.where(in_front, first.depth, second.depth))


def improve(layers: Layers, body: Body, poses: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Damped least squares from every pose (P, 4, 4) of one object, side by side; the poses and their costs (P,)."""
    mask = torch.tensor(body.free.mask)
    units = step_units(layers.level, body, poses)

    def retract(states: Tensor, increments: Tensor) -> Tensor:
        full = increments.new_zeros(len(increments), rigid.COORDINATES)
        full[:, mask] = increments
        return body.moved(states, full, layers.level.targets[0].camera)

    return minimize_many(
        poses,
        residuals=layers.residuals,
        retract=retract,
        steps=units.steps[mask],
        limits=units.limits[mask],
        settings=LeastSquares(iterations=iterations),
    )


@dataclass(frozen=True, slots=True, eq=False)
class StepUnits:
    """Steps of the 7 coordinates of `voge.geometry.rigid` that suit an object at a level, float64."""

    steps: Tensor  # (7,) of differences: move its picture by a part of what the level resolves
    limits: Tensor  # (7,) of one step of least squares


PIXEL_SHARE = 0.2  # of a pixel (blurred: of the blur) that differences move an object's outline by
TRUSTED_SHARE = 0.35  # of the diameter, or radians, that one step may move it by


def step_units(level: Level, body: Body, poses: Tensor) -> StepUnits:
    """The steps for a body whose poses (P, 4, 4) are about as far from the camera as these, in the middle."""
    camera = level.targets[0].camera
    diameter = body.diameter * float(rigid.scale_of(poses).median())
    pixel, slant = 1 / float(camera.Ks[0, 0, 0]), 1.0  # world units; how much farther it must go along the ray
    if camera.model is not CameraModel.orthographic:
        viewmat = camera.viewmats[0].double().cpu()
        centers = poses[:, :3, :3] @ body.pivot + poses[:, :3, 3]
        depth = max(float((centers @ viewmat[2, :3] + viewmat[2, 3]).median()), diameter / 2)
        pixel, slant = pixel * depth, depth / (diameter / 2)
    most = TRUSTED_SHARE * diameter / 4
    across = min(PIXEL_SHARE * level.reach * pixel, most)
    along = min(across * (slant if all(body.free.translation) else 1.0), most)
    steps = torch.tensor([across, across, along] + [across / (diameter / 2)] * 4, dtype=torch.float64)
    limits = torch.tensor([TRUSTED_SHARE * diameter] * 3 + [TRUSTED_SHARE] * 4, dtype=torch.float64)
    return StepUnits(steps, limits)


# ---- Where to look ----------------------------------------------------------------------------

DISTINCT_SHIFT, DISTINCT_ANGLE = 0.2, 10.0  # diameters, degrees: closer poses are one and the same proposal
FINEST = 2.5  # pixels between places, or widths of the blur: closer ones give the same picture


def places(body: Body, level: Level, search: Search) -> Tensor:
    """Centers (P, 3) in the world where the body may be, float64: a grid over the view at each of several depths."""
    camera = level.targets[0].camera
    start = body.start_center
    diameter = body.diameter * float(rigid.scale_of(body.pose.double()))
    viewmat = camera.viewmats[0].double().cpu()
    K = camera.Ks[0].double().cpu()
    flat = camera.model is CameraModel.orthographic
    middle = float(viewmat[2, :3] @ start + viewmat[2, 3])
    if search.reach is not None:
        near, far = middle - search.reach * diameter, middle + search.reach * diameter
    elif flat:
        near, far = middle - 10 * diameter, middle + 10 * diameter
    else:
        fills = float(K[0, 0]) * diameter / max(camera.width, camera.height)
        near, far = fills, fills / search.smallest
    near = near if flat else max(near, diameter / 2)
    found = [start[None]]
    for depth in _depths(near, max(far, near * 1.01 if not flat else far), search.depth_ratio, flat):
        per_unit = float(K[0, 0]) / (1.0 if flat else depth)
        step = max(search.spacing * diameter * per_unit, FINEST * level.reach)
        u, v = (_spread(side, step) for side in (camera.width, camera.height))
        pixels = torch.cat([torch.cartesian_prod(u, v), torch.ones(len(u) * len(v), 1, dtype=torch.float64)], 1)
        local = pixels @ torch.linalg.inv(K).mT
        local = torch.cat([local[:, :2] * (1.0 if flat else depth), torch.full_like(local[:, :1], depth)], 1)
        found.append((local - viewmat[:3, 3]) @ viewmat[:3, :3])
    centers = torch.cat(found)
    if search.reach is not None:
        centers = centers[(centers - start).norm(dim=1) <= search.reach * diameter * 1.05]
    return centers


def _depths(near: float, far: float, ratio: float, flat: bool) -> list[float]:
    if flat:
        return torch.linspace(near, far, 12, dtype=torch.float64).tolist()
    count = max(math.ceil(math.log(far / near) / math.log(ratio)), 1)
    return [near * (far / near) ** (i / count) for i in range(count + 1)]


def _spread(side: int, step: float) -> Tensor:
    """Evenly spaced numbers over a side of the picture and a step beyond it, at most a step apart."""
    count = max(math.ceil(side / step), 1) + 2
    return torch.linspace(-side / count, side + side / count, count, dtype=torch.float64)


def turns(body: Body, search: Search, generator: torch.Generator) -> Tensor:
    """Rotations (R, 3, 3) about the body's own axes to try beside none, float64, within what it may turn.

    Up to 45 degrees: about each free axis both ways by two thirds of that. Beyond: drawn evenly from all rotations.
    """
    none = torch.eye(3, dtype=torch.float64)[None]
    axes = torch.diag(torch.tensor(body.free.rotation, dtype=torch.float64))
    axes = axes[axes.any(1)]
    if not search.rotations or not len(axes):
        return none
    if body.free.angle <= 45 or len(axes) < 3:
        per_axis = max(search.rotations // (2 * len(axes)), 1)
        share = torch.arange(1, per_axis + 1, dtype=torch.float64) / (per_axis + 0.5)
        angles = torch.cat([share, -share]) * math.radians(body.free.angle)
        vectors = (axes[:, None] * angles[:, None]).flatten(0, 1)
        return torch.cat([none, rigid.rotation(vectors)])
    drawn = torch.randn(search.rotations, 4, generator=generator, dtype=torch.float64)
    return torch.cat([none, quats_to_matrices(drawn)])


def propose(
    layers: Layers, body: Body, base: Tensor, search: Search, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The best poses (K, 4, 4) of all places and turns, apart from each other, and their costs (K,), best first.

    Args:
        layers: at the level that scores.
        body: whose freedoms bound what is tried.
        base: (4, 4) the pose that turns are added to; for places along axes that are not free, too.
        search: see Search.
        generator: draws rotations.
    """
    centers = places(body, layers.level, search)
    turned = base[:3, :3] @ turns(body, search, generator)
    linear = turned.repeat(len(centers), 1, 1)
    center = centers.repeat_interleave(len(turned), 0)
    fixed = ~torch.tensor(body.free.translation)
    center[:, fixed] = (base[:3, :3] @ body.pivot + base[:3, 3])[fixed]
    poses = base.repeat(len(center), 1, 1)
    poses[:, :3, :3] = linear
    poses[:, :3, 3] = center - linear @ body.pivot
    poses = torch.unique(body.bounded(poses), dim=0) if fixed.any() else body.bounded(poses)
    costs = layers.costs(poses)
    chosen = _apart(poses, costs, body, search.kept)
    return poses[chosen], costs[chosen]


def _apart(poses: Tensor, costs: Tensor, body: Body, count: int) -> list[int]:
    """The best, then the best of those that are distinct from all chosen."""
    centers = poses[:, :3, :3] @ body.pivot + poses[:, :3, 3]
    diameters = body.diameter * rigid.scale_of(poses)
    left = costs.isfinite()
    ranked = costs.clone()
    chosen: list[int] = []
    while len(chosen) < count and bool(left.any()):
        ranked[~left] = math.inf
        best = int(ranked.argmin())
        chosen.append(best)
        near = (centers - centers[best]).norm(dim=1) < DISTINCT_SHIFT * diameters
        near &= rigid.angle_between(poses, poses[best]) < DISTINCT_ANGLE
        left &= ~near
        left[best] = False
    return chosen
