"""Shapes from pictures of several views: ellipsoids, and cameras if asked, that render to what was taken.

    captures = [voge.Capture(cameras, images, masks)]
    fitted = voge.fit(captures, settings=voge.FitSettings(steps=500))
    fitted.ellipsoids

`fit` runs `Fitting.steps` to its end; whoever wants to log, show or stop in between drives that generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge import growth, ops, regularisers
from voge.cameras import CameraModel, Cameras, Rays
from voge.captures import Capture
from voge.ellipsoids import Ellipsoids
from voge.fit_settings import Background, FitSettings, Part
from voge.following import Follower
from voge.losses import COLOR_LOSSES, SILHOUETTE_LOSSES, dissimilarity
from voge.optimise import Optimiser, Rate, Step, Variable
from voge.parameters import ellipsoid_variables, moved_cameras, to_ellipsoids
from voge.pose.sampling import widened
from voge.starts import Start, border_color, enclosed, sphere
from voge.viewpoints import resized

RAYS_KEPT = 2**26  # rays of fixed cameras that are computed once: 1.6 GB at most
NAMES = {
    Part.means: "means",
    Part.scales: "log_scales",
    Part.quats: "quats",
    Part.density: "raw_density",
    Part.colors: "raw_colors",
}
_ALONE = ("flatness", "roundness", "opacity_entropy")  # regularisers that ask for no neighbours
_MESH = ("mesh_edges", "mesh_laplacian", "mesh_normals")
_PICTURES = ("color", "silhouette", "dissimilarity")


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What came out."""

    ellipsoids: Ellipsoids
    cameras: list[Cameras]  # of every capture, refined where that was asked for
    background: Tensor  # (3,)


def fit(
    captures: Capture | Sequence[Capture],
    start: Start | Ellipsoids | None = None,
    settings: FitSettings | None = None,
    *,
    watch: Callable[[Fitting, Step], None] | None = None,
) -> Fitted:
    """Fit ellipsoids to pictures of several views (section 4.5 of the paper).

    Args:
        captures: pictures and cameras, in groups of one size, all on one device, float32.
        start: what to begin with, moved to the pictures' device; by default a sphere of 2,562 where the cameras look.
        settings: see FitSettings.
        watch: called after every step, such as to print `step.values()`.

    Raises:
        ValueError: captures, start and settings do not belong together.
        voge.optimise.DivergedError: a loss or a gradient is not finite; names it and the step.
    """
    fitting = Fitting([captures] if isinstance(captures, Capture) else captures, start, settings or FitSettings())
    for step in fitting.steps():
        if watch is not None:
            watch(fitting, step)
    return fitting.result()


class Fitting:
    """A fit between its steps; arguments as of `fit`."""

    def __init__(self, captures: Sequence[Capture], start: Start | Ellipsoids | None, settings: FitSettings) -> None:
        _check(captures, settings)
        if start is None:
            middle, radius = enclosed(captures)
            start = sphere(2562, radius, middle)
        elif isinstance(start, Ellipsoids):
            start = Start(start, None)
        device = captures[0].images.device
        self.settings, self.captures = settings, list(captures)
        # Without extras: normals and the like are the start's alone.
        self.base = replace(start.ellipsoids, extra={}).to(torch.float32).to(device).detach()
        if self.base.features is None:
            self.base = replace(self.base, features=torch.full_like(self.base.means, 0.5))
        self.faces = None if start.faces is None else start.faces.to(device)
        self.center = self.base.means.mean(0)
        self.unit = float((self.base.means - self.center).square().sum(1).mean().sqrt())
        self.levels = self._levels()
        self._cells = [self._cell([capture for capture, _ in level]) for level in self.levels]
        self.follower: Follower | None = None
        if self.faces is not None and settings.surface.until > 0 and Part.means in settings.optimize:
            self.follower = Follower(self.base, self.faces, settings.surface, settings.steps)
        self.optimiser = Optimiser(self._variables(), settings.steps, seed=settings.seed)
        self.neighbours: Tensor | None = None  # (N, k)
        self.pull = self.base.means.new_zeros(len(self.base))  # summed lengths of gradients, for growth
        self._graph = None if self.faces is None else regularisers.mesh_graph(self.faces)
        self._weights = {name: weight for name, weight in vars(settings.weights).items() if weight}

    # ---- What it holds -----------------------------------------------------------------------

    def result(self) -> Fitted:
        """The present state."""
        cameras = [self._cameras(i, capture.cameras) for i, capture in enumerate(self.captures)]
        return Fitted(self.ellipsoids(), [_detached(c) for c in cameras], self.background().detach())

    def ellipsoids(self) -> Ellipsoids:
        """The present set as full-sized pictures see it, filter included, without gradient history."""
        return widened(self._present(self.optimiser.done), self._cells[0], self.settings.filter).detach()

    def background(self) -> Tensor:
        """(3,) what is behind the object when pictures are shown: of `random`, the middle grey."""
        named = {Background.black: 0.0, Background.white: 1.0, Background.random: 0.5}
        if self.settings.background is Background.learned:
            return self.optimiser["raw_background"].sigmoid()
        return self.base.means.new_full((3,), named[self.settings.background])

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by flat names, on the CPU."""
        own = {f"base/{name}": getattr(self.base, name) for name in ("means", "scales", "quats", "density", "features")}
        own |= {"pull": self.pull}
        if self.neighbours is not None:
            own["neighbours"] = self.neighbours
        return {**self.optimiser.state(), **{name: t.detach().to("cpu", copy=True) for name, t in own.items()}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is of other variables.
        """
        self.optimiser.load({name: t for name, t in state.items() if name != "pull" and not name.startswith("base/")})
        device = self.base.device
        saved = {name.removeprefix("base/"): t.to(device) for name, t in state.items() if name.startswith("base/")}
        self.base = Ellipsoids(
            saved["means"],
            saved["scales"],
            saved["quats"],
            saved["density"],
            saved["features"],
            metadata=self.base.metadata,
        )
        self.pull = state["pull"].to(device)
        self.neighbours = state["neighbours"].to(device) if "neighbours" in state else None

    # ---- Steps -------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Take the steps that are left; yields after each.

        Raises:
            voge.optimise.DivergedError: see `Optimiser.run`.
        """
        for step in self.optimiser.run(self._loss):
            if self.follower is not None and self.follower.ends(step.number):
                self._set_free(self.follower)
            self._grow(step.number)
            yield step

    def _loss(self, step: int) -> dict[str, Tensor]:
        """The weighted terms of a step."""
        if self.follower is not None and self.follower.due(step):
            self.base = self.follower.shaped(self.base, self.optimiser["surface"], step)
        ellipsoids = self._present(step)
        terms = self._picture_terms(ellipsoids, step)
        wanted = [name for name in self._weights if name not in (*_PICTURES, *_MESH)]
        due = self.neighbours is None or step % self.settings.neighbours_every == 0
        if due and any(name not in _ALONE for name in wanted):
            self.neighbours = regularisers.nearest_neighbours(ellipsoids.means, self.settings.neighbours)
        for name in wanted:
            function = getattr(regularisers, name)
            terms[name] = function(ellipsoids) if name in _ALONE else function(ellipsoids, self.neighbours)
        if self._graph is not None and len(ellipsoids) == self._vertex_count:
            for name in _MESH:
                if name in self._weights:
                    terms[name] = getattr(regularisers, name)(
                        ellipsoids.means, self._graph[1 if name == "mesh_normals" else 0]
                    )
        return {name: self._weights[name] * term for name, term in terms.items()}

    def _picture_terms(self, ellipsoids: Ellipsoids, step: int) -> dict[str, Tensor]:
        """Means over the views of this step, unweighted."""
        settings = self.settings
        size = -1 if step < settings.coarse.until * settings.steps else 0
        seen = widened(ellipsoids, self._cells[size], settings.filter)
        total = sum(map(len, self.captures))
        count = min(settings.views_per_step, total)
        chosen = torch.randperm(total, generator=self.optimiser.generator)[:count].sort().values
        terms: dict[str, Tensor] = {}
        first = 0
        for i, (capture, rays) in enumerate(self.levels[size]):
            rows = chosen[(chosen >= first) & (chosen < first + len(capture))] - first
            first += len(capture)
            if len(rows):
                for name, term in self._compare(seen, i, capture, rays, rows).items():
                    share = term * (len(rows) / count)
                    terms[name] = terms[name] + share if name in terms else share
        return terms

    def _compare(
        self, ellipsoids: Ellipsoids, index: int, capture: Capture, rays: Rays | None, rows: Tensor
    ) -> dict[str, Tensor]:
        """Some views of a capture against what is rendered of them."""
        settings = self.settings
        rows = rows.to(ellipsoids.device, non_blocking=True)
        cameras = self._cameras(index, self._fine(capture.cameras), rows)
        some = cameras.rays() if rays is None else Rays(rays.origins[rows], rays.directions[rows])
        assert ellipsoids.features is not None
        image, alpha, _ = ops.render_rays(ellipsoids, ellipsoids.features, some, cameras, settings.settings)
        if settings.samples > 1:
            image, alpha = (_pooled(picture, settings.samples) for picture in (image, alpha))
        images, masks = capture.images[rows], None if capture.masks is None else capture.masks[rows]
        if masks is None or settings.background is not Background.black:
            behind = self.background()
            if settings.background is Background.random:
                behind = torch.rand(3, generator=self.optimiser.generator).to(images, non_blocking=True)
            image = image + (1 - alpha)[..., None] * behind
            images = images if masks is None else images + (1 - masks)[..., None] * behind
        terms = {}
        if "color" in self._weights:
            terms["color"] = COLOR_LOSSES[settings.color_loss](image, images)
        if "dissimilarity" in self._weights:
            terms["dissimilarity"] = dissimilarity(image, images)
        if "silhouette" in self._weights and masks is not None:
            terms["silhouette"] = SILHOUETTE_LOSSES[settings.silhouette_loss](alpha, masks)
        return terms

    # ---- Parts -------------------------------------------------------------------------------

    def _present(self, step: int) -> Ellipsoids:
        """The set before the step of this number, with gradient history."""
        values = self.optimiser.values
        if self.follower is None or not self.follower.active(step):
            return to_ellipsoids(values, self.base)
        # Shapes are the base's, which follows the centres.
        variables = {"means": self.follower.means(values["surface"])}
        if "raw_colors" in values:
            variables["raw_colors"] = values["raw_colors"]
        return to_ellipsoids(variables, self.base)

    def _set_free(self, follower: Follower) -> None:
        """Start the free variables from where the surface has led."""
        means = follower.means(self.optimiser["surface"]).detach()
        free = ellipsoid_variables(replace(self.base, means=means))
        with torch.no_grad():
            for name in ("means", "log_scales", "quats", "raw_density"):
                if name in self.optimiser:
                    self.optimiser[name].copy_(free[name])

    def _grow(self, done: int) -> None:
        """Every now and then other ellipsoids, to the budget."""
        plan, steps = self.settings.growth, self.settings.steps
        if not plan.budget or "means" not in self.optimiser:
            return
        gradient = self.optimiser["means"].grad
        if gradient is not None:
            self.pull = self.pull + gradient.norm(dim=1)
        if done % plan.every or not plan.start * steps < done <= plan.until * steps or gradient is None:
            return
        present = self._present(done).detach()
        change = growth.grow(
            present, self.pull, budget=plan.budget, share=plan.share, least_opacity=plan.least_opacity,
            generator=self.optimiser.generator,
        )  # fmt: skip
        new = present[change.rows]
        self.base = replace(
            new,
            means=new.means + change.shift,
            scales=new.scales * change.factor[:, None],
            density=new.density * change.density,
        )
        names = [name for name in NAMES.values() if name in self.optimiser]
        self.optimiser.rearrange(names, change.rows, change.fresh)
        free = ellipsoid_variables(self.base)
        with torch.no_grad():
            for name in names:
                self.optimiser[name].copy_(free[name])
        self.pull, self.neighbours = self.pull.new_zeros(len(self.base)), None

    def _cameras(self, index: int, cameras: Cameras, rows: Tensor | None = None) -> Cameras:
        """The cameras of a capture in some size, with what is optimised of them; of some rows, or all."""
        chosen = cameras if rows is None else cameras[rows]
        if not self.moves_cameras:
            return chosen
        first = sum(len(capture) for capture in self.captures[:index])
        poses = self.optimiser.values.get("poses")
        if poses is not None:
            poses = poses[first : first + len(cameras)]
            poses = poses if rows is None else poses[rows]
        values = self.optimiser.values
        focals, centers = values.get("log_focals"), values.get("centers")
        return moved_cameras(chosen, poses, focals, centers, pivot=self.center, unit=self._away)

    @property
    def moves_cameras(self) -> bool:
        """Whether anything of the cameras is optimised."""
        return not {Part.poses, Part.focals, Part.centers}.isdisjoint(self.settings.optimize)

    def _levels(self) -> list[list[tuple[Capture, Rays | None]]]:
        """The captures in full size and, at last, coarse; with rays where cameras stand still and memory allows."""
        coarse = self.settings.coarse
        sizes = [self.captures]
        if coarse.factor > 1 and coarse.until > 0:
            sizes.append([capture.shrunk(coarse.factor) for capture in self.captures])
        count = self.settings.samples**2 * sum(len(c) * c.cameras.width * c.cameras.height for c in self.captures)
        keep = not self.moves_cameras and count <= RAYS_KEPT
        return [[(c, self._fine(c.cameras).rays() if keep else None) for c in level] for level in sizes]

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

    def _variables(self) -> dict[str, Variable]:
        """What is optimised, with its rates."""
        settings, rates = self.settings, self.settings.rates
        self._vertex_count = len(self.base)
        free = ellipsoid_variables(self.base)
        lengths = lambda rate: replace(rate, value=rate.value * self.unit)  # noqa: E731
        own: dict[Part, Rate] = {
            Part.means: lengths(rates.means), Part.scales: rates.scales, Part.quats: rates.quats,
            Part.density: rates.density, Part.colors: rates.colors,
        }  # fmt: skip
        variables = {NAMES[p]: Variable(free[NAMES[p]], own[p]) for p in own if p in settings.optimize}
        if self.follower is not None:
            variables["surface"] = Variable(self.follower.start, lengths(rates.surface))
        zeros = self.base.means.new_zeros
        if Part.poses in settings.optimize:
            variables["poses"] = Variable(zeros(sum(map(len, self.captures)), 6), rates.poses)
        if Part.focals in settings.optimize:
            variables["log_focals"] = Variable(zeros(1), rates.focals)
        if Part.centers in settings.optimize:
            variables["centers"] = Variable(zeros(2), rates.centers)
        if settings.background is Background.learned:
            variables["raw_background"] = Variable(
                border_color(self.captures).clamp(0.01, 0.99).logit(), rates.background
            )
        centers = torch.cat([capture.cameras.centers for capture in self.captures])
        self._away = float((centers - self.center).norm(dim=1).median())
        return variables


def _check(captures: Sequence[Capture], settings: FitSettings) -> None:
    if not captures:
        raise ValueError("captures must have at least one; got none")
    masked = all(capture.masks is not None for capture in captures)
    if settings.background is Background.random and not masked:
        raise ValueError("background random needs masks: pictures without have their own; use learned, white or black")
    if not (settings.weights.color or settings.weights.dissimilarity or (masked and settings.weights.silhouette)):
        raise ValueError("weights must have color, dissimilarity or, with masks, silhouette above 0; all are 0")


def _pooled(picture: Tensor, n: int) -> Tensor:
    """Means over n x n pixels of (V, H, W) or (V, H, W, C)."""
    views, height, width, *channels = picture.shape
    return picture.reshape(views, height // n, n, width // n, n, *channels).mean((2, 4))


def _detached(cameras: Cameras) -> Cameras:
    return replace(cameras, viewmats=cameras.viewmats.detach(), Ks=cameras.Ks.detach())
