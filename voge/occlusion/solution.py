"""Solving, and what comes out: poses, how much of each object is seen, what hides what, how sure each place is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.occlusion.analysis import Visibility, depth_order, visibility
from voge.occlusion.gradient import GradientDescent
from voge.occlusion.problem import Bodies, Body, Target
from voge.occlusion.proposals import DISTINCT_ANGLE, DISTINCT_SHIFT
from voge.occlusion.settings import Method, OcclusionSettings
from voge.occlusion.solver import Ladder, candidate_poses, rest_of, solve_steps

UNSEEN = 0.005  # of an object: with less in the picture, it says nothing of where the object is
NEEDLESS = 0.0  # evidence at or below this: the picture is no worse without the object


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The poses of O objects, and what the pictures say of them."""

    poses: Tensor  # (O, 4, 4) float64, object to world
    cost: float  # mean over pixels of the squared differences from the targets, at full resolution
    visible: Tensor  # (O,) share of each object that is seen, 0 to 1
    order: list[tuple[int, int]]  # i hides part of j
    evidence: Tensor  # (O,) by how much the cost falls when the object is put into the picture, as a share; 1 at best
    margins: (
        Tensor  # (O,) likewise from the runner-up's to this place; near 0: another explains as much. NaN: not looked
    )
    path: Sequence[tuple[Tensor, float]]  # poses (O, 4, 4) and costs on the way; costs of different levels differ
    warnings: tuple[str, ...]


def solve(scene: Sequence[Body], targets: Sequence[Target], settings: OcclusionSettings | None = None) -> Solution:
    """The poses with which the scene looks like its targets.

    Args:
        scene: the objects, with start poses and what may change of them; on one device, in one dtype.
        targets: pictures and their cameras, on that device and in that dtype.
        settings: how poses are found.

    Raises:
        voge.errors.DivergedError, FloatingPointError: a picture is not finite.
    """
    settings = settings or OcclusionSettings()
    bodies = Bodies(list(scene))
    path: list[tuple[Tensor, float]] = []
    if settings.method is Method.gradient:
        descent = GradientDescent(bodies, targets, settings)
        for step in descent.run():
            path.append((descent.poses, step.values()["loss"]))
        return conclude(bodies, targets, settings, descent.poses, path)
    for state in solve_steps(bodies, Ladder.of(targets, settings), settings):
        path.extend(state.trace)
    return conclude(bodies, targets, settings, state.poses, path)


def conclude(
    bodies: Bodies,
    targets: Sequence[Target],
    settings: OcclusionSettings,
    poses: Tensor,
    path: Sequence[tuple[Tensor, float]],
) -> Solution:
    """Judge poses: their cost, what is seen of each object, and how sure each place is."""
    ladder = Ladder.of(targets, settings)
    finest = ladder.levels[-1]
    everyone = range(len(bodies.bodies))
    with torch.no_grad():
        cost = float(finest.residuals(bodies.place(poses)).square().sum(dtype=torch.float64))
        without = [_cost_without(bodies, ladder, poses, number) for number in everyone]
        found = visibility(bodies, poses, [target.camera for target in targets], settings.render)
    evidence = torch.tensor([_share(bare, cost) for bare in without], dtype=torch.float64)
    margins = torch.tensor([_margin(bodies, ladder, settings, poses, number) for number in everyone])
    notes = _warnings(bodies, found, evidence)
    return Solution(poses, cost, found.visible, depth_order(found.hides), evidence, margins, path, notes)


def _cost_without(bodies: Bodies, ladder: Ladder, poses: Tensor, number: int) -> float:
    finest = ladder.levels[-1]
    rest = rest_of(bodies, poses, range(len(bodies.bodies)), number)
    if rest is None:
        return ladder.signal
    return float(finest.residuals(rest).square().sum(dtype=torch.float64))


def _share(worse: float, better: float) -> float:
    return (worse - better) / worse if worse > 0 else 0.0


def _margin(bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, poses: Tensor, number: int) -> float:
    """The share by which the best other place of an object costs more than its own, both at the coarse level."""
    if not settings.search.enabled:
        return float("nan")
    candidates, costs = candidate_poses(bodies, ladder, settings, poses, range(len(poses)), number)
    body, pose = bodies.bodies[number], poses[number]
    center = pose[:3, :3] @ body.pivot + pose[:3, 3]
    centers = candidates[:, :3, :3] @ body.pivot + candidates[:, :3, 3]
    apart = (centers - center).norm(dim=1) > DISTINCT_SHIFT * body.diameter * float(rigid.scale_of(pose))
    apart |= rigid.angle_between(candidates, pose) > DISTINCT_ANGLE
    with torch.no_grad():
        own = float(ladder.coarse.residuals(bodies.place(poses)).square().sum(dtype=torch.float64))
    others = costs[apart & costs.isfinite()]
    return max(_share(float(others.min()), own), 0.0) if len(others) else 1.0


def _warnings(bodies: Bodies, found: Visibility, evidence: Tensor) -> tuple[str, ...]:
    notes = []
    for number, body in enumerate(bodies.bodies):
        if not bool(found.in_view[number]):
            notes.append(f"{body.name} is out of view: the picture says nothing of its pose")
        elif float(found.visible[number]) < UNSEEN:
            notes.append(f"{body.name} is hidden: the picture hardly tells its pose")
        elif float(evidence[number]) <= NEEDLESS:
            notes.append(f"{body.name} is not in the target: the picture is no better with it")
    notes += [f"{first} and {second} look the same: they may be swapped" for first, second in _twins(bodies)]
    return tuple(notes)


def _twins(bodies: Bodies) -> list[tuple[str, str]]:
    """Names of objects that are the same set of ellipsoids."""
    found = []
    for i, first in enumerate(bodies.bodies):
        for second in bodies.bodies[i + 1 :]:
            a, b = first.ellipsoids, second.ellipsoids
            same = len(a) == len(b) and torch.equal(a.means, b.means) and torch.equal(a.density, b.density)
            alike = a.features is b.features or (
                a.features is not None and b.features is not None and torch.equal(a.features, b.features)
            )
            if same and alike:
                found.append((first.name, second.name))
    return found
