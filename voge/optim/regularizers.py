"""Terms that say what a set of ellipsoids, or a mesh, should look like whatever the pictures say.

Every term is a mean (), 0 at best, and differentiable in everything that it takes. It has no unit, so that a weight
means the same for an object of any size. Terms on neighbors take a graph from `nearest_neighbors`. The caller makes the
graph anew every now and then, since the choice of neighbors is discrete and has no gradient. Formulas are derived in
docs/fit.md.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from voge.scene import harmonics
from voge.scene.ellipsoids import Ellipsoids

_TINY = 1e-12


# ---- Neighbors ------------------------------------------------------------------------------


def nearest_neighbors(means: Tensor, count: int) -> Tensor:
    """Rows (N, k) of the nearest other means, k = min(count, N - 1), nearest first; on the means' device."""
    points = means.detach()
    count = min(count, len(points) - 1)
    if points.device.type == "cpu":
        from scipy.spatial import cKDTree

        flat = points.numpy()
        return torch.from_numpy(cKDTree(flat).query(flat, k=count + 1)[1][:, 1:].copy())
    found = []
    for rows in torch.arange(len(points), device=points.device).split(4096):  # bounds memory
        distance = torch.cdist(points[rows], points)
        distance[torch.arange(len(rows), device=points.device), rows] = math.inf
        found.append(distance.topk(count, largest=False).indices)
    return torch.cat(found)


def overlap(ellipsoids: Ellipsoids, neighbors: Tensor, target: float = -2.0) -> Tensor:
    """Mean of (log O_ij - target)^2 over neighbors: neither gaps nor clumps, neither too large nor too small.

    O_ij is the cosine between two Gaussian functions in L2, the integral of their product over the root of the
    product of their squares' integrals (the Bhattacharyya coefficient of half the covariances):

        log O_ij = (log|S_i| + log|S_j|) / 4 + 3/2 log 2 - log|S_i + S_j| / 2 - D^T (S_i + S_j)^-1 D / 2, D = M_i - M_j

    On a regular surface of hats (`voge.convert`) neighbors have log O = -2 / kappa^2.

    Args:
        ellipsoids: N.
        neighbors: (N, k) rows.
        target: of log O.
    """
    covariance = ellipsoids.covariances
    log_size = ellipsoids.scales.log().sum(1)  # 1/2 log|S|
    both = covariance[:, None] + _beside(covariance, neighbors)
    offset = ellipsoids.means[:, None] - _beside(ellipsoids.means, neighbors)
    volume, away = _solve(both, offset)
    sizes = log_size[:, None] + _beside(log_size, neighbors)
    log_overlap = sizes / 2 + 1.5 * math.log(2) - volume.log() / 2 - away / 2
    # Pairs far apart have log O of minus thousands; the pull on them grows no more from some point on.
    return torch.nn.functional.huber_loss(log_overlap, torch.full_like(log_overlap, target), delta=2.0) * 2


def tangency(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Mean of n_i^T C_i n_i / trace C_i: the neighbors of an ellipsoid lie in its plane.

    n_i is the shortest axis and C_i = sum_j D D^T, D = M_j - M_i. For given centers it is least, C's smallest
    eigenvalue's share, where n_i is the normal of the neighbors' local PCA (Hoppe et al. 1992): it aligns normals
    without an eigen-decomposition, whose gradient is unbounded, and flattens the surface as well.
    """
    offset = _beside(ellipsoids.means, neighbors) - ellipsoids.means[:, None]
    height = (offset @ shortest_axes(ellipsoids)[..., None]).squeeze(-1)
    return (height.square().sum(1) / (offset.square().sum((1, 2)) + _TINY)).mean()


def agreement(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Mean of 1 - (n_i . n_j)^2 over neighbors: shortest axes agree up to their sign."""
    normals = shortest_axes(ellipsoids)
    return (1 - (normals[:, None] * _beside(normals, neighbors)).sum(-1).square()).mean()


def flatness(ellipsoids: Ellipsoids) -> Tensor:
    """Mean of s_min^2 / (s_mid s_max): ellipsoids are sheets; 1 for spheres."""
    logs = ellipsoids.scales.log()
    return (3 * (logs.min(1).values - logs.mean(1))).exp().mean()  # s_min^3 over the volume: sorting is slower


def roundness(ellipsoids: Ellipsoids) -> Tensor:
    """Mean of (log s_max - log s_mid)^2: sheets are discs, no needles."""
    _, middle, long = ellipsoids.scales.sort(1).values.unbind(1)
    return (long / middle).log().square().mean()


def size_agreement(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Mean over neighbors of the squared difference of log scales, longest with longest: neighbors are alike."""
    logs = ellipsoids.scales.log().sort(1).values
    return (logs[:, None] - _beside(logs, neighbors)).square().mean()


def spacing_agreement(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Variance of the log distances to the neighbors of each: centers are spread evenly."""
    offset = _beside(ellipsoids.means, neighbors) - ellipsoids.means[:, None]
    logs = offset.square().sum(-1).clamp_min(_TINY).log() / 2
    return logs.var(1, correction=0).mean()


def laplacian(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Mean of |M_i - mean_j M_j|^2 over the mean squared distance to the neighbors (Desbrun et al. 1999, uniform).

    The umbrella operator on the graph of neighbors: fairs the surface of centers and evens out their spacing.
    """
    beside = _beside(ellipsoids.means, neighbors)
    spread = (beside - ellipsoids.means[:, None]).square().sum(-1).mean()
    return (ellipsoids.means - beside.mean(1)).square().sum(-1).mean() / spread.clamp_min(_TINY)


def feature_agreement(ellipsoids: Ellipsoids, neighbors: Tensor) -> Tensor:
    """Mean squared difference of neighbors' features: those that no picture shows take their neighbors'.

    Where extra["sh"] makes colors depend on the direction of view, the mean over all directions too: orthonormal
    functions have no products, so that each coefficient adds its own square times Y00^2 = 1 / (4 pi).
    """
    features = ellipsoids.features
    if features is None:
        raise ValueError("ellipsoids must have features for feature_agreement; got none")
    if "sh" in ellipsoids.extra:
        sh = ellipsoids.extra["sh"]
        # The mean is over 1 + K coefficients, where their sum is meant.
        features = math.sqrt(1 + sh.shape[1]) * torch.cat([features, harmonics.Y00 * sh.flatten(1)], 1)
    beside = _beside(features, neighbors)
    return torch.nn.functional.mse_loss(beside, features[:, None].expand_as(beside))


def opacity_entropy(ellipsoids: Ellipsoids) -> Tensor:
    """Mean binary entropy of the opacities 1 - exp(-density), in units of log 2: either there or not."""
    density = ellipsoids.density
    opacity = -torch.expm1(-density)
    entropy = (-density).exp() * density + torch.special.entr(opacity)
    bits: Tensor = entropy.mean() / math.log(2)
    return bits


def shortest_axes(ellipsoids: Ellipsoids) -> Tensor:
    """(N, 3) unit shortest axes in world space: the normals of flat ellipsoids, of either sign."""
    scales, quats = ellipsoids.scales.detach(), ellipsoids.quats
    axes = torch.zeros_like(scales).scatter_(1, scales.argmin(1, keepdim=True), 1)
    # That one column alone: all nine entries of the rotations would take three times as many operators.
    w, u = quats.split([1, 3], 1)
    turned = torch.linalg.cross(u, axes)
    rotated: Tensor = axes + (w * turned + torch.linalg.cross(u, turned)) * (2 / quats.square().sum(1, keepdim=True))
    return rotated


def _beside(values: Tensor, neighbors: Tensor) -> Tensor:
    """(N, k, ...) what the neighbors (N, k) have of values (N, ...)."""
    # The gradient of `values[neighbors]` sorts all indices first, which costs more than all else here.
    picked: Tensor = values.index_select(0, neighbors.flatten()).unflatten(0, neighbors.shape)
    return picked


def _solve(matrix: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
    """Determinant (...) and x^T A^-1 x (...) of positive symmetric matrices (..., 3, 3) and vectors (..., 3).

    By cofactors: a batched factorization of many small matrices costs ten times as much.
    """
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    d, e, f = matrix[..., 1, 1], matrix[..., 1, 2], matrix[..., 2, 2]
    x, y, z = vector.unbind(-1)
    aa, bb, cc = d * f - e * e, c * e - b * f, b * e - c * d
    dd, ee, ff = a * f - c * c, b * c - a * e, a * d - b * b
    determinant = (a * aa + b * bb + c * cc).clamp_min(1e-38)
    form = x * x * aa + y * y * dd + z * z * ff + 2 * (x * y * bb + x * z * cc + y * z * ee)
    return determinant, form / determinant


# ---- Starts with faces -----------------------------------------------------------------------


def mesh_edges(vertices: Tensor, edges: Tensor, length: float = 0.0) -> Tensor:
    """Mean of (|e| - length)^2 over edges (E, 2) of a mesh, as PyTorch3D's `mesh_edge_loss` has it.

    In world units squared, like the other mesh terms: they are here to compare with, weighted as the paper does.
    """
    a, b = vertices[edges].unbind(1)
    loss: Tensor = ((a - b).norm(dim=1) - length).square().mean()
    return loss


def mesh_laplacian(vertices: Tensor, edges: Tensor) -> Tensor:
    """Mean of |mean of the neighbors - v| over vertices, uniform weights (`mesh_laplacian_smoothing`)."""
    ends = torch.cat([edges, edges.flip(1)])
    sums = torch.zeros_like(vertices).index_add(0, ends[:, 0], vertices[ends[:, 1]])
    count = vertices.new_zeros(len(vertices)).index_add(0, ends[:, 0], vertices.new_ones(len(ends)))
    mean = sums / count.clamp_min(1)[:, None]
    return ((mean - vertices).square().sum(1) + _TINY).sqrt().mean()


def mesh_normals(vertices: Tensor, pairs: Tensor) -> Tensor:
    """Mean of 1 - cos of the angle between the normals of faces that share an edge (`mesh_normal_consistency`).

    Args:
        vertices: (V, 3).
        pairs: (P, 4) the edge's ends a and b, then the third corners c and d of its two faces.
    """
    a, b, c, d = vertices[pairs].unbind(1)
    first, second = torch.linalg.cross(b - a, c - a), -torch.linalg.cross(b - a, d - a)
    return (1 - torch.nn.functional.cosine_similarity(first, second, dim=1)).mean()


def mesh_graph(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Edges (E, 2) and pairs (P, 4) of a mesh with faces (F, 3), for the terms above."""
    sides = torch.cat([faces[:, [0, 1, 2]], faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]])
    ends = sides[:, :2].sort(1).values
    order = torch.argsort(ends[:, 0] * (int(faces.max()) + 1) + ends[:, 1], stable=True)
    ends, third = ends[order], sides[order, 2]
    same = (ends[1:] == ends[:-1]).all(1)
    pairs = torch.cat([ends[:-1], third[:-1, None], third[1:, None]], 1)[same]
    return torch.unique_consecutive(ends, dim=0), pairs
