"""What a render depends on besides the scene and the cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum


class Aggregation(str, Enum):
    """How the ellipsoids that one ray meets are weighed (docs/mathematics.md, section 2)."""

    exact = "exact"  # volume integral of nested boxes; conserves energy
    paper = "paper"  # W = x T(l), eq. 8 of the paper, over the nearest K'
    sorted = "sorted"  # front-to-back alpha as in 3D Gaussian splatting: the baseline


class Backend(str, Enum):
    """Which code runs the operators."""

    auto = "auto"  # follows the tensors' device: the compiled code where it is built, else torch
    cuda = "cuda"
    cpp = "cpp"
    torch = "torch"


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How to render. Symbols are the paper's; `None` takes the default that suits the aggregation.

    With `list_capacity` a render on CUDA can be captured in a CUDA graph; its pictures are NaN where it needs more.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    aggregation: Aggregation = Aggregation.exact
    boxes: int = 2  # nested boxes per ellipsoid in `exact`, 1 to 4
    min_density: float | None = None  # eta: least optical depth on a ray that counts; exact 0.002, others 0.01 (A.3)
    max_per_ray: int | None = None  # K': nearest ellipsoids kept a ray, 0 for all; paper 20 (A.3), others all
    stop_transmittance: float = 1e-4  # `exact` ends a ray below this; a picture changes by at most as much
    near: float = 0.0  # distance along the ray, world units: nothing nearer is seen
    far: float = math.inf  # nothing farther is seen
    list_capacity: int | None = (
        None  # CUDA: memory for this many (tile, ellipsoid) entries, so that `render` never waits
    )
    backend: Backend = Backend.auto

    def __post_init__(self) -> None:
        object.__setattr__(self, "aggregation", Aggregation(self.aggregation))
        object.__setattr__(self, "backend", Backend(self.backend))
        if not 1 <= self.boxes <= 4:
            raise ValueError(f"boxes must lie between 1 and 4, got {self.boxes}")
        if self.min_density is not None and not 0 < self.min_density < 1:
            raise ValueError(f"min_density must lie between 0 and 1, got {self.min_density}")
        if self.max_per_ray is not None and self.max_per_ray < 0:
            raise ValueError(f"max_per_ray must be at least 1, or 0 for no limit; got {self.max_per_ray}")
        if self.list_capacity is not None and self.list_capacity < 1:
            raise ValueError(f"list_capacity must be at least 1, or None to count first; got {self.list_capacity}")
        if not 0 <= self.stop_transmittance < 1:
            raise ValueError(f"stop_transmittance must be at least 0 and below 1, got {self.stop_transmittance}")
        if not 0 <= self.near < self.far:
            raise ValueError(f"near and far must satisfy 0 <= near < far, got near={self.near}, far={self.far}")

    @property
    def eta(self) -> float:
        """The smallest optical depth on a ray that is kept, resolved."""
        if self.min_density is not None:
            return self.min_density
        return 0.002 if self.aggregation is Aggregation.exact else 0.01

    @property
    def limit(self) -> int:
        """The number of nearest ellipsoids kept a ray, resolved; 0 for all."""
        if self.max_per_ray is not None:
            return self.max_per_ray
        return 20 if self.aggregation is Aggregation.paper else 0
