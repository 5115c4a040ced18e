"""How fast and how large: the compiled renderer against the definition, and how both grow.

    python benchmarks/speed.py [--mesh bunny.off]

Prints markdown tables. Times are medians of wall time; ratios are of runs side by side in this process. Peak memory is
the growth of the resident set in a process of its own.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

import voge
from voge import compiled, convert
from voge.io.meshes import load_geometry


def cube(intervals: int, channels: int = 3) -> voge.Ellipsoids:
    """The surface lattice of [-1, 1]^3 with isotropic ellipsoids whose density halves between neighbours."""
    grid = torch.linspace(-1, 1, intervals + 1)
    points = torch.cartesian_prod(grid, grid, grid)
    means = points[(points.abs() == 1).any(-1)]
    scale = (2 / intervals) / math.sqrt(8 * math.log(2))
    count = len(means)
    quats = torch.tensor([1.0, 0, 0, 0]).expand(count, 4)
    colours = torch.rand(count, channels, generator=torch.Generator().manual_seed(0))
    return voge.Ellipsoids(means, torch.full((count, 3), scale), quats, torch.ones(count), colours)


def model(path: Path) -> voge.Ellipsoids:
    """A mesh by the default converter, centred, largest coordinate 1, random colours."""
    mesh = load_geometry(path)
    vertices = torch.as_tensor(mesh.vertices)
    vertices = vertices - (vertices.amax(0) + vertices.amin(0)) / 2
    e = convert.from_mesh((vertices / vertices.abs().max()).float(), torch.as_tensor(mesh.faces))
    return replace(e, features=torch.rand(len(e), 3, generator=torch.Generator().manual_seed(0)), extra={})


def camera(size: int, distance: float, focal: float, elevation: float = 20, azimuth: float = 30) -> voge.Cameras:
    viewmats = voge.orbit(azimuth, elevation, torch.tensor(distance))[None]
    return voge.Cameras(viewmats, voge.intrinsics(size, size, focal=focal * size)[None], size, size)


def median_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times[1:] or times)


def forward(e: voge.Ellipsoids, c: voge.Cameras, s: voge.RenderSettings) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return voge.render(e, c, s)

    return run


def both(e: voge.Ellipsoids, c: voge.Cameras, s: voge.RenderSettings) -> Callable[[], object]:
    """Forward and backward, with gradients to means, scales, quats, density and features."""
    e = e.map(lambda t: t.detach().clone().requires_grad_())
    target = torch.rand(len(c), c.height, c.width, e.features.shape[1])  # type: ignore[union-attr]

    def run() -> None:
        (voge.render(e, c, s).image - target).square().mean().backward()

    return run


def counts(e: voge.Ellipsoids, c: voge.Cameras, s: voge.RenderSettings) -> tuple[int, int]:
    """Pairs that the tile lists make the renderer test, and hits."""
    _, _, (_, offsets, _), tile = compiled._prepare(e, c.rays(), c, s)
    return int(offsets[-1]) * math.prod(tile), int(voge.trace(e, c, s).offsets[-1])


def row(*cells: object) -> None:
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")


def head(title: str, *cells: str) -> None:
    print(f"\n**{title}**\n")
    row(*cells)
    row(*["---"] * len(cells))


def compare(quick: bool) -> None:
    head("C++ against the torch definition, cube of 5,048, forward + backward", "image", "C++ ms", "torch ms", "ratio")
    e = cube(29)
    for size in (64,) if quick else (128, 256):
        c = camera(size, 6, 1.65)
        ours = median_ms(both(e, c, voge.RenderSettings(backend=voge.Backend.cpp)), 9)
        theirs = median_ms(both(e, c, voge.RenderSettings(backend=voge.Backend.torch)), 0)
        row(f"{size}²", ours, theirs, theirs / ours)


def growth() -> None:
    s = voge.RenderSettings()
    head("growth with pixels, cube of 5,048", "image", "forward ms", "forward + backward ms", "ns a pixel, both")
    for size in (128, 256, 512, 1024):
        e, c = cube(29), camera(size, 6, 1.65)
        fast, full = median_ms(forward(e, c, s), 7), median_ms(both(e, c, s), 7)
        row(f"{size}²", fast, full, 1e6 * full / size**2)
    head("growth with hits, 256²", "ellipsoids", "hits", "forward ms", "forward + backward ms", "ns a hit, both")
    for width in (0.5, 1.0, 2.0, 4.0):
        e, c = cube(29), camera(256, 6, 1.65)
        e = replace(e, scales=e.scales * width)
        fast, full = median_ms(forward(e, c, s), 7), median_ms(both(e, c, s), 7)
        hits = counts(e, c, s)[1]
        row(f"5,048, width x {width}", hits, fast, full, 1e6 * full / hits)


def named(mesh: Path) -> None:
    head(
        f"{mesh.stem}, 256², 3 channels",
        "ellipsoids",
        "pairs tested",
        "hits",
        "forward ms",
        "forward + backward ms",
        "floor ms",
    )
    e, c, s = model(mesh), camera(256, 2.7, 126 / 128), voge.RenderSettings()
    pairs, hits = counts(e, c, s)
    # 60 operations a pair, 250 a hit (4 events with one exponential each); 2 cores x 32 a cycle x 2.6 GHz.
    floor = (60 * pairs + 250 * hits) / (2 * 32 * 2.6e9) * 1e3
    row(len(e), pairs, hits, median_ms(forward(e, c, s), 31), median_ms(both(e, c, s), 31), floor)


def memory() -> None:
    head("peak memory of forward + backward", "image", "width of ellipsoids", "MB", "bytes a pixel")
    for size, width in ((256, 1.0), (512, 1.0), (1024, 1.0), (512, 4.0)):
        used = int(subprocess.run([sys.executable, __file__, "--peak", str(size), str(width)],
                                  capture_output=True, text=True, check=True).stdout)  # fmt: skip
        row(f"{size}²", f"x {width}", used / 2**20, used / size**2)


def peak(size: int, width: float) -> None:
    e, s = cube(29), voge.RenderSettings()
    e = replace(e, scales=e.scales * width)
    both(e, camera(16, 6, 1.65), s)()
    run = both(e, camera(size, 6, 1.65), s)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now
    before = resident("VmRSS")
    run()
    print(resident("VmHWM") - before)


def resident(field: str) -> int:
    """A size in bytes from the kernel's account of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesh", type=Path, nargs="*", default=[], help="models to time at 256² as well")
    parser.add_argument("--quick", action="store_true", help="a short run, to see that it works")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        peak(int(options.peak[0]), float(options.peak[1]))
        return
    print(f"{platform.machine()}, torch {torch.__version__}, cpp: {voge.ops.status()['cpp'].reason}")
    for mesh in options.mesh:
        named(mesh)
    compare(options.quick)
    if not options.quick:
        growth()
        memory()


if __name__ == "__main__":
    main()
