"""What a render costs the host: microseconds of forward and backward where there is next to nothing to compute.

    python benchmarks/host.py --device cuda

Twelve ellipsoids on 4 x 4 pixels, one thread. On a GPU the calls return before it is done; `both, done` waits for it.
`--device idle` takes CUDA's way on the CPU, through a library that does nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from idle import idle_cuda
from torch import Tensor

import voge

COUNT, SIZE = 12, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or idle")
    parser.add_argument("--repeat", type=int, default=2000, help="calls that are timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cpu" if options.device == "idle" else options.device)
    with idle_cuda() if options.device == "idle" else nullcontext():
        table(device, options.repeat)


def table(device: torch.device, repeat: int) -> None:
    """Print a row for each kind of call."""
    print("| gradients to | forward us | backward us | both, done us |\n|---|---|---|---|")
    for name, poses, capacity in (
        ("ellipsoids", False, None),
        ("ellipsoids and cameras", True, None),
        ("ellipsoids, with list_capacity", False, 1000),
    ):
        draw, leaves, gradient = work(device, poses, voge.RenderSettings(list_capacity=capacity))
        forward, backward, both = timed(draw, leaves, gradient, repeat, device)
        print(f"| {name} | {forward:.0f} | {backward:.0f} | {both:.0f} |")


def work(
    device: torch.device, poses: bool, settings: voge.RenderSettings
) -> tuple[Callable[[], Tensor], list[Tensor], Tensor]:
    """What draws the picture, the leaves that take gradients, and a gradient of the picture."""
    random = torch.Generator().manual_seed(0)
    means, scales, quats, colors = (torch.rand(COUNT, n, generator=random) for n in (3, 3, 4, 3))
    made = voge.Ellipsoids(means - 0.5, 0.1 + 0.1 * scales, quats, torch.ones(COUNT), colors)
    e = made.to(device).map(lambda t: t.detach().requires_grad_())
    K = voge.intrinsics(SIZE, SIZE, fov=30.0)[None].to(device)
    c = voge.Cameras(voge.orbit(30.0, 20.0, 3.0)[None].to(device), K, SIZE, SIZE)
    if poses:
        c = replace(c, viewmats=c.viewmats.requires_grad_(), Ks=c.Ks.requires_grad_())
    assert e.features is not None
    leaves = [e.means, e.scales, e.quats, e.density, e.features, *((c.viewmats, c.Ks) if poses else ())]
    gradient = torch.rand(1, SIZE, SIZE, 3, generator=random).to(device)
    return lambda: voge.render(e, c, settings).image, leaves, gradient


def timed(
    draw: Callable[[], Tensor], leaves: list[Tensor], gradient: Tensor, repeat: int, device: torch.device
) -> list[float]:
    """Medians in microseconds: of forward, of backward, and of both until the device is done."""
    samples: list[tuple[float, float, float]] = []
    for i in range(repeat + 100):
        for leaf in leaves:
            leaf.grad = None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        image = draw()
        drawn = time.perf_counter()
        image.backward(gradient)
        returned = time.perf_counter()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if i >= 100:
            samples.append((drawn - start, returned - drawn, time.perf_counter() - start))
    return [1e6 * statistics.median(column) for column in zip(*samples, strict=True)]


if __name__ == "__main__":
    main()
