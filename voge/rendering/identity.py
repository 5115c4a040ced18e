"""Ellipsoid that a pixel shows: the strongest entry of each row of W."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from voge.rendering.renderer import Fragments, trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

NOBODY = -1
_TRACED = 2**16  # pixels traced at once: W holds some 50 entries a pixel, each of 30 bytes with temporaries


def strongest(fragments: Fragments) -> Tensor:
    """Index (*shape), int32, of the ellipsoid with the largest weight on each ray; the nearest of equals.

    NOBODY where a ray meets none.
    """
    weight = fragments.weight.detach()
    counts = fragments.offsets.diff()
    rows = torch.repeat_interleave(torch.arange(len(counts), device=weight.device), counts)
    largest = weight.new_zeros(len(counts)).scatter_reduce(0, rows, weight, "amax")
    entries = (weight == largest[rows]).nonzero().squeeze(1)
    # Entries are nearest first within a ray, so the smallest entry is the nearest ellipsoid.
    last = len(weight)
    first = torch.full((len(counts),), last, device=weight.device).scatter_reduce(0, rows[entries], entries, "amin")
    index = torch.cat([fragments.index, fragments.index.new_tensor([NOBODY])])
    return index[first].reshape(fragments.shape)


def identify(
    ellipsoids: Ellipsoids, camera: Cameras, settings: RenderSettings | None = None, *, least_alpha: float = 0.0
) -> Tensor:
    """The strongest ellipsoid of every pixel of one view.

    The view is traced in bands of rows, so that memory is bounded for a picture of any size.

    Args:
        ellipsoids: N.
        camera: one view.
        settings: see RenderSettings.
        least_alpha: a pixel that stops less of the light than this shows nobody.

    Returns:
        (H, W) int32, NOBODY where nothing is seen.
    """
    found = []
    with torch.no_grad():
        for band in bands(camera, _TRACED):
            fragments = trace(ellipsoids, band, settings)
            seen = fragments.alpha >= least_alpha
            found.append(torch.where(seen, strongest(fragments), NOBODY)[0])
    return torch.cat(found)


def bands(camera: Cameras, pixels: int) -> Iterator[Cameras]:
    """The camera's picture from top to bottom in bands of whole rows with at most about `pixels` pixels."""
    rows = max(1, pixels // camera.width)
    if rows >= camera.height:
        yield camera
        return
    for top in range(0, camera.height, rows):
        shift = torch.zeros_like(camera.Ks)
        shift[:, 1, 2] = top
        yield replace(camera, Ks=camera.Ks - shift, height=min(rows, camera.height - top))
