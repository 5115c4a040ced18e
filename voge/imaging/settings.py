"""Settings of pictures, albums and inspections of cameras."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from voge.convert.settings import Conversion
from voge.io.settings import (
    CAMERA_READERS,
    IMAGE_SUFFIXES,
    CameraFile,
    Convention,
    Direction,
    FeatureFile,
    Units,
    Video,
    parse_size,
)
from voge.option import Settings, nested, option
from voge.rendering.settings import RenderSettings
from voge.scene.settings import Up


class Output(str, Enum):
    """A picture that can be made of a view."""

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
    """A measure of depth."""

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


def is_background(text: str) -> bool:
    """True for a background; of any other text `parse_background` raises a ValueError."""
    parse_background(text)
    return True


@dataclass(frozen=True, kw_only=True)
class DepthSettings(Settings, where="depth."):
    """Settings of depth."""

    kind: DepthKind = option(DepthKind.ray, "ray: distance along the ray; z: along the optical axis")


@dataclass(frozen=True, kw_only=True)
class NormalSettings(Settings, where="normal."):
    """Settings of normals."""

    frame: Frame = option(Frame.world, "axes of normals: world, or camera (x right, y down, z forward)")


@dataclass(frozen=True, kw_only=True)
class FeatureSettings(Settings, where="features."):
    """Settings of files of features."""

    files: list[FeatureFile] = option(list(FeatureFile), "files of features, beside a preview in colors")


@dataclass(frozen=True, kw_only=True)
class ViewFile(CameraFile):
    """Cameras of a file, in place of azimuths and elevations."""

    file: str | None = option(
        None,
        "cameras to render from, instead of the angles: transforms.json, a COLMAP model, BOP, PyTorch3D, matrices or "
        "pose.json (docs/cameras.md)",
        flag="--cameras",
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class AlbumSettings(Settings):
    """Settings of an album of a scene: all views of a camera file, or each azimuth at each elevation."""

    size: str | None = option(
        None,
        "width x height of pictures, pixels",
        holds=parse_size,
        flag="--size",
        metavar="WxH",
        default_text="512x512, or as the cameras have it",
    )
    outputs: list[Output] = option(
        [Output.rgb],
        f"any of {', '.join(output.value for output in Output)}",
        holds=bool,
        rule=f"must have at least one of {', '.join(output.value for output in Output)}",
        flag="--outputs",
        metavar="O,...",
    )
    background: str = option(
        "white",
        "behind the scene: white, black, transparent, r,g,b in [0, 1] or a picture, which covers the view",
        holds=is_background,
        flag="--background",
        metavar="B",
    )
    color_space: ColorSpace = option(
        ColorSpace.srgb, "colors are blended as stored (srgb), or in linear light (linear)"
    )
    cameras: ViewFile = nested(ViewFile, "cameras of a file", promote=True)
    azimuth: list[float] = option(
        [30.0], "azimuths, degrees", holds=bool, rule="must have at least one angle", flag="--azim"
    )
    elevation: list[float] = option(
        [20.0],
        "elevations, degrees",
        holds=bool,
        rule="must have at least one angle",
        flag="--elev",
        metavar="E,...",
    )
    distance: float | None = option(
        None,
        "distance from the middle of the scene, world units",
        above=0,
        flag="--dist",
        default_text="all is in view",
    )
    fov: float = option(40.0, "vertical field of view, degrees", unit="degrees", above=0, below=180, flag="--fov")
    ortho: bool = option(
        False, "parallel rays; the picture is as large as fov makes it at the distance", flag="--ortho"
    )
    up: Up = option(Up.y, "upright axis of the world")
    turntable: int = option(
        0,
        "also a video of N frames once around, from the first azimuth and elevation",
        at_least=0,
        rule="must be at least 1 frame, or 0 for no video",
        flag="--turntable",
        metavar="N",
        default_text="",
    )
    film: bool = option(False, "also a video of the views, in order", flag="--film")
    video: Video = option(Video.mp4, "format of the video", flag="--video")
    fps: float = option(24.0, "frames per second of a video", above=0)
    depth: DepthSettings = nested(DepthSettings, "settings of depth")
    normal: NormalSettings = nested(NormalSettings, "settings of normals")
    features: FeatureSettings = nested(FeatureSettings, "settings of features")
    light: Light = nested(Light, "settings of the light", promote=True)
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)
    convert: Conversion = nested(Conversion, "how meshes and points are converted")

    @property
    def pixels(self) -> tuple[int, int] | None:
        """Width and height, or None where the cameras say it."""
        return None if self.size is None else parse_size(self.size)


@dataclass(frozen=True, kw_only=True)
class InspectionSettings(Settings):
    """Settings of an inspection: how the cameras are read, what they look at, how both are drawn."""

    format: str | None = option(
        None,
        "format of the cameras",
        holds=lambda name: name in CAMERA_READERS,
        rule=f"must be one of {', '.join(CAMERA_READERS)}",
        default_text="told from the file",
    )
    image_size: str | None = option(
        None,
        "width x height of the pictures taken, pixels, if FILE does not say",
        holds=parse_size,
        flag="--image-size",
        metavar="WxH",
    )
    convention: Convention | None = option(None, "axes of matrices, if FILE does not say", flag="--convention")
    direction: Direction | None = option(None, "what matrices map, if FILE does not say", flag="--direction")
    units: Units | None = option(None, "the file's unit, where it does not say it", flag="--units")
    object_id: int | None = option(
        None, "BOP: the object whose frame is the world", flag="--object", metavar="ID", default_text=""
    )
    model: str | None = option(
        None,
        "what the cameras look at: checks sizes and sides; -o is a picture of all",
        flag="--model",
        metavar="MODEL",
    )
    size: str = option(
        "960x720", "width x height of the picture, pixels", holds=parse_size, flag="--size", metavar="WxH"
    )
    azimuth: float = option(35.0, "azimuth from which the picture shows all, degrees", flag="--azim")
    elevation: float = option(25.0, "elevation from which the picture shows all, degrees", flag="--elev")
    up: Up = option(Up.y, "the world's upright axis", flag="--up")
    settings: RenderSettings = nested(RenderSettings, "how the model is rendered", promote=True)
    convert: Conversion = nested(Conversion, "how a mesh or points are converted")
