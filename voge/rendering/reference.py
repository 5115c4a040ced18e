"""The operators in plain torch: the definition, which the compiled code is checked against.

Equations are those of the paper (arXiv 2205.15401), sections those of docs/mathematics.md.
Choosing which ellipsoids a ray meets (`select`) is discrete and carries no gradient; all that
follows is smooth, and its derivatives are autograd's. Being exact comes before being quick here,
yet memory is bounded, so that this file also serves where nothing is compiled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from voge.geometry.rotations import quats_to_matrices
from voge.rendering.settings import Aggregation, RenderSettings
from voge.scene.cameras import Rays
from voge.scene.ellipsoids import Ellipsoids

# Rays are worked on in chunks: few enough pairs for the caches, few enough rays for the K x K table of `paper`.
PAIRS_PER_CHUNK = 2**19
RAYS_PER_CHUNK = 2**12

# ---- One ray, one ellipsoid (section 1) ------------------------------------------------------


def intersect(
    means: Tensor, scales: Tensor, quats: Tensor, origins: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The Gaussian that an ellipsoid leaves along the ray o + t d (eqs. 5 and 6).

    Args:
        means, scales, quats: (..., 3), (..., 3), (..., 4) ellipsoids, as in `Ellipsoids`.
        origins, directions: (..., 3) rays; directions need not have unit length, t counts in theirs.
            Leading shapes broadcast.

    Returns:
        depth l (...), the t of the densest point; q (...) <= 0, the logarithm of the density there
        relative to the center; width s (...), the standard deviation along the ray, in t.
    """
    to_mean = means - origins
    nearest = (to_mean * directions).sum(-1, keepdim=True) / directions.square().sum(-1, keepdim=True)
    rotations = quats_to_matrices(quats)
    whiten = rotations / scales[..., None, :]  # row vectors times this are in units of standard deviations
    # Measured from the point nearest to the center, so that float32 need not carry the distance (section 1).
    point = ((nearest * directions - to_mean)[..., None, :] @ whiten).squeeze(-2)
    along = (directions[..., None, :] @ whiten).squeeze(-2)
    precision = along.square().sum(-1)  # 1 / s^2
    depth = nearest.squeeze(-1) - (point * along).sum(-1) / precision
    # The squared distance of a line from the origin, by the cross product: no difference of large numbers.
    q = -0.5 * torch.linalg.cross(point, along).square().sum(-1) / precision
    return depth, q, precision.rsqrt()


# ---- One ray, all its ellipsoids (section 2) -------------------------------------------------


def aggregate(depth: Tensor, x: Tensor, width: Tensor, settings: RenderSettings) -> tuple[Tensor, Tensor]:
    """Share of each ray's light that comes from each ellipsoid.

    Args:
        depth, x, width: (R, K) l, optical depth density * exp(q) and s of the K ellipsoids on R rays, in
            any order. Absent ones have x = 0 and any finite depth and width.
        settings: `aggregation` decides how; `exact` also takes `boxes`, `near` and `far`.

    Returns:
        weights W (R, K) and transmittance T(inf) (R,), what passes them all.
    """
    if settings.aggregation is Aggregation.exact:
        return aggregate_exact(depth, x, width, settings.boxes, settings.near, settings.far)
    if settings.aggregation is Aggregation.paper:
        return aggregate_paper(depth, x, width)
    return aggregate_sorted(depth, x)


def aggregate_exact(
    depth: Tensor, x: Tensor, width: Tensor, boxes: int = 2, near: float = 0.0, far: float = math.inf
) -> tuple[Tensor, Tensor]:
    """W_k = integral of T(t) rho_k(t) dt from near to far, exact for densities rho (eq. 6) made of nested boxes.

    In float64 whatever comes in, since running sums of rates that enter and leave would drift in float32. Never
    stops early: `stop_transmittance` is for the speed of compiled code.
    """
    half, mass = (depth.new_tensor(values, dtype=torch.float64) for values in box_rule(boxes))
    half = half * width.double()[..., None]  # (R, K, N)
    rate = x.double()[..., None] * mass / (2 * half)
    enter = (depth.double()[..., None] - half).clamp(near, far)
    leave = (depth.double()[..., None] + half).clamp(near, far)

    times, order = torch.cat([enter.flatten(-2), leave.flatten(-2)], -1).sort(dim=-1, stable=True)
    change = torch.cat([rate.flatten(-2), -rate.flatten(-2)], -1).gather(-1, order)
    gap = times.diff(dim=-1)
    optical = change.cumsum(-1)[..., :-1] * gap  # optical depth of each stretch between two boundaries
    transmittance = torch.exp(optical - optical.cumsum(-1))  # T where the stretch begins
    lit = (transmittance * gap * mean_exp(optical)).cumsum(-1)  # A, the integral of T from near to each boundary
    lit = torch.nn.functional.pad(lit, (1, 0)).gather(-1, order.argsort(-1))
    lit_enter, lit_leave = (part.reshape(rate.shape) for part in lit.chunk(2, -1))

    weights = (rate * (lit_leave - lit_enter)).sum(-1)
    passed = torch.exp(-(rate * (leave - enter)).sum((-2, -1)))
    return weights.to(x.dtype), passed.to(x.dtype)


def aggregate_paper(depth: Tensor, x: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """W_k = x_k T(l_k) with T of eq. 6 (eq. 8). Unlike the released code, nothing is divided by e^(-1/2)."""
    gap = depth[..., :, None] - depth[..., None, :]  # l_k - l_m
    passed = normal_cdf(gap / width[..., None, :])  # the share of m before l_k; half of k itself
    transmittance = torch.exp(-(x[..., None, :] * passed).sum(-1))
    return x * transmittance, torch.exp(-x.sum(-1))


def aggregate_sorted(depth: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """alpha_k = 1 - exp(-x_k) over each other by depth, as in 3D Gaussian splatting: the baseline."""
    order = depth.argsort(dim=-1, stable=True)
    ahead = x.gather(-1, order)
    ahead = (ahead.cumsum(-1) - ahead).gather(-1, order.argsort(-1))
    return torch.exp(-ahead) * -torch.expm1(-x), torch.exp(-x.sum(-1))


@lru_cache
def box_rule(boxes: int) -> tuple[np.ndarray, np.ndarray]:
    """Half widths a (boxes,) in standard deviations and masses w (boxes,) of nested boxes that stand for a Gaussian.

    A normal variable is uniform on [-a, a] with a^2 / 2 distributed as Gamma(3/2). The rule is Gauss's for
    that law (generalized Laguerre, alpha = 1/2), by the eigenvalues of its Jacobi matrix (Golub and Welsch 1969).
    """
    i = np.arange(boxes)
    beside = np.sqrt(i * (i + 0.5))[1:]
    nodes, vectors = np.linalg.eigh(np.diag(2 * i + 1.5) + np.diag(beside, 1) + np.diag(beside, -1))
    return np.sqrt(2 * nodes), vectors[0] ** 2


def mean_exp(optical: Tensor) -> Tensor:
    """(1 - e^-d) / d, the mean of T over a stretch of optical depth d, with value and gradient right at 0."""
    small = optical.abs() < 1e-3  # there five terms are exact in float64, and the quotient's derivative is not
    series = 1 - optical / 2 * (1 - optical / 3 * (1 - optical / 4 * (1 - optical / 5)))
    safe = torch.where(small, 1.0, optical)
    return torch.where(small, series, -torch.expm1(-safe) / safe)


def normal_cdf(z: Tensor) -> Tensor:
    """Phi(z), the normal distribution function; eq. 7 lacks the square root of 2 that eq. 6 requires."""
    return 0.5 * (1 + torch.erf(z * math.sqrt(0.5)))


def quadrature(
    depth: Tensor, x: Tensor, width: Tensor, near: float = 0.0, far: float = math.inf, nodes: int = 8
) -> tuple[Tensor, Tensor]:
    """The truth: W_k = integral of T(t) x_k N(t; l_k, s_k) dt by Gauss-Legendre, with T exact (by eq. 6).

    Args:
        depth, x, width: (R, K) as in `aggregate`; differentiable. Memory grows as 18 R K^2 nodes.
        nodes: per panel; panels end at every l + i s, |i| <= 9, so none is longer than an s that matters on it.

    Returns:
        weights (R, K) and transmittance (R,), float64.
    """
    depth, x, width = depth.double(), x.double(), width.double()
    steps = torch.arange(-9, 10, dtype=torch.float64, device=depth.device)
    with torch.no_grad():
        ends = (depth[..., None] + steps * width[..., None]).clamp(near, far).flatten(-2).sort(-1).values
        place, share = (depth.new_tensor(values) for values in np.polynomial.legendre.leggauss(nodes))
        half = ends.diff(dim=-1)[..., None] / 2
        t = (ends[..., :-1, None] + half * (1 + place)).flatten(-2)[..., None]  # (R, Q, 1)
        step = (half * share).flatten(-2)
    depth, x, width = depth[..., None, :], x[..., None, :], width[..., None, :]
    z = (t - depth) / width
    before, after = (normal_cdf((end[..., None, None] - depth) / width) for end in (ends[..., 0], ends[..., -1]))
    transmittance = torch.exp(-(x * (normal_cdf(z) - before)).sum(-1))
    density = x * torch.exp(-0.5 * z.square()) / (math.sqrt(2 * math.pi) * width)
    passed = torch.exp(-(x * (after - before)).sum(-1))
    return ((step * transmittance)[..., None] * density).sum(-2), passed.squeeze(-1)


# ---- Which ellipsoids a ray meets (section 3) ------------------------------------------------


@torch.no_grad()
def select(
    ellipsoids: Ellipsoids, origins: Tensor, directions: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor]:
    """The ellipsoids with optical depth >= eta whose densest point lies between near and far, for every ray.

    Args:
        origins, directions: (R, 3) rays.
        settings: `eta`, `near`, `far`, and `limit` for how many of the nearest are kept.

    Returns:
        index (R, K) int64, nearest first, then -1; K >= 1 is the longest row. And how many were left out
        because of the limit, over all rays: () int64.
    """
    size = _chunk_size(ellipsoids)
    chunks = enumerate(zip(torch.split(origins, size), torch.split(directions, size), strict=True))
    found = [_meet(ellipsoids, o, d, settings, first=i * size) for i, (o, d) in chunks]
    ray, chosen, depth = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = depth.argsort(stable=True)
    order = order[ray[order].argsort(stable=True)]
    ray, chosen = ray[order], chosen[order]
    counts = torch.bincount(ray, minlength=len(origins))
    rank = torch.arange(len(ray), device=ray.device) - (counts.cumsum(0) - counts)[ray]
    longest = int(counts.max()) if len(counts) else 0
    longest = min(longest, settings.limit) if settings.limit else longest
    kept = rank < longest
    index = ray.new_full((len(origins), max(longest, 1)), -1)
    index[ray[kept], rank[kept]] = chosen[kept]
    return index, (~kept).sum()


def _meet(
    ellipsoids: Ellipsoids, origins: Tensor, directions: Tensor, settings: RenderSettings, first: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Ray, counted from `first`, ellipsoid and depth of every pair that counts."""
    ray, chosen = _near_balls(ellipsoids, origins, directions, settings.eta).nonzero(as_tuple=True)
    depth, x, _ = _pairs(ellipsoids, origins, directions, ray, chosen)
    seen = (x >= settings.eta) & (settings.near < depth) & (depth < settings.far)
    return first + ray[seen], chosen[seen], depth[seen]


def _near_balls(ellipsoids: Ellipsoids, origins: Tensor, directions: Tensor, eta: float) -> Tensor:
    """(R, N) whether a ray's line comes near the ball around an ellipsoid's eta-level set: never false where it counts.

    Two products of matrices instead of a hundred operations a pair. The slack covers float32 in `intersect`.
    """
    means, o, d = ellipsoids.means.double(), origins.double(), directions.double()
    d = torch.nn.functional.normalize(d, dim=-1)
    log_ratio = (ellipsoids.density.double() / eta).log()
    reach = (2.04 * log_ratio + 0.02) * ellipsoids.scales.double().amax(-1).square()
    mean_size, origin_size = means.square().sum(-1), o.square().sum(-1, keepdim=True)
    apart = torch.addmm(mean_size, o, means.mT, alpha=-2).add_(origin_size)  # |M - o|^2
    along = (d @ means.mT).sub_((o * d).sum(-1, keepdim=True))
    return apart.sub_(along.square_()).sub_(1e-14 * origin_size) <= reach + 1e-14 * mean_size


def _pairs(
    ellipsoids: Ellipsoids, origins: Tensor, directions: Tensor, ray: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """depth l, optical depth x and width s (E,) of pairs of a ray and an ellipsoid."""
    means, scales, quats = (t[chosen] for t in (ellipsoids.means, ellipsoids.scales, ellipsoids.quats))
    depth, q, width = intersect(means, scales, quats, origins[ray], directions[ray])
    return depth, ellipsoids.density[chosen] * q.exp(), width


def _chunk_size(ellipsoids: Ellipsoids) -> int:
    """Number of rays to work on together."""
    return min(max(PAIRS_PER_CHUNK // max(len(ellipsoids), 1), 1), RAYS_PER_CHUNK)


# ---- Rays to W, and to pictures --------------------------------------------------------------


def weigh(
    ellipsoids: Ellipsoids, origins: Tensor, directions: Tensor, index: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Weight (E,), depth (E,) and transmittance (R,) of rays (R, 3) and their chosen ellipsoids (R, K): all smooth."""
    present = index >= 0
    depth, x, width = _pairs(ellipsoids, origins, directions, present.nonzero()[:, 0], index[present])
    # Only pairs that exist are intersected: what fills the rows up cannot turn a gradient into NaN.
    blank = depth.new_zeros(index.shape)
    weights, transmittance = aggregate(
        blank.masked_scatter(present, depth),
        blank.masked_scatter(present, x),
        (blank + 1).masked_scatter(present, width),
        settings,
    )
    return weights[present], depth, transmittance


def trace_rays(
    ellipsoids: Ellipsoids, rays: Rays, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """W of P rays in compressed rows; the entries of a ray are ordered by depth.

    Returns:
        weight (E,), depth (E,), transmittance (P,): differentiable in means, scales, quats, density, origins and
        directions; index (E,) int32, offsets (P + 1,) int64 and truncated () int64, as in `render.Fragments`.
    """
    weight, depth, transmittance, index, counts, truncated = _by_chunks(weigh, ellipsoids, rays, settings)
    return weight, depth, transmittance, index.int(), _offsets(counts), truncated.sum()


def render_rays(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures along the rays, without keeping W: each chunk of rays is worked out again in the backward pass.

    Args:
        features: (N, C) what is rendered.

    Returns:
        image (*shape, C) = W features, alpha (*shape) = 1 - T(inf) and depth (*shape) = W l, the expected distance,
        not divided by alpha; differentiable in the features and all that `trace_rays` names.
    """
    image, alpha, depth, *_ = _by_chunks(partial(_picture, features), ellipsoids, rays, settings)
    return image.reshape(*rays.shape, features.shape[1]), alpha.reshape(rays.shape), depth.reshape(rays.shape)


def _picture(
    features: Tensor, scene: Ellipsoids, origins: Tensor, directions: Tensor, index: Tensor, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (R, C), alpha (R,) and depth (R,) of rays (R, 3) and their chosen ellipsoids (R, K)."""
    weight, depth, transmittance = weigh(scene, origins, directions, index, settings)
    offsets = _offsets((index >= 0).sum(-1))
    expected = gather(weight, depth[:, None], torch.arange(len(depth), device=depth.device), offsets)
    return gather(weight, features, index[index >= 0], offsets), 1 - transmittance, expected.squeeze(-1)


def _by_chunks(
    run: Callable[..., tuple[Tensor, ...]], ellipsoids: Ellipsoids, rays: Rays, settings: RenderSettings
) -> list[Tensor]:
    """Result of `run` for all rays, then the chosen ellipsoids (E,), their number (P,) and chunks' truncated counts."""
    size = _chunk_size(ellipsoids)
    origins, directions = (torch.split(v.reshape(-1, 3), size) for v in (rays.origins, rays.directions))
    if torch.is_grad_enabled() and len(origins) > 1:  # keep no tables for the backward pass: work them out again
        run = partial(checkpoint, run, use_reentrant=False, preserve_rng_state=False)
    parts = []
    for o, d in zip(origins, directions, strict=True):
        index, truncated = select(ellipsoids, o, d, settings)
        present = index >= 0
        parts.append((*run(ellipsoids, o, d, index, settings), index[present], present.sum(-1), truncated[None]))
    return [torch.cat(part) for part in zip(*parts, strict=True)]


# ---- W and its transpose (section 6) ---------------------------------------------------------


def gather(weight: Tensor, attributes: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """W A (P, C): attributes (N, C) seen along the rays of a W in compressed rows."""
    seen = weight[:, None] * attributes[index.long()]
    return seen.new_zeros(len(offsets) - 1, attributes.shape[1]).index_add(0, _rows(offsets), seen)


def scatter(weight: Tensor, image: Tensor, index: Tensor, offsets: Tensor, count: int) -> Tensor:
    """W^T I (N, C): what a picture (P, C) says of each of `count` ellipsoids (the numerator of eq. 10)."""
    said = weight[:, None] * image[_rows(offsets)]
    return said.new_zeros(count, image.shape[1]).index_add(0, index.long(), said)


def _offsets(counts: Tensor) -> Tensor:
    """(P + 1,) where each row of compressed rows starts, and where the last ends."""
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _rows(offsets: Tensor) -> Tensor:
    """The ray (E,) of every entry of compressed rows."""
    return torch.repeat_interleave(offsets.diff())
