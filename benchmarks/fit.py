"""What each part of the fitting recipe is worth, and what a step costs: the tables of docs/fit.md.

    python benchmarks/fit.py cow.obj                                # the recipe
    python benchmarks/fit.py cow.obj --rows ablation --steps 600 --size 64 --seeds 2
    python benchmarks/fit.py cow.obj --save targets.safetensors     # ray-cast pictures, for a machine without Embree
    python benchmarks/fit.py targets.safetensors --device cuda --rows ablation
    python benchmarks/fit.py targets.safetensors --row "weights.overlap=1e-4 surface.smoothing=10"

    python benchmarks/fit.py targets.safetensors --device cuda --breakdown  # what the host and the device do in a step

    python benchmarks/fit.py targets.safetensors --cameras free --steps 800
    python benchmarks/fit.py targets.safetensors --cameras known --truth truth.safetensors --steps 80

Held-out views are ten from random directions at the same distance; `unseen` are five of the side that the sweep of
cameras never faces. Times: seconds of the whole loop, and CPU milliseconds a step (all threads).
"""

import argparse
import math
import time
from collections import deque
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import fmean

import torch
import trimesh
from safetensors.torch import load_file, save_file
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from voge.convert import from_mesh
from voge.fitting.fitter import Fitting
from voge.fitting.parameters import moved_cameras
from voge.fitting.scores import score, summary
from voge.fitting.settings import SHAPE, Coarse, FitSettings, Part, Rates, Surface, Sweep
from voge.fitting.starts import Start, sphere
from voge.fitting.targets import photograph, random_cameras, sweep_cameras, to_size_one, unseen_cameras
from voge.imaging.lighting import shade
from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge.io.meshes import load_geometry
from voge.optim import metrics
from voge.optim.settings import Rate
from voge.scene.cameras import Cameras
from voge.scene.capture import Capture
from voge.scene.ellipsoids import Ellipsoids

THRESHOLD = 0.05  # of the F-score, on an object of size 1
REGULARIZERS = "weights.tangency=0 weights.flatness=0 weights.roundness=0 weights.agreement=0"
ABLATION = {
    "the recipe": "",
    "without any regularizer": REGULARIZERS + " weights.feature_agreement=0",
    "without tangency": "weights.tangency=0",
    "without flatness": "weights.flatness=0",
    "without feature agreement": "weights.feature_agreement=0",
    "with overlap 1e-4": "weights.overlap=1e-4",
    "with agreement 0.01": "weights.agreement=0.01",
    "with roundness 0.001": "weights.roundness=1e-3",
    "with size agreement 0.001": "weights.size_agreement=1e-3",
    "with spacing agreement 0.003": "weights.spacing_agreement=3e-3",
    "with Laplacian 0.01": "weights.laplacian=0.01",
    "with opacity entropy 0.001": "weights.opacity_entropy=1e-3",
    "with the mesh's three losses": "weights.mesh_edges=0.1 weights.mesh_laplacian=0.1 weights.mesh_normals=0.01",
    "smoothing 0": "surface.smoothing=0",
    "smoothing 1": "surface.smoothing=1",
    "smoothing 10": "surface.smoothing=10",
    "shapes follow to the end": "surface.until=1",
    "shapes follow to 80 %": "surface.until=0.8",
    "free from the first step": "surface.until=0",
    "thin from the first step": "surface.thickness=[0.05,0.05] surface.width=[0.75,0.75]",
    "full size from the first step": "coarse.factor=1",
    "quarter size first": "coarse.factor=4",
    "no filter": "filter=0",
    "filter of 0.5 pixels": "filter=0.5",
    "2 x 2 rays a pixel, no filter": "filter=0 samples=2",
    "two boxes an ellipsoid": "settings.boxes=2",
    "eta 0.004": "settings.min_density=0.004",
    "eta 0.01": "settings.min_density=0.01",
    "absolute colors": "color_loss=absolute",
    "silhouettes by IoU": "silhouette_loss=iou",
    "colors alone": "weights.silhouette=0",
    "grown to 4,000": "growth.budget=4000",
    "start of radius 0.5": "start=0.5",
    "fixed isotropic, free centers": "start=isotropic surface.until=0 optimize=[means,colors] " + REGULARIZERS,
}


def changed(settings, text: str):
    """Settings with `key=value` pairs, keys dotted."""
    for pair in text.split():
        key, _, value = pair.partition("=")
        settings = _put(settings, key.split("."), value)
    return settings


def _put(thing, keys: list[str], text: str):
    name, *rest = keys
    old = getattr(thing, name)
    if rest:
        return replace(thing, **{name: _put(old, rest, text)})
    if isinstance(old, Rate):
        return replace(thing, **{name: replace(old, value=float(text))})
    if isinstance(old, tuple):
        entries = text.strip("[]").split(",")
        return replace(thing, **{name: tuple(type(old[0])(entry) for entry in entries)})
    kind = float if old is None else type(old)
    return replace(thing, **{name: text if isinstance(old, str) else kind(float(text))})


def make_targets(mesh_file: str, size: int) -> dict[str, torch.Tensor]:
    """Pictures, masks and cameras of every group of views, and samples of the surface."""
    mesh, sweep = to_size_one(load_geometry(mesh_file)), Sweep(size=size)
    groups = {"train": sweep_cameras(sweep), "held": random_cameras(sweep, 10, seed=1), "unseen": unseen_cameras(sweep)}
    tensors = {}
    for name, cameras in groups.items():
        taken = photograph(mesh, cameras)
        tensors |= {f"{name}.images": taken.images, f"{name}.masks": taken.masks}
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    return tensors | {"surface": torch.from_numpy(solid.sample(100_000, seed=0)).contiguous()}


def true_shape(mesh_file: str) -> Ellipsoids:
    """The mesh as ellipsoids, lit as its pictures are."""
    mesh = to_size_one(load_geometry(mesh_file))
    colors = None if mesh.colors is None else torch.from_numpy(mesh.colors)
    made = from_mesh(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), colors=colors)
    light = torch.tensor([0.0, 0.0, -3.0])
    lit = shade(made.features, made.extra["normals"], made.means, light, ambient=0.6)
    return replace(made, features=lit, extra={})


def captures(tensors: dict[str, torch.Tensor], device: str) -> dict[str, Capture]:
    """The groups of views."""
    sweep = Sweep(size=tensors["train.images"].shape[1])
    groups = {"train": sweep_cameras(sweep), "held": random_cameras(sweep, 10, seed=1), "unseen": unseen_cameras(sweep)}
    return {
        name: Capture(cameras, tensors[f"{name}.images"], tensors[f"{name}.masks"]).to(device)
        for name, cameras in groups.items()
    }


def begin(kind: str) -> Start:
    """The sphere of 2,562: of a radius, or of isotropic kernels as the paper has them."""
    if kind != "isotropic":
        return sphere(2562, float(kind))
    made = sphere(2562).ellipsoids
    wide = made.scales[:, :2].prod(1).sqrt()[:, None].expand(-1, 3).clone()
    return Start(replace(made, scales=wide, density=torch.ones_like(made.density)), None)


def measure(text: str, views: dict[str, Capture], surface: torch.Tensor, steps: int, seed: int) -> dict[str, float]:
    """One fit and its figures."""
    pairs = text.split()
    kind = next((pair.removeprefix("start=") for pair in pairs if pair.startswith("start=")), "1")
    plan = changed(FitSettings(steps=steps, seed=seed), " ".join(p for p in pairs if not p.startswith("start=")))
    fitting = Fitting([views["train"]], begin(kind), plan)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in fitting.steps():
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    made, black = fitting.ellipsoids(), fitting.background() * 0
    found = {name: summary(score(made, [group], black, plan.settings)) for name, group in views.items()}
    shape = metrics.shape_error(made.means, surface, THRESHOLD)
    return {
        "IoU": found["held"]["iou"],
        "worst": found["held"]["iou_worst"],
        "PSNR": found["held"]["psnr_object"],
        "IoU unseen": found["unseen"]["iou"],
        "PSNR unseen": found["unseen"]["psnr_object"],
        "IoU train": found["train"]["iou"],
        "Chamfer": shape.chamfer,
        "to surface": shape.accuracy,
        "F-score": shape.f_score,
        "seconds": wall,
        "CPU ms/step": 1e3 * cpu / steps,
        "ellipsoids": len(made),
    }


def breakdown(capture: Capture, steps: int) -> None:
    """What a step costs in each phase: wall time, what the device works, how long the host waits for it, calls."""
    fine = {"coarse": Coarse(factor=1)}
    phases = {
        "coarse, smooth": FitSettings(surface=Surface(until=1), coarse=Coarse(until=1)),
        "fine, smooth": FitSettings(surface=Surface(until=1), **fine),
        "fine, free": FitSettings(surface=Surface(until=0), **fine),
    }
    cuda = capture.images.is_cuda
    wait = torch.cuda.synchronize if cuda else lambda: None
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    for name, plan in phases.items():
        run = Fitting([capture], sphere(2562), plan).steps()
        take = lambda count, run=run: deque(islice(run, count), maxlen=0)  # noqa: E731
        take(50)
        wait()
        began = time.perf_counter()
        take(steps)
        wait()
        wall = time.perf_counter() - began
        with profile(activities=activities) as profiled:
            take(50)
            wait()
        print(f"{name}: {1e3 * wall / steps:.2f} ms a step; {_told(profiled.key_averages())}", flush=True)


def _told(events, steps: int = 50, shown: int = 8) -> str:
    """Milliseconds and calls a step of profiled events; the longest ones below."""
    kernels = [event for event in events if event.device_type != DeviceType.CPU]
    calls = [event for event in events if event.device_type == DeviceType.CPU]
    waits = [e for e in calls if "Synchronize" in e.key or "cudaMemcpy" in e.key]
    work = sum(e.self_device_time_total for e in kernels) / 1e3 / steps
    wait = sum(e.self_cpu_time_total for e in waits) / 1e3 / steps
    often = lambda *words: sum(e.count for e in calls if any(word in e.key for word in words)) / steps  # noqa: E731
    lines = [
        f"device {work:.2f} ms; host waits {wait:.2f} ms in {sum(e.count for e in waits) / steps:.1f} calls; "
        f"{often('aten::', 'voge::'):.0f} operators, {often('LaunchKernel'):.0f} launches"
    ]
    for some, of in ((kernels, "self_device_time_total"), (calls, "self_cpu_time_total")):
        for event in sorted(some, key=lambda event, of=of: getattr(event, of), reverse=True)[:shown]:
            own = getattr(event, of) / 1e3 / steps
            lines.append(f"    {own:7.3f} ms {event.count / steps:6.1f} x {event.key[:90]}")
    return "\n".join(lines)


def refine(views: dict[str, Capture], truth: Ellipsoids | None, given: argparse.Namespace) -> None:
    """Cameras off by 5 degrees and 5 %, focal lengths by a factor, then both: what is left after refining them.

    Args:
        views: the groups of views.
        truth: the shape, where it is known; else a sphere is fitted at the same time, first for itself, and what is
            left is measured after the similarity that aligns the cameras best.
        given: the command line's.
    """
    right = views["train"].cameras
    generator = torch.Generator().manual_seed(given.seeds)
    unit = lambda: torch.nn.functional.normalize(torch.randn(len(right), 3, generator=generator), dim=1)  # noqa: E731
    off = torch.cat([0.05 * unit(), unit() * math.radians(5)], 1).to(right.viewmats)
    middle = right.viewmats.new_zeros(3)
    wrong = {
        "poses": moved_cameras(right, off, pivot=middle, unit=2.7),
        "focals": moved_cameras(right, log_focals=right.viewmats.new_tensor([math.log(given.focal)]), pivot=middle),
    }
    wrong["both"] = moved_cameras(wrong["focals"], off, pivot=middle, unit=2.7)
    columns = ["", "degrees before", "after", "distance % before", "after", "focal % before", "after"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for part, cameras in wrong.items():
        plan = camera_plan(part, truth is not None, given.steps)
        fitting = Fitting([replace(views["train"], cameras=cameras)], truth or sphere(2562), plan)
        for _ in fitting.steps():
            pass
        found = fitting.result().cameras[0]
        cells = [value for pair in zip(left(cameras, right), left(found, right), strict=True) for value in pair]
        print(f"| {part}, largest | " + " | ".join(f"{value:.3g}" for value in cells) + " |", flush=True)


def camera_plan(part: str, known: bool, steps: int) -> FitSettings:
    """Settings for cameras alone, or for cameras and shape."""
    parts = (Part.poses, Part.focals) if part == "both" else (Part(part),)
    if known:
        rates = Rates(poses=Rate(value=3e-2, final=0.02), focals=Rate(value=1e-2, final=0.02))
        sharp = {"filter": 0.0, "samples": 2, "coarse": Coarse(factor=1)}
        return FitSettings(steps=steps, views_per_step=20, optimize=parts, rates=rates, **sharp)
    return FitSettings(steps=steps, optimize=(*SHAPE, *parts), coarse=Coarse(until=0.1), surface=Surface(until=0.4))


def left(found: Cameras, right: Cameras) -> tuple[float, float, float]:
    """The largest errors: degrees, percent of the distance, percent of the focal length; cameras aligned first."""
    a, b = found.centers - found.centers.mean(0), right.centers - right.centers.mean(0)
    u, s, v = torch.linalg.svd(b.mT @ a)
    flip = torch.diag(torch.tensor([1.0, 1, torch.linalg.det(u @ v)]).to(a))
    turn = u @ flip @ v  # Umeyama 1991
    scale = (s * flip.diagonal()).sum() / a.square().sum()
    place = scale * a @ turn.mT + right.centers.mean(0)
    rotation = found.viewmats[:, :3, :3] @ turn.mT
    chord = (rotation - right.viewmats[:, :3, :3]).square().sum((1, 2)).sqrt() / 8**0.5
    degrees = torch.rad2deg(2 * chord.clamp(max=1).asin()).max()
    away = (place - right.centers).norm(dim=1) / right.centers.norm(dim=1)
    focal = (found.Ks[:, 0, 0] / right.Ks[:, 0, 0] - 1).abs().max()
    return float(degrees), 100 * float(away.max()), 100 * float(focal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a mesh, or what --save wrote")
    parser.add_argument("--save", metavar="FILE", help="write the pictures and stop")
    parser.add_argument("--rows", choices=["recipe", "ablation"], default="recipe")
    parser.add_argument("--row", action="append", default=[], metavar="KEY=VALUE...", help="another recipe")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128, help="pixels a side, of a mesh's pictures")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cameras", choices=["known", "free"], help="refine cameras, the shape known or free")
    parser.add_argument("--focal", type=float, default=1.1, help="the factor by which focal lengths are off")
    parser.add_argument("--breakdown", action="store_true", help="also what the host and the device do in a step")
    parser.add_argument("--truth", metavar="FILE", help="the known shape: ellipsoids of the mesh at size 1")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    saved = Path(given.source).suffix == ".safetensors"
    tensors = load_file(given.source) if saved else make_targets(given.source, given.size)
    if given.save:
        save_file(tensors, given.save)
        if given.truth:  # lit as the pictures are: what a view shows is the color there
            save_ellipsoids(given.truth, true_shape(given.source))
        return
    rows = {"the recipe": ""} if given.rows == "recipe" else dict(ABLATION)
    rows = {text: text for text in given.row} or rows
    views = captures(tensors, given.device)
    if given.device.startswith("cuda"):  # context and kernels are loaded before the clock starts
        measure("", views, tensors["surface"], 20, 0)
    if given.cameras:
        truth = None if given.cameras == "free" else load_ellipsoids(given.truth).to(given.device)
        return refine(views, truth, given)
    if given.breakdown:
        breakdown(views["train"], 200 if given.device.startswith("cuda") else 20)
    heading = None
    for name, text in rows.items():
        runs = [measure(text, views, tensors["surface"], given.steps, seed) for seed in range(given.seeds)]
        if heading is None:
            heading = list(runs[0])
            print("| | " + " | ".join(heading) + " |\n|---|" + "---|" * len(heading))
        means = [fmean(run[key] for run in runs) for key in heading]
        print(f"| {name} | " + " | ".join(f"{value:.4g}" for value in means) + " |", flush=True)


if __name__ == "__main__":
    main()
