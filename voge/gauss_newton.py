"""Damped least squares over few unknowns: Levenberg (1944) and Marquardt (1963), with Jacobians by differences.

Made for poses, a handful of unknowns whose residuals are pictures: a Jacobian costs one picture an unknown and its
normal equations are small, so a step costs little more than the pictures. The state may be anything; `retract` moves
it by an increment in its own coordinates, such as those of `voge.rigid`:

    for iterate in minimise(poses, residuals=lambda p: picture(p) - target, retract=move, steps=steps):
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
    """When to stop and how far to trust a step.

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
    """Where a minimisation stands."""

    state: S  # the best so far
    cost: float  # its sum of squares (robust: of rho), the least so far
    damping: float  # lambda of the next step
    accepted: bool  # whether this step made it better


GROWTH, SHRINK = 8.0, 0.2  # of the damping after a rejected and an accepted step
LARGEST = 1e9  # damping beyond which no step makes a difference in float32


def minimise(
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
        limits: (D,) the largest increment trusted in one step; the whole step is shortened to fit. None: any.
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


def _normal_equations(jacobian: Tensor, values: Tensor, robust: float | None) -> tuple[Tensor, Tensor]:
    """J^T W J (D, D) and J^T W r (D,), float64 on the CPU; columns that are not finite count as unseen."""
    jacobian = torch.where(jacobian.isfinite().all(0), jacobian, 0)
    weighted = jacobian
    if robust is not None:
        weighted = jacobian * (robust**2 / (robust**2 + values.square())).square()[:, None]
    both = weighted.mT @ torch.cat([jacobian, values[:, None]], 1)
    both = both.double().cpu()
    return both[:, :-1], both[:, -1]


def _step(normal: Tensor, slope: Tensor, damping: float, limits: Tensor | None) -> Tensor:
    """The damped Gauss-Newton step (D,); unknowns that move nothing stay."""
    diagonal = normal.diagonal()
    # The floor keeps unknowns that are hardly seen from running off while the others are still settling.
    floor = 1e-6 * diagonal.max()
    damped = normal + torch.diag(damping * diagonal.clamp_min(floor) + 1e-12 * diagonal.max())
    step = -torch.linalg.solve(damped, slope)
    step = torch.where(diagonal > 0, step, 0)
    if limits is not None:
        step = step / max(float((step.abs() / limits).max()), 1.0)
    return step


def _cost(values: Tensor, robust: float | None) -> float:
    squares = values.square()
    if robust is not None:
        squares = robust**2 * squares / (robust**2 + squares)
    return float(squares.sum(dtype=torch.float64))
