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

from voge.fitting import growth
from voge.fitting.comparing import TERMS, Comparison
from voge.fitting.following import Follower
from voge.fitting.parameters import ellipsoid_variables, to_ellipsoids
from voge.fitting.settings import FitSettings, Part
from voge.fitting.starts import Start, enclosed, sphere
from voge.optim import regularizers
from voge.optim.optimizer import Optimizer, Step, Variable
from voge.optim.settings import Rate
from voge.rendering.pixel_filter import widened
from voge.scene import harmonics
from voge.scene.cameras import Cameras
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids

NAMES = {
    Part.means: "means",
    Part.scales: "log_scales",
    Part.quats: "quats",
    Part.density: "raw_density",
    Part.colors: "raw_colors",
}
COLORS = ("raw_colors", "sh")  # variables of `Part.colors`; the second where colors depend on the direction of view
RAISED = 0.3  # part of the steps after which harmonics of the next degree come in, from 1 on
_ALONE = ("flatness", "roundness", "opacity_entropy")  # regularizers that ask for no neighbors
_MESH = ("mesh_edges", "mesh_laplacian", "mesh_normals")


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """Result of a fit."""

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
        voge.errors.DivergedError: a loss or a gradient is not finite; names it and the step.
    """
    fitting = Fitting([captures] if isinstance(captures, Capture) else captures, start, settings or FitSettings())
    for step in fitting.steps():
        if watch is not None:
            watch(fitting, step)
    return fitting.result()


class Fitting:
    """A fit between its steps; arguments as of `fit`."""

    def __init__(self, captures: Sequence[Capture], start: Start | Ellipsoids | None, settings: FitSettings) -> None:
        if not captures:
            raise ValueError("captures must have at least one; got none")
        if start is None:
            middle, radius = enclosed(captures)
            start = sphere(2562, radius, middle)
        elif isinstance(start, Ellipsoids):
            start = Start(start, None)
        device = captures[0].device
        self.settings = settings
        # Without other extras: normals and the like are the start's alone.
        sh = start.ellipsoids.extra.get("sh", start.ellipsoids.means.new_zeros(len(start.ellipsoids), 0, 3))
        self._first_degree = max(harmonics.degree_of(sh.shape[1]), 1)
        extra = {"sh": harmonics.of_degree(sh, settings.sh_degree)} if settings.sh_degree else {}
        self.base = replace(start.ellipsoids, extra=extra).to(torch.float32).to(device).detach()
        if self.base.features is None:
            self.base = replace(self.base, features=torch.full_like(self.base.means, 0.5))
        self.faces = None if start.faces is None else start.faces.to(device)
        self.center = self.base.means.mean(0)
        self.unit = float((self.base.means - self.center).square().sum(1).mean().sqrt())
        self.comparison = Comparison(captures, settings, self.center)
        self.follower: Follower | None = None
        if self.faces is not None and settings.surface.until > 0 and Part.means in settings.optimize:
            self.follower = Follower(self.base, self.faces, settings.surface, settings.steps)
        self.optimizer = Optimizer(self._variables(), settings.steps, seed=settings.seed)
        self.neighbors: Tensor | None = None  # (N, k)
        self.pull = self.base.means.new_zeros(len(self.base))  # summed lengths of gradients, for growth
        self._graph = None if self.faces is None else regularizers.mesh_graph(self.faces)
        self._weights = {name: weight for name, weight in vars(settings.weights).items() if weight}

    # ---- What it holds -----------------------------------------------------------------------

    def result(self) -> Fitted:
        """The result as it is after the steps so far."""
        return Fitted(self.ellipsoids(), self.comparison.refined(self.optimizer.values), self.background())

    def ellipsoids(self) -> Ellipsoids:
        """The present set without gradient history, filter included: as full-sized pictures see it.

        Given scales that are not optimized come back as they are.
        """
        present = self._present(self.optimizer.done).detach()
        own = Part.scales in self.settings.optimize
        return widened(present, self.comparison.cells[0], self.settings.filter) if own else present

    def background(self) -> Tensor:
        """(3,) what is behind the object when pictures are shown: of `random`, the middle gray."""
        return self.comparison.background(self.optimizer.values).detach()

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on, by flat names, on the CPU."""
        own = {f"base/{name}": getattr(self.base, name) for name in ("means", "scales", "quats", "density", "features")}
        own |= {f"base/{name}": tensor for name, tensor in self.base.extra.items()}
        own |= {"pull": self.pull, "order": self.comparison.order}
        if self.neighbors is not None:
            own["neighbors"] = self.neighbors
        return {**self.optimizer.state(), **{name: t.detach().to("cpu", copy=True) for name, t in own.items()}}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is of other variables, or of harmonics of another degree.
        """
        counts = [0 if sh is None else sh.shape[1] for sh in (state.get("base/sh"), self.base.extra.get("sh"))]
        if counts[0] != counts[1]:
            raise ValueError("the state's sh_degree is {}, not {}".format(*map(harmonics.degree_of, counts)))
        self.optimizer.load({name: t for name, t in state.items() if name != "pull" and not name.startswith("base/")})
        device = self.base.device
        saved = {name.removeprefix("base/"): t.to(device) for name, t in state.items() if name.startswith("base/")}
        self.base = Ellipsoids(
            saved["means"],
            saved["scales"],
            saved["quats"],
            saved["density"],
            saved["features"],
            {"sh": saved["sh"]} if "sh" in saved else {},
            metadata=self.base.metadata,
        )
        self.pull, self.comparison.order = state["pull"].to(device), state["order"]
        self.neighbors = state["neighbors"].to(device) if "neighbors" in state else None

    # ---- Steps -------------------------------------------------------------------------------

    def steps(self) -> Iterator[Step]:
        """Take the steps that are left; yields after each.

        Raises:
            voge.errors.DivergedError: see `Optimizer.run`.
        """
        for step in self.optimizer.run(self._loss, self._weights):
            if self.follower is not None and self.follower.ends(step.number):
                self._set_free(self.follower)
            self._grow(step.number)
            yield step

    def _loss(self, step: int) -> dict[str, Tensor]:
        """The terms of a step, unweighted."""
        if self.follower is not None and self.follower.due(step):
            self.base = self.follower.shaped(self.base, self.optimizer["surface"], step)
        ellipsoids = self._present(step)
        terms = self.comparison.terms(self._lowered(ellipsoids, step), step, self.optimizer)
        wanted = [name for name in self._weights if name not in (*TERMS, *_MESH)]
        due = self.neighbors is None or step % self.settings.neighbors_every == 0
        if due and any(name not in _ALONE for name in wanted):
            self.neighbors = regularizers.nearest_neighbors(ellipsoids.means, self.settings.neighbors)
        for name in wanted:
            function = getattr(regularizers, name)
            terms[name] = function(ellipsoids) if name in _ALONE else function(ellipsoids, self.neighbors)
        if self._graph is not None and len(ellipsoids) == self._vertex_count:
            for name in _MESH:
                if name in self._weights:
                    terms[name] = getattr(regularizers, name)(
                        ellipsoids.means, self._graph[1 if name == "mesh_normals" else 0]
                    )
        return terms

    # ---- Parts -------------------------------------------------------------------------------

    def _present(self, step: int) -> Ellipsoids:
        """The set before the step of this number, with gradient history.

        Where focal lengths are sought along with the shape, the set shrinks as they grow. Pictures then hardly change
        at first order, and what is left is the perspective, which alone tells them: without, every center would have
        to walk before a focal length may.
        """
        shape, values = self._shape(step), self.optimizer.values
        if "log_focals" not in values or not {Part.means, Part.scales} <= set(self.settings.optimize):
            return shape
        size = (-values["log_focals"]).exp()
        return replace(shape, means=self.center + (shape.means - self.center) * size, scales=shape.scales * size)

    def _shape(self, step: int) -> Ellipsoids:
        """The set that the variables of shape and color have, with gradient history."""
        values = self.optimizer.values
        if self.follower is None or not self.follower.active(step):
            return to_ellipsoids(values, self.base)
        # Shapes are the base's, which follows the centers.
        variables = {"means": self.follower.means(values["surface"])}
        variables |= {name: values[name] for name in COLORS if name in values}
        return to_ellipsoids(variables, self.base)

    def _lowered(self, ellipsoids: Ellipsoids, step: int) -> Ellipsoids:
        """Keep harmonics of the degrees that have come in before the step of this number; those of the start have."""
        degree = max(self._first_degree, 1 + int(step / (RAISED * self.settings.steps)))
        if degree >= self.settings.sh_degree:
            return ellipsoids
        return replace(ellipsoids, extra={"sh": harmonics.of_degree(ellipsoids.extra["sh"], degree)})

    def _set_free(self, follower: Follower) -> None:
        """Start the free variables from where the surface has led."""
        means = follower.means(self.optimizer["surface"]).detach()
        free = ellipsoid_variables(replace(self.base, means=means))
        with torch.no_grad():
            for name in ("means", "log_scales", "quats", "raw_density"):
                if name in self.optimizer:
                    self.optimizer[name].copy_(free[name])

    def _grow(self, done: int) -> None:
        """Split, clone and drop ellipsoids where a change is due, up to the budget."""
        plan, steps = self.settings.growth, self.settings.steps
        if not plan.budget or "means" not in self.optimizer:
            return
        gradient = self.optimizer["means"].grad
        if gradient is not None:
            self.pull = self.pull + gradient.norm(dim=1)
        if done % plan.every or not plan.start * steps < done <= plan.until * steps or gradient is None:
            return
        present = self._shape(done).detach()
        change = growth.grow(
            present, self.pull, budget=plan.budget, share=plan.share, least_opacity=plan.least_opacity,
            generator=self.optimizer.generator,
        )  # fmt: skip
        new = present[change.rows]
        self.base = replace(
            new,
            means=new.means + change.shift,
            scales=new.scales * change.factor[:, None],
            density=new.density * change.density,
        )
        names = [name for name in (*NAMES.values(), "sh") if name in self.optimizer]
        self.optimizer.rearrange(names, change.rows, change.fresh)
        free = ellipsoid_variables(self.base)
        with torch.no_grad():
            for name in names:
                self.optimizer[name].copy_(free[name])
        self.pull, self.neighbors = self.pull.new_zeros(len(self.base)), None

    def _variables(self) -> dict[str, Variable]:
        """Variables that are optimized, with their rates."""
        settings, rates = self.settings, self.settings.rates
        self._vertex_count = len(self.base)
        free = ellipsoid_variables(self.base)

        def lengths(rate: Rate) -> Rate:
            return replace(rate, value=rate.value * self.unit)

        own: dict[Part, Rate] = {
            Part.means: lengths(rates.means), Part.scales: rates.scales, Part.quats: rates.quats,
            Part.density: rates.density, Part.colors: rates.colors,
        }  # fmt: skip
        variables = {NAMES[p]: Variable(free[NAMES[p]], own[p]) for p in own if p in settings.optimize}
        if "sh" in free and Part.colors in settings.optimize:
            variables["sh"] = Variable(free["sh"], rates.sh)
        if self.follower is not None:
            variables["surface"] = Variable(self.follower.start, lengths(rates.surface))
        return variables | self.comparison.variables()
