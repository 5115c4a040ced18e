"""How often hidden objects are found: the paper's cuboids, and random scenes (docs/occlusion.md).

    python benchmarks/occlusion.py cuboids
    python benchmarks/occlusion.py cuboids --ablations
    python benchmarks/occlusion.py random --scenes 50
    python benchmarks/occlusion.py cuboids --device cuda --quick

`cuboids`: the packaged scene (section 4.6 of the paper). The blue cuboid starts at (x, 0, -z) behind the red one, which
starts where it stands; both may move. Success: both within 0.05 of the truth. For each aggregation, target and
rendering alike, gradient descent alone (the paper's, 200 steps) and the solver: successes, of those the median
steps, and the median seconds. A step of the solver is a trial of all objects together, or a
proposal taken.

`random`: scenes of 3 to 5 cuboids, spheres and cylinders with sides of random colors in front of each other, of which
at least one shows less than 20 %; starts are up to one diameter and 20 degrees off, and the solver is told so (reach 1,
angle 25). Success of an object: within 3 % of its diameter and 3 degrees. Objects that show more than 5 % count; the
curve is over all.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import voge
from voge import occlusion
from voge.convert.primitives import Shape, primitive
from voge.geometry import rigid
from voge.geometry.similarity import similarity
from voge.occlusion import Bodies, Body, Freedom, Gradient, OcclusionSettings, Refine, Search, Target
from voge.rendering.settings import Aggregation, RenderSettings

DEPTHS = (1.5, 2.5, 5.0, 10.0, 20.0)
LATERAL = (-1.0, -0.5, 0.0, 0.5)
CLOSE = 0.05
EDGES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # of the bins of visible fraction
ABLATIONS = {
    "gradient": OcclusionSettings(method="gradient"),
    "gradient, density 0.1": OcclusionSettings(method="gradient", gradient=Gradient(density=0.1)),
    "gradient, density 0.1, widened 0.03": OcclusionSettings(
        method="gradient", gradient=Gradient(density=0.1, widened=0.03)
    ),
    "gradient, blur 8": OcclusionSettings(method="gradient", gradient=Gradient(blur=8.0)),
    "solver, no search, no pyramid": OcclusionSettings(search=Search(enabled=False), refine=Refine(pyramid=False)),
    "solver, no search": OcclusionSettings(search=Search(enabled=False)),
    "solver, one round": OcclusionSettings(search=Search(rounds=0, attempts=1)),
    "solver": OcclusionSettings(),
}


@dataclass(frozen=True)
class Outcome:
    """Of one start."""

    success: bool
    steps: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["cuboids", "random"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--depths", nargs="*", type=float, default=DEPTHS)
    parser.add_argument("--lateral", nargs="*", type=float, default=LATERAL)
    parser.add_argument("--aggregation", nargs="*", choices=list(Aggregation), default=list(Aggregation))
    parser.add_argument("--ablations", action="store_true", help="of the aids, with the exact aggregation")
    parser.add_argument("--quick", action="store_true", help="lateral -1 alone")
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--first", type=int, default=0, help="seed of the first scene")
    options = parser.parse_args()
    device = torch.device(options.device)
    if options.what == "random":
        random_table(range(options.first, options.first + options.scenes), device)
        return
    lateral = options.lateral[:1] if options.quick else options.lateral
    if options.ablations:
        rows = ABLATIONS
    else:
        rows = {
            f"{aggregation.value}, {method}": OcclusionSettings(
                method=method, render=RenderSettings(aggregation=aggregation), search=Search()
            )
            for aggregation in map(Aggregation, options.aggregation)
            for method in ("gradient", "solver")
        }
    cuboid_table(rows, options.depths, lateral, device)


# ---- The paper's cuboids ----------------------------------------------------------------------


def cuboid_table(
    rows: dict[str, OcclusionSettings], depths: Sequence[float], lateral: Sequence[float], device: torch.device
) -> None:
    """Print successes, steps and seconds for each row and depth."""
    print("| | " + " | ".join(f"{depth:g} behind" for depth in depths) + " |\n|---" * 1 + "|---" * len(depths) + "|")
    solve_cuboids(OcclusionSettings(search=Search(enabled=False)), 1.5, 0.0, device)  # libraries and kernels are loaded
    for name, settings in rows.items():
        cells = []
        for depth in depths:
            made = [solve_cuboids(settings, depth, x, device) for x in lateral]
            good = [each for each in made if each.success]
            seconds = statistics.median(each.seconds for each in made)
            steps = f", {statistics.median(each.steps for each in good):g} steps" if good else ""
            cells.append(f"{len(good)}/{len(made)}{steps}, {seconds:.2g} s")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def solve_cuboids(settings: OcclusionSettings, depth: float, x: float, device: torch.device) -> Outcome:
    """From the blue cuboid at (x, 0, -depth)."""
    free = Freedom(rotation=(False,) * 3)
    blue = primitive("cuboid", (1.6, 0.8, 1.2), [(0, 1, 1), (0, 1, 0.2), (0, 0.2, 1)])
    red = primitive("cuboid", (2, 2, 0.6), [(0.2, 1, 0), (1, 1, 0), (1, 0.2, 0)])
    bodies = [
        Body("blue", blue.to(device), similarity((x, 0, -depth)), free),
        Body("red", red.to(device), similarity(), free),
    ]
    truth = torch.stack([similarity((0.5, 0, 1)), similarity()])
    K = voge.intrinsics(400, 400, focal=300.0)
    camera = voge.Cameras(voge.orbit(20.0, 10.0, 5.0)[None], K[None], 400, 400).to(device)
    with torch.no_grad():
        image = voge.render(Bodies(bodies).place(truth), camera, settings.render).image[0]
    began = time.perf_counter()
    solution = occlusion.solve(bodies, [Target(camera, image)], settings)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - began
    away = [(poses - truth)[:, :3, 3].norm(dim=1).max() for poses, _ in solution.path]
    first = next((i for i, distance in enumerate(away) if all(d < CLOSE for d in away[i:])), len(away) - 1)
    found = (solution.poses - truth)[:, :3, 3].norm(dim=1).max() < CLOSE
    return Outcome(bool(found), first + 1, seconds)


# ---- Random scenes ----------------------------------------------------------------------------


def random_table(seeds: Sequence[int], device: torch.device) -> None:
    """Print each scene's result, then the success over the visible fraction."""
    visible, good, times = [], [], []
    for seed in seeds:
        bodies, truth, shown, target = random_scene(seed, device)
        began = time.perf_counter()
        solution = occlusion.solve(bodies, [target], OcclusionSettings(search=Search(reach=1.0), seed=seed))
        times.append(time.perf_counter() - began)
        scene = Bodies(bodies)
        away = (scene.centers(solution.poses) - scene.centers(truth)).norm(dim=1) / scene.sizes(truth)
        turned = rigid.angle_between(solution.poses, truth)
        found = (away < 0.03) & (turned < 3)
        visible += shown.tolist()
        good += found.tolist()
        parts = [
            f"{v:.2f}:{a:.3f}/{t:.1f}" for v, a, t in zip(shown.tolist(), away.tolist(), turned.tolist(), strict=True)
        ]
        print(f"{seed}: cost {solution.cost:.1e}, {times[-1]:.1f} s, {' '.join(parts)}", flush=True)
    print("\n| visible | objects | found |\n|---|---|---|")
    for low, high in itertools.pairwise(EDGES):
        chosen = [g for v, g in zip(visible, good, strict=True) if low <= v < high or (high == 1 and v >= 1)]
        if chosen:
            print(f"| {low:.0%} to {high:.0%} | {len(chosen)} | {sum(chosen) / len(chosen):.0%} |")
    counted = [g for v, g in zip(visible, good, strict=True) if v > 0.05]
    print(
        f"\nmore than 5 % visible: {sum(counted)} of {len(counted)}, {sum(counted) / len(counted):.1%}; "
        f"{statistics.median(times):.1f} s a scene (median)"
    )


def random_scene(seed: int, device: torch.device) -> tuple[list[Body], Tensor, Tensor, Target]:
    """Bodies at their starts, true poses (O, 4, 4), visible fractions (O,), and the target."""
    g = torch.Generator().manual_seed(seed)
    K = torch.tensor([[320.0, 0, 160], [0, 320, 120], [0, 0, 1]])
    camera = voge.Cameras(voge.orbit(25.0, 20.0, 6.0)[None], K[None], 320, 240).to(device)
    for bodies in _arrangements(g, camera, device):
        scene = Bodies(bodies)
        shown = occlusion.visibility(scene, scene.starts, [camera]).visible
        if float(shown.min()) < 0.2:
            break
    truth = scene.starts
    with torch.no_grad():
        image = voge.render(scene.place(truth), camera).image[0]
    return [_off(body, g) for body in bodies], truth, shown, Target(camera, image)


def _arrangements(g: torch.Generator, camera: voge.Cameras, device: torch.device) -> Iterator[list[Body]]:
    """Objects that do not touch, within the view, 4.5 to 8.5 from the camera."""
    back = torch.linalg.inv(camera.viewmats[0].double().cpu())

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    while True:
        bodies: list[Body] = []
        wanted = 3 + int(uniform(1) * 3)
        for _ in range(200):
            if len(bodies) == wanted:
                yield bodies
                break
            shape, size = list(Shape)[int(uniform(1) * 3)], (0.6 + 0.9 * uniform(3)).tolist()
            depth = 4.5 + 4 * float(uniform(1))
            x, y = ((uniform(2) - 0.5) * torch.tensor([1.6, 1.2], dtype=torch.float64) * depth / 6).tolist()
            center = (back @ torch.tensor([x, y, depth, 1], dtype=torch.float64))[:3]
            quat = torch.randn(4, generator=g, dtype=torch.float64)
            reach = 0.42 * math.hypot(*size)
            if any(float((center - b.pose[:3, 3]).norm()) < reach + 0.42 * b.diameter for b in bodies):
                continue
            made = primitive(shape, size, uniform(6, 3).tolist(), 300).to(device)
            bodies.append(Body(f"object{len(bodies)}", made, similarity(center.tolist(), quat), Freedom(angle=25.0)))


def _off(body: Body, g: torch.Generator) -> Body:
    """The body up to one diameter and 20 degrees away; told that it is at most one."""

    def direction() -> Tensor:
        return torch.nn.functional.normalize(torch.randn(3, generator=g, dtype=torch.float64), dim=0)

    radius, angle = torch.rand(2, generator=g, dtype=torch.float64)
    shift, turn = direction() * radius ** (1 / 3) * body.diameter, direction() * angle * math.radians(20)
    increment = torch.cat([shift, turn, torch.zeros(1, dtype=torch.float64)])
    pose = rigid.move(body.pose, increment, body.pivot)
    center = pose[:3, :3] @ body.pivot + pose[:3, 3]
    low, high = (center - body.diameter).tolist(), (center + body.diameter).tolist()
    return replace(body, pose=pose, free=replace(body.free, low=tuple(low), high=tuple(high)))


if __name__ == "__main__":
    main()
