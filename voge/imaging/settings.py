"""What is made of a view, and how it looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from voge.io.settings import IMAGE_SUFFIXES
from voge.option import Settings, option


class Output(str, Enum):
    """What is made of a view."""

    rgb = "rgb"
    alpha = "alpha"
    depth = "depth"
    normal = "normal"
    id = "id"
    features = "features"


class ColorSpace(str, Enum):
    """In which space colors are shaded and blended; files in and out hold sRGB either way."""

    srgb = "srgb"  # as stored, as most splatting renderers and viewers do
    linear = "linear"  # converted to linear light, blended, and converted back


class DepthKind(str, Enum):
    """What depth measures."""

    ray = "ray"  # distance along the ray, from the camera's center (orthographic: from its plane)
    z = "z"  # along the optical axis, as depth cameras and z-buffers have it


class Frame(str, Enum):
    """The axes of normals."""

    world = "world"
    camera = "camera"  # x right, y down, z forward: a surface that faces the camera has z below 0


@dataclass(frozen=True, kw_only=True)
class Light(Settings):
    """Lambert shading of the colors by the normals (see `voge.imaging.lighting.shade`)."""

    enabled: bool = option(False, "shade by the normals, lit from the camera", flag="--light")
    ambient: float = option(0.35, "share of light from everywhere", at_least=0, at_most=1)
    position: list[float] | None = option(
        None,
        "x, y, z of the light in the world",
        holds=lambda value: len(value) == 3,
        rule="must have 3 numbers",
        default_text="at the camera",
    )


def parse_background(text: str) -> tuple[float, ...] | Path | None:
    """Three numbers in [0, 1], the file of a picture, or None for transparent.

    Raises:
        ValueError: the text is no background; one line.
    """
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
