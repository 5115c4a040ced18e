"""The types of the configurations of voge pose and voge match; values and their meaning are in configs/."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voge.pose.synth import Synthesis


@dataclass(kw_only=True)
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
    elevation: list[float]
    theta: list[float]
    levels: list[str]
    seed: int
    workers: int
    shard: str | None

    def __post_init__(self) -> None:
        for name in ("distance", "elevation", "theta"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise ValueError(f"{name} must be the least and the most, such as [4,7]; got {values}")
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        self.synthesis()

    def synthesis(self) -> Synthesis:
        """What is made."""
        from voge.pose.synth import Synthesis

        return Synthesis(**_shared(self, Synthesis))


@dataclass(kw_only=True)
class CheckDataConfig:
    """voge pose check-data."""

    data: str | None
    occluded: str | None
    decode: bool


def _shared(config: Any, kind: type) -> dict[str, Any]:
    """The values of a configuration that a dataclass of the library has under the same names."""
    values = {f.name: getattr(config, f.name) for f in fields(kind) if hasattr(config, f.name)}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
