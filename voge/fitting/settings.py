"""What a fit can be told. The defaults are the recipe whose parts docs/fit.md weighs one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from voge.optim.settings import ColorLoss, Rate, SilhouetteLoss
from voge.rendering.settings import RenderSettings
from voge.scene.harmonics import MAX_DEGREE


class Part(str, Enum):
    """What may be optimized."""

    means = "means"
    scales = "scales"
    quats = "quats"
    density = "density"
    colors = "colors"
    poses = "poses"  # of the cameras
    focals = "focals"  # one factor of all focal lengths
    centers = "centers"  # one shift of all principal points


SHAPE = (Part.means, Part.scales, Part.quats, Part.density, Part.colors)


class Background(str, Enum):
    """What is behind the object."""

    black = "black"
    white = "white"
    random = "random"  # another color each step, behind masked pictures and the rendered ones alike
    learned = "learned"  # one color, optimized: for pictures without masks


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates; lengths are in units of the start's radius."""

    surface: Rate = field(default_factory=lambda: Rate(value=1e-2, final=0.05))  # of the smooth phase
    means: Rate = field(default_factory=lambda: Rate(value=2e-3, final=0.05))
    scales: Rate = field(default_factory=lambda: Rate(value=5e-3, final=0.1))  # of their logarithms
    quats: Rate = field(default_factory=lambda: Rate(value=5e-3, final=0.1))
    density: Rate = field(default_factory=lambda: Rate(value=1e-2, final=0.1))  # before softplus
    colors: Rate = field(default_factory=lambda: Rate(value=5e-2, final=0.1))  # before the logistic function
    sh: Rate = field(default_factory=lambda: Rate(value=1e-2, final=0.1))  # coefficients of harmonics
    # Cameras wait until the shape says something of them, and end slowly: Adam's steps would keep them trembling.
    poses: Rate = field(  # radians, and parts of the distance
        default_factory=lambda: Rate(value=4e-3, final=0.02, start=0.05)
    )
    focals: Rate = field(default_factory=lambda: Rate(value=2e-2, final=0.02, start=0.1))  # of the factor's logarithm
    centers: Rate = field(default_factory=lambda: Rate(value=5e-4, final=0.1))  # parts of the picture's size
    background: Rate = field(default_factory=lambda: Rate(value=2e-2, final=0.1))


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Of the losses; 0 leaves one out. Regularizers: `voge.optim.regularizers`."""

    color: float = 1.0
    silhouette: float = 1.0  # where there are masks
    dissimilarity: float = 0.0  # (1 - SSIM) / 2
    overlap: float = 0.0
    tangency: float = 0.02
    agreement: float = 0.0
    flatness: float = 0.01
    roundness: float = 0.0
    size_agreement: float = 0.0
    spacing_agreement: float = 0.0
    laplacian: float = 0.0
    feature_agreement: float = 0.03
    opacity_entropy: float = 0.0
    mesh_edges: float = 0.0
    mesh_laplacian: float = 0.0
    mesh_normals: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < float("inf"):
                raise ValueError(f"weight {name} must be at least 0 and finite, got {value}")


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The first phase of a start with faces: the shapes follow the surface of the centers."""

    until: float = 0.6  # part of the steps; 0 leaves the phase out
    smoothing: float = 3.0  # lambda of (I + lambda L)^-1 (Nicolet et al. 2021); 0 moves each center by itself
    refresh: int = 10  # steps between two looks at the surface
    thickness: tuple[float, float] = (0.5, 0.05)  # over width, at first and at last: thick ones feel pixels from afar
    width: tuple[float, float] = (1.0, 0.75)  # kappa of `voge.convert`, likewise

    def __post_init__(self) -> None:
        if not 0 <= self.until <= 1:
            raise ValueError(f"until must lie between 0 and 1, got {self.until}")
        if self.smoothing < 0:
            raise ValueError(f"smoothing must be at least 0, got {self.smoothing}")
        if self.refresh < 1:
            raise ValueError(f"refresh must be at least 1 step, got {self.refresh}")
        for name in ("thickness", "width"):
            value = getattr(self, name)
            if len(value) != 2 or min(value) <= 0:
                raise ValueError(f"{name} must be two positive numbers, got {value}")


@dataclass(frozen=True, kw_only=True)
class Coarse:
    """Small pictures first."""

    factor: float = 2.0  # the first steps' pictures have sides divided by it; 1 for none
    until: float = 0.6  # part of the steps

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")
        if not 0 <= self.until <= 1:
            raise ValueError(f"until must lie between 0 and 1, got {self.until}")


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Ellipsoids come where the pictures pull hard, and go where they stop no light (Kerbl et al. 2023, section 5)."""

    budget: int = 0  # ellipsoids at most; 0: as many as there are, and none is dropped
    every: int = 100  # steps between two changes
    start: float = 0.6  # part of the steps, after which it begins
    until: float = 0.85  # and ends
    share: float = 0.1  # of the ellipsoids that split or are cloned at a time, those that are pulled hardest
    least_opacity: float = 0.02  # of those that stay

    def __post_init__(self) -> None:
        if self.budget < 0:
            raise ValueError(f"budget must be at least 0, got {self.budget}")
        if self.every < 1:
            raise ValueError(f"every must be at least 1 step, got {self.every}")
        if not 0 <= self.start <= self.until <= 1:
            raise ValueError(f"start and until must satisfy 0 <= start <= until <= 1, got {self.start}, {self.until}")
        if not 0 < self.share <= 1 or not 0 <= self.least_opacity < 1:
            raise ValueError(
                f"share must lie in (0, 1], least_opacity in [0, 1); got {self.share}, {self.least_opacity}"
            )


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How to fit.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    steps: int = 2000
    views_per_step: int = 5
    optimize: tuple[Part, ...] = SHAPE
    background: Background = Background.black
    color_loss: ColorLoss = ColorLoss.squared
    silhouette_loss: SilhouetteLoss = SilhouetteLoss.squared
    filter: float = 0.25  # blur of the ellipsoids, pixels (`widened`): tighter ones fall between the rays
    sh_degree: int = 0  # of the colors' harmonics, 0 to 3: above 0 they depend on the direction of view
    samples: int = 1  # rays along each side of a pixel, whose mean it is: sharper than the filter, and as much dearer
    neighbors: int = 8  # of an ellipsoid, for the regularizers; a regular surface has 6
    neighbors_every: int = 25  # steps between two graphs of neighbors
    seed: int = 0
    weights: Weights = field(default_factory=Weights)
    rates: Rates = field(default_factory=Rates)
    surface: Surface = field(default_factory=Surface)
    coarse: Coarse = field(default_factory=Coarse)
    growth: Growth = field(default_factory=Growth)
    # One box an ellipsoid: a fifth less time a step than with two, for the same result (docs/fit.md).
    settings: RenderSettings = field(default_factory=lambda: RenderSettings(boxes=1))

    def __post_init__(self) -> None:
        object.__setattr__(self, "optimize", tuple(Part(part) for part in self.optimize))
        for name, kind in (("background", Background), ("color_loss", ColorLoss), ("silhouette_loss", SilhouetteLoss)):
            object.__setattr__(self, name, kind(getattr(self, name)))
        if not self.optimize:
            raise ValueError(f"optimize must name at least one of {', '.join(p.value for p in Part)}")
        if not 0 <= self.filter < float("inf"):
            raise ValueError(f"filter must be at least 0 pixels and finite, got {self.filter}")
        if self.sh_degree not in range(MAX_DEGREE + 1):
            raise ValueError(f"sh_degree must lie between 0 and {MAX_DEGREE}, got {self.sh_degree}")
        for name in ("steps", "views_per_step", "samples", "neighbors", "neighbors_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
