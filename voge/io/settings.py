"""Settings of files: what a file may leave open, and the formats that are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from voge.option import Settings, option

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # of pictures that are read
CAMERA_FORMATS = ("transforms", "colmap", "colmap-text", "bop", "pytorch3d", "npz", "json", "pose")
CAMERA_READERS = (
    *CAMERA_FORMATS, "3dgs", "camera-path", "bundler", "opensfm", "openmvg", "metashape", "realitycapture"
)  # fmt: skip
MAX_SIDE = 16384  # pixels of a picture that is made


class Units(str, Enum):
    """A unit of length."""

    mm = "mm"
    cm = "cm"
    m = "m"


class Convention(str, Enum):
    """The axes of a camera frame."""

    opencv = "opencv"
    opengl = "opengl"


class Direction(str, Enum):
    """Direction of the map of a camera's matrix."""

    world_to_camera = "world_to_camera"
    camera_to_world = "camera_to_world"


class Video(str, Enum):
    """The format of a turntable or a film."""

    mp4 = "mp4"
    gif = "gif"
    webp = "webp"


class FeatureFile(str, Enum):
    """The format of rendered features."""

    npz = "npz"
    safetensors = "safetensors"


class MeshFile(str, Enum):
    """The format of a textured mesh."""

    obj = "obj"
    glb = "glb"


@dataclass(frozen=True, kw_only=True)
class CameraFile(Settings):
    """A file of cameras, and what it leaves open; `None` is what the file says (see `voge.io.cameras.load_cameras`)."""

    file: str | None = option(
        None,
        "transforms.json, a COLMAP model, BOP, PyTorch3D, matrices or pose.json (docs/cameras.md)",
        flag="--cameras",
        metavar="FILE",
    )
    frames: list[str] | None = option(
        None,
        "of these cameras: by name, or number from 0",
        holds=bool,
        rule="must have at least one name or number",
        flag="--frame",
        metavar="NAME|I,...",
        default_text="all",
    )
    format: str | None = option(None, "format of the file", default_text="told from the file")
    convention: Convention | None = option(None, "axes of bare matrices", default_text="what the file says")
    direction: Direction | None = option(
        None, "direction of bare matrices: from the world to the camera, or back", default_text="what the file says"
    )
    object_id: int | None = option(None, "BOP: the object whose frame is the world")


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels of "WxH", or "N" for a square.

    Raises:
        ValueError: the text is no size; one line.
    """
    width, _, height = text.lower().partition("x")
    try:
        size = int(width), int(height or width)
    except ValueError:
        raise ValueError(f"size must be WxH in pixels, such as 640x480; got '{text}'") from None
    if not all(1 <= side <= MAX_SIDE for side in size):
        raise ValueError(f"size must lie between 1 and {MAX_SIDE} pixels a side, got '{text}'")
    return size
