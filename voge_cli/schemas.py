"""The types of the commands' configurations. Values and their meaning are in configs/*.yaml, rules are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from voge.imaging.color import ColorSpace
from voge.imaging.pictures import DepthKind, Frame, Light
from voge.io.images import IMAGE_SUFFIXES
from voge.rendering.settings import Aggregation, Backend, RenderSettings

MAX_SIDE = 16384  # pixels


class Method(str, Enum):
    """How a file becomes ellipsoids."""

    auto = "auto"
    hat = "hat"
    triangle = "triangle"
    vertex = "vertex"
    points = "points"


class Units(str, Enum):
    """What one unit of length is."""

    mm = "mm"
    cm = "cm"
    m = "m"


class Up(str, Enum):
    """The upright axis of a world."""

    y = "y"
    z = "z"


class Output(str, Enum):
    """What is made of a view."""

    rgb = "rgb"
    alpha = "alpha"
    depth = "depth"
    normal = "normal"
    id = "id"
    features = "features"


class FeatureFile(str, Enum):
    """The format of rendered features."""

    npz = "npz"
    safetensors = "safetensors"


class Video(str, Enum):
    """The format of a turntable or a film."""

    mp4 = "mp4"
    gif = "gif"
    webp = "webp"


@dataclass(kw_only=True)
class Conversion:
    """From a mesh or points to ellipsoids; `None` is the converter's own default."""

    method: Method = Method.auto
    count: int | None = None
    coverage: float | None = None
    flatness: float | None = None
    neighbors: int | None = None
    kappa: float | None = None
    optical_depth: float | None = None

    def __post_init__(self) -> None:
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, got {self.coverage}")
        if self.count is not None and self.count < 4:
            raise ValueError(f"count must be at least 4, got {self.count}")
        if self.neighbors is not None and self.neighbors < 3:
            raise ValueError(f"neighbors must be at least 3, got {self.neighbors}")
        for name in ("flatness", "kappa", "optical_depth"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive, got {value}")


@dataclass(kw_only=True)
class ConvertConfig(Conversion):
    """voge convert."""

    input: str | None
    out: str | None
    units: Units | None
    up: Up | None
    normalize: bool
    crop: list[float] | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop is not None and not (len(self.crop) == 6 and all(map(float.__lt__, self.crop, self.crop[3:]))):
            raise ValueError(f"crop must be xmin,ymin,zmin,xmax,ymax,zmax, each min below its max; got {self.crop}")


@dataclass(kw_only=True)
class CamerasConfig:
    """Cameras of a file; `None` is what the file says (see `voge.io.cameras.load_cameras`)."""

    file: str | None = None
    frames: list[str] | None = None
    format: str | None = None
    convention: Convention | None = None
    direction: Direction | None = None
    object_id: int | None = None

    def __post_init__(self) -> None:
        if self.frames is not None and not self.frames:
            raise ValueError(f"frames must have at least one name or number, got {self.frames}")


@dataclass(kw_only=True)
class DepthConfig:
    """What depth is."""

    kind: DepthKind = DepthKind.ray


@dataclass(kw_only=True)
class NormalConfig:
    """What normals are."""

    frame: Frame = Frame.world


@dataclass(kw_only=True)
class FeaturesConfig:
    """How features are written."""

    files: list[FeatureFile] = field(default_factory=lambda: list(FeatureFile))


@dataclass(kw_only=True)
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
    cameras: CamerasConfig = field(default_factory=CamerasConfig)
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


@dataclass(kw_only=True)
class DemoConfig:
    """voge demo."""

    out: str
    resolution: int | None
    size: str | None
    turntable: int | None
    steps: int | None
    video: Video
    device: str
    backend: Backend

    def __post_init__(self) -> None:
        if self.size is not None:
            parse_size(self.size)
        if self.resolution is not None and self.resolution < 2:
            raise ValueError(f"resolution must be at least 2, got {self.resolution}")
        if self.turntable is not None and self.turntable < 1:
            raise ValueError(f"turntable must be at least 1 frame, got {self.turntable}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of "WxH", or "N" for a square."""
    width, _, height = text.lower().partition("x")
    try:
        size = int(width), int(height or width)
    except ValueError:
        raise ValueError(f"size must be WxH in pixels, such as 640x480; got '{text}'") from None
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f"size must lie between 1 and {MAX_SIDE} pixels a side, got '{text}'")
    return size


def parse_background(text: str) -> tuple[float, ...] | Path | None:
    """Three numbers in [0, 1], the file of a picture, or None for transparent."""
    names: dict[str, tuple[float, ...] | None] = {"white": (1, 1, 1), "black": (0, 0, 0), "transparent": None}
    if text in names:
        return names[text]
    if Path(text).suffix.lower() in IMAGE_SUFFIXES:
        return Path(text)
    try:
        color = tuple(float(number) for number in text.split(","))
    except ValueError:
        color = ()
    if len(color) != 3 or not all(0 <= number <= 1 for number in color):
        raise ValueError(
            "background must be white, black, transparent, r,g,b in [0, 1] or a picture "
            f"({', '.join(IMAGE_SUFFIXES)}); got '{text}'"
        )
    return color


class Convention(str, Enum):
    """The axes of a camera frame."""

    opencv = "opencv"
    opengl = "opengl"


class Direction(str, Enum):
    """What a camera's matrix maps."""

    world_to_camera = "world_to_camera"
    camera_to_world = "camera_to_world"


@dataclass(kw_only=True)
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


@dataclass(kw_only=True)
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
