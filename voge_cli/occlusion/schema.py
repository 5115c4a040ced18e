"""The type of the configuration of voge occlusion."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from voge.convert.settings import Conversion
from voge.io.settings import CameraFile, Video
from voge.occlusion.settings import Gradient, Method, Refine, Search, Settings, Weights
from voge.rendering.settings import RenderSettings


class Loss(str, Enum):
    """What of the pictures is compared."""

    color = "color"
    silhouette = "silhouette"
    features = "features"


@dataclass(frozen=True, kw_only=True)
class SolveConfig:
    """See `voge.occlusion.Settings`."""

    method: Method = Method.solver
    background: list[float] = field(default_factory=lambda: [0.0])
    weights: Weights = field(default_factory=Weights)
    search: Search = field(default_factory=Search)
    refine: Refine = field(default_factory=Refine)
    gradient: Gradient = field(default_factory=Gradient)


@dataclass(frozen=True, kw_only=True)
class OcclusionConfig:
    """voge occlusion."""

    scene: str | None
    images: list[str]
    losses: list[Loss]
    out: str | None
    log_every: int
    save_every: int
    video: Video
    frames: int
    side: float
    device: str
    deterministic: bool
    seed: int = 0
    cameras: CameraFile = field(default_factory=CameraFile)
    solve: SolveConfig = field(default_factory=SolveConfig)
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        if not self.losses or {Loss.color, Loss.features} <= set(self.losses):
            found = [loss.value for loss in self.losses]
            raise ValueError(f"losses must have silhouette, color or features, and not both of these; got {found}")
        for name, least in (("log_every", 1), ("save_every", 1), ("frames", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def problem(self) -> Settings:
        """What `voge.occlusion.solve` takes."""
        weights = self.solve.weights
        if Loss.silhouette not in self.losses:
            weights = replace(weights, silhouette=0.0, image=weights.image or 1.0)
        return Settings(**{**vars(self.solve), "weights": weights}, render=self.settings, seed=self.seed)
