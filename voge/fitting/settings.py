"""Settings of a fit. The defaults are the recipe whose parts docs/fit.md weighs one by one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from voge.convert.settings import Conversion
from voge.io.settings import CameraFile
from voge.optim.settings import ColorLoss, Rate, SilhouetteLoss
from voge.option import Settings, nested, option
from voge.rendering.settings import RenderSettings
from voge.scene.settings import MAX_DEGREE


class Part(str, Enum):
    """A part of ellipsoids or cameras that may be optimized."""

    means = "means"
    scales = "scales"
    quats = "quats"
    density = "density"
    colors = "colors"
    poses = "poses"  # of the cameras
    focals = "focals"  # one factor of all focal lengths
    centers = "centers"  # one shift of all principal points


SHAPE = (Part.means, Part.scales, Part.quats, Part.density, Part.colors)
CAMERAS = (Part.poses, Part.focals)  # what `--optimize cameras` means


class Background(str, Enum):
    """Color behind the object."""

    black = "black"
    white = "white"
    random = "random"  # another color each step, behind masked pictures and the rendered ones alike
    learned = "learned"  # one color, optimized: for pictures without masks


class StartKind(str, Enum):
    """Kind of ellipsoids that a fit begins with."""

    sphere = "sphere"
    box = "box"  # a cube, a square of each face an ellipsoid
    mesh = "mesh"  # `file`: a mesh, converted by hats
    points = "points"  # `file`: points
    ellipsoids = "ellipsoids"  # `file`: a set, such as that of another run


def parse_parts(text: str) -> list[str]:
    """The list of --optimize, with `cameras` taken apart."""
    names = [CAMERAS if name == "cameras" else (name,) for name in text.split(",")]
    return list(dict.fromkeys(str(getattr(part, "value", part)) for group in names for part in group))


@dataclass(frozen=True, kw_only=True)
class Rates(Settings):
    """Learning rates; lengths are in units of the start's radius."""

    surface: Rate = nested(partial(Rate, value=1e-2, final=0.05), "learning rate of the centers in the smooth phase")
    means: Rate = nested(partial(Rate, value=2e-3, final=0.05), "learning rate of the centers")
    scales: Rate = nested(partial(Rate, value=5e-3, final=0.1), "learning rate of the logarithms of the scales")
    quats: Rate = nested(partial(Rate, value=5e-3, final=0.1), "learning rate of the rotations")
    density: Rate = nested(partial(Rate, value=1e-2, final=0.1), "learning rate of the densities before softplus")
    colors: Rate = nested(
        partial(Rate, value=5e-2, final=0.1), "learning rate of the colors before the logistic function"
    )
    sh: Rate = nested(partial(Rate, value=1e-2, final=0.1), "learning rate of the coefficients of harmonics")
    # Cameras wait until the shape says something of them, and end slowly: Adam's steps would keep them trembling.
    poses: Rate = nested(
        partial(Rate, value=4e-3, final=0.02, start=0.05),
        "learning rate of cameras: radians, and parts of the distance",
    )
    focals: Rate = nested(
        partial(Rate, value=2e-2, final=0.02, start=0.1), "learning rate of the logarithm of the focal lengths' factor"
    )
    centers: Rate = nested(
        partial(Rate, value=5e-4, final=0.1),
        "learning rate of the principal points' shift: parts of the picture's size",
    )
    background: Rate = nested(
        partial(Rate, value=2e-2, final=0.1), "learning rate of the background before the logistic function"
    )


def _weight(default: float, help: str) -> Any:
    return option(default, help, at_least=0, rule="must be at least 0 and finite")


@dataclass(frozen=True, kw_only=True)
class Weights(Settings, where="weight "):
    """Weights of the losses; 0 leaves a loss out. Regularizers: `voge.optim.regularizers`."""

    color: float = _weight(1.0, "colors against those of the pictures")
    silhouette: float = _weight(1.0, "silhouettes against the masks, where there are masks")
    dissimilarity: float = _weight(0.0, "(1 - SSIM) / 2")
    overlap: float = _weight(0.0, "gaps and clumps between neighbors")
    tangency: float = _weight(0.02, "neighbors outside of an ellipsoid's plane")
    agreement: float = _weight(0.0, "normals that differ from those of the neighbors")
    flatness: float = _weight(0.01, "thick ellipsoids")
    roundness: float = _weight(0.0, "ellipsoids that are long in their plane")
    size_agreement: float = _weight(0.0, "sizes that differ from those of the neighbors")
    spacing_agreement: float = _weight(0.0, "distances to the neighbors that differ from theirs")
    laplacian: float = _weight(0.0, "centers away from the middle of the neighbors")
    feature_agreement: float = _weight(0.03, "colors that differ from those of the neighbors")
    opacity_entropy: float = _weight(0.0, "ellipsoids that are neither opaque nor clear")
    mesh_edges: float = _weight(0.0, "long edges, of a start with faces")
    mesh_laplacian: float = _weight(0.0, "vertices away from the middle of those around, of a start with faces")
    mesh_normals: float = _weight(0.0, "faces that are bent at their edges, of a start with faces")


def _two(default: tuple[float, float], help: str) -> Any:
    return option(default, help, above=0, holds=lambda pair: len(pair) == 2, rule="must be two positive numbers")


def _part(default: float, help: str) -> Any:
    return option(default, help, at_least=0, at_most=1)


@dataclass(frozen=True, kw_only=True)
class Surface(Settings):
    """The first phase of a start with faces: the shapes follow the surface of the centers."""

    until: float = _part(0.6, "part of the steps; 0 leaves the phase out")
    smoothing: float = option(
        3.0, "lambda of (I + lambda L)^-1 (Nicolet et al. 2021); 0 moves each center by itself", at_least=0
    )
    refresh: int = option(10, "steps between two looks at the surface", at_least=1, rule="must be at least 1 step")
    thickness: tuple[float, float] = _two(
        (0.5, 0.05), "thickness over width, at first and at last: thick ellipsoids feel pixels from afar"
    )
    width: tuple[float, float] = _two((1.0, 0.75), "kappa of `voge.convert`, at first and at last")


@dataclass(frozen=True, kw_only=True)
class Coarse(Settings):
    """A first phase with small pictures."""

    factor: float = option(2.0, "divides the sides of the first steps' pictures; 1 for full size", at_least=1)
    until: float = _part(0.6, "part of the steps with small pictures")


@dataclass(frozen=True, kw_only=True)
class Growth(Settings):
    """Ellipsoids come where the pictures pull hard, and go where they stop no light (Kerbl et al. 2023, section 5)."""

    budget: int = option(0, "ellipsoids at most; 0: as many as there are, and none is dropped", at_least=0)
    every: int = option(100, "steps between two changes", at_least=1, rule="must be at least 1 step")
    start: float = _part(0.6, "part of the steps after which growth begins")
    until: float = _part(0.85, "part of the steps after which growth ends")
    share: float = option(
        0.1,
        "share of the ellipsoids that split or are cloned at a time: those that are pulled hardest",
        above=0,
        at_most=1,
    )
    least_opacity: float = option(0.02, "opacity of the ellipsoids that stay, at least", at_least=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start > self.until:
            raise ValueError(f"start and until must satisfy 0 <= start <= until <= 1, got {self.start}, {self.until}")


@dataclass(frozen=True, kw_only=True)
class FitSettings(Settings):
    """Settings of a fit, whatever its pictures are.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    steps: int = option(2000, "steps in all, those of a resumed run included", at_least=1, flag="--steps")
    views_per_step: int = option(5, "views rendered in each step", at_least=1, flag="--views-per-step")
    optimize: tuple[Part, ...] = option(
        SHAPE,
        "parts that are optimized, of means, scales, quats, density, colors, cameras, centers",
        holds=bool,
        rule=f"must name at least one of {', '.join(part.value for part in Part)}",
        flag="--optimize",
        metavar="P,...",
        parse=parse_parts,
    )
    background: Background = option(
        Background.black,
        "what is behind the object; random needs masks, learned is for pictures without",
        flag="--background",
    )
    color_loss: ColorLoss = option(ColorLoss.squared, "how colors are compared: squared, absolute, charbonnier")
    silhouette_loss: SilhouetteLoss = option(
        SilhouetteLoss.squared, "how silhouettes are compared: squared, cross_entropy, iou"
    )
    filter: float = option(
        0.25,
        "blur of the ellipsoids, pixels: tighter ones would fall between the rays",
        at_least=0,
        rule="must be at least 0 pixels and finite",
    )
    sh_degree: int = option(
        0,
        f"degree of harmonics, 1 to {MAX_DEGREE}: colors that depend on the view",
        at_least=0,
        at_most=MAX_DEGREE,
        flag="--sh-degree",
    )
    samples: int = option(
        1, "rays along each side of a pixel, whose mean it is: sharper than the filter; 2 costs four times", at_least=1
    )
    neighbors: int = option(8, "neighbors of an ellipsoid, for the regularizers; a regular surface has 6", at_least=1)
    neighbors_every: int = option(25, "steps between two graphs of neighbors", at_least=1)
    seed: int = option(0, "seed of all random numbers", flag="--seed", metavar="N")
    weights: Weights = nested(Weights, "weights of the losses")
    rates: Rates = nested(Rates, "learning rates")
    surface: Surface = nested(Surface, "first phase of a start with faces")
    coarse: Coarse = nested(Coarse, "small pictures first")
    growth: Growth = nested(Growth, "ellipsoids that come and go")
    # One box an ellipsoid: a fifth less time a step than with two, for the same result (docs/fit.md).
    settings: RenderSettings = nested(lambda: RenderSettings(boxes=1), "how rays meet ellipsoids", promote=True)

    @property
    def moves_cameras(self) -> bool:
        """True where anything of the cameras is optimized."""
        return not {Part.poses, Part.focals, Part.centers}.isdisjoint(self.optimize)


def _positive(default: Any, help: str) -> Any:
    return option(default, help, above=0)


@dataclass(frozen=True, kw_only=True)
class Sweep(Settings, where="sweep."):
    """Views around the origin. The defaults are those of the textured-mesh tutorial that the paper follows (4.5)."""

    views: int = _positive(20, "views, evenly spaced in both angles")
    distance: float = _positive(
        2.7, "distance of the cameras from the origin; the mesh is scaled to a largest coordinate of 1"
    )
    size: int = _positive(128, "side of the pictures, pixels")
    focal: float = _positive(126.0, "pixels at a side of 128; follows the size")
    azimuth: tuple[float, float] = option((-180.0, 180.0), "azimuth of the first and the last view, degrees")
    elevation: tuple[float, float] = option((0.0, 360.0), "elevation of the first and the last view, degrees")


@dataclass(frozen=True, kw_only=True)
class MeshViews(Sweep):
    """Views of a mesh, and the light on it."""

    light: list[float] | None = option(
        [0.0, 0.0, -3.0], "where the light is, world space", default_text="none: colors as they are"
    )
    ambient: float = option(0.6, "share of light from everywhere")
    samples: int = _positive(3, "rays along each side of a pixel")
    held_out: int = option(10, "views from random directions to test on, never fitted to", at_least=0)


@dataclass(frozen=True, kw_only=True)
class StartSettings(Settings, where="start."):
    """Ellipsoids that a fit begins with."""

    kind: StartKind = option(StartKind.sphere, "sphere, box, mesh, points or ellipsoids")
    file: str | None = option(None, "file of a mesh, of points or of ellipsoids", default_text="none")
    count: int = option(2562, "ellipsoids of a sphere: 12, 42, 162, 642, 2562 or 10242; of a box: 6 n^2")
    radius: float | None = option(
        None,
        "radius of the sphere, half an edge of the box, world units",
        above=0,
        default_text="what the masks cover; of a mesh's views 1",
    )
    center: list[float] | None = option(
        None,
        "middle of the sphere or the box, world units",
        holds=lambda center: len(center) == 3,
        rule="must have three numbers",
        default_text="where the cameras look; of a mesh's views the origin",
    )
    convert: Conversion = nested(Conversion, "how a mesh or points become ellipsoids")

    def __post_init__(self) -> None:
        super().__post_init__()
        made = self.kind in (StartKind.sphere, StartKind.box)
        if made != (self.file is None):
            rule = "takes no file" if made else "needs a file"
            raise ValueError(f"start.kind {self.kind.value} {rule}; got start.file={self.file}")


def _every_or_file(holdout: str) -> bool:
    return not holdout.isdigit() or int(holdout) >= 2


@dataclass(frozen=True, kw_only=True)
class FitFilesSettings(FitSettings):
    """Settings of a fit and of its inputs: pictures of a camera file, or views that are taken of a mesh."""

    cameras: CameraFile = nested(CameraFile, "cameras of the pictures")
    images: str | None = option(
        None,
        "folder of the pictures",
        flag="--images",
        metavar="DIR",
        default_text="where the camera file says",
    )
    masks: str | None = option(
        None,
        "folder of masks called as the pictures",
        flag="--masks",
        metavar="DIR",
        default_text="mask_path, else the pictures' alpha",
    )
    use_masks: bool = option(True, "use masks, or the pictures' alpha; false: colors alone")
    mask_id: int | None = option(
        None, "id of the object in masks that are maps of ids", at_least=0, default_text="any above 0"
    )
    downscale: float = option(1.0, "divides the pictures' sides", at_least=1, flag="--downscale")
    max_picture_memory: float = option(
        2.0, "gigabytes that pictures and masks take in memory; more of them wait in a temporary file", above=0
    )
    holdout: str | None = option(
        None,
        "test on every N-th view, or on those that a file names",
        holds=_every_or_file,
        rule="must be at least 2, every n-th view, or a file of names",
        flag="--holdout",
        metavar="N|FILE",
    )
    mesh: str | None = option(
        None, "a mesh to take views of, or teapot or cuboid; scaled to a largest coordinate of 1", default_text="none"
    )
    sweep: MeshViews = nested(MeshViews, "views of the mesh")
    start: StartSettings = nested(StartSettings, "what the fit starts from")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mesh is not None and self.cameras.file is not None:
            raise ValueError(f"give mesh or cameras.file, one of them; got {self.mesh} and {self.cameras.file}")

    @property
    def source(self) -> str | None:
        """The camera file or the mesh that a run is named after."""
        return self.cameras.file or self.mesh
