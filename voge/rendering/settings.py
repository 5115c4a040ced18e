"""Settings that a render depends on besides the scene and the cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from voge.option import Settings, option

FILTER = 0.5  # standard deviation of the blur that stands for a cell of a coarse map, cells


class Aggregation(str, Enum):
    """Rule by which the ellipsoids that one ray meets are weighed (docs/mathematics.md, section 2)."""

    exact = "exact"  # volume integral of nested boxes; conserves energy
    paper = "paper"  # W = x T(l), eq. 8 of the paper, over the nearest K'
    sorted = "sorted"  # front-to-back alpha as in 3D Gaussian splatting: the baseline


class Backend(str, Enum):
    """Code that runs the operators."""

    auto = "auto"  # follows the tensors' device: the compiled code where it is built, else torch
    cuda = "cuda"
    cpp = "cpp"
    torch = "torch"


@dataclass(frozen=True, kw_only=True)
class RenderSettings(Settings):
    """Settings of a render. Symbols are the paper's; `None` takes the default that suits the aggregation.

    With `list_capacity` a render on CUDA can be captured in a CUDA graph; its pictures are NaN where it needs more.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    aggregation: Aggregation = option(Aggregation.exact, "how the ellipsoids that a ray meets are weighed")
    boxes: int = option(2, "nested boxes per ellipsoid in `exact`", at_least=1, at_most=4)
    min_density: float | None = option(
        None,
        "eta: least optical depth on a ray that counts",
        above=0,
        below=1,
        default_text="exact 0.002, others 0.01 (A.3)",
    )
    max_per_ray: int | None = option(
        None,
        "K': nearest ellipsoids kept a ray, 0 for all",
        at_least=0,
        rule="must be at least 1, or 0 for no limit",
        default_text="paper 20 (A.3), others all",
    )
    stop_transmittance: float = option(
        1e-4, "`exact` ends a ray below this; a picture changes by at most as much", at_least=0, below=1
    )
    near: float = option(0.0, "distance along the ray, world units: nothing nearer is seen")
    far: float = option(math.inf, "distance along the ray, world units: nothing farther is seen")
    list_capacity: int | None = option(
        None,
        "CUDA: memory for this many (tile, ellipsoid) entries, so that a render never waits",
        at_least=1,
        rule="must be at least 1, or None to count first",
        default_text="counted first",
    )
    backend: Backend = option(Backend.auto, "code that renders", flag="--backend")

    def __post_init__(self) -> None:
        super().__post_init__()
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
