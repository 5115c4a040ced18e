"""The types of the commands' configurations. Values and their meaning are in configs/*.yaml, rules are here."""

from __future__ import annotations

from dataclasses import dataclass, field

from voge.convert.settings import Conversion
from voge.imaging.settings import ColorSpace, DepthKind, Frame, Light, Output, parse_background
from voge.io.settings import CameraFile, Convention, Direction, FeatureFile, Units, Video, parse_size
from voge.rendering.settings import Aggregation, Backend, RenderSettings
from voge.scene.settings import Up


@dataclass(frozen=True, kw_only=True)
class DepthConfig:
    """What depth is."""

    kind: DepthKind = DepthKind.ray


@dataclass(frozen=True, kw_only=True)
class NormalConfig:
    """What normals are."""

    frame: Frame = Frame.world


@dataclass(frozen=True, kw_only=True)
class FeaturesConfig:
    """How features are written."""

    files: list[FeatureFile] = field(default_factory=lambda: list(FeatureFile))


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """voge render."""

    models: list[str]
    out: str | None
    size: str | None
    outputs: list[Output]
    background: str
    color_space: ColorSpace
    azimuth: list[float]
    elevation: list[float]
    distance: float | None
    fov: float
    ortho: bool
    up: Up
    turntable: int
    film: bool
    video: Video
    fps: float
    device: str
    cameras: CameraFile = field(default_factory=CameraFile)
    depth: DepthConfig = field(default_factory=DepthConfig)
    normal: NormalConfig = field(default_factory=NormalConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    light: Light = field(default_factory=Light)
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        if self.size is not None:
            parse_size(self.size)
        parse_background(self.background)
        rules = {
            "azimuth": (len(self.azimuth) > 0, "must have at least one angle"),
            "elevation": (len(self.elevation) > 0, "must have at least one angle"),
            "outputs": (len(self.outputs) > 0, f"must have at least one of {', '.join(Output)}"),
            "distance": (self.distance is None or self.distance > 0, "must be positive"),
            "fov": (0 < self.fov < 180, "must lie between 0 and 180 degrees"),
            "turntable": (self.turntable >= 0, "must be at least 1 frame, or 0 for no video"),
            "fps": (self.fps > 0, "must be positive"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class ShowCamerasConfig:
    """voge cameras."""

    input: str | None
    format: str | None
    out: str | None
    image_size: str | None
    convention: Convention | None
    direction: Direction | None
    units: Units | None
    object_id: int | None
    to: str | None
    model: str | None
    size: str
    azimuth: float
    elevation: float
    up: Up
    device: str
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        from voge.io.cameras import FORMATS

        parse_size(self.size)
        if self.image_size is not None:
            parse_size(self.image_size)
        for name in ("format", "to"):
            if getattr(self, name) not in (None, *FORMATS):
                raise ValueError(f"{name} must be one of {', '.join(FORMATS)}, got '{getattr(self, name)}'")


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
