"""Pictures of a fit: the way there, views beside their targets, and once around."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.fitting.fitter import Fitting
from voge.imaging.pictures import take_pictures
from voge.imaging.settings import AlbumSettings
from voge.imaging.studio import Studio
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.objects import assemble
from voge.scene.settings import Up
from voge.scene.viewpoints import resized, upright_axis

SIDE = 384  # pixels that a frame's longer side has at most
SHOWN = 4  # views of a group

Colors = NDArray[np.float32]


class Compared(NamedTuple):
    """A view before the fit, its target, and the view after the fit, side by side."""

    name: str  # of its file: the group's name, then the view's
    caption: str
    pixels: Colors  # (H, 3 W, 3) in [0, 1]


def frame(fitting: Fitting) -> Colors:
    """The present state of a fit as seen from the first view, (H, W, 3) in [0, 1], at most SIDE pixels a side."""
    camera = fitting.comparison.captures[0].cameras[0]
    zoom = SIDE / max(camera.width, camera.height)
    small = resized(camera, max(round(camera.width * zoom), 1), max(round(camera.height * zoom), 1))
    return _colors(fitting.ellipsoids(), small, fitting.background(), fitting.settings.settings)


def compare(
    start: Ellipsoids,
    ellipsoids: Ellipsoids,
    groups: dict[str, list[Capture]],
    background: Tensor,
    settings: RenderSettings,
) -> Iterator[Compared]:
    """Some views of each group, evenly chosen, before and after a fit.

    Args:
        start: what the fit began with.
        ellipsoids: what came out.
        groups: captures by the name of their group, on the device of the ellipsoids.
        background: (3,) what is behind the object.
        settings: how rays meet ellipsoids.
    """
    before = start.to(torch.float32).to(ellipsoids.device)
    for group, captures in groups.items():
        views = [(capture, i) for capture in captures for i in range(len(capture))]
        for capture, i in views[:: max(len(views) // SHOWN, 1)][:SHOWN]:
            camera, name = capture.cameras[i], capture.names[i]
            target = capture.over(background)[i].cpu().numpy()
            pair = [_colors(each, camera, background, settings) for each in (before, ellipsoids)]
            row = np.concatenate([pair[0], target, pair[1]], 1)
            yield Compared(f"{group}_{name}", f"{group} {name}: before, target, after", row)


def turntable(
    ellipsoids: Ellipsoids, first: Cameras, background: Tensor, settings: RenderSettings, count: int
) -> Iterator[NDArray[np.uint8]]:
    """Frames (SIDE, SIDE, 3) of one turn around ellipsoids, upright as the first of some cameras sees the world."""
    album = AlbumSettings(
        size=f"{SIDE}x{SIDE}",
        azimuth=[0.0],
        turntable=count,
        up=Up(upright_axis(first.viewmats[0])),
        background=",".join(map(str, background.tolist())),
        settings=settings,
    )
    return Studio(assemble(["fit"], [ellipsoids], [None]), album).frames()


def _colors(ellipsoids: Ellipsoids, camera: Cameras, background: Tensor, settings: RenderSettings) -> Colors:
    with torch.no_grad():
        taken = take_pictures(ellipsoids, camera, settings, outputs=["rgb"], background=background)
    return taken["rgb"].cpu().numpy()
