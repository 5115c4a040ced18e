"""Scores of a fit: how well its ellipsoids explain views, those that were fitted to or others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from voge.optim import metrics
from voge.rendering.renderer import Rendered, render
from voge.rendering.settings import RenderSettings
from voge.scene import harmonics
from voge.scene.cameras import Cameras
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids

COVERED = 0.5  # a pixel belongs to the object from this share on


@dataclass(frozen=True, slots=True)
class ViewScore:
    """Scores of one view."""

    name: str
    psnr: float  # dB, over the background; inf for equal pictures
    psnr_object: float | None  # dB, over black, in the union of both masks; None without object in the mask
    ssim: float  # over the background
    iou: float | None  # of the silhouettes at COVERED; None without object in the mask


def score(
    ellipsoids: Ellipsoids, captures: Iterable[Capture], background: Tensor, settings: RenderSettings
) -> list[ViewScore]:
    """A score for every view of the captures, rendered one at a time."""
    scores = []
    with torch.no_grad():
        for capture in captures:
            for view in range(len(capture)):
                camera = capture.cameras[view]
                rendered = render(_seen(ellipsoids, camera), camera, settings)
                scores.append(_score(capture[[view]], rendered, background))
    return scores


def _seen(ellipsoids: Ellipsoids, camera: Cameras) -> Ellipsoids:
    """The set in the colors that a camera sees."""
    if "sh" not in ellipsoids.extra or ellipsoids.features is None:
        return ellipsoids
    colors = harmonics.seen_from(camera, ellipsoids.means, ellipsoids.features, ellipsoids.extra["sh"])
    return replace(ellipsoids, features=colors[0])


def _score(view: Capture, rendered: Rendered, background: Tensor) -> ViewScore:
    image, target = rendered.over(background)[0].clamp(0, 1), view.over(background)[0]
    iou = psnr_object = None
    images, masks = view.take([0])
    if masks is not None and bool((masks > COVERED).any()):
        mine, theirs = rendered.alpha[0] > COVERED, masks[0] > COVERED
        iou = float(metrics.iou(mine, theirs))
        psnr_object = float(metrics.psnr(rendered.image[0], images[0], mine | theirs))
    return ViewScore(
        view.names[0], float(metrics.psnr(image, target)), psnr_object, float(metrics.ssim(image, target)), iou
    )


def summary(scores: list[ViewScore]) -> dict[str, float]:
    """Means over views, and the worst IoU; figures that are not known are left out, infinite PSNR counts as 100 dB."""
    figures: dict[str, float] = {"views": len(scores)}
    for name in ("psnr", "psnr_object", "ssim", "iou"):
        values = [getattr(s, name) for s in scores if getattr(s, name) is not None]
        values = [min(value, 100.0) for value in values if not math.isnan(value)]
        if values:
            figures[name] = fmean(values)
            if name == "iou":
                figures["iou_worst"] = min(values)
    return figures
