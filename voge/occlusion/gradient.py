"""Gradient descent on poses through the renderer, the paper's way (section 4.6), with its aids as options.

Variables are increments of the start poses (`voge.geometry.rigid`) in units of the objects' diameters: one rate
suits translations and turns of objects of any size. Some aids fade out over the steps. A lower density lets hidden
objects shine through those in front; wider ellipsoids and blurred differences make objects felt from farther away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.occlusion.levels import background_of, level_of
from voge.occlusion.problem import Bodies, Target
from voge.occlusion.settings import OcclusionSettings
from voge.optim.optimizer import Optimizer, Step, Variable
from voge.optim.settings import Rate
from voge.scene.ellipsoids import Ellipsoids


class GradientDescent:
    """A descent that can be driven, saved and resumed as `voge.optim.optimizer` describes."""

    def __init__(self, bodies: Bodies, targets: Sequence[Target], settings: OcclusionSettings) -> None:
        self.bodies, self.targets, self.settings = bodies, targets, settings
        self._free = bodies.mask.to(torch.float64)
        self._units = torch.ones_like(self._free)
        self._units[:, rigid.TRANSLATION] = bodies.sizes(bodies.starts)[:, None]
        options = settings.gradient
        start = Variable(torch.zeros_like(self._free), Rate(value=options.rate, final=options.final))
        low, high = options.betas
        self.optimizer = Optimizer({"increments": start}, options.steps, seed=settings.seed, betas=(low, high))
        self._background = background_of(targets, settings.background)

    @property
    def poses(self) -> Tensor:
        """(O, 4, 4) float64, the present ones, within bounds."""
        with torch.no_grad():
            return self.bodies.bounded(self._moved())

    def run(self) -> Iterator[Step]:
        """Take the steps that are left.

        Raises:
            voge.errors.DivergedError: the loss or a gradient is not finite.
        """
        for step in self.optimizer.run(self._loss):
            self._stay_within_bounds()
            yield step

    def _loss(self, step: int) -> dict[str, Tensor]:
        fade = self._fade(step)
        level = level_of(
            self.targets,
            1,
            self.settings.gradient.blur * fade,
            self._background,
            self.settings.weights,
            self.settings.render,
        )
        residuals = level.residuals(self._aided(self.bodies.place(self._moved()), fade))
        return {"picture": residuals.square().sum().to(self._free)}  # to where the few variables are, the CPU

    def _fade(self, step: int) -> float:
        """1 at the start, 0 from `anneal` on."""
        options = self.settings.gradient
        return max(1 - step / (options.anneal * options.steps), 0.0)

    def _aided(self, scene: Ellipsoids, fade: float) -> Ellipsoids:
        options = self.settings.gradient
        wider = options.widened * fade * self.bodies.sizes(self.bodies.starts)
        own = wider.to(scene.scales)[self.bodies.index][:, None] if options.widened else 0.0
        scales = (scene.scales.square() + own**2).sqrt() if options.widened else scene.scales
        # The mass that a flat ellipsoid shows, density times the area of its two larger axes, stays.
        shown, before = (s.prod(1) / s.amin(1) for s in (scales, scene.scales))
        density = scene.density * options.density**fade * before / shown
        return replace(scene, scales=scales, density=density)

    def _moved(self) -> Tensor:
        increments = self.optimizer["increments"] * self._free * self._units
        return rigid.move(self.bodies.starts, increments, self.bodies.pivots)

    @torch.no_grad()
    def _stay_within_bounds(self) -> None:
        """Replace increments that passed a bound by those of the nearest pose that is allowed."""
        moved = self._moved()
        allowed = self.bodies.bounded(moved)
        if torch.equal(moved, allowed):
            return
        starts = self.bodies.starts
        shift = self.bodies.centers(allowed) - self.bodies.centers(starts)
        turn = rigid.rotation_vector(rigid.turn_of(starts).mT @ rigid.turn_of(allowed))
        scale = (rigid.scale_of(allowed) / rigid.scale_of(starts)).log()[:, None]
        increments = torch.cat([shift, turn, scale], 1) / self._units
        changed = (moved - allowed).abs().amax((1, 2)) > 0
        self.optimizer["increments"][changed] = increments[changed]
