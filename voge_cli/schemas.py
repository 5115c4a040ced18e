"""The types of the commands' configurations. Values and their meaning are in configs/*.yaml, rules are here."""

from __future__ import annotations

from dataclasses import dataclass, field

from voge.convert.settings import Conversion
from voge.io.settings import parse_size
from voge.rendering.settings import Aggregation, Backend, RenderSettings


@dataclass(frozen=True, kw_only=True)
class BenchConfig:
    """voge bench."""

    scenes: list[str]
    intervals: list[int]
    counts: list[int] | None
    widths: list[float]
    sizes: list[str]
    channels: list[int]
    views: int
    aggregations: list[Aggregation] | None
    backends: list[str] | None
    peers: list[str]
    device: str
    repeat: int
    seconds: float
    memory: bool
    seed: int
    earlier: list[str]
    out: str | None
    plot: str | None
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        from voge.bench.contenders import Peer
        from voge.bench.plot import SUFFIXES

        for size in self.sizes:
            parse_size(size)
        for name in ("scenes", "intervals", "counts", "widths", "sizes", "channels", "aggregations", "backends"):
            if getattr(self, name) == []:
                raise ValueError(f"{name} must have at least one entry, got []")
        for name in ("intervals", "counts", "widths", "channels"):
            if not all(0 < number < float("inf") for number in getattr(self, name) or []):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("views", "repeat", "seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        choices = {"backends": (*Backend, "all"), "peers": (*Peer, "auto", "none")}
        for name, known in choices.items():
            for wrong in set(getattr(self, name) or []) - {str(getattr(k, "value", k)) for k in known}:
                named = ", ".join(str(getattr(k, "value", k)) for k in known)
                raise ValueError(f"{name} must be of {named}; got '{wrong}'")
        if self.plot is not None and not self.plot.lower().endswith(SUFFIXES):
            raise ValueError(f"plot must be a file called {', '.join(SUFFIXES)}; got '{self.plot}'")
