"""Checks that cameras and ellipsoids belong together: sizes, distances, units, the side that the object is on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from voge.scene.cameras import CameraModel, Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box

if TYPE_CHECKING:
    from voge.io.cameras import View

TOO_LARGE = 3.0  # object over picture
TOO_SMALL = 1 / 30  # an object may well be a tenth of its picture, so this side is more patient
THOUSAND = (100.0, 10_000.0)  # a ratio of sizes that millimeters for meters explain


@dataclass(frozen=True, slots=True)
class Sight:
    """An object in one view."""

    distance: float  # from the camera's center to the middle of the object, world units
    size: float  # the object's diameter in the picture, pixels, as if it stood on the optical axis
    image: int  # the picture's shorter side, pixels
    behind: bool  # all of the object's box is behind the camera
    outside: bool  # its middle and its box's corners are in front, but none in the picture


@dataclass(frozen=True, slots=True)
class Proportions:
    """An object and how every camera sees it."""

    diameter: float  # diagonal of the box around the means, world units
    sights: tuple[Sight, ...]

    def __str__(self) -> str:
        near, far = (pick(sight.distance for sight in self.sights) for pick in (min, max))
        size = median(sight.size for sight in self.sights)
        away = f"{near:.4g}" if math.isclose(near, far, rel_tol=1e-3) else f"{near:.4g} to {far:.4g}"
        image = median(sight.image for sight in self.sights)
        return f"object diameter {self.diameter:.4g}, camera distance {away}, {size:.0f} of {image:.0f} pixels"


def proportions(ellipsoids: Ellipsoids, views: Cameras | Iterable[Cameras | View]) -> Proportions:
    """Sizes and distances of the ellipsoids as one object, in every view."""
    box = bounding_box(ellipsoids)
    corners = torch.tensor(list(itertools.product(*zip(box.low, box.high, strict=True))), dtype=torch.float64)
    points = torch.cat([torch.tensor([box.center], dtype=torch.float64), corners])
    # A single ellipsoid, or a line of them, has an extent too.
    reach = 2 * float(ellipsoids.scales.detach().amax())
    diameter = max(math.hypot(*box.size), reach)
    sights = [sight for cameras in _batches(views) for sight in _sights(cameras, points, diameter)]
    if not sights:
        raise ValueError("there must be at least one view")
    return Proportions(diameter, tuple(sights))


def sanity(ellipsoids: Ellipsoids, views: Cameras | Iterable[Cameras | View], *, units: str | None = None) -> list[str]:
    """List what looks wrong, a line each; empty where nothing does.

    Args:
        ellipsoids: one object, or a scene as one.
        views: cameras, or the views of a file (`voge.io.cameras.Views`).
        units: of the cameras; by default those of the Views.
    """
    found = proportions(ellipsoids, views)
    own, theirs = ellipsoids.metadata.get("units", "unknown"), units or getattr(views, "units", "unknown")
    warnings = []
    scale = _scale_warning(found)
    if scale:
        warnings.append(f"{scale} ({found})")
    if "unknown" not in (own, theirs) and own != theirs:
        warnings.append(f"the object is in {own} and the cameras are in {theirs}: nothing is converted")
    warnings += [] if scale else _side_warnings(found)
    bent = sum(_has_dead_corners(cameras) for cameras in _batches(views))
    if bent:
        warnings.append(f"in {bent} views the lens does not reach the corners: their distortion folds back before")
    return warnings


def _scale_warning(found: Proportions) -> str | None:
    """The wrong scale, named; None where it may be right."""
    ratios = [sight.size / sight.image for sight in found.sights]
    ratio = median(ratios)
    inside = median(found.diameter / sight.distance if sight.distance else math.inf for sight in found.sights)
    if TOO_SMALL <= ratio <= TOO_LARGE:
        return None
    large = ratio > TOO_LARGE
    off = ratio if large else 1 / ratio
    if THOUSAND[0] <= off <= THOUSAND[1] and (not large or inside > 10):
        units = ("millimeters", "meters") if large else ("meters", "millimeters")
        return (
            f"the object seems to be in {units[0]} and the cameras in {units[1]}: it is {_times(ratio)} its picture;"
            " scale one of them by 1000"
        )
    if large and inside > 2:
        return f"the object is {_times(ratio)} its picture: the cameras stand inside it"
    return f"the object is {_times(ratio)} its picture: check scale and focal length"


def _side_warnings(found: Proportions) -> list[str]:
    count = len(found.sights)
    behind, outside = sum(sight.behind for sight in found.sights), sum(sight.outside for sight in found.sights)
    if behind == count:
        return [
            f"the object is behind {'the camera' if count == 1 else f'all {count} cameras'}:"
            " OpenGL axes (z backward) read as OpenCV's, or camera_to_world as world_to_camera?"
        ]
    if behind + outside == count:
        return ["the object is in no picture: do cameras and object share a world frame?"]
    lines = [f"the object is behind {behind} of {count} cameras"] if behind else []
    return lines + ([f"the object is outside the picture in {outside} of {count} views"] if outside else [])


def _sights(cameras: Cameras, points: Tensor, diameter: float) -> list[Sight]:
    """A sight a view; `points` (9, 3) are the middle and the corners of the box."""
    cameras = cameras.to(torch.float64).to("cpu")
    pixels, depth = cameras.project(points)
    distance = (cameras.centers - points[0]).norm(dim=1)
    focal = (cameras.Ks[:, 0, 0] * cameras.Ks[:, 1, 1]).sqrt()
    if cameras.model is CameraModel.orthographic:
        size = focal * diameter
    elif cameras.model is CameraModel.fisheye:  # pixels grow with the angle
        size = focal * 2 * torch.atan2(torch.tensor(diameter / 2).double(), distance)
    else:
        size = focal * diameter / distance
    inside = ((pixels >= 0) & (pixels <= pixels.new_tensor([cameras.width, cameras.height]))).all(-1)
    # A fisheye sees sideways and back.
    front = depth > 0 if cameras.model is not CameraModel.fisheye else torch.ones_like(depth, dtype=torch.bool)
    behind, outside = ~front.any(1), front.all(1) & ~inside.any(1)
    image = min(cameras.width, cameras.height)
    columns = (distance.tolist(), size.tolist(), behind.tolist(), outside.tolist())
    return [Sight(d, s, image, b, o) for d, s, b, o in zip(*columns, strict=True)]


def _has_dead_corners(cameras: Cameras) -> int:
    """Views in which no direction leads to some corner of the picture."""
    if cameras.distortion is None:
        return 0
    ends = [(u, v) for u in (0.5, cameras.width - 0.5) for v in (0.5, cameras.height - 0.5)]
    corners = cameras.Ks.new_tensor(ends).expand(len(cameras), -1, -1)
    return int((~cameras.invertible(corners).all(1)).sum())


def _batches(views: Cameras | Iterable[Cameras | View]) -> Sequence[Cameras]:
    if isinstance(views, Cameras):
        return [views]
    return [view if isinstance(view, Cameras) else view.cameras() for view in views]


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times as large as" if ratio >= 1 else f"{1 / ratio:.3g} times smaller than"
