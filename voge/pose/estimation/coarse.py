"""Starting poses: all of a grid scored at once against an image's features.

The grid's W, a sparse matrix of cells and ellipsoids for every pose, is traced once a category and kept. An image
then needs the similarity of every cell to every ellipsoid, one matrix product, and sums under W: no feature
map is rendered, and memory does not depend on the number of channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from voge.geometry.rigid import rotation_error
from voge.pose.data.angles import to_viewmat
from voge.rendering.renderer import trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

AZIMUTHS, ELEVATIONS, THETAS = 12, (-30.0, 60.0), (-30.0, 30.0)  # the field's grid: 12 x 4 x 3 = 144
APART = 25.0  # degrees between poses that are refined: nearer ones end in the same place


def starting_viewpoints(count: int = 144) -> Tensor:
    """(S, 3) azimuth, elevation, theta in degrees: about `count`, and with 144 the field's own grid."""
    factor = (count / 144) ** (1 / 3)
    turns, rises, rolls = (max(round(n * factor), 1) for n in (AZIMUTHS, 4, 3))
    azimuths = torch.arange(turns, dtype=torch.float64) * 360 / turns
    elevations = torch.linspace(*ELEVATIONS, rises, dtype=torch.float64) if rises > 1 else torch.tensor([10.0]).double()
    thetas = torch.linspace(*THETAS, rolls, dtype=torch.float64) if rolls > 1 else torch.zeros(1).double()
    return torch.cartesian_prod(azimuths, elevations, thetas)


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """W of S poses, and where its entries belong."""

    viewmats: Tensor  # (S, 4, 4)
    weight: Tensor  # (E,) W
    pair: Tensor  # (E,) int64: cell of the map times N plus ellipsoid
    row: Tensor  # (E,) int64: pose times cells plus cell
    alpha: Tensor  # (S, P) of each pose and cell
    features: Tensor  # (N, C)

    @torch.no_grad()
    def scores(self, maps: Tensor, clutter: Tensor) -> Tensor:
        """(S, B): the mean over cells of max(F.F^ - alpha F.b, 0), NeMo's score for features of unit length.

        Args:
            maps: (B, h, w, C).
            clutter: (B, h, w, C), the best explanation of each cell without the object.
        """
        found = []
        for F, b in zip(maps.flatten(1, 2), clutter.flatten(1, 2), strict=True):
            similar = (F @ self.features.mT).flatten()
            values = self.weight * similar[self.pair]
            seen = torch.zeros_like(self.alpha).flatten().index_add(0, self.row, values).reshape(self.alpha.shape)
            found.append((seen - self.alpha * (F * b).sum(1)).clamp_min(0).mean(1))
        return torch.stack(found, 1)


def make_templates(ellipsoids: Ellipsoids, viewmats: Tensor, camera: Cameras, settings: RenderSettings) -> Templates:
    """Trace poses (S, 4, 4) from one camera on the cells of a map; features must be there."""
    assert ellipsoids.features is not None
    cameras = Cameras(viewmats, camera.Ks.expand(len(viewmats), 3, 3), camera.width, camera.height)
    fragments = trace(ellipsoids, cameras, settings)
    cells = camera.width * camera.height
    lengths = fragments.offsets.diff()
    row = torch.repeat_interleave(
        torch.arange(len(lengths), device=lengths.device), lengths, output_size=len(fragments.index)
    )
    pair = row % cells * len(ellipsoids) + fragments.index
    alpha = fragments.alpha.reshape(len(viewmats), cells)
    return Templates(viewmats, fragments.weight.detach(), pair, row, alpha.detach(), ellipsoids.features)


def grid_viewmats(count: int, distance: float) -> Tensor:
    """(S, 4, 4) float32 of `starting_viewpoints`."""
    azimuth, elevation, theta = starting_viewpoints(count).unbind(1)
    return to_viewmat(azimuth, elevation, theta, distance).float()


def best_apart(scores: Tensor, viewmats: Tensor, count: int) -> Tensor:
    """(B, count) int64: the best poses of each image, each APART from the better ones where there are enough.

    Args:
        scores: (S, B).
        viewmats: (S, 4, 4).
        count: at most S.
    """
    rotations = viewmats[:, :3, :3]
    near = rotation_error(rotations[:, None], rotations[None]) < APART  # (S, S)
    left = scores.mT.clone()
    # A pose near a chosen one goes behind all others, and does not leave: there may be no others.
    behind = left.amax() - left.amin() + 1
    chosen = []
    for _ in range(count):
        best = left.argmax(1)
        chosen.append(best)
        left = left - behind * near[best] - 100 * behind * torch.nn.functional.one_hot(best, left.shape[1])
    return torch.stack(chosen, 1)
