"""The types of the commands' configurations. Values and their meaning are in configs/*.yaml, rules are here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from voge.pictures import Light
from voge.settings import Backend, RenderSettings

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


class Video(str, Enum):
    """The format of a turntable."""

    mp4 = "mp4"
    gif = "gif"
    webp = "webp"


@dataclass(kw_only=True)
class Conversion:
    """From a mesh or points to ellipsoids; `None` is the converter's own default."""

    method: Method = Method.auto
    coverage: float | None = None
    flatness: float | None = None
    neighbours: int | None = None
    kappa: float | None = None
    optical_depth: float | None = None

    def __post_init__(self) -> None:
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise ValueError(f"coverage must lie between 0 and 1, got {self.coverage}")
        if self.neighbours is not None and self.neighbours < 3:
            raise ValueError(f"neighbours must be at least 3, got {self.neighbours}")
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


@dataclass(kw_only=True)
class RenderConfig:
    """voge render."""

    models: list[str]
    out: str | None
    size: str
    outputs: list[Output]
    background: str
    azimuth: list[float]
    elevation: list[float]
    distance: float | None
    fov: float
    ortho: bool
    up: Up
    turntable: int
    video: Video
    fps: float
    device: str
    light: Light = field(default_factory=Light)
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        parse_size(self.size)
        parse_background(self.background)
        rules = {
            "azimuth": (len(self.azimuth) > 0, "must have at least one angle"),
            "elevation": (len(self.elevation) > 0, "must have at least one angle"),
            "outputs": (len(self.outputs) > 0, "must have at least one of rgb, alpha, depth, normal"),
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


def parse_background(text: str) -> tuple[float, ...] | None:
    """Three numbers in [0, 1], or None for transparent."""
    names: dict[str, tuple[float, ...] | None] = {"white": (1, 1, 1), "black": (0, 0, 0), "transparent": None}
    if text in names:
        return names[text]
    try:
        color = tuple(float(number) for number in text.split(","))
    except ValueError:
        color = ()
    if len(color) != 3 or not all(0 <= number <= 1 for number in color):
        raise ValueError(f"background must be white, black, transparent or r,g,b in [0, 1]; got '{text}'")
    return color
