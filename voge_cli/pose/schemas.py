"""The types of the configurations of voge pose and voge match; values and their meaning are in configs/."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from voge.convert.settings import Conversion, MeshMethod
from voge.io.settings import Units, Video
from voge.pose.data.views import Augmentation
from voge.pose.estimation.ablation import Block
from voge.pose.estimation.refinement import Free, Method
from voge.pose.network.bank import Contrast
from voge.pose.network.model import Shape
from voge.rendering.settings import RenderSettings

if TYPE_CHECKING:
    from voge.pose.estimation.estimator import Estimation
    from voge.pose.network.training import Training
    from voge.pose.synthetic.benchmark import Synthesis


@dataclass(frozen=True, kw_only=True)
class SynthConfig:
    """voge pose synth."""

    out: str | None
    categories: list[str]
    train: int
    test: int
    train_shapes: int
    test_shapes: int
    width: int
    height: int
    focal: float
    distance: list[float]
    azimuth: list[float]
    elevation: list[float]
    theta: list[float]
    levels: list[str]
    seed: int
    workers: int
    shard: str | None

    def __post_init__(self) -> None:
        for name in ("distance", "azimuth", "elevation", "theta"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise ValueError(f"{name} must be the least and the most, such as [4,7]; got {values}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        self.synthesis()

    def synthesis(self) -> Synthesis:
        """What is made."""
        from voge.pose.synthetic.benchmark import Synthesis

        return Synthesis(**_shared(self, Synthesis))


@dataclass(frozen=True, kw_only=True)
class CheckDataConfig:
    """voge pose check-data."""

    data: str | None
    occluded: str | None
    decode: bool


@dataclass(frozen=True, kw_only=True)
class PoseTrainConfig:
    """voge pose train."""

    data: str | None
    categories: list[str] | None
    out: str
    extractor: str
    pretrained: bool
    channels: int
    width: float
    shape: Shape
    count: int
    method: MeshMethod
    coverage: float | None
    filter: float
    size: float
    epochs: float
    batch: int
    rate: float
    decay: float
    clutter: int
    precision: str
    workers: int
    memory: float
    log_every: int
    save_every: int
    seed: int
    deterministic: bool
    device: str
    contrast: Contrast = field(default_factory=Contrast)
    augmentation: Augmentation = field(default_factory=Augmentation)
    settings: RenderSettings = field(default_factory=RenderSettings)

    def __post_init__(self) -> None:
        for name in ("log_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        self.training()

    def training(self) -> Training:
        """How to train."""
        from voge.pose.network.training import Training

        return Training(**_shared(self, Training))


@dataclass(frozen=True, kw_only=True)
class RefinementConfig:
    """Of voge pose estimate."""

    method: Method = Method.lm
    steps: int | None = None
    free: Free | None = None
    damping: float = 1e-2
    block: Block = Block.none


@dataclass(frozen=True, kw_only=True)
class PoseEstimateConfig:
    """voge pose estimate."""

    inputs: list[str]
    model: str | None
    out: str | None
    features: str | None
    categories: list[str] | None
    levels: list[str]
    split: str
    occluded: str | None
    limit: int | None
    batch: int
    workers: int
    shard: str | None
    category: str | None
    box: list[float] | None
    mask: str | None
    pose: str | None
    focal: float | None
    units: Units | None
    video: Video
    starts: int
    candidates: int
    filter: float
    precision: str
    device: str
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        from voge.pose.data.datasets import LEVELS

        rules = {
            "levels": (bool(self.levels) and set(self.levels) <= set(LEVELS), f"must be some of {', '.join(LEVELS)}"),
            "limit": (self.limit is None or self.limit >= 1, "must be at least 1"),
            "batch": (self.batch >= 1, "must be at least 1"),
            "workers": (self.workers >= 1, "must be at least 1"),
            "focal": (self.focal is None or self.focal > 0, "must be positive"),
            "box": (
                self.box is None or (len(self.box) == 4 and self.box[0] < self.box[2] and self.box[1] < self.box[3]),
                "must be left,top,right,bottom, left of right and top above bottom",
            ),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")
        self.estimation(Free.rotation)

    def estimation(self, free: Free) -> Estimation:
        """How to estimate; `free` where the configuration leaves it open."""
        from voge.pose.estimation.estimator import Estimation
        from voge.pose.estimation.refinement import Refinement

        values = {**vars(self.refinement), "free": self.refinement.free or free}
        return Estimation(**{**_shared(self, Estimation), "refinement": Refinement(**values)})


@dataclass(frozen=True, kw_only=True)
class MatchConfig:
    """voge match."""

    inputs: list[str]
    out: str | None
    features: str
    model: str | None
    shape: Shape
    count: int
    size: float
    filter: float
    delta: list[float]
    top: int
    categories: list[str] | None
    split: str
    anchors: int
    limit: int | None
    batch: int
    workers: int
    device: str
    settings: RenderSettings = field(default_factory=RenderSettings)

    def __post_init__(self) -> None:
        rules = {
            "delta": (len(self.delta) > 0, "must have at least one angle"),
            "size": (self.size > 0, "must be positive"),
            "filter": (self.filter >= 0, "must be at least 0"),
            **{
                name: (getattr(self, name) is None or getattr(self, name) >= 1, "must be at least 1")
                for name in ("top", "count", "anchors", "limit", "batch", "workers")
            },
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")


def _shared(config: Any, kind: type) -> dict[str, Any]:
    """The values of a configuration that a dataclass of the library has under the same names."""
    values = {f.name: getattr(config, f.name) for f in fields(kind) if hasattr(config, f.name)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
