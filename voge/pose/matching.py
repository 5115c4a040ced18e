"""Neural view matching: which picture of a gallery shows what an object would look like from elsewhere (section 4.3).

The anchor's features are sampled onto ellipsoids at its own pose (eq. 10), rendered from a pose turned by delta, and
compared with the feature map of every picture of a gallery: no label of the gallery is used, and nothing is trained for
the task. Its labels only tell how good the match is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge.geometry.rigid import rotation_error
from voge.rendering.pixel_filter import sample_views
from voge.rendering.renderer import render, trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.viewpoints import turned

SEEN = 0.05  # of the largest weight: ellipsoids that the anchor shows less of have no features
LEAST = 0.5  # alpha of seen ellipsoids that makes a cell count


@dataclass(frozen=True, slots=True, eq=False)
class Anchors:
    """The features of A anchor pictures on one shape's ellipsoids."""

    features: Tensor  # (A, N, C), 0 where not seen
    seen: Tensor  # (A, N) bool
    cameras: Cameras  # A, in cells

    def turned(self, delta: float) -> Cameras:
        """The cameras after a turn of `delta` degrees in azimuth about the object, whose z is up."""
        views = [turned(self.cameras[i], (0.0, 0.0, 0.0), delta, 0.0, up="z") for i in range(len(self.features))]
        return replace(self.cameras, viewmats=torch.cat([view.viewmats for view in views]))


@torch.no_grad()
def sample_anchors(
    ellipsoids: Ellipsoids, maps: Tensor, cameras: Cameras, settings: RenderSettings | None = None
) -> Anchors:
    """Sample the features that anchors show of each ellipsoid.

    Args:
        ellipsoids: N of them, widened for the cells (voge.rendering.pixel_filter.widened).
        maps: (A, h, w, C) features.
        cameras: A, in cells, with the anchors' poses.
        settings: of the renderer.
    """
    sums, weights = sample_views(trace(ellipsoids, cameras, settings), maps)
    seen = weights > SEEN * weights.amax(1, keepdim=True)
    return Anchors(sums / weights.clamp_min(1e-9)[..., None] * seen[..., None], seen, cameras)


@torch.no_grad()
def match_scores(
    ellipsoids: Ellipsoids, anchors: Anchors, delta: float, gallery: Tensor, settings: RenderSettings | None = None
) -> Tensor:
    """(A, G): how well each picture of a gallery agrees with each anchor's object, seen delta degrees further.

    A score is the mean similarity of the rendered and the found feature, both relative to the gallery's mean feature.
    It is taken over the cells where the turned object shows what the anchor had shown.

    Args:
        ellipsoids: as the anchors were sampled with.
        anchors: A of them.
        delta: degrees of azimuth.
        gallery: (G, h, w, C) features, the object where the anchor's cameras have it.
        settings: of the renderer.
    """
    middle = gallery.flatten(0, 2).mean(0)
    found = torch.nn.functional.normalize(gallery - middle, dim=-1).flatten(1, 2)  # (G, P, C)
    cameras = anchors.turned(delta)
    scores = []
    for number in range(len(anchors.features)):
        seen = anchors.seen[number]
        # What was not seen stands before nothing: it would hide what was.
        features = torch.cat([anchors.features[number] - middle, torch.ones_like(seen[:, None], dtype=middle.dtype)], 1)
        features = features * seen[:, None]
        made = render(replace(ellipsoids, features=features, extra={}), cameras[number], settings).image
        made = made[0].flatten(0, 1)
        share = made[:, -1]
        expected = torch.nn.functional.normalize(made[:, :-1], dim=-1)
        weight = share * (share > LEAST)
        similar = torch.einsum("pc,gpc->gp", expected * weight[:, None], found)
        scores.append(similar.sum(1) / weight.sum().clamp_min(1e-9))
    return torch.stack(scores)


@dataclass(frozen=True, slots=True)
class MatchFigures:
    """Rotation errors of the matches of one delta."""

    delta: float  # degrees
    anchors: int
    median: float  # rotation error of the best match, degrees
    top: float  # median of the least error among the best few
    best_possible: float  # median of the least error in the whole gallery
    random: float  # median error over the whole gallery: what choosing blindly gives


def match_figures(scores: Tensor, delta: float, wanted: Tensor, gallery: Tensor, top: int = 3) -> MatchFigures:
    """Errors of the pictures that were chosen.

    Args:
        scores: (A, G); minus infinity for pictures that must not be chosen, such as the anchor itself.
        delta: degrees.
        wanted: (A, 3, 3) rotations that were asked for.
        gallery: (G, 3, 3) rotations of the gallery's pictures.
        top: how many best ones count.
    """
    every = rotation_error(wanted[:, None], gallery[None])
    allowed = scores.isfinite()
    errors = every.masked_fill(~allowed, torch.inf)
    order = scores.topk(min(top, scores.shape[1]), dim=1).indices
    chosen = errors.gather(1, order)
    least = errors.amin(1)
    return MatchFigures(delta, len(scores), float(chosen[:, 0].median()), float(chosen.amin(1).median()),
                        float(least.median()), float(every[allowed].median()))  # fmt: skip


def match_table(rows: Sequence[MatchFigures], top: int = 3) -> str:
    """Figures as text, a row a delta."""
    heads = ["delta", "anchors", "top-1", f"best of top-{top}", "best in gallery", "random"]
    lines = [
        [f"{r.delta:g}", str(r.anchors), *(f"{x:.1f}" for x in (r.median, r.top, r.best_possible, r.random))]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in [heads, *lines])
