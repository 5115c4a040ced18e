"""The type of voge texture's configuration. Values and their meaning are in configs/texture.yaml, rules are here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from voge.convert.settings import Conversion
from voge.imaging.settings import ColorSpace
from voge.io.settings import MAX_SIDE, CameraFile, Video
from voge.rendering.settings import RenderSettings
from voge.scene.settings import Up
from voge.texture import Solving
from voge.texture.unseen import Fill

MOST = 50_000  # ellipsoids that a mesh is refined to by itself: more takes its time, and is a matter of --count
_TURN = re.compile(r"(azim|elev)([+-]\d+(?:\.\d+)?)")


class MeshFile(str, Enum):
    """The format of a textured mesh."""

    obj = "obj"
    glb = "glb"


@dataclass(frozen=True, kw_only=True)
class BakeConfig:
    """The mesh with the colors."""

    enabled: bool = False
    mesh: str | None = None
    size: int = 1024
    files: list[MeshFile] = field(default_factory=lambda: list(MeshFile))

    def __post_init__(self) -> None:
        if not 2 <= self.size <= MAX_SIDE:
            raise ValueError(f"size must lie between 2 and {MAX_SIDE} pixels, got {self.size}")
        if not self.files:
            raise ValueError("files must have at least one of obj, glb; got []")


@dataclass(frozen=True, kw_only=True)
class TextureConfig:
    """voge texture."""

    images: list[str]
    pose: list[str]
    model: str | None
    mask: list[str]
    occluder: list[str]
    out: str | None
    refine: float | None
    fill: Fill
    plane: str
    color_space: ColorSpace
    novel: list[str]
    up: Up | None
    turntable: int
    video: Video
    fps: float
    size: int
    turntable_size: int
    device: str
    solving: Solving = field(default_factory=Solving)
    bake: BakeConfig = field(default_factory=BakeConfig)
    cameras: CameraFile = field(default_factory=CameraFile)
    settings: RenderSettings = field(default_factory=RenderSettings)
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        parse_plane(self.plane)
        for name in self.novel:
            parse_novel(name)
        rules = {
            "refine": (self.refine is None or self.refine > 0, "must be positive, or null for none"),
            "turntable": (self.turntable >= 0, "must be at least 1 frame, or 0 for no video"),
            "fps": (self.fps > 0, "must be positive"),
            "size": (1 <= self.size <= MAX_SIDE, f"must lie between 1 and {MAX_SIDE} pixels"),
            "turntable_size": (1 <= self.turntable_size <= MAX_SIDE, f"must lie between 1 and {MAX_SIDE} pixels"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"{name} {rule}, got {getattr(self, name)}")


def parse_novel(text: str) -> tuple[float, float]:
    """Degrees of azimuth and elevation of "azim+30", "elev-10" or "azim+90elev+20"."""
    turns = _TURN.findall(text)
    names = [name for name, _ in turns]
    if not turns or "".join(name + turn for name, turn in turns) != text or len(set(names)) < len(names):
        raise ValueError(f"novel must be such as azim+30, elev-10 or azim+90elev+20; got '{text}'")
    angles = {name: float(turn) for name, turn in turns}
    return angles.get("azim", 0.0), angles.get("elev", 0.0)


def parse_plane(text: str) -> str | list[float]:
    """auto, x, y or z as they are, else the numbers of "a,b,c,d" or "a,b,c"."""
    if text in ("auto", "x", "y", "z"):
        return text
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (3, 4) or not any(numbers[:3]):
        raise ValueError(f"plane must be auto, x, y, z, or 'a,b,c,d' with a, b, c not all 0; got '{text}'")
    return numbers
