"""Colors and features of ellipsoids from pictures of them (paper, sections 3.4, 4.4 and C.2).

A picture is W a, so the attributes a that explain pictures I best solve

    min_a |M^(1/2) (W a - A I)|^2 + damping c |a - a0|^2 + smoothness c |L a|^2

with A the rays' alpha (I is not multiplied by it), M how much each pixel counts, a0 eq. 10's means, L the
difference to the mean of the neighbors and c the mean weight of an ellipsoid that is seen. Eq. 10 alone blurs by
the overlap of the ellipsoids. The normal equations are solved by conjugate gradients with the diagonal as
preconditioner, which takes W a and W^T r only: W stays sparse rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from voge.imaging.pictures import GRAY
from voge.rendering.identity import bands
from voge.rendering.renderer import trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.texture.inversion import Sparse, System
from voge.texture.settings import Fill, Solver, Solving
from voge.texture.symmetry import Plane
from voge.texture.unseen import fill_unseen

# Visibility from which on an ellipsoid counts as seen: surfaces let some hundredths of the light through, and what is
# seen at less than 6 degrees says little.
SEEN = 0.1
_TRACED = 2**18  # pixels traced at once
_CHANNELS = 16  # solved at once: residual pictures are held for these only


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """Attributes of N ellipsoids, and how well pictures show each."""

    features: Tensor  # (N, C); those of unseen ellipsoids follow their neighbors
    pixels: Tensor  # (N,) pixels' worth of light that come from each, over all pictures
    visibility: Tensor  # (N,) the same over its size, 1 for the ellipsoid that a unit of light comes from on average
    iterations: int = 0  # of the solver
    residual: float = 0.0  # of the normal equations over their right-hand side, the worst channel's

    @property
    def seen(self) -> Tensor:
        """(N,) bool: visibility of SEEN and more."""
        return self.visibility >= SEEN

    @property
    def confidence(self) -> Tensor:
        """(N,) how far an ellipsoid's features are its own: 0 unseen, 1/2 where `seen` begins, to 1."""
        ratio = (self.visibility / SEEN).square()
        return ratio / (1 + ratio)


def extract(
    ellipsoids: Ellipsoids,
    cameras: Cameras | Sequence[Cameras],
    images: Tensor | Sequence[Tensor],
    alphas: Tensor | Sequence[Tensor | None] | None = None,
    masks: Tensor | Sequence[Tensor | None] | None = None,
    *,
    solving: Solving | None = None,
    settings: RenderSettings | None = None,
) -> Extracted:
    """Attributes of ellipsoids from one or several pictures. No gradients: for those see `voge.sample`.

    Args:
        ellipsoids: N; only their shapes are used.
        cameras: one view a picture, as one batch or in several, of the ellipsoids' dtype and device.
        images: a picture (H, W, C) a view: float, or uint8 for [0, 1]. Colors are straight, not multiplied by alpha.
        alphas: of pictures (H, W) that are transparent around the object. None: they show background too, so the rim
            of the silhouette counts little (see `silhouette_weight`).
        masks: how much each pixel (H, W) counts besides, 0 to 1: 0 where something hides the object.
        solving: see Solving.
        settings: of tracing.

    Raises:
        ValueError: a shape does not fit, a pixel that counts is not finite, or no pixel that counts shows an
            ellipsoid.
    """
    solving = solving or Solving()
    with torch.no_grad():
        observed = [
            _observe(ellipsoids, *view, solving.margin, settings)
            for view in _views(ellipsoids, cameras, images, alphas, masks)
        ]
        matrix = Sparse.stack([each.matrix for each in observed])
        roots, alphas, pixels = (
            torch.cat([getattr(each, name) for each in observed]) for name in ("root", "alpha", "pixels")
        )
        weights = matrix.transposed(roots[:, None])[:, 0]
        if not weights.any():
            raise ValueError("no pixel that counts shows an ellipsoid")
        visibility = _visibility(ellipsoids, weights)
        means = [_means(matrix, roots, columns, weights) for columns in pixels.split(_CHANNELS, dim=1)]
        if solving.solver is Solver.average:
            return Extracted(torch.cat(means, 1), weights, visibility)
        seen = visibility >= SEEN
        typical = float(weights[seen].mean())
        prior = solving.damping * typical, solving.smoothness * typical
        system = System.of(ellipsoids.means, matrix, seen, prior, solving.neighbors)
        solved = [
            system.solve(roots * alphas, columns, mean, solving.iterations, solving.tolerance)
            for columns, mean in zip(pixels.split(_CHANNELS, dim=1), means, strict=True)
        ]
    features, iterations, residuals = zip(*solved, strict=True)
    return Extracted(torch.cat(features, 1), weights, visibility, max(iterations), max(residuals))


def filled(
    ellipsoids: Ellipsoids, extracted: Extracted, fill: Fill, plane: Plane | None = None, *, gray: float = GRAY
) -> Tensor:
    """Features (N, C) for all ellipsoids, those that no picture shows included.

    Args:
        ellipsoids: that the attributes were extracted for.
        extracted: from `extract`.
        fill: `none` leaves the unseen their own features where those have C channels, else `gray`. `nearest` and
            `symmetry` blend by confidence: `Extracted.confidence` of an ellipsoid's own.
        plane: of symmetry, for `symmetry`.
        gray: see `fill`.
    """
    features, seen = extracted.features, extracted.seen
    if fill is Fill.none:
        before = ellipsoids.features
        if before is None or before.shape != features.shape:
            before = torch.full_like(features, gray)
        return torch.where(seen[:, None], features, before)
    if (fill is Fill.symmetry) != (plane is not None):
        raise ValueError(f"a plane goes with fill symmetry, got fill {fill.value} and {plane}")
    return fill_unseen(ellipsoids.means, features, seen, extracted.confidence, plane, ellipsoids.scales.amax(1))


def silhouette_weight(alpha: Tensor, margin: int) -> Tensor:
    """Weight of pixels (H, W) of an opaque picture: the square of the least alpha within `margin` pixels.

    The rim shows background too, and the rim of the model is not quite that of the object.
    """
    return shrunk(alpha, margin).square()


def shrunk(mask: Tensor, margin: int) -> Tensor:
    """The least of a mask (H, W) within `margin` pixels to all sides."""
    return -torch.nn.functional.max_pool2d(-mask[None, None], 2 * margin + 1, 1, margin)[0, 0]


@dataclass(frozen=True, slots=True, eq=False)
class _Observed:
    """The P pixels of a picture that count and show an ellipsoid."""

    matrix: Sparse  # (P, N) W, each row times the root of how much the pixel counts
    root: Tensor  # (P,) this root
    alpha: Tensor  # (P,)
    pixels: Tensor  # (P, C)


def _views(
    ellipsoids: Ellipsoids,
    cameras: Cameras | Sequence[Cameras],
    images: Tensor | Sequence[Tensor],
    alphas: Tensor | Sequence[Tensor | None] | None,
    masks: Tensor | Sequence[Tensor | None] | None,
) -> Iterator[tuple[Cameras, Tensor, Tensor | None, Tensor | None]]:
    """Cameras of one view, their picture, its alpha and mask, checked."""
    batches = [cameras] if isinstance(cameras, Cameras) else cameras
    views = [batch[i] for batch in batches for i in range(len(batch))]
    named = {"images": images, "alphas": alphas, "masks": masks}
    lists = {name: [None] * len(views) if each is None else each for name, each in named.items()}
    counts = {name: len(each) for name, each in lists.items()}
    if set(counts.values()) != {len(views)}:
        found = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise ValueError(f"there must be one of each a view; got {len(views)} views, {found}")
    for number, (camera, image, *shares) in enumerate(zip(views, *lists.values(), strict=True)):
        size = (camera.height, camera.width)
        if image is None or image.ndim != 3 or tuple(image.shape[:2]) != size:
            shape = None if image is None else tuple(image.shape)
            raise ValueError(f"images[{number}] must have shape {(*size, 'C')}; got {shape}")
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise TypeError(f"images[{number}] must be float or uint8, got {image.dtype}")
        for name, share in zip(("alphas", "masks"), shares, strict=True):
            if share is not None and tuple(share.shape) != size:
                raise ValueError(f"{name}[{number}] must have shape {size}; got {tuple(share.shape)}")
        alpha, mask = (None if share is None else share.to(ellipsoids.means) for share in shares)
        yield camera, image.to(ellipsoids.device), alpha, mask


def _observe(
    ellipsoids: Ellipsoids,
    camera: Cameras,
    image: Tensor,
    matte: Tensor | None,
    mask: Tensor | None,
    margin: int,
    settings: RenderSettings | None,
) -> _Observed:
    """Trace a view in bands and keep the rows that say something."""
    parts = [trace(ellipsoids, band, settings) for band in bands(camera, _TRACED)]
    alpha = torch.cat([part.alpha[0] for part in parts])
    counts = torch.cat([part.offsets.diff() for part in parts])
    share = silhouette_weight(alpha, margin) if matte is None else matte
    share = share if mask is None else share * mask
    share, alpha = share.reshape(-1), alpha.reshape(-1)
    kept = (counts > 0) & (share > 0)
    entries = torch.repeat_interleave(kept, counts)
    counts, root = counts[kept], share[kept].sqrt()
    weight = torch.cat([part.weight for part in parts])[entries] * torch.repeat_interleave(root, counts)
    index = torch.cat([part.index for part in parts])[entries]
    matrix = Sparse(torch.cat([counts.new_zeros(1), counts.cumsum(0)]), index, weight, len(ellipsoids))
    pixels = image.reshape(-1, image.shape[-1])[kept]
    pixels = pixels.to(root) / 255 if pixels.dtype == torch.uint8 else pixels.to(root)
    if not pixels.isfinite().all():
        broken = int((~pixels.isfinite().all(1)).sum())
        raise ValueError(f"{broken} pixels on the object are not finite; mask them out")
    return _Observed(matrix, root, alpha[kept], pixels)


def _means(matrix: Sparse, roots: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    """Eq. 10: (N, C) of pixels (P, C); 0 where nothing is seen."""
    return matrix.transposed(roots[:, None] * pixels) / torch.where(weights > 0, weights, 1)[:, None]


def _visibility(ellipsoids: Ellipsoids, weights: Tensor) -> Tensor:
    """Weights (N,) over the surface that each ellipsoid stands for, 1 at the mean over the light."""
    # A converter gives a piece of surface of area m the optical depth X m in all: density x 2 pi s1 s2.
    across = ellipsoids.scales.topk(2, dim=1).values.prod(1) * ellipsoids.density
    ratio = weights / across.clamp_min(1e-9 * float(across.max()))
    return ratio * weights.sum() / (ratio * weights).sum()
