"""A picture of cameras: their frusta and axes, and the object they look at, seen from aside."""

from __future__ import annotations

import colorsys
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.rendering.settings import RenderSettings
from voge.scene.cameras import CameraModel, Cameras, intrinsics, orbit
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box

if TYPE_CHECKING:
    from voge.io.cameras import View

Array = NDArray[np.float64]

AXES = ((215, 40, 40), (30, 150, 50), (40, 80, 220))  # x, y, z
FINE = 4  # lines are drawn in so many times the size, then shrunk, for smooth edges
NAMED = 24  # more views than this have no names beside them
BORDER = 6  # points along each side of a bent frustum
FOV = 40.0


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A polyline in world space."""

    points: Array  # (P, 3)
    color: tuple[int, int, int]
    width: float = 1.5  # pixels
    label: str = ""  # written at its end


def draw_overview(
    views: Sequence[View],
    ellipsoids: Ellipsoids | None = None,
    settings: RenderSettings | None = None,
    *,
    size: tuple[int, int] = (960, 720),
    azimuth: float = 35.0,
    elevation: float = 25.0,
    up: str = "y",
) -> NDArray[np.uint8]:
    """Frusta and axes of all views, over a render of the ellipsoids.

    Args:
        views: at least one.
        ellipsoids: what the cameras look at; without them only the world's axes are drawn.
        settings: of the render.
        size: width and height in pixels.
        azimuth, elevation: from where, degrees.
        up: the world's upright axis.

    Returns:
        (H, W, 3). Each camera has axes x right (red), y down (green), z forward (blue), and its frustum a
        color that runs from the first view (orange) to the last (violet). The world's axes are thick. Lines
        are drawn over everything, also where the object hides them.
    """
    lines = scene_lines(views, ellipsoids)
    points = np.concatenate([line.points for line in lines])
    camera = _camera_for(points, size, azimuth, elevation, up)
    return draw_lines(_background(ellipsoids, camera, settings), lines, camera)


def scene_lines(views: Sequence[View], ellipsoids: Ellipsoids | None) -> list[Line]:
    """All lines of the overview, in world space."""
    centers = np.concatenate([view.cameras().centers.numpy() for view in views])
    box = None if ellipsoids is None else bounding_box(ellipsoids)
    middle = centers.mean(0) if box is None else np.array(box.center)
    away = median(np.linalg.norm(centers - middle, axis=1).tolist())
    depth = 0.2 * (away or 1.0)
    length = 0.75 * math.hypot(*box.size) if box is not None else 2 * depth
    lines = axes_lines(np.eye(4), length, width=3.0, labels=("x", "y", "z"))
    if box is not None:
        corners = np.array(list(itertools.product(*zip(box.low, box.high, strict=True))))
        lines.append(Line(corners, (255, 255, 255), 0.0))  # not drawn, but in the picture
    for index, view in enumerate(views):
        lines += camera_lines(view, depth, _hue(index, len(views)), view.name if len(views) <= NAMED else "")
    return lines


def camera_lines(view: View, depth: float, color: tuple[int, int, int], label: str = "") -> list[Line]:
    """The frustum of a view down to a depth, and its axes."""
    cameras = view.cameras()
    rays = cameras.rays_through(torch.from_numpy(_border(view))[None])
    origins, directions = rays.origins[0].numpy(), rays.directions[0].numpy()
    along = directions @ cameras.forwards[0].numpy()
    # The flat picture at this depth; for a wide fisheye a piece of a sphere.
    scale = 1 / along if along.min() > 0.2 else np.ones_like(along)
    frame = origins + depth * scale[:, None] * directions
    lines = [Line(np.concatenate([frame, frame[:1]]), color)]
    lines += [Line(np.stack([origins[i], frame[i]]), color, 1.0) for i in range(0, len(frame), BORDER)]
    if view.model is CameraModel.orthographic:
        lines.append(Line(np.concatenate([origins, origins[:1]]), color))
    to_world = torch.linalg.inv(view.viewmat).numpy()
    lines += axes_lines(to_world, 0.5 * depth)
    return [*lines, Line(to_world[None, :3, 3], color, 0.0, label)]


def axes_lines(to_world: Array, length: float, width: float = 1.5, labels: Sequence[str] = ("", "", "")) -> list[Line]:
    """The axes of a frame (4, 4), red, green and blue."""
    start = to_world[:3, 3]
    return [
        Line(np.stack([start, start + length * to_world[:3, axis]]), AXES[axis], width, labels[axis])
        for axis in range(3)
    ]


def _border(view: View) -> Array:
    """Points (P, 2) around the picture from its top left corner, BORDER a side."""
    part = np.linspace(0, 1, BORDER, endpoint=False)
    one, zero = np.ones_like(part), np.zeros_like(part)
    around = [np.stack(side, 1) for side in ((part, zero), (one, part), (1 - part, one), (zero, 1 - part))]
    return np.concatenate(around) * [view.width, view.height]


def _camera_for(points: Array, size: tuple[int, int], azimuth: float, elevation: float, up: str) -> Cameras:
    """A camera that has all points in its picture, with a margin."""
    target = (points.min(0) + points.max(0)) / 2
    around, above = torch.tensor(azimuth).double(), torch.tensor(elevation).double()
    rotation = orbit(around, above, 0.0, up=up)[:3, :3].numpy()
    x, y, z = ((points - target) @ rotation.T).T
    K = intrinsics(*size, fov=FOV).double()
    half_width, half_height = float(K[0, 2] / K[0, 0]), float(K[1, 2] / K[1, 1])
    margin = 0.9  # room for names
    distance = max((abs(x) / half_width / margin - z).max(), (abs(y) / half_height / margin - z).max(), 1e-9)
    viewmat = orbit(around, above, float(distance), at=target.tolist(), up=up)
    return Cameras(viewmat[None], K[None], *size)


def _background(ellipsoids: Ellipsoids | None, camera: Cameras, settings: RenderSettings | None) -> NDArray[np.uint8]:
    from voge.imaging.pictures import take_pictures
    from voge.io.images import to_bytes

    if ellipsoids is None:
        return np.full((camera.height, camera.width, 3), 255, np.uint8)
    placed = camera.to(ellipsoids.dtype).to(ellipsoids.device)
    with torch.no_grad():
        return to_bytes(take_pictures(ellipsoids, placed, settings, outputs=["rgb"])["rgb"].cpu())


def draw_lines(background: NDArray[np.uint8], lines: Sequence[Line], camera: Cameras) -> NDArray[np.uint8]:
    """Lines of the world over a picture (H, W, 3) that the camera took."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(background).convert("RGBA")
    fine = Image.new("RGBA", (picture.width * FINE, picture.height * FINE))
    pen, font = ImageDraw.Draw(fine), ImageFont.load_default(13 * FINE)
    labels: list[tuple[tuple[float, float], Line]] = []
    for line in lines:
        pixels = camera.project(torch.from_numpy(line.points))[0][0].numpy() * FINE
        ends: list[Any] = [tuple(pixel) for pixel in pixels.tolist()]
        if line.width and len(ends) > 1:
            pen.line(ends, fill=line.color, width=round(line.width * FINE), joint="curve")
        if line.label:
            labels.append((ends[-1], line))
    for (x, y), line in labels:  # last, so that no line crosses them
        place = (x + 5 * FINE, y - 8 * FINE)
        pen.text(place, line.label, fill=line.color, font=font, stroke_width=2 * FINE, stroke_fill="white")
    drawn = fine.resize(picture.size, Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(picture, drawn).convert("RGB"))


def _hue(index: int, count: int) -> tuple[int, int, int]:
    """From orange to violet, so that the order of views shows."""
    share = index / max(count - 1, 1)
    red, green, blue = colorsys.hsv_to_rgb(0.08 + 0.7 * share, 0.85, 0.8)
    return round(red * 255), round(green * 255), round(blue * 255)
