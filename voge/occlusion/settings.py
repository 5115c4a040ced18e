"""Settings of occlusion: how a scene file is read, and how its poses are found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from voge import option as options
from voge.convert.settings import Conversion
from voge.io.settings import CameraFile
from voge.option import Settings, nested, option
from voge.rendering.settings import RenderSettings


class Method(str, Enum):
    """The method that moves the objects."""

    solver = "solver"  # proposals for each object, then damped least squares of all, from coarse to fine
    gradient = "gradient"  # gradient descent through the renderer, as in the paper (section 4.6)


class Loss(str, Enum):
    """A kind of picture that is compared."""

    color = "color"
    silhouette = "silhouette"
    features = "features"


@dataclass(frozen=True, kw_only=True)
class Weights(Settings):
    """Factors of the kinds of differences; each kind is a mean of squares over pixels."""

    image: float = option(1.0, "weight of the differences of colors or features")
    silhouette: float = option(1.0, "weight of the differences of silhouettes")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.image, self.silhouette) < 0 or self.image + self.silhouette <= 0:
            raise ValueError(
                "weights must be at least 0 and one of them above; "
                f"got image={self.image}, silhouette={self.silhouette}"
            )


@dataclass(frozen=True, kw_only=True)
class Search(Settings):
    """The search for one object, given the others."""

    enabled: bool = option(
        True, "look for objects all over the view", flag="--multi-start/--no-multi-start", default_text="yes"
    )
    reach: float | None = option(
        None,
        "how far from its start an object is looked for, in its diameters",
        above=0,
        rule="must be positive, or None",
        default_text="all over the view, at all depths",
    )
    spacing: float = option(0.35, "between places across the view, diameters; wider ones miss thin objects", above=0)
    depth_ratio: float = option(1.2, "ratio of one depth and the one before it", above=1)
    smallest: float = option(
        0.08,
        "least size of an object in the picture, of its longer side, where `reach` is not given",
        above=0,
        at_most=1,
    )
    rotations: int = option(6, "turned starts of an object beside its own; 0: none", at_least=0)
    kept: int = option(8, "best places that are improved, side by side", at_least=1)
    iterations: int = option(10, "iterations that improve these places", at_least=1)
    enough: float = option(
        1e-5, "search ends when a smaller share of the objects' picture is unexplained", at_least=0, below=1
    )
    attempts: int = option(
        2, "first from an empty scene, then, where that explains too little, from the start poses", at_least=1
    )
    rounds: int = option(4, "times that every object is looked for again, at most", at_least=0)


@dataclass(frozen=True, kw_only=True)
class Refine(Settings):
    """Damped least squares of all objects together."""

    pyramid: bool = option(True, "coarse levels first; else the finest alone")
    iterations: int = option(20, "iterations of a level, at most", at_least=1)
    patience: float = option(
        1e-3, "a level ends when a step gains less than this share of the cost", at_least=0, below=1
    )
    robust: float | None = option(
        None,
        "differences of a pixel beyond this, such as 0.2, count ever less",
        above=0,
        rule="must be positive, or None",
        default_text="all count as squares",
    )


@dataclass(frozen=True, kw_only=True)
class Gradient(Settings):
    """Gradient descent."""

    steps: int = option(200, "steps of gradient descent", at_least=1, flag="--steps")
    # The paper's 0.05 for its cuboid of 2.2.
    rate: float = option(0.023, "learning rate of Adam, diameters and radians a step", above=0)
    final: float = option(1.0, "learning rate of the last step, as a share of `rate`", above=0, at_most=1)
    betas: list[float] = option(
        [0.6, 0.4],  # of the released code
        "decay of Adam's two averages",
        holds=lambda betas: len(betas) == 2 and all(0 <= beta < 1 for beta in betas),
        rule="must be two numbers from 0 to 1",
    )
    density: float = option(
        1.0, "factor of densities at the start: below 1, hidden objects shine through", above=0, at_most=1
    )
    widened: float = option(0.0, "added to the ellipsoids' widths at the start, diameters", at_least=0)
    blur: float = option(0.0, "blur of the differences at the start, pixels", at_least=0)
    anneal: float = option(
        0.75, "part of the steps after which density, widths and blur are their own", above=0, at_most=1
    )


@dataclass(frozen=True, kw_only=True)
class SolveSettings(Settings):
    """The method, the differences that count, and the settings of each method."""

    method: Method = option(Method.solver, "method that moves the objects", flag="--method")
    background: list[float] = option([0.0], "color or features behind all objects: a value a channel, or one for all")
    weights: Weights = nested(Weights, "how much each kind of difference counts")
    search: Search = nested(Search, "where each object is looked for, given the others", promote=True)
    refine: Refine = nested(Refine, "damped least squares of all objects together, from coarse to fine")
    gradient: Gradient = nested(Gradient, "gradient descent", promote=True)


@dataclass(frozen=True, kw_only=True)
class OcclusionSettings(SolveSettings):
    """Settings of `voge.occlusion.solve`."""

    render: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids")
    seed: int = option(0, "seed of all random numbers", flag="--seed", metavar="N")


@dataclass(frozen=True, kw_only=True)
class SceneCameras(CameraFile):
    """The cameras of the targets."""

    file: str | None = option(
        None, "cameras in place of the scene's", flag="--cameras", metavar="FILE", default_text=""
    )
    frames: list[str] | None = option(
        None,
        "views of these cameras, by name, or number from 0",
        holds=bool,
        rule="must have at least one name or number",
        default_text="all",
    )


@dataclass(frozen=True, kw_only=True)
class SceneSettings(Settings):
    """Settings of `voge.occlusion.solve_scene`: how files are read, and how poses are found."""

    losses: list[Loss] = option(
        [Loss.color],
        "what is compared: color, silhouette, features",
        holds=lambda losses: bool(losses) and not {Loss.color, Loss.features} <= set(losses),
        rule="must have silhouette, color or features, and not both of these",
        flag="--loss",
        metavar="L,...",
    )
    cameras: SceneCameras = nested(SceneCameras, "cameras of the targets", promote=True)
    solve: SolveSettings = nested(SolveSettings, "how poses are found", promote=True)
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)
    convert: Conversion = nested(Conversion, "how meshes and points are converted")
    mask_id: int | None = option(
        None, "id of the object in silhouettes that are maps of ids", at_least=0, default_text="any above 0"
    )
    seed: int = option(0, "seed of all random numbers", flag="--seed", metavar="N")

    @property
    def problem(self) -> OcclusionSettings:
        """The settings for `voge.occlusion.solve`."""
        weights = self.solve.weights
        if Loss.silhouette not in self.losses:
            weights = replace(weights, silhouette=0.0, image=weights.image or 1.0)
        values = options.values(self.solve, SolveSettings)
        return OcclusionSettings(**{**values, "weights": weights}, render=self.settings, seed=self.seed)
