"""The type of the configuration of voge fit."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path

from voge.convert.settings import Conversion
from voge.fitting.settings import FitSettings
from voge.fitting.targets import Sweep
from voge.io.settings import CameraFile, Video


class StartKind(str, Enum):
    """What a fit starts from."""

    sphere = "sphere"
    box = "box"  # a cube, a square of each face an ellipsoid
    mesh = "mesh"  # `file`: a mesh, converted by hats
    points = "points"  # `file`: points
    ellipsoids = "ellipsoids"  # `file`: a set, such as that of another run


@dataclass(frozen=True, kw_only=True)
class StartConfig:
    """What a fit starts from."""

    kind: StartKind = StartKind.sphere
    file: str | None = None
    count: int = 2562  # of a sphere: 12, 42, 162, 642, 2562 or 10242; of a box: 6 n^2
    radius: float | None = None  # world units; null: what the masks cover, of a mesh's views 1
    center: list[float] | None = None  # null: where the cameras look, of a mesh's views the origin
    convert: Conversion = field(default_factory=Conversion)

    def __post_init__(self) -> None:
        made = self.kind in (StartKind.sphere, StartKind.box)
        if made != (self.file is None):
            rule = "takes no file" if made else "needs a file"
            raise ValueError(f"start.kind {self.kind.value} {rule}; got start.file={self.file}")
        if self.radius is not None and not 0 < self.radius < float("inf"):
            raise ValueError(f"start.radius must be positive, got {self.radius}")
        if self.center is not None and len(self.center) != 3:
            raise ValueError(f"start.center must have three numbers, got {self.center}")


@dataclass(frozen=True, kw_only=True)
class SweepConfig(Sweep):
    """Views of a mesh, and the light on it."""

    light: list[float] | None = field(default_factory=lambda: [0.0, 0.0, -3.0])  # null: colors as they are
    ambient: float = 0.6
    samples: int = 3  # rays along each side of a pixel
    held_out: int = 10  # views from random directions, never fitted to

    def __post_init__(self) -> None:
        for name in ("views", "size", "focal", "distance", "samples"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"sweep.{name} must be positive, got {getattr(self, name)}")
        if self.held_out < 0:
            raise ValueError(f"sweep.held_out must be at least 0, got {self.held_out}")


@dataclass(frozen=True, kw_only=True)
class FitConfig(FitSettings):
    """voge fit."""

    mesh: str | None
    cameras: CameraFile = field(default_factory=CameraFile)
    images: str | None
    masks: str | None
    use_masks: bool
    downscale: float
    holdout: str | None
    out: str | None
    device: str
    deterministic: bool
    log_every: int
    save_every: int
    film_every: int
    turntable: int
    video: Video
    sweep: SweepConfig = field(default_factory=SweepConfig)
    start: StartConfig = field(default_factory=StartConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.downscale < 1:
            raise ValueError(f"downscale must be at least 1, got {self.downscale}")
        if self.mesh is not None and self.cameras.file is not None:
            raise ValueError(f"give mesh or cameras.file, one of them; got {self.mesh} and {self.cameras.file}")
        for name in ("log_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 step, got {getattr(self, name)}")
        for name in ("film_every", "turntable"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, 0 for none; got {getattr(self, name)}")
        if self.holdout is not None and self.holdout.isdigit() and int(self.holdout) < 2:
            raise ValueError(f"holdout must be at least 2, every n-th view, or a file of names; got {self.holdout}")

    @property
    def fit(self) -> FitSettings:
        """What `voge.fit` takes of it."""
        return FitSettings(**{f.name: getattr(self, f.name) for f in fields(FitSettings)})

    @property
    def source(self) -> Path | None:
        """The file that a run is named after."""
        given = self.cameras.file or self.mesh
        return None if given is None else Path(given)
