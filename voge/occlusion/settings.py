"""How an occlusion problem is solved."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from voge.occlusion.levels import Weights
from voge.rendering.settings import RenderSettings


class Method(str, Enum):
    """What moves the objects."""

    solver = "solver"  # proposals for each object, then damped least squares of all, from coarse to fine
    gradient = "gradient"  # gradient descent through the renderer, as in the paper (section 4.6)


@dataclass(frozen=True, kw_only=True)
class Search:
    """Where each object is looked for, given the others."""

    enabled: bool = True
    reach: float | None = None  # diameters from the start; None: all over the view, at all depths
    spacing: float = 0.35  # between places across the view, diameters; wider ones miss thin objects
    depth_ratio: float = 1.2  # between one depth and the next
    smallest: float = 0.08  # least size in the picture, of its longer side, where `reach` is None
    rotations: int = 6  # turned starts beside the one that it has; 0: none
    kept: int = 8  # of the best places, improved side by side
    iterations: int = 10  # of that
    enough: float = 1e-5  # of what the targets differ from the background: search ends when less is unexplained
    attempts: int = 2  # from an empty scene; then, where that explains too little, from the start poses
    rounds: int = 4  # at most, each looking for every object again; ended by one that gains less than a tenth

    def __post_init__(self) -> None:
        rules = {
            "reach": (self.reach is None or self.reach > 0, "must be positive, or None"),
            "spacing": (self.spacing > 0, "must be positive"),
            "depth_ratio": (self.depth_ratio > 1, "must be above 1"),
            "smallest": (0 < self.smallest <= 1, "must be above 0 and at most 1"),
            "rotations": (self.rotations >= 0, "must be at least 0"),
            "kept": (self.kept >= 1, "must be at least 1"),
            "iterations": (self.iterations >= 1, "must be at least 1"),
            "attempts": (self.attempts >= 1, "must be at least 1"),
            "enough": (0 <= self.enough < 1, "must be at least 0 and below 1"),
            "rounds": (self.rounds >= 0, "must be at least 0"),
        }
        _check(self, rules)


@dataclass(frozen=True, kw_only=True)
class Refine:
    """Damped least squares of all objects together."""

    pyramid: bool = True  # coarse levels first; else only the finest
    iterations: int = 20  # at most, a level
    patience: float = 1e-3  # a level ends when a step gains less than this share of the cost
    robust: float | None = None  # differences of a pixel beyond this count ever less; None: all count as squares

    def __post_init__(self) -> None:
        rules = {
            "iterations": (self.iterations >= 1, "must be at least 1"),
            "patience": (0 <= self.patience < 1, "must be at least 0 and below 1"),
            "robust": (self.robust is None or self.robust > 0, "must be positive, or None"),
        }
        _check(self, rules)


@dataclass(frozen=True, kw_only=True)
class Gradient:
    """Gradient descent."""

    steps: int = 200
    rate: float = 0.023  # of Adam, diameters and radians a step: the paper's 0.05 for its cuboid of 2.2
    final: float = 1.0  # of the rate at the last step
    betas: list[float] = field(default_factory=lambda: [0.6, 0.4])  # of the released code
    density: float = 1.0  # factor at the start: below 1, what is hidden is seen through what hides it
    widened: float = 0.0  # added to every ellipsoid's deviations at the start, diameters
    blur: float = 0.0  # of the differences at the start, pixels
    anneal: float = 0.75  # part of the steps after which density, width and blur are their own

    def __post_init__(self) -> None:
        rules = {
            "steps": (self.steps >= 1, "must be at least 1"),
            "rate": (self.rate > 0, "must be positive"),
            "final": (0 < self.final <= 1, "must be above 0 and at most 1"),
            "betas": (len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "must be two numbers from 0 to 1"),
            "density": (0 < self.density <= 1, "must be above 0 and at most 1"),
            "widened": (self.widened >= 0, "must be at least 0"),
            "blur": (self.blur >= 0, "must be at least 0"),
            "anneal": (0 < self.anneal <= 1, "must be above 0 and at most 1"),
        }
        _check(self, rules)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of them."""

    method: Method = Method.solver
    background: list[float] = field(default_factory=lambda: [0.0])  # behind all: a value a channel, or one
    weights: Weights = field(default_factory=Weights)
    search: Search = field(default_factory=Search)
    refine: Refine = field(default_factory=Refine)
    gradient: Gradient = field(default_factory=Gradient)
    render: RenderSettings = field(default_factory=RenderSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", Method(self.method))


def _check(settings: object, rules: dict[str, tuple[bool, str]]) -> None:
    for name, (holds, rule) in rules.items():
        if not holds:
            raise ValueError(f"{name} {rule}, got {getattr(settings, name)}")
