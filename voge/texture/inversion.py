"""Least squares on W: sparse rows, the normal equations of `voge.texture`, and conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voge.meshes.surfaces import nearest
from voge.rendering import ops
from voge.texture.unseen import Sources


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A matrix in compressed rows."""

    offsets: Tensor  # (P + 1,) int64
    index: Tensor  # (E,) int32 columns
    weight: Tensor  # (E,)
    count: int  # columns

    def times(self, attributes: Tensor) -> Tensor:
        """(P, C) of (count, C)."""
        return ops.gather(self.weight, attributes, self.index, self.offsets)

    def transposed(self, image: Tensor) -> Tensor:
        """(count, C) of (P, C)."""
        return ops.scatter(self.weight, image, self.index, self.offsets, self.count)

    def column_squares(self) -> Tensor:
        """(count, 1) sums of the squares of each column: the diagonal of its normal matrix."""
        ones = self.weight.new_ones(len(self.offsets) - 1, 1)
        return ops.scatter(self.weight.square(), ones, self.index, self.offsets, self.count)

    @classmethod
    def stack(cls, parts: Sequence[Sparse]) -> Sparse:
        """The rows of all, one below the other."""
        counts = torch.cat([part.offsets.diff() for part in parts])
        offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        index, weight = torch.cat([part.index for part in parts]), torch.cat([part.weight for part in parts])
        return cls(offsets, index, weight, parts[0].count)


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """The normal equations, but for their right-hand side."""

    matrix: Sparse  # M^(1/2) W
    near: Sparse  # (N, N) means of the neighbors
    damping: float
    smoothness: float
    diagonal: Tensor  # (N, 1)
    seen: Tensor  # (N,) bool
    sources: Sources  # the nearest seen ellipsoids of each, where the solver starts for the unseen

    @classmethod
    def of(cls, means: Tensor, matrix: Sparse, seen: Tensor, weights: tuple[float, float], neighbors: int) -> System:
        """Make the system of ellipsoids with means (N, 3), of which some are seen (N,).

        Args:
            means, matrix, seen: see above.
            weights: of damping and smoothness.
            neighbors: of each ellipsoid.
        """
        damping, smoothness = weights
        near = _neighbor_means(means, neighbors)
        # `near` has no diagonal, so that of L^T L is 1 plus the squares of its columns.
        diagonal = matrix.column_squares() + damping + smoothness * (1 + near.column_squares())
        return cls(matrix, near, damping, smoothness, diagonal, seen, Sources.around(means, means, seen))

    def normal(self, a: Tensor) -> Tensor:
        """Attributes (N, C) times the matrix of the normal equations."""
        difference = a - self.near.times(a)
        laplacian = difference - self.near.transposed(difference)
        return self.matrix.transposed(self.matrix.times(a)) + self.damping * a + self.smoothness * laplacian

    def solve(
        self, factor: Tensor, pixels: Tensor, means: Tensor, iterations: int, tolerance: float
    ) -> tuple[Tensor, int, float]:
        """Attributes (N, C) of pixels (P, C), each row times M^(1/2) A (P,), damped towards means (N, C).

        Returns:
            The attributes, and of the solver the iterations and the residual over the right-hand side, the worst
            column's.
        """
        start = torch.where(self.seen[:, None], means, self.sources.of(means))
        right = self.matrix.transposed(factor[:, None] * pixels) + self.damping * start
        return _conjugate_gradients(self.normal, right, start, self.diagonal, iterations, tolerance)


def _neighbor_means(means: Tensor, neighbors: int) -> Sparse:
    """The matrix (N, N) that takes the mean over the nearest others of each ellipsoid."""
    count = len(means)
    near = min(neighbors, count - 1)
    index = nearest(means.detach(), near)[1][:, 1:].reshape(-1).int()
    offsets = torch.arange(count + 1, device=index.device) * near
    return Sparse(offsets, index, means.new_full((count * near,), 1 / max(near, 1)), count)


def _conjugate_gradients(
    normal: Callable[[Tensor], Tensor],
    right: Tensor,
    start: Tensor,
    diagonal: Tensor,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, int, float]:
    """Solve `normal(a) = right` for each column by itself, all columns in step; Hestenes and Stiefel 1952."""
    a, residual = start, right - normal(start)
    scaled = residual / diagonal
    way, product = scaled, (residual * scaled).sum(0)
    scale = right.norm(dim=0).clamp_min(torch.finfo(right.dtype).tiny)
    for iteration in range(iterations):
        off = float((residual.norm(dim=0) / scale).max())
        if off <= tolerance:
            return a, iteration, off
        image = normal(way)
        length = product / (way * image).sum(0)
        length = torch.where(product > 0, length, 0)  # a column that is exact already
        a, residual = a + length * way, residual - length * image
        scaled, before = residual / diagonal, product
        product = (residual * scaled).sum(0)
        way = scaled + torch.where(before > 0, product / before, 0) * way
    return a, iterations, float((residual.norm(dim=0) / scale).max())
