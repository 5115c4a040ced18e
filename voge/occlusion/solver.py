"""The solver: proposals one object at a time, then damped least squares of all together, from coarse to fine.

A solution goes through phases. `advance` does one piece of a phase and depends on the state alone: a run that goes on
from a saved state ends as the uninterrupted run.

1. place: from an empty scene, the object that explains most of the picture is put where it does, then the next.
2. look: every object is looked for again, given all the others, as long as a round gains.
3. refine: all objects together, level by level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from voge.occlusion.jacobian import jacobian
from voge.occlusion.levels import Level, background_of, level_of
from voge.occlusion.problem import Bodies, Target
from voge.occlusion.proposals import Layers, improve, propose, step_units
from voge.occlusion.settings import OcclusionSettings
from voge.optim.least_squares import LeastSquares, minimize
from voge.rendering.renderer import Rendered
from voge.scene.ellipsoids import Ellipsoids, cat

COARSE = 110  # longest side in pixels of the level that proposals are improved at
GAIN = 0.99  # a proposal must lower the cost below this share of it: less is the layers' inexactness
ROUND_GAIN = 0.9  # likewise a round, to be worth another
SETTLING = 12  # iterations of all objects together after proposals


_FACTS = ("phase", "number", "round", "placed", "cost", "earlier", "attempt")  # of a state, plain values


class Phase(str, Enum):
    """The kind of work that comes next."""

    place = "place"
    look = "look"
    refine = "refine"
    done = "done"


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """The solver between two pieces of work."""

    poses: Tensor  # (O, 4, 4) float64 on the CPU
    phase: Phase
    number: int = 0  # of the piece of the phase: object looked for, or level refined
    round: int = 0
    placed: tuple[int, ...] = ()  # objects, in the order in which they were
    cost: float = math.inf  # of `poses`, at the level that the phase works at
    earlier: float = math.inf  # cost before this round
    attempt: int = 0
    best: tuple[Tensor, float] | None = None  # poses and cost of the best attempt before this
    trace: tuple[tuple[Tensor, float], ...] = field(default=())  # poses and costs of the last piece, in order

    def saved(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The state without its trace, as tensors and as plain values that JSON holds."""
        tensors, facts = {"poses": self.poses}, {name: getattr(self, name) for name in _FACTS}
        facts |= {"phase": self.phase.value, "placed": list(self.placed)}
        if self.best is not None:
            tensors["best"], facts["best"] = self.best
        return tensors, facts

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> State:
        """The state that `saved` gave.

        Raises:
            KeyError, ValueError: these are of something else.
        """
        best = (tensors["best"], facts["best"]) if "best" in tensors else None
        values = {name: facts[name] for name in _FACTS}
        values |= {"phase": Phase(facts["phase"]), "placed": tuple(facts["placed"]), "best": best}
        return cls(tensors["poses"], **values)


@dataclass(frozen=True, eq=False)
class Ladder:
    """The levels of a problem from coarse to fine."""

    score: Level  # that places are scored at
    coarse: Level  # that proposals are improved at
    levels: list[Level]  # that all objects are refined at, in order
    signal: float  # cost of an empty scene at `coarse`

    @classmethod
    def of(cls, targets: Sequence[Target], settings: OcclusionSettings) -> Ladder:
        """Strides by powers of 2; the last level is every pixel, not blurred."""
        longest = max(max(target.camera.width, target.camera.height) for target in targets)
        stride = 1
        while longest / stride > COARSE:
            stride *= 2
        background = background_of(targets, settings.background)

        def make(s: int, blur: float) -> Level:
            return level_of(targets, s, blur, background, settings.weights, settings.render)

        coarse = make(stride, 2.0)
        half = max(stride // 2, 1)
        fine = [coarse, make(half, 1.0), make(1, 1.0)] if settings.refine.pyramid else []
        return cls(make(2 * stride, 1.0), coarse, [*fine, make(1, 0.0)], _signal(coarse))


def _signal(level: Level) -> float:
    """The cost of an empty scene."""
    total = 0.0
    for target in level.targets:
        shape = (1, target.camera.height, target.camera.width)
        like = target.camera.Ks
        nothing = Rendered(like.new_zeros(*shape, len(level.background)), like.new_zeros(shape), like.new_zeros(shape))
        total += float(level.compare(nothing, target).square().sum(dtype=torch.float64))
    return total


def begin(bodies: Bodies, settings: OcclusionSettings) -> State:
    """The state before anything is done."""
    poses = bodies.bounded(bodies.starts)
    return State(poses, Phase.place if settings.search.enabled else Phase.refine)


def advance(bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, state: State) -> State:
    """The state after the next piece of work.

    Raises:
        FloatingPointError: the picture of the present poses, or the target, is not finite.
    """
    if state.phase is Phase.place:
        return _place(bodies, ladder, settings, state)
    if state.phase is Phase.look:
        return _look(bodies, ladder, settings, state)
    if state.phase is Phase.refine:
        return _refine(bodies, ladder, settings, state)
    return state


def solve_steps(
    bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, state: State | None = None
) -> Iterator[State]:
    """Yield all states after `state`, or from the beginning."""
    state = state or begin(bodies, settings)
    while state.phase is not Phase.done:
        state = advance(bodies, ladder, settings, state)
        yield state


def _place(bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, state: State) -> State:
    """Put the object that explains most into the scene; after the last let all settle."""
    count = len(bodies.bodies)
    best: tuple[float, int, Tensor] | None = None
    for number in range(count):
        if number not in state.placed:
            pose, cost = best_pose(bodies, ladder, settings, state.poses, state.placed, number, state.round)
            if best is None or cost < best[0]:
                best = cost, number, pose
    assert best is not None
    cost, number, pose = best
    poses = _with(state.poses, number, pose)
    placed = (*state.placed, number)
    trace = ((poses, cost),)
    if len(placed) < count:
        return replace(state, poses=poses, placed=placed, cost=cost, trace=trace)
    poses, cost, settled = refine_level(bodies, ladder.coarse, settings, poses, SETTLING)
    again = settings.search.rounds > 0 and cost > settings.search.enough * ladder.signal
    phase = Phase.look if again else Phase.refine
    return State(poses, phase, 0, 1, placed, cost, cost, trace=trace + settled)


def _look(bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, state: State) -> State:
    """Look for one object again; after the last of a round let all settle."""
    everyone = range(len(bodies.bodies))
    number = state.number
    poses, cost = state.poses, state.cost
    pose, lower = best_pose(bodies, ladder, settings, poses, everyone, number, state.round)
    if lower < GAIN * cost:
        poses, cost = _with(poses, number, pose), lower
    state = replace(state, poses=poses, cost=cost, number=number + 1, trace=((poses, cost),))
    if state.number < len(everyone):
        return state
    poses, cost, settled = refine_level(bodies, ladder.coarse, settings, poses, SETTLING)
    again = settings.search.enough * ladder.signal < cost < ROUND_GAIN * state.earlier
    trace = state.trace + settled
    if again and state.round < settings.search.rounds:
        return replace(state, poses=poses, number=0, round=state.round + 1, cost=cost, earlier=cost, trace=trace)
    if state.best is not None and state.best[1] < cost:
        poses, cost = state.best
        trace += (state.best,)
    if cost > settings.search.enough * ladder.signal and state.attempt + 1 < settings.search.attempts:
        # The order of placing may have been wrong: once more with all objects where they start.
        starts = bodies.bounded(bodies.starts)
        return State(
            starts, Phase.look, round=1, placed=state.placed, attempt=state.attempt + 1, best=(poses, cost), trace=trace
        )
    return replace(state, poses=poses, phase=Phase.refine, number=0, cost=cost, trace=trace, best=None)


def _refine(bodies: Bodies, ladder: Ladder, settings: OcclusionSettings, state: State) -> State:
    """Refine all objects together at one level."""
    level = ladder.levels[state.number]
    poses, cost, trace = refine_level(bodies, level, settings, state.poses, settings.refine.iterations)
    phase = Phase.refine if state.number + 1 < len(ladder.levels) else Phase.done
    return replace(state, poses=poses, phase=phase, number=state.number + 1, cost=cost, trace=trace)


def refine_level(
    bodies: Bodies, level: Level, settings: OcclusionSettings, poses: Tensor, iterations: int
) -> tuple[Tensor, float, tuple[tuple[Tensor, float], ...]]:
    """Poses, cost and the way there of damped least squares at one level."""
    bodies = Bodies(bodies.bodies, level.targets[0].camera)
    mask = bodies.mask
    units = [step_units(level, body, pose[None]) for body, pose in zip(bodies.bodies, poses, strict=True)]
    steps = torch.stack([unit.steps for unit in units])[mask]
    if not len(steps):
        with torch.no_grad():
            return poses, float(level.residuals(bodies.place(poses)).square().sum(dtype=torch.float64)), ()
    with torch.no_grad():
        iterates = minimize(
            poses,
            residuals=lambda p: level.residuals(bodies.place(p)),
            retract=lambda p, increment: bodies.retract(p, increment, mask),
            steps=steps,
            limits=torch.stack([unit.limits for unit in units])[mask],
            jacobian=lambda p, _values: jacobian(level, bodies, p, mask, steps),
            settings=LeastSquares(
                iterations=iterations,
                patience=settings.refine.patience,
                robust=None if settings.refine.robust is None else settings.refine.robust / level.residual_count**0.5,
            ),
        )
        trace = tuple((iterate.state, iterate.cost) for iterate in iterates)
    return *trace[-1], trace


def best_pose(
    bodies: Bodies,
    ladder: Ladder,
    settings: OcclusionSettings,
    poses: Tensor,
    present: Sequence[int],
    number: int,
    round_: int = 0,
) -> tuple[Tensor, float]:
    """The best pose (4, 4) found for one object, given the others that are present, and the coarse level's cost."""
    candidates, costs = candidate_poses(bodies, ladder, settings, poses, present, number, round_)
    best = int(costs.argmin())
    return candidates[best], float(costs[best])


def candidate_poses(
    bodies: Bodies,
    ladder: Ladder,
    settings: OcclusionSettings,
    poses: Tensor,
    present: Sequence[int],
    number: int,
    round_: int = 0,
) -> tuple[Tensor, Tensor]:
    """The best poses (K, 4, 4) for one object wherever it is looked for, and from where it is, and their costs (K,)."""
    body = bodies.bodies[number]
    own = replace(body.ellipsoids, extra={})
    rest = rest_of(bodies, poses, present, number)
    if not any(body.free.mask):
        stays = poses[number][None]
        return stays, Layers.of(ladder.coarse, own, rest).costs(stays)
    generator = torch.Generator().manual_seed(hash((settings.seed, round_, number)) % 2**31)
    search = settings.search
    found, _ = propose(Layers.of(ladder.score, own, rest), body, body.pose, search, generator)
    starts = torch.cat([found, poses[number][None]])
    return improve(Layers.of(ladder.coarse, own, rest), body, starts, search.iterations)


def rest_of(bodies: Bodies, poses: Tensor, present: Sequence[int], number: int) -> Ellipsoids | None:
    """The objects that are present, but for one, in the world; None where there are none."""
    sets = bodies.place(poses).split(bodies.counts)
    rest = [sets[other] for other in sorted(present) if other != number]
    return cat(rest) if rest else None


def _with(poses: Tensor, number: int, pose: Tensor) -> Tensor:
    changed = poses.clone()
    changed[number] = pose
    return changed
