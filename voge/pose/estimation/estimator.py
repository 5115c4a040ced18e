"""Poses of objects in images: coarse by all starting poses at once, fine by the best few refined together.

    estimator = Estimator(model, "car", Estimation())
    found = estimator(images, cameras)

Images are crops (voge.pose.data.crops) of one category, cameras those of the crops, posed where the object's origin
lies: only the translations of their viewmats are taken, unless a rough rotation is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from voge.geometry.rigid import rotation_error
from voge.pose.data.angles import towards
from voge.pose.data.crops import Framing
from voge.pose.estimation.coarse import Templates, best_apart, grid_viewmats, make_templates
from voge.pose.estimation.energy import Target, featured, target_of
from voge.pose.estimation.refinement import Refined, refine
from voge.pose.network.features import STRIDE, memory_format, mixed
from voge.pose.network.model import Category
from voge.pose.settings import Estimation
from voge.rendering.pixel_filter import on_cells, widened
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

OTHER = 30.0  # degrees: a runner-up is a pose at least so different


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Estimated pose of one image."""

    viewmat: Tensor  # (4, 4) float64 on the CPU
    score: float  # see voge.pose.estimation.energy.score
    margin: float  # to the best pose that differs by OTHER or more; the score itself where there was none
    candidates: Tensor  # (K, 4, 4) float64 on the CPU, best first
    scores: tuple[float, ...]  # of each


class Estimator:
    """Estimates poses of one category; keeps what all images share."""

    def __init__(
        self, network: nn.Module, category: Category, how: Estimation | None = None, *, known_clutter: bool = True
    ) -> None:
        """Take a network and a category on one device.

        Args:
            network: maps (B, 3, H, W) to features (B, C, H/8, W/8).
            category: with features.
            how: see Estimation.
            known_clutter: the category's clutter is what backgrounds look like; without training nobody knows.
        """
        self.network, self.category, self.how = network.eval(), category, how or Estimation()
        self.known_clutter = known_clutter
        self._templates: Templates | None = None

    @property
    def device(self) -> torch.device:
        """The device of the category, where everything is computed."""
        return self.category.ellipsoids.device

    @torch.no_grad()
    def features(self, images: Tensor) -> Target:
        """Compute the target that poses are compared with, from images (B, 3, H, W) in [0, 1]."""
        with mixed(self.device, self.how.precision):
            there = images.to(self.device).contiguous(memory_format=memory_format(self.device))
            maps = self.network(there).float()
        if self.known_clutter:
            return target_of(maps, self.category.clutter)
        return target_of(maps, None, getattr(self.network, "outlier", 1.0))

    def __call__(self, images: Tensor, cameras: Cameras) -> list[Estimate]:
        """Estimate the poses of crops.

        Args:
            images: (B, 3, H, W) in [0, 1], of the framing's size.
            cameras: B, float32, of the crops: the translations say where the object's origin is, the rotations
                nothing.
        """
        cells = on_cells(cameras.to(self.device), STRIDE)
        target = self.features(images)
        starts = self.starts(target, cells)
        return self.refined(target, cells, starts)

    @torch.no_grad()
    def starts(self, target: Target, cells: Cameras) -> Tensor:
        """(B, K, 4, 4): the starting poses to refine, best first, placed where each object is."""
        if self._templates is None:
            self._templates = self._trace_templates(self.category.framing)
        scores = self._templates.scores(target.maps[..., : self._channels], target.clutter[..., : self._channels])
        chosen = best_apart(scores, self._templates.viewmats, self.how.candidates)
        rotations = self._templates.viewmats[chosen][..., :3, :3]
        placed = cells.viewmats[:, None].repeat(1, chosen.shape[1], 1, 1)
        placed[..., :3, :3] = towards(cells.viewmats[:, :3, 3])[:, None] @ rotations
        return placed

    def refined(self, target: Target, cells: Cameras, starts: Tensor) -> list[Estimate]:
        """Refine starting poses (B, K, 4, 4) of each image and rank them."""
        *_, last = self.course(target, cells, starts)
        return ranked(last, starts.shape[1])

    def course(self, target: Target, cells: Cameras, starts: Tensor) -> Iterator[Refined]:
        """The states of the refinement of starting poses (B, K, 4, 4), flattened to (B K,), first to last."""
        images, count = starts.shape[:2]
        rows = torch.arange(images, device=self.device).repeat_interleave(count)
        cameras = replace(cells, viewmats=starts.flatten(0, 1), Ks=cells.Ks[rows])
        distance = float(starts[..., 2, 3].mean() / cells.Ks[:, 0, 0].mean())
        ellipsoids = featured(self._widened(distance), target)
        yield from refine(ellipsoids, cameras, target[rows], self.how.settings, self.how.refinement)

    @property
    def _channels(self) -> int:
        assert self.category.ellipsoids.features is not None
        return self.category.ellipsoids.features.shape[1]

    def _widened(self, cell: float) -> Ellipsoids:
        return widened(self.category.ellipsoids, cell, self.how.filter)

    def _trace_templates(self, framing: Framing) -> Templates:
        viewmats = grid_viewmats(self.how.starts, framing.distance).to(self.device)
        K = framing.intrinsics.float().to(self.device)
        cells = on_cells(Cameras(viewmats[:1], K[None], framing.width, framing.height), STRIDE)
        seen = self._widened(framing.distance / float(cells.Ks[0, 0, 0]))
        return make_templates(seen, viewmats, cells, self.how.settings)


def ranked(state: Refined, count: int) -> list[Estimate]:
    """Rank the poses at the end of a course, `count` of each image; returns an estimate an image."""
    viewmats, scores = (t.unflatten(0, (-1, count)).double().cpu() for t in (state.viewmats, state.score))
    return [_ranked(poses, values) for poses, values in zip(viewmats, scores, strict=True)]


def _ranked(poses: Tensor, scores: Tensor) -> Estimate:
    order = scores.argsort(descending=True)
    poses, scores = poses[order], scores[order]
    apart = rotation_error(poses[:, :3, :3], poses[:1, :3, :3]) >= OTHER
    runner_up = float(scores[apart].max()) if bool(apart.any()) else 0.0
    best = float(scores[0])
    return Estimate(poses[0], best, best - runner_up, poses, tuple(scores.tolist()))
