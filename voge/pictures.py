"""Finished pictures of ellipsoids: colours over a background, alpha, depth and normals from one render."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.cameras import Cameras
from voge.ellipsoids import Ellipsoids
from voge.lighting import shade
from voge.render import render
from voge.settings import RenderSettings

OUTPUTS = ("rgb", "alpha", "depth", "normal")
SEEN = 0.05  # a pixel that stops less of the light than this has no depth and no normal
GREY = 0.75  # of ellipsoids without colours


@dataclass(frozen=True, kw_only=True)
class Light:
    """Lambert shading of the colours by the normals (see `voge.lighting.shade`)."""

    enabled: bool = False
    ambient: float = 0.35  # share of light from everywhere, 0 to 1
    position: list[float] | None = None  # world space; None: at the camera

    def __post_init__(self) -> None:
        if not 0 <= self.ambient <= 1:
            raise ValueError(f"ambient must lie between 0 and 1, got {self.ambient}")
        if self.position is not None and len(self.position) != 3:
            raise ValueError(f"position must have 3 numbers, got {self.position}")


def take_pictures(
    ellipsoids: Ellipsoids,
    camera: Cameras,
    settings: RenderSettings | None = None,
    *,
    outputs: Collection[str] = ("rgb",),
    background: Sequence[float] | None = (1.0, 1.0, 1.0),
    light: Light | None = None,
) -> dict[str, Tensor]:
    """Pictures of one view.

    Args:
        ellipsoids: features are colours (N, 3) or greys (N, 1) in [0, 1]; without them all are grey.
        camera: one view.
        outputs: what to make, of OUTPUTS.
        background: colour behind the ellipsoids, or None for transparent pictures.
        light: shades the colours; needs extra["normals"].

    Returns:
        By output: "rgb" (H, W, 3), or (H, W, 4) with straight alpha when transparent; "alpha" (H, W);
        "depth" (H, W), mean distance along the ray of what the pixel sees (divided by alpha), world
        units, 0 where alpha < SEEN; "normal" (H, W, 3), unit, world space, 0 where alpha < SEEN.

    Raises:
        ValueError: features are not colours, or normals are needed and missing.
    """
    unknown = set(outputs) - set(OUTPUTS)
    if unknown:
        raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}; got {', '.join(sorted(unknown))}")
    if len(camera) != 1:
        raise ValueError(f"camera must be one view, got {len(camera)}")
    columns = {}
    if "rgb" in outputs:
        columns["rgb"] = _colors(ellipsoids, camera, light or Light())
    if "normal" in outputs:
        columns["normal"] = _normals(ellipsoids)
    features = torch.cat(list(columns.values()), 1) if columns else None
    rendered = render(replace(ellipsoids, features=features), camera, settings)
    images = dict(zip(columns, rendered.image[0].split(3, dim=-1), strict=True)) if columns else {}
    alpha, depth = rendered.alpha[0], rendered.depth[0]
    seen = alpha >= SEEN
    made = {
        "rgb": lambda: _over(images["rgb"], alpha, background),
        "alpha": lambda: alpha,
        "depth": lambda: torch.where(seen, depth / alpha.clamp_min(SEEN), 0),
        "normal": lambda: torch.where(seen[..., None], torch.nn.functional.normalize(images["normal"], dim=-1), 0),
    }
    return {name: made[name]() for name in OUTPUTS if name in outputs}


def show_normals(normals: Tensor) -> Tensor:
    """Unit vectors (..., 3) as colours: (n + 1) / 2."""
    return (normals + 1) / 2


def show_depth(depth: Tensor) -> Tensor:
    """Depth (H, W) as greys, near is bright, nothing seen is black; for looking at only."""
    seen = depth > 0
    if not seen.any():
        return depth
    near, far = depth[seen].min(), depth[seen].max()
    return torch.where(seen, 1 - 0.8 * (depth - near) / (far - near).clamp_min(1e-12), 0)


def _colors(ellipsoids: Ellipsoids, camera: Cameras, light: Light) -> Tensor:
    """(N, 3), shaded where the light is enabled."""
    colors = ellipsoids.features
    if colors is None:
        colors = torch.full_like(ellipsoids.means, GREY)
    if colors.shape[1] not in (1, 3):
        raise ValueError(f"features must be colours (N, 3) or greys (N, 1) to be shown; got {tuple(colors.shape)}")
    colors = colors.expand(-1, 3)
    if not light.enabled:
        return colors
    position = camera.centers[0] if light.position is None else colors.new_tensor(light.position)
    # Two-sided: not every mesh is wound counter-clockwise, and an inside seen through an opening is lit as well.
    return shade(colors, _normals(ellipsoids), ellipsoids.means, position, ambient=light.ambient, two_sided=True)


def _normals(ellipsoids: Ellipsoids) -> Tensor:
    if "normals" not in ellipsoids.extra:
        raise ValueError(
            "the ellipsoids have no normals; convert them from a mesh, or from points with --method points"
        )
    return ellipsoids.extra["normals"]


def _over(image: Tensor, alpha: Tensor, background: Sequence[float] | None) -> Tensor:
    if background is not None:
        return image + (1 - alpha)[..., None] * image.new_tensor(background)
    # PNG keeps colours that are not multiplied by alpha.
    return torch.cat([image / alpha.clamp_min(1e-6)[..., None], alpha[..., None]], -1)
