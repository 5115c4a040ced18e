"""The type of the configuration of voge match; values and their meaning are in configs/."""

from __future__ import annotations

from dataclasses import dataclass, field

from voge.pose.settings import Shape
from voge.rendering.settings import RenderSettings


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
