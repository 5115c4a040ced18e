"""The first phase of a fit from a mesh: its vertices move smoothly, and the ellipsoids are its surface's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from voge.convert import from_mesh
from voge.fitting.settings import Surface
from voge.optim.regularizers import mesh_graph
from voge.scene.ellipsoids import Ellipsoids

if TYPE_CHECKING:
    from scipy import sparse

MOST = 12_000  # vertices, on a GPU: the matrix there has their square of numbers
_THIN = 0.8  # part of the phase after which thickness and width have their last values


class Follower:
    """Vertices M = (I + lambda L)^-1 u of free u, L the mesh's combinatorial Laplacian (Nicolet et al. 2021, eq. 3).

    A step of u moves the vertices by something smooth, so that the mesh keeps its order over large ways; the
    positions that can be reached are all.

    Raises:
        ValueError: the mesh has too many vertices for the matrix.
    """

    def __init__(self, ellipsoids: Ellipsoids, faces: Tensor, settings: Surface, steps: int) -> None:
        self.faces, self.settings, self.steps = faces, settings, steps
        self.solve: Callable[[Tensor], Tensor] | None = None
        self.start = ellipsoids.means  # u at first
        if settings.smoothing:
            matrix = _system(faces, len(ellipsoids), settings.smoothing)
            start = matrix @ ellipsoids.means.double().cpu().numpy()
            self.start = torch.from_numpy(start).to(ellipsoids.means)
            self.solve = _solver(matrix, ellipsoids.means)

    def active(self, step: int) -> bool:
        """True where the step of this number belongs to the phase."""
        return 0 <= step < math.ceil(self.settings.until * self.steps)

    def due(self, step: int) -> bool:
        """True where the shapes are renewed before the step of this number."""
        return self.active(step) and step % self.settings.refresh == 0

    def ends(self, done: int) -> bool:
        """True where the phase ends with the last of so many steps."""
        return self.active(done - 1) and not self.active(done)

    def means(self, free: Tensor) -> Tensor:
        """(N, 3) the vertices of u (N, 3); differentiable."""
        if self.solve is None:
            return free
        means: Tensor = _Solved.apply(free, self.solve)  # type: ignore[no-untyped-call]
        return means

    def shaped(self, base: Ellipsoids, free: Tensor, step: int) -> Ellipsoids:
        """`base` with the scales, rotations and densities that the mesh gives now (`voge.convert.from_mesh`)."""
        part = min(step / (_THIN * self.settings.until * self.steps), 1.0)
        thickness, width = (
            first * (last / first) ** part for first, last in (self.settings.thickness, self.settings.width)
        )
        made = from_mesh(self.means(free.detach()), self.faces, kappa=width, flatness=thickness)
        if len(made) != len(base):  # a vertex lost the area of all its faces: wait until it has some again
            return base
        return replace(base, scales=made.scales, quats=made.quats, density=made.density)


class _Solved(torch.autograd.Function):
    """x of A x = b, for a symmetric A: the gradient of b solves the same system."""

    @staticmethod
    def forward(ctx: Any, right: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.solve = solve
        return solve(right)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.solve(gradient), None


def _solver(matrix: sparse.sparray, like: Tensor) -> Callable[[Tensor], Tensor]:
    """A function that multiplies (N, 3) by the inverse of a matrix (N, N).

    On the CPU sparse factors: for 2,562 vertices 0.5 ms, where a product with the dense inverse takes 16. On a GPU
    that product takes less time than factors would.
    """
    if like.device.type == "cpu":
        from scipy.sparse.linalg import splu

        factors = splu(matrix.tocsc())
        return lambda right: torch.from_numpy(factors.solve(right.double().numpy())).to(right)
    if matrix.shape[0] > MOST:
        raise ValueError(f"smoothing is for at most {MOST} vertices, got {matrix.shape[0]}; set it to 0")
    dense = torch.from_numpy(matrix.toarray()).to(like.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(dense)).to(like)
    return lambda right: inverse @ right


def _system(faces: Tensor, count: int, smoothing: float) -> sparse.sparray:
    """I + lambda L (N, N), float64; L has degrees on the diagonal, -1 where two vertices share an edge."""
    from scipy import sparse

    a, b = mesh_graph(faces.cpu())[0].numpy().T
    joined = sparse.coo_array((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), (count, count))
    return sparse.eye_array(count) + smoothing * (sparse.diags_array(joined.sum(1)) - joined)
