"""Rendering: ellipsoids and cameras to pictures, or to the sparse matrix W that makes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voge import checks
from voge.rendering import ops
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """Pictures of V views."""

    image: Tensor  # (V, H, W, C) sum of W times features, over black; for colors, premultiplied by alpha
    alpha: Tensor  # (V, H, W) 1 - T(inf), the share of light that the ellipsoids stop
    depth: Tensor  # (V, H, W) sum of W times distance along the ray, world units; not divided by alpha

    def over(self, background: Tensor) -> Tensor:
        """The image (V, H, W, C) over a background that broadcasts to it."""
        return self.image + (1 - self.alpha)[..., None] * background


@dataclass(frozen=True, slots=True, eq=False)
class Fragments:
    """W, the sparse matrix (rays x ellipsoids) of weights, in compressed rows; one row a ray.

    Rendering is W times attributes, sampling a picture is W transposed times the picture.
    """

    offsets: Tensor  # (P + 1,) int64: the entries of ray p are offsets[p] to offsets[p + 1]
    index: Tensor  # (E,) int32 ellipsoid of each entry, nearest first within a ray
    weight: Tensor  # (E,) W: the share of the ray's light that comes from the ellipsoid; differentiable
    depth: Tensor  # (E,) distance along the ray of the ellipsoid's peak, world units; differentiable
    transmittance: Tensor  # (P,) T(inf), what passes all ellipsoids; differentiable
    truncated: Tensor  # () int64: how many ellipsoids `max_per_ray` left out, over all rays
    shape: torch.Size  # leading shape of the rays, P rays in all
    count: int  # N, the number of ellipsoids

    @property
    def alpha(self) -> Tensor:
        """1 - T(inf), in the rays' shape."""
        return 1 - self.transmittance.reshape(self.shape)

    def interpolate(self, attributes: Tensor) -> Tensor:
        """W A: attributes (N, C) of the ellipsoids as a picture (*shape, C). Differentiable in both."""
        checks.shapes({"N": self.count}, attributes=(attributes, "N C"))
        flat = ops.gather(self.weight, attributes, self.index, self.offsets)
        return flat.reshape(*self.shape, attributes.shape[1])

    def sample(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """W^T I and W^T 1 of eq. 10: what a picture (*shape, C) says of each ellipsoid.

        Returns:
            (N, C) weighted sums of the picture and (N,) sums of weights; their quotient is eq. 10.
            Differentiable in the picture and in W.
        """
        if image.shape[:-1] != self.shape:
            raise ValueError(f"image must have shape {(*self.shape, 'C')}; got {tuple(image.shape)}")
        flat = image.reshape(-1, image.shape[-1])
        with_ones = torch.cat([flat, flat.new_ones(len(flat), 1)], 1)
        sums = ops.scatter(self.weight, with_ones, self.index, self.offsets, self.count)
        return sums[:, :-1], sums[:, -1]


def render(ellipsoids: Ellipsoids, cameras: Cameras, settings: RenderSettings | None = None) -> Rendered:
    """Render the ellipsoids' features from every camera (fig. 5 of the paper) without storing W.

    Args:
        ellipsoids: N ellipsoids; without features only alpha and depth are of use (C = 0).
        cameras: V views, on the ellipsoids' device and in their dtype.
        settings: see RenderSettings; the default is `exact`.

    Returns:
        Pictures with gradients to means, scales, quats, density, features, poses and intrinsics.

    Raises:
        TypeError: dtypes or devices of ellipsoids and cameras differ.
        voge.errors.BackendError: the backend asked for is not there; names the reason.
    """
    settings = settings or RenderSettings()
    checks.same_kind(means=ellipsoids.means, viewmats=cameras.viewmats)
    features = ellipsoids.means.new_zeros(len(ellipsoids), 0) if ellipsoids.features is None else ellipsoids.features
    rays = ops.camera_rays(cameras, settings.backend)
    return Rendered(*ops.render_rays(ellipsoids, features, rays, cameras, settings))


def trace(ellipsoids: Ellipsoids, view: Cameras | Rays, settings: RenderSettings | None = None) -> Fragments:
    """W for every pixel of the cameras, or for any rays.

    Args:
        ellipsoids: N ellipsoids.
        view: V cameras, giving shape (V, H, W), or rays of any shape.
        settings: see RenderSettings; the default is `exact`.

    Returns:
        Fragments with gradients to means, scales, quats, density and to the rays (so the cameras).

    Raises:
        TypeError: dtypes or devices of ellipsoids and view differ.
        voge.errors.BackendError: the backend asked for is not there; names the reason.
    """
    settings = settings or RenderSettings()
    cameras = view if isinstance(view, Cameras) else None
    rays = ops.camera_rays(view, settings.backend) if isinstance(view, Cameras) else view
    checks.same_kind(means=ellipsoids.means, origins=rays.origins)
    weight, depth, transmittance, index, offsets, truncated = ops.trace_rays(ellipsoids, rays, cameras, settings)
    return Fragments(offsets, index, weight, depth, transmittance, truncated, rays.shape, len(ellipsoids))
