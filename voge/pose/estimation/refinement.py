"""Poses refined to the least energy: Levenberg-Marquardt with the six columns of the pose, or Adam as in the paper.

All of B poses are refined at once, each of its own image and camera. A pose moves by xi = (omega, v): its rotation
about the object's origin, R <- exp(omega) R, and the origin in the camera's frame, t <- t + v.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from voge.geometry.rigid import cross_matrix, rotation
from voge.optim.optimizer import Optimizer, Variable
from voge.optim.settings import Rate
from voge.pose.estimation.ablation import Block, render_blocked
from voge.pose.estimation.energy import Target, mixture, residual, score
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids


class Free(str, Enum):
    """What of a pose is unknown."""

    rotation = "rotation"  # the object's distance and its place in the picture are given
    distance = "distance"  # and the distance
    pose = "pose"  # everything


class Method(str, Enum):
    """How poses are refined."""

    lm = "lm"  # Levenberg-Marquardt
    adam = "adam"
    none = "none"


COLUMNS = {Free.rotation: [0, 1, 2], Free.distance: [0, 1, 2, 5], Free.pose: [0, 1, 2, 3, 4, 5]}
MOST_TURN = 0.4  # radians a step
MOST_SHIFT = 0.15  # of the distance a step
ADAM_BETAS = (0.4, 0.6)  # the published pipeline's, for a loss without noise
ADAM_RATE = Rate(value=0.05, final=0.2**3)  # its rate of 0.05, falling to a fifth every third of the steps


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """How to refine.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    method: Method = Method.lm
    steps: int | None = None  # default of lm: 12 (they match 300 of Adam), 30 if more than the rotation is free; of
    # adam: 300, as in the paper
    free: Free = Free.rotation
    damping: float = 1e-2  # lambda of the first step of lm
    block: Block = Block.none  # of adam

    def __post_init__(self) -> None:
        for name, kind in (("method", Method), ("free", Free), ("block", Block)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        if self.block is not Block.none and self.method is not Method.adam:
            raise ValueError(f"block is of method adam, got {self.block.value} with {self.method.value}")
        if self.steps is not None and self.steps < 0:
            raise ValueError(f"steps must be at least 0, got {self.steps}")
        if not self.damping > 0:
            raise ValueError(f"damping must be positive, got {self.damping}")

    @property
    def count(self) -> int:
        """The number of steps, resolved."""
        if self.method is Method.none:
            return 0
        if self.steps is not None:
            return self.steps
        return 300 if self.method is Method.adam else 12 if self.free is Free.rotation else 30


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """Where refinement stands."""

    viewmats: Tensor  # (B, 4, 4)
    score: Tensor  # (B,) see `voge.pose.estimation.energy.score`


def refine(
    ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings, how: Refinement
) -> Iterator[Refined]:
    """Refine the poses of cameras (B); yields the start and the state after every step.

    Args:
        ellipsoids: with the target's channels, widened for its cells.
        cameras: in cells of the maps.
        target: of B images.
        settings: of the renderer.
        how: see Refinement.
    """
    if how.method is Method.adam:
        yield from _adam(ellipsoids, cameras, target, settings, how)
    else:
        yield from _levenberg_marquardt(ellipsoids, cameras, target, settings, how)


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """Poses, and what is seen of them."""

    cameras: Cameras
    image: Tensor  # (B, h, w, C)
    alpha: Tensor  # (B, h, w)
    depth: Tensor  # (B, h, w) along the ray, not divided by alpha
    cost: Tensor  # (B,) sum of rho


@torch.no_grad()
def _levenberg_marquardt(
    ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings, how: Refinement
) -> Iterator[Refined]:
    columns = torch.tensor(COLUMNS[how.free], device=cameras.viewmats.device)
    now = _look(ellipsoids, cameras, target, settings)
    damping = torch.full_like(now.cost, how.damping)
    yield _refined(now, target)
    for _ in range(how.count):
        normal, slope = normal_equations(now.cameras, now.image, now.alpha, now.depth, target)
        step = _solve(normal[:, columns][:, :, columns], slope[:, columns], damping)
        increment = torch.zeros_like(slope)
        increment[:, columns] = step
        moved = replace(now.cameras, viewmats=move(now.cameras.viewmats, _shortened(increment, now.cameras)))
        trial = _look(ellipsoids, moved, target, settings)
        better = trial.cost < now.cost
        damping = torch.where(better, damping * 0.3, damping * 4).clamp(1e-6, 1e6)
        now = _chosen(better, trial, now)
        yield _refined(now, target)


def _adam(
    ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings, how: Refinement
) -> Iterator[Refined]:
    start = cameras.viewmats
    mask = start.new_zeros(6)
    mask[COLUMNS[how.free]] = 1
    distance = start[:, 2:3, 3]
    scale = torch.cat([torch.ones_like(start[:, :3, 3]), distance.expand(-1, 3)], 1) * mask
    optimizer = Optimizer({"increments": Variable(start.new_zeros(len(start), 6), ADAM_RATE)}, max(how.count, 1),
                          betas=ADAM_BETAS)  # fmt: skip
    found: list[Refined] = []

    def loss(_step: int) -> dict[str, Tensor]:
        viewmats = move(start, optimizer["increments"] * scale)
        posed = replace(cameras, viewmats=viewmats)
        if how.block is Block.none:
            made = render(ellipsoids, posed, settings)
            scores = score(made.image, made.alpha, target)
        else:
            scores = score(*render_blocked(ellipsoids, posed, settings, how.block), target)
        found[:] = [Refined(viewmats.detach(), scores.detach())]
        return {"score": -scores.sum()}

    for _ in optimizer.run(loss):
        yield found[0]
    with torch.no_grad():
        last = replace(cameras, viewmats=move(start, optimizer["increments"] * scale))
        yield _refined(_look(ellipsoids, last, target, settings), target)


def move(viewmats: Tensor, increments: Tensor) -> Tensor:
    """Poses (B, 4, 4) after increments (B, 6) of the module's kind; differentiable."""
    turned = rotation(increments[:, :3]) @ viewmats[:, :3, :3]
    shifted = viewmats[:, :3, 3:] + increments[:, 3:, None]
    return torch.cat([torch.cat([turned, shifted], 2), viewmats[:, 3:]], 1)


def normal_equations(
    cameras: Cameras, image: Tensor, alpha: Tensor, depth: Tensor, target: Target
) -> tuple[Tensor, Tensor]:
    """J^T W J (B, 6, 6) and J^T W r (B, 6) of the energy, the six columns worked out by hand.

    A surface point X of the camera's frame moves by dX = omega x (X - t) + v, its cell by dU = d pi(X)/dX dX, and the
    rendered map at a fixed cell by -grad M dU. With U (2, 6) a cell, grad M enters through the 2 x 2 matrix of its
    products alone, so that no table of cells x channels x 6 is made.

    Args:
        cameras: B poses, in cells.
        image, alpha, depth: rendered from them, (B, h, w, C) and (B, h, w).
        target: of B images.
    """
    r = residual(image, alpha, target)
    _, odds = mixture(r.square().sum(-1), target)
    gx, gy = (_slopes(image, axis) - _slopes(alpha[..., None], axis) * target.clutter for axis in (2, 1))
    products = [(gx * gx).sum(-1), (gx * gy).sum(-1), (gy * gy).sum(-1)]
    A = torch.stack([products[0], products[1], products[1], products[2]], -1).unflatten(-1, (2, 2))
    slope = -torch.stack([(gx * r).sum(-1), (gy * r).sum(-1)], -1)
    U = _motions(cameras, alpha, depth)
    weighted = odds[..., None, None] * (A @ U)
    normal = torch.einsum("bhwki,bhwkj->bij", U, weighted)
    return normal, torch.einsum("bhwki,bhwk->bi", U, odds[..., None] * slope)


def _motions(cameras: Cameras, alpha: Tensor, depth: Tensor) -> Tensor:
    """(B, h, w, 2, 6): how the surface point seen in each cell moves in the picture, cells a unit of xi."""
    t = cameras.viewmats[:, None, None, :3, 3]
    rays = cameras.rays()
    directions = rays.directions @ cameras.viewmats[:, None, :3, :3].mT
    # Where nothing is seen no gradient asks; the origin's distance keeps numbers finite.
    distance = torch.where(alpha > 1e-3, depth / alpha.clamp_min(1e-3), t.norm(dim=-1))
    X = distance[..., None] * directions
    fx, fy = (cameras.Ks[:, i, i, None, None] for i in (0, 1))
    x, y, z = X.unbind(-1)
    zero = torch.zeros_like(z)
    projection = torch.stack([fx / z, zero, -fx * x / z**2, zero, fy / z, -fy * y / z**2], -1).unflatten(-1, (2, 3))
    turns = projection @ -cross_matrix(X - t)
    return torch.cat([turns, projection], -1)


def _slopes(values: Tensor, axis: int) -> Tensor:
    """Central differences along an axis of (B, h, w, C), one-sided at the border."""
    return torch.gradient(values, dim=axis)[0]


def _solve(normal: Tensor, slope: Tensor, damping: Tensor) -> Tensor:
    """The damped step (B, D) of Marquardt; unknowns that move nothing stay."""
    diagonal = normal.diagonal(dim1=1, dim2=2)
    floor = 1e-6 * diagonal.amax(1, keepdim=True) + 1e-12
    damped = normal + torch.diag_embed(damping[:, None] * diagonal.clamp_min(floor) + floor)
    step, _ = torch.linalg.solve_ex(damped, -slope)
    return torch.where(step.isfinite(), step, 0)


def _shortened(increments: Tensor, cameras: Cameras) -> Tensor:
    """Increments (B, 6) no longer than what is trusted."""
    turn = increments[:, :3].norm(dim=1) / MOST_TURN
    shift = increments[:, 3:].norm(dim=1) / (MOST_SHIFT * cameras.viewmats[:, 2, 3].abs())
    return increments / torch.maximum(turn, shift).clamp_min(1)[:, None]


def _look(ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings) -> _State:
    made = render(ellipsoids, cameras, settings)
    rho, _ = mixture(residual(made.image, made.alpha, target).square().sum(-1), target)
    return _State(cameras, made.image, made.alpha, made.depth, rho.sum((1, 2)))


def _chosen(better: Tensor, new: _State, old: _State) -> _State:
    def pick(a: Tensor, b: Tensor) -> Tensor:
        return torch.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    cameras = replace(old.cameras, viewmats=pick(new.cameras.viewmats, old.cameras.viewmats))
    return _State(cameras, pick(new.image, old.image), pick(new.alpha, old.alpha), pick(new.depth, old.depth),
                  pick(new.cost, old.cost))  # fmt: skip


def _refined(state: _State, target: Target) -> Refined:
    return Refined(state.cameras.viewmats, score(state.image, state.alpha, target))
