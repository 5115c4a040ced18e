"""Settings of measuring, and the renderers to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from voge.convert.settings import Conversion
from voge.io.settings import parse_size
from voge.option import Settings, nested, option
from voge.rendering.settings import Aggregation, Backend, RenderSettings

PLOTS = (".png", ".svg", ".pdf")  # suffixes of pictures of results


class Peer(str, Enum):
    """A renderer to compare with."""

    torch = "torch"  # the definition of this package in plain torch, the same aggregation
    gsplat = "gsplat"  # 3D Gaussian splatting: rasterized in the picture's plane
    gsplat_ut = "gsplat-ut"  # 3DGUT: gsplat's ray path, the Gaussian's largest value on each ray


_BACKENDS = [*(backend.value for backend in Backend), "all"]
_PEERS = [*(peer.value for peer in Peer), "auto", "none"]
_SOME: dict[str, Any] = {"holds": bool, "rule": "must have at least one entry"}


@dataclass(frozen=True, kw_only=True)
class BenchSettings(Settings):
    """Scenes, renderers, and how long each is measured."""

    scenes: list[str] = option(
        ["cube"], "cube, cube:N with N intervals an edge, or files; each may end in its own @WxH or @WxHxC", **_SOME
    )
    intervals: list[int] = option(
        [13, 29, 58], "intervals n of cubes along an edge: 6 n^2 + 2 ellipsoids",
        above=0, flag="--intervals", metavar="N,...",
    )  # fmt: skip
    counts: list[int] | None = option(
        None, "numbers of ellipsoids, instead of intervals: the nearest cube, and models resampled",
        above=0, flag="--counts", metavar="N,...",
    )  # fmt: skip
    widths: list[float] = option(
        [1.0], "widths of the cube's ellipsoids; at 1 densities fall to a half midway between neighbors", above=0
    )
    sizes: list[str] = option(
        ["128", "256"], "pixels, N or WxH, of scenes without a size of their own",
        flag="--sizes", metavar="S,...", **_SOME,
    )  # fmt: skip
    channels: list[int] = option([3], "numbers of features", above=0, flag="--channels", metavar="C,...")
    views: int = option(1, "pictures in one call", above=0, flag="--views", metavar="N")
    aggregations: list[Aggregation] | None = option(
        None, "ways to weigh ellipsoids, of exact, paper, sorted",
        flag="--aggregation", metavar="A,...", default_text="exact", **_SOME,
    )  # fmt: skip
    backends: list[str] | None = option(
        None, "code that renders, of auto, cuda, cpp, torch, all",
        flag="--backend", metavar="B,...", default_text="auto", **_SOME,
    )  # fmt: skip
    peers: list[str] = option(
        ["auto"], "renderers measured beside: of torch, gsplat, gsplat-ut, none; auto is gsplat on a GPU",
        flag="--peer", metavar="P,...",
    )  # fmt: skip
    repeat: int = option(10, "calls that count, of each pass and renderer", above=0, flag="--repeat", metavar="N")
    seconds: float = option(10.0, "time of one renderer on one scene, after which it is not called again", above=0)
    memory: bool = option(True, "measure peak memory; on the CPU in processes of their own, two seconds each")
    seed: int = option(0, "seed of the colors", flag="--seed", metavar="N")
    settings: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids")
    convert: Conversion = nested(Conversion, "how meshes and points are converted")

    def __post_init__(self) -> None:
        super().__post_init__()
        for size in self.sizes:
            parse_size(size)
        for name in ("intervals", "counts", "widths", "channels"):
            if getattr(self, name) == []:
                raise ValueError(f"{name} must have at least one entry, got []")
        for name, known in (("backends", _BACKENDS), ("peers", _PEERS)):
            for wrong in set(getattr(self, name) or []) - set(known):
                raise ValueError(f"{name} must be of {', '.join(known)}; got '{wrong}'")
