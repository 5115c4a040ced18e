"""Poses refined to the least energy: Levenberg-Marquardt with the six columns of the pose, or Adam as in the paper.

All of B poses are refined at once, each of its own image and camera. A pose moves by xi = (omega, v): its rotation
about the object's origin, R <- exp(omega) R, and the origin in the camera's frame, t <- t + v.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.optim.least_squares import Damping, Equations, descend
from voge.optim.optimizer import Optimizer, Variable
from voge.optim.settings import Rate
from voge.pose.estimation.ablation import render_blocked
from voge.pose.estimation.energy import Target, mixture, residual, score
from voge.pose.settings import Block, Free, Method, Refinement
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

COLUMNS = {Free.rotation: [0, 1, 2], Free.distance: [0, 1, 2, 5], Free.pose: [0, 1, 2, 3, 4, 5]}
DAMPING = Damping(first=1e-2, shrink=0.3, growth=4.0, least=1e-6, largest=1e6)
MOST_TURN = 0.4  # radians a step
MOST_SHIFT = 0.15  # of the distance a step
ADAM_BETAS = (0.4, 0.6)  # the published pipeline's, for a loss without noise
ADAM_RATE = Rate(value=0.05, final=0.2**3)  # its rate of 0.05, falling to a fifth every third of the steps


@dataclass(frozen=True, slots=True, eq=False)
class Refined:
    """The state of a refinement after a step."""

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


@torch.no_grad()
def _levenberg_marquardt(
    ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings, how: Refinement
) -> Iterator[Refined]:
    columns = torch.tensor(COLUMNS[how.unknown], device=cameras.viewmats.device)

    def equations(viewmats: Tensor, last: bool) -> Equations:
        posed = replace(cameras, viewmats=viewmats)
        made = render(ellipsoids, posed, settings)
        costs = -score(made.image, made.alpha, target)  # the energy, but for the scale and a constant of each image
        if last:
            return Equations(costs)
        normal, slope = normal_equations(posed, made.image, made.alpha, made.depth, target)
        return Equations(costs, normal[:, columns][:, :, columns], slope[:, columns])

    def moved(viewmats: Tensor, normal: Tensor, slope: Tensor, damping: Tensor) -> Tensor:
        increments = viewmats.new_zeros(len(viewmats), 6)
        increments[:, columns] = _solve(normal, slope, damping)
        return move(viewmats, _shortened(increments, viewmats[:, 2, 3]))

    damping = replace(DAMPING, first=how.damping)
    states = descend(cameras.viewmats, equations=equations, moved=moved, iterations=how.count, damping=damping)
    for viewmats, costs in states:
        yield Refined(viewmats, -costs)


def _adam(
    ellipsoids: Ellipsoids, cameras: Cameras, target: Target, settings: RenderSettings, how: Refinement
) -> Iterator[Refined]:
    start = cameras.viewmats
    mask = start.new_zeros(6)
    mask[COLUMNS[how.unknown]] = 1
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
        last = move(start, optimizer["increments"] * scale)
        made = render(ellipsoids, replace(cameras, viewmats=last), settings)
        yield Refined(last, score(made.image, made.alpha, target))


def move(viewmats: Tensor, increments: Tensor) -> Tensor:
    """Poses (B, 4, 4) after increments (B, 6) of the module's kind; differentiable."""
    turn = (viewmats[:, :3, :3].mT @ increments[:, :3, None]).squeeze(-1)  # about the object's axes
    whole = torch.cat([increments[:, 3:], turn, torch.zeros_like(increments[:, :1])], 1)
    return rigid.move(viewmats, whole, torch.zeros_like(turn))


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
    turns = projection @ -rigid.cross_matrix(X - t)
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


def _shortened(increments: Tensor, distances: Tensor) -> Tensor:
    """Increments (B, 6) no longer than what is trusted, of objects at distances (B,)."""
    turn = increments[:, :3].norm(dim=1) / MOST_TURN
    shift = increments[:, 3:].norm(dim=1) / (MOST_SHIFT * distances.abs())
    return increments / torch.maximum(turn, shift).clamp_min(1)[:, None]
