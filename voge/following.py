"""The first phase of a fit from a mesh: its vertices move smoothly, and the ellipsoids are its surface's."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from voge.convert import from_mesh
from voge.ellipsoids import Ellipsoids
from voge.fit_settings import Surface
from voge.regularisers import mesh_graph

MOST = 12_000  # vertices: the matrix has their square of numbers
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
        self.smooth: Tensor | None = None
        self.start = ellipsoids.means  # u at first
        if settings.smoothing:
            if len(ellipsoids) > MOST:
                raise ValueError(f"smoothing is for at most {MOST} vertices, got {len(ellipsoids)}; set it to 0")
            matrix = torch.eye(len(ellipsoids), dtype=torch.float64, device=faces.device)
            matrix += settings.smoothing * _laplacian(faces, len(ellipsoids))
            self.start = (matrix @ ellipsoids.means.double()).to(ellipsoids.means)
            self.smooth = torch.cholesky_inverse(torch.linalg.cholesky(matrix)).to(ellipsoids.means)

    def active(self, step: int) -> bool:
        """Whether the step of this number belongs to the phase."""
        return 0 <= step < math.ceil(self.settings.until * self.steps)

    def due(self, step: int) -> bool:
        """Whether the shapes are renewed before the step of this number."""
        return self.active(step) and step % self.settings.refresh == 0

    def ends(self, done: int) -> bool:
        """Whether the phase is over after so many steps, and was not before the last."""
        return self.active(done - 1) and not self.active(done)

    def means(self, free: Tensor) -> Tensor:
        """(N, 3) the vertices of u (N, 3); differentiable."""
        return free if self.smooth is None else self.smooth @ free

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


def _laplacian(faces: Tensor, count: int) -> Tensor:
    """(N, N) float64: degrees on the diagonal, -1 where two vertices share an edge."""
    edges, _ = mesh_graph(faces)
    matrix = torch.zeros(count, count, dtype=torch.float64, device=faces.device)
    matrix[edges[:, 0], edges[:, 1]] = -1
    matrix[edges[:, 1], edges[:, 0]] = -1
    return matrix - torch.diag(matrix.sum(1))
