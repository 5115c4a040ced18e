"""Pieces of a surface, one for each ellipsoid to be: of meshes and of points (docs/mathematics.md, section 5).

Everything is float64 and vectorized; half a million vertices or points take seconds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

STRETCH = 1.6  # a point's in-plane deviations differ from their geometric mean by at most this factor
HAT_VARIANCE = 1 / (4 * math.sqrt(3))  # of a hat on a triangular lattice, as part of the area a vertex has there
_ROWS = 2**16  # points worked on together: bounds memory


class Surface(NamedTuple):
    """N pieces of a surface."""

    centers: Tensor  # (N, 3) centers of mass, world units
    spread: Tensor  # (N, 3, 3) covariances about the centers
    area: Tensor  # (N,)
    normals: Tensor  # (N, 3) unit


# ---- Of meshes -------------------------------------------------------------------------------


def hats(vertices: Tensor, faces: Tensor) -> Surface:
    """The vertices' hat functions: 1 at the vertex, 0 at its neighbors, linear on the faces between.

    Together the hats are 1 all over the surface, so their masses add up to its area.

    Args:
        vertices: (N, 3), every one in a face of positive area.
        faces: (F, 3) rows of `vertices`.
    """
    area, count = face_areas(vertices, faces), len(vertices)
    mass, first, second = vertices.new_zeros(count), vertices.new_zeros(count, 3), vertices.new_zeros(count, 3, 3)
    for corner in range(3):
        vertex = faces[:, corner]
        # Moments about the vertex itself: about a far origin a small piece's covariance would drown in rounding.
        b, c = (vertices[faces[:, (corner + i) % 3]] - vertices[vertex] for i in (1, 2))
        bb, cc, bc = (u[:, :, None] * v[:, None, :] for u, v in ((b, b), (c, c), (b, c)))
        mass.index_add_(0, vertex, area / 3)
        first.index_add_(0, vertex, area[:, None] / 12 * (b + c))
        second.index_add_(0, vertex, area[:, None, None] / 60 * (2 * (bb + cc) + bc + bc.mT))
    mean = first / mass[:, None]
    spread = second / mass[:, None, None] - mean[:, :, None] * mean[:, None, :]
    return Surface(vertices + mean, spread, mass, vertex_normals(vertices, faces))


def triangles(vertices: Tensor, faces: Tensor) -> Surface:
    """The faces (N, 3) themselves, all of positive area."""
    corners = vertices[faces]
    centers = corners.mean(1)
    offsets = corners - centers[:, None]
    normals = torch.nn.functional.normalize(face_crosses(vertices, faces), dim=-1, eps=0)
    return Surface(centers, offsets.mT @ offsets / 12, face_areas(vertices, faces), normals)


def face_crosses(vertices: Tensor, faces: Tensor) -> Tensor:
    """(F, 3) normals of the faces, twice the area long."""
    a, b, c = vertices[faces].unbind(1)
    normals: Tensor = torch.linalg.cross(b - a, c - a)
    return normals


def face_areas(vertices: Tensor, faces: Tensor) -> Tensor:
    """(F,) areas; 0 where the area is no more than rounding."""
    area = face_crosses(vertices, faces).norm(dim=1) / 2
    corners = vertices[faces]
    longest = (corners - corners.roll(1, dims=1)).square().sum(-1).amax(1)
    return torch.where(area > 1e-12 * longest, area, 0)


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(V, 3) unit means of the faces' normals weighted by area; every vertex must be in a face.

    Where the two sides of a sheet cancel, the line along which the normals lie serves, with either sign.
    """
    cross = face_crosses(vertices, faces)
    length = cross.norm(dim=1)
    corners = faces.flatten()
    sums = vertices.new_zeros(len(vertices), 3).index_add_(0, corners, cross.repeat_interleave(3, 0))
    size = vertices.new_zeros(len(vertices)).index_add_(0, corners, length.repeat_interleave(3))
    canceled = sums.norm(dim=1) < 0.01 * size
    if canceled.any():
        outer = cross[:, :, None] * cross[:, None, :] / length[:, None, None]
        lines = vertices.new_zeros(len(vertices), 3, 3).index_add_(0, corners, outer.repeat_interleave(3, 0))
        sums[canceled] = torch.linalg.eigh(lines[canceled]).eigenvectors[:, :, 2]
    return torch.nn.functional.normalize(sums, dim=-1, eps=0)


def mean_edge_lengths(vertices: Tensor, faces: Tensor) -> Tensor:
    """(V,) mean length of the edges at each vertex, every edge counted once."""
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values
    codes = torch.unique(ends[:, 0] * len(vertices) + ends[:, 1])
    ends = torch.stack([codes // len(vertices), codes % len(vertices)])
    length = (vertices[ends[0]] - vertices[ends[1]]).norm(dim=1).repeat(2)
    sums = vertices.new_zeros(len(vertices)).index_add_(0, ends.flatten(), length)
    return sums / torch.bincount(ends.flatten(), minlength=len(vertices))


# ---- Of points -------------------------------------------------------------------------------


def nearest(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and rows (P, count + 1) of the nearest points, nearest first; the first is the point itself."""
    from scipy.spatial import cKDTree

    flat = points.cpu().numpy()
    distance, index = cKDTree(flat).query(flat, k=count + 1, workers=-1)
    return torch.from_numpy(distance).to(points.device), torch.from_numpy(index).to(points.device)


def patches(points: Tensor, distance: Tensor, index: Tensor) -> Surface:
    """Surface that each point stands for: as much surface as a point has there, in the plane of its neighbors.

    Args:
        points: (N, 3).
        distance, index: (N, k + 1) from `nearest`.

    Returns:
        N pieces with the variance of a hat function of their area, stretched as the neighbors are; the
        normals are those of the neighbors' planes, turned by `orient`.
    """
    found = [_neighbor_plane(points[rows]) for rows in index.split(_ROWS)]
    spread, normals = (torch.cat(parts) for parts in zip(*found, strict=True))
    axes, variances = in_plane(spread, normals)
    # Where more than k points coincide they have no area of their own; ellipsoids need some size.
    radius = distance[:, -1].clamp_min(1e-6 * distance[:, -1].max())
    area = math.pi * radius.square() / index.shape[1]
    stretch = (variances[:, 0] / variances[:, 1]).nan_to_num(1).pow(0.25).clamp(1, STRETCH)
    variances = HAT_VARIANCE * area[:, None] * torch.stack([stretch.square(), stretch.pow(-2)], 1)
    across = axes[:, :, :2] * variances.sqrt()[:, None, :]
    return Surface(points, across @ across.mT, area, normals * orient(points, normals, index)[:, None])


def orient(points: Tensor, normals: Tensor, index: Tensor, links: int = 8) -> Tensor:
    """Signs (P,) that make the normals (P, 3) of neighboring points agree (Hoppe et al. 1992).

    Signs spread along the spanning tree of the graph of neighbors that turns least. In each connected part
    the point farthest from the part's middle looks outwards.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    place, facing = points.cpu().numpy(), normals.cpu().numpy()
    count = len(place)
    beside = index[:, 1 : links + 1].cpu().numpy()
    a, b = np.repeat(np.arange(count), beside.shape[1]), beside.reshape(-1)
    turn = 1 - np.abs((facing[a] * facing[b]).sum(1)) + 1e-6  # the graph takes 0 for no link
    tree = minimum_spanning_tree(coo_array((turn, (a, b)), shape=(count, count)).tocsr()).tocoo()
    parts, part = connected_components(tree, directed=False)
    middle = np.stack([np.bincount(part, place[:, i], parts) for i in range(3)], 1) / np.bincount(part)[:, None]
    outward = place - middle[part]
    by_reach = np.argsort((outward**2).sum(1), kind="stable")
    roots = np.empty(parts, np.int64)
    roots[part[by_reach]] = by_reach  # the last written is the farthest
    # One more node above all roots, so that one search goes through every part.
    ends = np.concatenate([tree.row, roots]), np.concatenate([tree.col, np.full(parts, count)])
    whole = coo_array((np.ones(len(ends[0])), ends), shape=(count + 1, count + 1)).tocsr()
    above = breadth_first_order(whole, count, directed=False)[1].astype(np.int64)
    above[count], above[roots] = count, count
    sign = np.append(np.where((facing * facing[np.minimum(above[:count], count - 1)]).sum(1) < 0, -1.0, 1.0), 1.0)
    sign[roots] = np.where((facing[roots] * outward[roots]).sum(1) < 0, -1, 1)
    while (above != count).any():  # each round doubles the stretch of tree whose signs are multiplied up
        sign, above = sign * sign[above], above[above]
    return torch.from_numpy(sign[:count]).to(normals)


def _neighbor_plane(neighbors: Tensor) -> tuple[Tensor, Tensor]:
    """Covariances (P, 3, 3) of neighbors (P, k, 3), and the directions (P, 3) along which they vary least."""
    offsets = neighbors - neighbors.mean(1, keepdim=True)
    spread = offsets.mT @ offsets / neighbors.shape[1]
    return spread, torch.linalg.eigh(spread).eigenvectors[:, :, 0]


# ---- In the plane ----------------------------------------------------------------------------


def in_plane(spread: Tensor, normals: Tensor) -> tuple[Tensor, Tensor]:
    """Principal axes of covariances (N, 3, 3) projected on the planes of unit normals (N, 3).

    Returns:
        (N, 3, 3) rotations whose columns are the longer axis, the shorter one and the normal, and (N, 2) the
        variances along the first two.
    """
    spare = torch.nn.functional.one_hot(normals.abs().argmin(-1), 3).to(normals)
    right = torch.nn.functional.normalize(torch.linalg.cross(normals, spare), dim=-1)
    basis = torch.stack([right, torch.linalg.cross(normals, right)], -1)
    plane = basis.mT @ spread @ basis
    xx, yy, xy = plane[:, 0, 0], plane[:, 1, 1], (plane[:, 0, 1] + plane[:, 1, 0]) / 2
    # A symmetric 2 x 2 matrix by its angle: no iteration, no arbitrary signs.
    angle = 0.5 * torch.atan2(2 * xy, xx - yy)
    half, middle = torch.hypot((xx - yy) / 2, xy), (xx + yy) / 2
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([cos, -sin, sin, cos], -1).unflatten(-1, (2, 2))
    axes = torch.cat([basis @ turn, normals[:, :, None]], -1)
    return axes, torch.stack([middle + half, (middle - half).clamp_min(0)], -1)
