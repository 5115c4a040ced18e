"""Finished pictures of ellipsoids: colors over a background, alpha, depth, normals, ids and features of a view."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voge.imaging.color import linear_to_srgb, srgb_to_linear
from voge.imaging.lighting import shade
from voge.imaging.settings import ColorSpace, DepthKind, Frame, Light
from voge.rendering.identity import bands, identify
from voge.rendering.renderer import Rendered, render
from voge.rendering.settings import RenderSettings
from voge.scene import harmonics
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

OUTPUTS = ("rgb", "alpha", "depth", "normal", "id", "features")
SEEN = 0.05  # a pixel that stops less of the light than this has no depth, no normal and no id
GRAY = 0.75  # of ellipsoids without colors
_RENDERED = 2**21  # pixels rendered at once: rays and their temporaries take some 100 bytes a pixel


def take_pictures(
    ellipsoids: Ellipsoids,
    camera: Cameras,
    settings: RenderSettings | None = None,
    *,
    outputs: Collection[str] = ("rgb",),
    background: Sequence[float] | Tensor | None = (1.0, 1.0, 1.0),
    light: Light | None = None,
    color_space: ColorSpace = ColorSpace.srgb,
    depth_kind: DepthKind = DepthKind.ray,
    normal_frame: Frame = Frame.world,
) -> dict[str, Tensor]:
    """Pictures of one view. Large ones are rendered in bands of rows, so that memory is bounded.

    Args:
        ellipsoids: for "rgb", features are sRGB colors (N, 3) or grays (N, 1) in [0, 1], without them all
            are gray; extra["sh"] makes colors depend on the direction of view.
        camera: one view.
        outputs: what to make, of OUTPUTS.
        background: sRGB color or picture (H, W, 3) behind the ellipsoids, or None for transparent pictures.
        light: shades the colors; needs extra["normals"].
        color_space: in which colors are shaded and blended; they come out as sRGB either way.
        depth_kind: distance along the ray, or along the optical axis.
        normal_frame: axes of the normals.

    Returns:
        By output: "rgb" (H, W, 3), or (H, W, 4) with straight alpha when transparent; "alpha" (H, W);
        "depth" (H, W), mean depth of what the pixel sees (divided by alpha), world units, 0 where
        alpha < SEEN; "normal" (H, W, 3), unit, 0 where alpha < SEEN; "id" (H, W) int32, the ellipsoid with
        the largest weight, -1 where alpha < SEEN; "features" (H, W, C), the sum of weights times features,
        not divided by alpha.

    Raises:
        ValueError: features are missing or not colors, or normals are needed and missing.
    """
    _check(ellipsoids, camera, outputs, background)
    columns = _columns(ellipsoids, camera, outputs, light or Light(), color_space)
    rendered = _render(ellipsoids, columns, camera, settings)
    alpha, seen = rendered.alpha[0], rendered.alpha[0] >= SEEN
    sizes = [column.shape[1] for column in columns.values()]
    images = dict(zip(columns, rendered.image[0].split(sizes, dim=-1), strict=True)) if columns else {}
    turn = camera.viewmats[0, :3, :3].mT if normal_frame is Frame.camera else torch.eye(3).to(camera.viewmats)
    made: dict[str, Callable[[], Tensor]] = {
        "rgb": lambda: _over(images["rgb"], alpha, background, color_space),
        "alpha": lambda: alpha,
        "depth": lambda: torch.where(seen, _depth(rendered, camera, depth_kind) / alpha.clamp_min(SEEN), 0),
        "normal": lambda: torch.where(seen[..., None], _unit(images["normal"] @ turn), 0),
        "id": lambda: identify(ellipsoids, camera, settings, least_alpha=SEEN),
        "features": lambda: images["features"],
    }
    return {name: made[name]() for name in OUTPUTS if name in outputs}


def _check(
    ellipsoids: Ellipsoids, camera: Cameras, outputs: Collection[str], background: Sequence[float] | Tensor | None
) -> None:
    unknown = set(outputs) - set(OUTPUTS)
    if unknown:
        raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}; got {', '.join(sorted(unknown))}")
    if len(camera) != 1:
        raise ValueError(f"camera must be one view, got {len(camera)}")
    if "features" in outputs and ellipsoids.features is None:
        raise ValueError("the ellipsoids have no features")
    shape = (camera.height, camera.width, 3)
    if isinstance(background, Tensor) and background.ndim > 1 and tuple(background.shape) != shape:
        raise ValueError(f"background must be a color (3,) or a picture {shape}; got {tuple(background.shape)}")


def _columns(
    ellipsoids: Ellipsoids, camera: Cameras, outputs: Collection[str], light: Light, color_space: ColorSpace
) -> dict[str, Tensor]:
    """Values rendered of each ellipsoid (N, channels), by output."""
    columns = {}
    if "rgb" in outputs:
        columns["rgb"] = _colors(ellipsoids, camera, light, color_space)
    if "normal" in outputs:
        columns["normal"] = _normals(ellipsoids)
    if "features" in outputs and ellipsoids.features is not None:
        columns["features"] = ellipsoids.features
    return columns


def _render(
    ellipsoids: Ellipsoids, columns: dict[str, Tensor], camera: Cameras, settings: RenderSettings | None
) -> Rendered:
    """The columns side by side in one image, rendered band by band."""
    features = torch.cat(list(columns.values()), 1) if columns else None
    painted = replace(ellipsoids, features=features)
    parts = [render(painted, band, settings) for band in bands(camera, _RENDERED)]
    return Rendered(*(torch.cat([getattr(part, name) for part in parts], 1) for name in ("image", "alpha", "depth")))


def _depth(rendered: Rendered, camera: Cameras, kind: DepthKind) -> Tensor:
    """(H, W), not divided by alpha."""
    if kind is DepthKind.ray:
        return rendered.depth[0]
    axis = camera.forwards[0]
    return rendered.depth[0] * torch.cat([band.rays().directions[0] @ axis for band in bands(camera, _RENDERED)])


def _colors(ellipsoids: Ellipsoids, camera: Cameras, light: Light, color_space: ColorSpace) -> Tensor:
    """(N, 3) as seen from the camera, shaded where the light is enabled, in the space of blending."""
    colors = ellipsoids.features
    if colors is None:
        colors = torch.full_like(ellipsoids.means, GRAY)
    if colors.shape[1] not in (1, 3):
        raise ValueError(f"features must be colors (N, 3) or grays (N, 1) to be shown; got {tuple(colors.shape)}")
    colors = colors.expand(-1, 3)
    if "sh" in ellipsoids.extra:
        colors = harmonics.seen_from(camera, ellipsoids.means, colors, ellipsoids.extra["sh"])[0]
    if color_space is ColorSpace.linear:
        colors = srgb_to_linear(colors)
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


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _over(image: Tensor, alpha: Tensor, background: Sequence[float] | Tensor | None, color_space: ColorSpace) -> Tensor:
    """The sRGB picture of an image in the space of blending, over its background."""
    linear = color_space is ColorSpace.linear
    if background is None:
        # PNG keeps colors that are not multiplied by alpha.
        straight = image / alpha.clamp_min(1e-6)[..., None]
        return torch.cat([linear_to_srgb(straight) if linear else straight, alpha[..., None]], -1)
    behind = torch.as_tensor(background, dtype=image.dtype, device=image.device)
    if not linear:
        return image + (1 - alpha)[..., None] * behind
    return linear_to_srgb(image + (1 - alpha)[..., None] * srgb_to_linear(behind))
