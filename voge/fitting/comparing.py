"""Comparison of ellipsoids, as the views of a step see them, with the pictures taken: what a fit renders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from voge.fitting.parameters import moved_cameras
from voge.fitting.settings import Background, FitSettings, Part
from voge.fitting.starts import border_color
from voge.optim.losses import COLOR_LOSSES, SILHOUETTE_LOSSES, dissimilarity
from voge.optim.optimizer import Optimizer, Variable
from voge.rendering import ops
from voge.rendering.pixel_filter import widened
from voge.scene import harmonics
from voge.scene.cameras import CameraModel, Cameras, Rays
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.viewpoints import resized

RAYS_KEPT = 2**26  # rays of fixed cameras that are computed once: 1.6 GB at most
TERMS = ("color", "silhouette", "dissimilarity")


class Comparison:
    """Captures in full size and coarse, their cameras and what is behind the object.

    Args:
        captures: at least one, on one device.
        settings: of the fit.
        center: (3,) the middle of the object: what cameras turn about.

    Raises:
        ValueError: captures and settings do not belong together.
    """

    def __init__(self, captures: Sequence[Capture], settings: FitSettings, center: Tensor) -> None:
        _check(captures, settings)
        self.captures, self.settings, self.center = list(captures), settings, center
        self.levels = self._levels()
        self.cells = [self._cell([capture for capture, _ in level]) for level in self.levels]
        centers = torch.cat([capture.cameras.centers for capture in captures])
        self.away = float((centers - center).norm(dim=1).median())  # unit of the cameras' shifts
        self.order = torch.arange(sum(map(len, captures)))  # of the views: in each step the next few

    def variables(self) -> dict[str, Variable]:
        """Variables of cameras and background that are optimized, with their rates."""
        wanted, rates, variables = self.settings.optimize, self.settings.rates, {}
        zeros = self.center.new_zeros
        if Part.poses in wanted:
            variables["poses"] = Variable(zeros(sum(map(len, self.captures)), 6), rates.poses)
        if Part.focals in wanted:
            variables["log_focals"] = Variable(zeros(1), rates.focals)
        if Part.centers in wanted:
            variables["centers"] = Variable(zeros(2), rates.centers)
        if self.settings.background is Background.learned:
            first = border_color(self.captures).clamp(0.01, 0.99).logit()
            variables["raw_background"] = Variable(first, rates.background)
        return variables

    def refined(self, values: Mapping[str, Tensor]) -> list[Cameras]:
        """The cameras of every capture as the variables have them, without gradient history."""
        found = [self._cameras(values, i, capture.cameras) for i, capture in enumerate(self.captures)]
        return [replace(c, viewmats=c.viewmats.detach(), Ks=c.Ks.detach()) for c in found]

    def background(self, values: Mapping[str, Tensor]) -> Tensor:
        """(3,) what is behind the object when pictures are shown: of `random`, the middle gray."""
        named = {Background.black: 0.0, Background.white: 1.0, Background.random: 0.5}
        if self.settings.background is Background.learned:
            return values["raw_background"].sigmoid()
        return self.center.new_full((3,), named[self.settings.background])

    def terms(self, ellipsoids: Ellipsoids, step: int, optimizer: Optimizer) -> dict[str, Tensor]:
        """Loss terms of this step, unweighted: means over its views."""
        settings = self.settings
        size = -1 if step < settings.coarse.until * settings.steps else 0
        seen = widened(ellipsoids, self.cells[size], settings.filter)
        chosen = self.views(step, optimizer.generator)
        terms: dict[str, Tensor] = {}
        first = 0
        for i, (capture, rays) in enumerate(self.levels[size]):
            own = [view - first for view in chosen if first <= view < first + len(capture)]
            first += len(capture)
            if not own:
                continue
            found = self._compare(seen, i, capture, rays, own, optimizer)
            if len(own) == len(chosen):
                return found
            for name, term in found.items():
                share = term * (len(own) / len(chosen))
                terms[name] = terms[name] + share if name in terms else share
        return terms

    def views(self, step: int, generator: torch.Generator) -> list[int]:
        """The views of a step, of all captures together, in their order.

        In a random order none comes again before all have come, up to a rest of less than a step's: what they pull in
        different directions cancels sooner than if each step drew for itself.
        """
        count = min(self.settings.views_per_step, len(self.order))
        place = step % (len(self.order) // count) * count
        if not place:
            self.order = torch.randperm(len(self.order), generator=generator)
        return sorted(self.order[place : place + count].tolist())

    def _compare(
        self,
        ellipsoids: Ellipsoids,
        index: int,
        capture: Capture,
        rays: Rays | None,
        views: Sequence[int],
        optimizer: Optimizer,
    ) -> dict[str, Tensor]:
        """Some views of a capture against what is rendered of them."""
        settings, values = self.settings, optimizer.values
        rows = torch.tensor(views).to(ellipsoids.device, non_blocking=True)
        cameras = self._cameras(values, index, self._fine(capture.cameras), rows)
        if rays is None:
            some = ops.camera_rays(cameras, settings.settings.backend)
        else:
            some = Rays(rays.origins.index_select(0, rows), rays.directions.index_select(0, rows))
        image, alpha = self._render(ellipsoids, some, cameras)
        if settings.samples > 1:
            image, alpha = (_pooled(picture, settings.samples) for picture in (image, alpha))
        images, masks = capture.take(views)
        if masks is None or settings.background is not Background.black:
            behind = self.background(values)
            if settings.background is Background.random:
                behind = torch.rand(3, generator=optimizer.generator).to(images, non_blocking=True)
            image = image + (1 - alpha)[..., None] * behind
            images = images if masks is None else images + (1 - masks)[..., None] * behind
        terms = {}
        if settings.weights.color:
            terms["color"] = COLOR_LOSSES[settings.color_loss](image, images)
        if settings.weights.dissimilarity:
            terms["dissimilarity"] = dissimilarity(image, images)
        if settings.weights.silhouette and masks is not None:
            terms["silhouette"] = SILHOUETTE_LOSSES[settings.silhouette_loss](alpha, masks)
        return terms

    def _render(self, ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """Images (V, H, W, 3) and alpha (V, H, W); view by view where each sees other colors."""
        settings, features = self.settings.settings, ellipsoids.features
        assert features is not None
        if "sh" not in ellipsoids.extra:
            image, alpha, _ = ops.render_rays(ellipsoids, features, rays, cameras, settings)
            return image, alpha
        made = []
        for i, colors in enumerate(harmonics.seen_from(cameras, ellipsoids.means, features, ellipsoids.extra["sh"])):
            one = slice(i, i + 1)
            own = Rays(rays.origins[one], rays.directions[one])
            made.append(ops.render_rays(ellipsoids, colors, own, cameras[one], settings))
        return torch.cat([image for image, _, _ in made]), torch.cat([alpha for _, alpha, _ in made])

    def _cameras(
        self, values: Mapping[str, Tensor], index: int, cameras: Cameras, rows: Tensor | None = None
    ) -> Cameras:
        """The cameras of a capture in some size, with what is optimized of them; of some rows, or all."""
        chosen = cameras if rows is None else cameras[rows]
        if not self.settings.moves_cameras:
            return chosen
        first = sum(len(capture) for capture in self.captures[:index])
        poses = values.get("poses")
        if poses is not None:
            poses = poses[first : first + len(cameras)]
            poses = poses if rows is None else poses.index_select(0, rows)
        focals, centers = values.get("log_focals"), values.get("centers")
        return moved_cameras(chosen, poses, focals, centers, pivot=self.center, unit=self.away)

    def _levels(self) -> list[list[tuple[Capture, Rays | None]]]:
        """The captures in full size and, at last, coarse; with rays where cameras stand still and memory allows."""
        coarse = self.settings.coarse
        sizes = [self.captures]
        if coarse.factor > 1 and coarse.until > 0:
            sizes.append([capture.shrunk(coarse.factor) for capture in self.captures])
        count = self.settings.samples**2 * sum(len(c) * c.cameras.width * c.cameras.height for c in self.captures)
        keep = not self.settings.moves_cameras and count <= RAYS_KEPT
        return [[(c, _rays(self._fine(c.cameras)) if keep else None) for c in level] for level in sizes]

    def _fine(self, cameras: Cameras) -> Cameras:
        """The cameras with a pixel for every ray."""
        n = self.settings.samples
        return cameras if n == 1 else resized(cameras, cameras.width * n, cameras.height * n)

    def _cell(self, captures: Sequence[Capture]) -> float:
        """The side of a pixel at the object's distance, world units: the median over the views."""
        away = torch.cat([(capture.cameras.centers - self.center).norm(dim=1) for capture in captures])
        focal = torch.cat([capture.cameras.Ks[:, 0, 0] for capture in captures])
        parallel = torch.tensor([c.cameras.model is CameraModel.orthographic for c in captures for _ in range(len(c))])
        return float(torch.where(parallel.to(away.device), 1 / focal, away / focal).median())


def _rays(cameras: Cameras) -> Rays:
    """All rays, made view by view: what is needed on the way takes the memory of one view."""
    if cameras.model is CameraModel.orthographic:
        return cameras.rays()
    directions = cameras.Ks.new_empty(len(cameras), cameras.height, cameras.width, 3)
    for view in range(len(cameras)):
        directions[view] = cameras[[view]].rays().directions[0]
    return Rays(cameras.centers[:, None, None].expand_as(directions), directions)


def _check(captures: Sequence[Capture], settings: FitSettings) -> None:
    masked = all(capture.kept_masks is not None for capture in captures)
    if settings.background is Background.random and not masked:
        raise ValueError("background random needs masks: pictures without have their own; use learned, white or black")
    if not (settings.weights.color or settings.weights.dissimilarity or (masked and settings.weights.silhouette)):
        raise ValueError("weights must have color, dissimilarity or, with masks, silhouette above 0; all are 0")


def _pooled(picture: Tensor, n: int) -> Tensor:
    """Means over n x n pixels of (V, H, W) or (V, H, W, C)."""
    views, height, width, *channels = picture.shape
    return picture.reshape(views, height // n, n, width // n, n, *channels).mean((2, 4))
