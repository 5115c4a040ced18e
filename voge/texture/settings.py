"""Settings of taking colors from photos, and of the pictures that show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from voge.convert.settings import Conversion
from voge.imaging.settings import ColorSpace
from voge.io.settings import MAX_SIDE, CameraFile, MeshFile, Video
from voge.option import Settings, nested, option
from voge.rendering.settings import RenderSettings
from voge.scene.settings import Up

MOST = 50_000  # ellipsoids that a mesh is refined to by itself: more takes its time, and is a matter of --count
_TURN = re.compile(r"(azim|elev)([+-]\d+(?:\.\d+)?)")


class Solver(str, Enum):
    """A way to find attributes."""

    average = "average"  # eq. 10: W^T I / W^T 1
    lsq = "lsq"  # those whose picture is nearest to the given ones


class Fill(str, Enum):
    """The source of attributes that no picture shows."""

    none = "none"  # nothing: they stay as they were
    nearest = "nearest"  # the mean of the nearest ones that are seen
    symmetry = "symmetry"  # what is seen at their mirror image, else as `nearest`


@dataclass(frozen=True, kw_only=True)
class Solving(Settings):
    """Settings of the solver for attributes.

    On the cow and the bunny, smooth and sharp patterns, one view and six (`benchmarks/texture.py`), held-out views
    change by less than 0.4 dB over damping 0.001 to 0.05 and smoothness 0.02 to 0.2, and by 0.1 dB over 4 to 10
    neighbors; the solver ends after some ten iterations.
    """

    solver: Solver = option(Solver.lsq, "weighted means, or least squares", flag="--solver")
    damping: float = option(0.01, "pull towards the weighted means of eq. 10", above=0)
    smoothness: float = option(0.1, "pull towards the mean of the nearest ellipsoids", at_least=0)
    neighbors: int = option(6, "nearest ellipsoids of each; a vertex of a mesh has as many edges", at_least=1)
    margin: int = option(
        1, "pixels along the silhouette that count little where the photo is opaque", unit="pixels", at_least=0
    )
    iterations: int = option(100, "steps of the solver, at most", at_least=1)
    tolerance: float = option(1e-4, "residual over right-hand side at which the solver stops", above=0, below=1)


@dataclass(frozen=True, kw_only=True)
class TextureSettings(Settings):
    """Settings that turn photos with cameras into the colors of ellipsoids."""

    refine: float | None = option(
        8.0,
        "pixels for each ellipsoid that a coarse mesh gets (at most 50,000); null: the mesh as it is; see also --count",
        above=0,
        rule="must be positive, or null for none",
    )
    solving: Solving = nested(Solving, "how attributes are found", promote=True)
    fill: Fill = option(Fill.nearest, "colors of ellipsoids that no photo shows", flag="--fill")
    plane: str = option(
        "auto",
        "plane of symmetry, with --fill symmetry: found (auto), across an axis, or a x + b y + c z = d",
        flag="--plane",
        metavar="auto|x|y|z|A,B,C,D",
    )
    color_space: ColorSpace = option(
        ColorSpace.srgb, "colors are averaged as stored (srgb), or in linear light (linear); as in voge render"
    )
    cameras: CameraFile = nested(CameraFile, "what the files of poses leave open")
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids", promote=True)
    convert: Conversion = nested(Conversion, "how a mesh or points are converted")
    mask_id: int | None = option(
        None, "id of the object in masks that are maps of ids", at_least=0, default_text="any above 0"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_plane(self.plane)


@dataclass(frozen=True, kw_only=True)
class TextureAlbumSettings(Settings):
    """Settings of the pictures that show textured ellipsoids."""

    novel: list[str] = option(
        ["azim+30", "azim-30"],
        "views beside the first photo's, degrees, such as azim+30, elev-10, azim+90elev+20",
        flag="--novel",
        metavar="azim+30,...",
    )
    up: Up | None = option(
        None, "the world's upright axis", default_text="the one that is more upright in the first photo"
    )
    turntable: int = option(
        48,
        "frames of the video once around from the first photo's camera, 0 for none",
        at_least=0,
        rule="must be at least 1 frame, or 0 for no video",
        flag="--turntable",
        metavar="N",
    )
    video: Video = option(Video.mp4, "format of the video", flag="--video")
    fps: float = option(24.0, "frames of the video a second", above=0)
    size: int = option(768, "pixels along the longer side of pictures", unit="pixels", at_least=1, at_most=MAX_SIDE)
    turntable_size: int = option(
        320, "pixels along the longer side of the video", unit="pixels", at_least=1, at_most=MAX_SIDE
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.novel:
            parse_novel(name)


@dataclass(frozen=True, kw_only=True)
class BakeSettings(Settings):
    """Settings of the mesh that gets the colors."""

    enabled: bool = option(False, "also the mesh with its texture (OBJ, GLB), or colors at its vertices", flag="--bake")
    mesh: str | None = option(None, "mesh that gets the colors", default_text="the model")
    size: int = option(1024, "pixels along the side of the texture", unit="pixels", at_least=2, at_most=MAX_SIDE)
    files: list[MeshFile] = option(
        list(MeshFile),
        "formats of a textured mesh; one without texture coordinates becomes ply and glb",
        holds=bool,
        rule="must have at least one of obj, glb",
    )


def parse_novel(text: str) -> tuple[float, float]:
    """Degrees of azimuth and elevation of "azim+30", "elev-10" or "azim+90elev+20".

    Raises:
        ValueError: the text names no such view.
    """
    turns = _TURN.findall(text)
    names = [name for name, _ in turns]
    if not turns or "".join(name + turn for name, turn in turns) != text or len(set(names)) < len(names):
        raise ValueError(f"novel must be such as azim+30, elev-10 or azim+90elev+20; got '{text}'")
    angles = {name: float(turn) for name, turn in turns}
    return angles.get("azim", 0.0), angles.get("elev", 0.0)


def parse_plane(text: str) -> str | list[float]:
    """auto, x, y or z as they are, else the numbers of "a,b,c,d" or "a,b,c".

    Raises:
        ValueError: the text names no plane.
    """
    if text in ("auto", "x", "y", "z"):
        return text
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (3, 4) or not any(numbers[:3]):
        raise ValueError(f"plane must be auto, x, y, z, or 'a,b,c,d' with a, b, c not all 0; got '{text}'")
    return numbers
