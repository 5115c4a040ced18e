"""One known object instead of a category: its own ellipsoids, and features that nobody trained.

With `rgb` the features are the ellipsoids' colors. With a pretrained network they are lifted: the object is rendered
from views around the rough pose, and what the network says of the pictures is sampled back (eq. 10).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.geometry.rigid import rotation
from voge.pose.data.crops import STRIDE as SIDES
from voge.pose.data.crops import Framing, cut
from voge.pose.data.frames import Frame
from voge.pose.network.features import STRIDE, Colors, Fixed
from voge.pose.network.model import Category
from voge.rendering.pixel_filter import on_cells, sample_views
from voge.rendering.renderer import render, trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

SPAN = 320  # pixels of a crop that the object spans
MARGIN = 1.6  # sides of the crop over those of the object's box in it
AROUND = 20.0  # degrees between the views that features are lifted from


def instance_frame(
    image: NDArray[np.uint8], ellipsoids: Ellipsoids, K: Tensor, viewmat: Tensor
) -> tuple[Frame, Framing]:
    """The crop around an object seen in a rough pose, and its framing.

    Args:
        image: (H, W, 3).
        ellipsoids: of the object.
        K: (3, 3) of the image.
        viewmat: (4, 4) the rough pose.

    Raises:
        ValueError: the pose has the object behind the camera or out of the picture.
    """
    height, width = image.shape[:2]
    camera = Cameras(viewmat.double()[None], K.double()[None], width, height)
    pixels, depth = camera.project(ellipsoids.means.detach().double().cpu())
    if float(depth.min()) <= 0:
        raise ValueError("the rough pose has the object, or part of it, behind the camera")
    low, high = pixels[0].amin(0), pixels[0].amax(0)
    if float(low[0]) > width or float(low[1]) > height or float(high[0]) < 0 or float(high[1]) < 0:
        raise ValueError("the rough pose has the object outside of the picture")
    scale = SPAN / float((high - low).max())
    sides = [max(math.ceil(MARGIN * scale * float(side) / SIDES), 2) * SIDES for side in high - low]
    distance = float(viewmat[:3, 3].norm())
    framing = Framing(sides[0], sides[1], float(K[0, 0]) * scale, distance)
    middle = (low + high) / 2
    crop = cut(image, (float(middle[0]), float(middle[1])), scale, framing)
    return Frame(crop, K.double(), viewmat.double(), width, height, rough=True), framing


def instance_category(
    ellipsoids: Ellipsoids, network: Fixed | Colors, frame: Frame, framing: Framing, settings: RenderSettings
) -> Category:
    """The object with features of the network, on the ellipsoids' device.

    Raises:
        ValueError: the ellipsoids have no colors.
    """
    if ellipsoids.features is None or ellipsoids.features.shape[1] != 3:
        raise ValueError("the model has no colors; give one with colors or a texture")
    if isinstance(network, Fixed):
        ellipsoids = replace(ellipsoids, features=_lifted(ellipsoids, network, frame, settings), extra={})
    assert ellipsoids.features is not None
    return Category("object", ellipsoids, ellipsoids.features.new_zeros(0, ellipsoids.features.shape[1]), framing)


@torch.no_grad()
def _lifted(ellipsoids: Ellipsoids, network: Fixed, frame: Frame, settings: RenderSettings) -> Tensor:
    """(N, C) features of pictures of the ellipsoids over the photo's mean color."""
    pose = frame.viewmat.float()
    turns = torch.deg2rad(AROUND * torch.cartesian_prod(*[torch.tensor([-1.0, 0, 1])] * 2))
    turns = torch.cat([turns, torch.zeros(len(turns), 1)], 1)
    viewmats = pose.repeat(len(turns), 1, 1)
    viewmats[:, :3, :3] = rotation(turns) @ pose[:3, :3]
    Ks = frame.crop_intrinsics.float().expand(len(turns), 3, 3)
    height, width = frame.crop.image.shape[1:]
    cameras = Cameras(viewmats, Ks, width, height).to(ellipsoids.device)
    background = frame.crop.image.mean((1, 2)).to(ellipsoids.means)
    pictures = render(ellipsoids, cameras, settings).over(background).clamp(0, 1)
    maps = network.to(ellipsoids.device)(pictures.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()
    sums, weights = sample_views(trace(ellipsoids, on_cells(cameras, STRIDE), settings), maps)
    return sums.sum(0) / weights.sum(0).clamp_min(1e-6)[:, None]
