"""Damped least squares over few unknowns: Levenberg (1944) and Marquardt (1963), with Jacobians by differences.

Made for poses, a handful of unknowns whose residuals are pictures: a Jacobian costs one picture an unknown and its
normal equations are small, so a step costs little more than the pictures. The state may be anything; `retract` moves
it by an increment in its own coordinates, such as those of `voge.geometry.rigid`:

    for iterate in minimize(poses, residuals=lambda p: picture(p) - target, retract=move, steps=steps):
        log(iterate.cost)
    poses = iterate.state
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """Settings of a search: when to stop and how far to trust a step.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    iterations: int = 20  # steps taken at most; rejected trials count
    damping: float = 1e-3  # lambda of the first step, times the diagonal of J^T J (Marquardt)
    patience: float = 1e-4  # stop when an accepted step lowers the cost by less than this share
    robust: float | None = None  # residuals beyond this count ever less (Geman and McClure 1985); None: plain squares

    def __post_init__(self) -> None:
        rules = {
            "iterations": (self.iterations >= 1, "must be at least 1"),
            "damping": (0 < self.damping < math.inf, "must be positive"),
            "patience": (0 <= self.patience < 1, "must be at least 0 and below 1"),
            "robust": (self.robust is None or self.robust > 0, "must be positive, or None"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class Iterate(Generic[S]):
    """The state of a minimization after a step."""

    state: S  # the best so far
    cost: float  # its sum of squares (robust: of rho), the least so far
    damping: float  # lambda of the next step
    accepted: bool  # whether this step made it better


GROWTH, SHRINK = 8.0, 0.2  # of the damping after a rejected and an accepted step
UNSEEN = 1e-9  # of the largest diagonal of J^T J: below, an unknown's slope is rounding
FLOOR = 1e-4  # of the same: the damping takes no unknown for less visible than this
LARGEST = 1e9  # damping beyond which no step makes a difference in float32


def minimize(
    state: S,
    *,
    residuals: Callable[[S], Tensor],
    retract: Callable[[S, Tensor], S],
    steps: Tensor,
    limits: Tensor | None = None,
    jacobian: Callable[[S, Tensor], Tensor] | None = None,
    settings: LeastSquares | None = None,
) -> Iterator[Iterate[S]]:
    """Lower the sum of squared residuals step by step; the caller logs, and stops by not asking for more.

    Args:
        state: where to begin.
        residuals: (M,) of a state, on any device; not differentiated.
        retract: the state moved by an increment (D,), float64 on the CPU; the zero increment changes nothing.
        steps: (D,) increments of the forward differences, float64. Of pictures, those that move them by a tenth of
            a pixel or more see beyond rounding and the edges of ellipsoids.
        limits: (D,) the largest increment of each coordinate that is trusted in one step. None: any.
        jacobian: (M, D) of a state and its residuals (M,), such as perturbed pictures rendered as one batch, in
            place of differences one after another.
        settings: see LeastSquares.

    Yields:
        An Iterate a step, the first before any step is taken.

    Raises:
        FloatingPointError: the residuals of the first state are not finite. Later ones reject their step instead.
    """
    settings = settings or LeastSquares()
    values = residuals(state)
    cost = _cost(values, settings.robust)
    if not math.isfinite(cost):
        raise FloatingPointError(f"the residuals must be finite, their sum of squares is {cost}")
    damping = settings.damping
    yield Iterate(state, cost, damping, True)
    normal: Tensor | None = None
    for _ in range(settings.iterations):
        if normal is None:
            found = (
                differences(state, values, residuals, retract, steps) if jacobian is None else jacobian(state, values)
            )
            normal, slope = _normal_equations(found, values, settings.robust)
            if not bool((normal.diagonal() > 0).any()):
                return  # nothing that may move is seen
        trial = retract(state, _step(normal, slope, damping, limits))
        found = residuals(trial)
        lower = _cost(found, settings.robust)
        if accepted := lower < cost:
            gain = (cost - lower) / cost
            state, values, cost, normal = trial, found, lower, None
            damping = max(damping * SHRINK, 1e-9)
        else:
            gain = math.inf
            damping *= GROWTH
        yield Iterate(state, cost, damping, accepted)
        if gain < settings.patience or damping > LARGEST:
            return


def differences(
    state: S,
    values: Tensor,
    residuals: Callable[[S], Tensor],
    retract: Callable[[S, Tensor], S],
    steps: Tensor,
) -> Tensor:
    """The Jacobian (M, D) of the residuals by forward differences; `values` (M,) are those of the state itself."""
    columns = []
    for number, step in enumerate(steps.tolist()):
        increment = torch.zeros_like(steps)
        increment[number] = step
        columns.append((residuals(retract(state, increment)) - values) / step)
    return torch.stack(columns, 1)


def minimize_many(
    states: Tensor,
    *,
    residuals: Callable[[Tensor], Tensor],
    retract: Callable[[Tensor, Tensor], Tensor],
    steps: Tensor,
    limits: Tensor | None = None,
    settings: LeastSquares | None = None,
) -> tuple[Tensor, Tensor]:
    """Lower the squares of many starts side by side: each iteration evaluates all their differences as one batch.

    Args:
        states: (P, ...) float64 on the CPU, one start a row.
        residuals: (Q, M) of any number Q of states; rows that are not finite count as infinitely bad.
        retract: states (Q, ...) moved by increments (Q, D).
        steps, limits, settings: as in `minimize`; `patience` is not looked at.

    Returns:
        The best states (P, ...) and their costs (P,), float64.
    """
    settings = settings or LeastSquares()
    around = torch.cat([steps.new_zeros(1, len(steps)), torch.diag(steps)])  # the state itself, then each difference

    def equations(trial: Tensor, last: bool) -> Equations:
        if last:
            return Equations(_costs(residuals(trial), settings.robust))
        spread = trial.repeat_interleave(len(around), 0)
        values = residuals(retract(spread, around.repeat(len(trial), 1))).unflatten(0, (len(trial), len(around)))
        jacobian = (values[:, 1:] - values[:, :1]).mT / steps.to(values)
        found = _normal_equations(jacobian, values[:, 0], settings.robust)
        return Equations(_costs(values[:, 0], settings.robust), *found)

    def moved(best: Tensor, normal: Tensor, slope: Tensor, damping: Tensor) -> Tensor:
        return retract(best, _step(normal, slope, damping, limits))

    damping = Damping(first=settings.damping)
    *_, last = descend(states, equations=equations, moved=moved, iterations=settings.iterations, damping=damping)
    return last


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """The costs of P states, and the normal equations of a step from each."""

    costs: Tensor  # (P,) rows that are not finite count as infinitely bad
    normal: Tensor | None = None  # (P, D, D) J^T W J
    slope: Tensor | None = None  # (P, D) J^T W r


@dataclass(frozen=True, kw_only=True)
class Damping:
    """The course of Marquardt's lambda."""

    first: float
    shrink: float = SHRINK  # after a step that lowered the cost
    growth: float = GROWTH  # after one that did not
    least: float = 1e-9
    largest: float = LARGEST


def descend(
    states: Tensor,
    *,
    equations: Callable[[Tensor, bool], Equations],
    moved: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    iterations: int,
    damping: Damping,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Lower the costs of many states side by side, by normal equations that the caller has.

    Args:
        states: (P, ...) one start a row, on any device.
        equations: of states; for the last ones, which the second argument tells, only the costs are asked.
        moved: states moved by the step of their normal matrices (P, D, D), slopes (P, D) and dampings (P,).
        iterations: steps taken; rejected trials count.
        damping: the course of lambda.

    Yields:
        The best states (P, ...) and their costs (P,): those of the start, then those after every step.
    """
    best = trial = states
    costs, factor = states.new_full((len(states),), math.inf), states.new_full((len(states),), damping.first)
    normal, slope = states.new_zeros(1, 1, 1), states.new_zeros(1, 1)
    for iteration in range(iterations + 1):
        found = equations(trial, iteration == iterations)
        lower = found.costs.to(states)
        better = lower < costs
        best = torch.where(better.reshape(-1, *[1] * (states.ndim - 1)), trial, best)
        costs = torch.where(better, lower, costs)
        yield best, costs
        if found.normal is None or found.slope is None:
            return
        normal = torch.where(better[:, None, None], found.normal, normal)
        slope = torch.where(better[:, None], found.slope, slope)
        if iteration:
            factor = torch.where(better, factor * damping.shrink, factor * damping.growth)
            factor = factor.clamp(damping.least, damping.largest)
        trial = moved(best, normal, slope, factor)


def _normal_equations(jacobian: Tensor, values: Tensor, robust: float | None) -> tuple[Tensor, Tensor]:
    """J^T W J (..., D, D) and J^T W r (..., D) of (..., M, D) and (..., M), float64 on the CPU.

    Columns that are not finite count as unseen.
    """
    jacobian = torch.where(jacobian.isfinite().all(-2, keepdim=True), jacobian, 0)
    weighted = jacobian
    if robust is not None:
        weighted = jacobian * (robust**2 / (robust**2 + values.square())).square()[..., None]
    both = weighted.mT @ torch.cat([jacobian, torch.nan_to_num(values)[..., None]], -1)
    both = both.double().cpu()
    return both[..., :-1], both[..., -1]


def _step(normal: Tensor, slope: Tensor, damping: Tensor | float, limits: Tensor | None) -> Tensor:
    """Damped Gauss-Newton steps (..., D), no coordinate beyond its limit; unknowns that move nothing stay."""
    units = torch.ones_like(slope) if limits is None else limits.expand_as(slope)
    normal, slope = normal * units[..., None] * units[..., None, :], slope * units  # now a step of 1 is large
    diagonal = normal.diagonal(dim1=-2, dim2=-1)
    largest = diagonal.amax(-1, keepdim=True)
    seen = diagonal > UNSEEN * largest
    # The floor keeps unknowns that are hardly seen from running off while the others are still settling.
    damping = torch.as_tensor(damping, dtype=slope.dtype)[..., None]
    damped = normal + torch.diag_embed(damping * torch.maximum(diagonal, FLOOR * largest))
    damped = torch.where(seen[..., None] & seen[..., None, :], damped, torch.eye(slope.shape[-1], dtype=slope.dtype))
    step = torch.linalg.solve(damped, torch.where(seen, -slope, 0))
    # Each on its own: shortening the whole step would let the least seen unknown hold up all others.
    scaled: Tensor = units * (step if limits is None else step.clamp(-1, 1))
    return scaled


def _costs(values: Tensor, robust: float | None) -> Tensor:
    """(...,) sums of squares, or of rho, of residuals (..., M); infinite where they are not finite."""
    squares = values.double().square()
    if robust is not None:
        squares = robust**2 * squares / (robust**2 + squares)
    return torch.nan_to_num(squares.sum(-1), nan=math.inf, posinf=math.inf)


def _cost(values: Tensor, robust: float | None) -> float:
    return float(_costs(values, robust))
