"""Colors recovered from pictures (docs/texture.md): how right they are, and what they cost.

    python benchmarks/texture.py cow.obj bunny.off
    python benchmarks/texture.py cow.obj --memory 5048
    python benchmarks/texture.py cow.obj --command

Each mesh is centered, scaled so that its largest coordinate is 1, and seen from distance 2.7 in pictures of 256 x 256
pixels, focal length 240, cast with 3 x 3 rays a pixel. Colors are those of `fidelity.py`: sines of the 3D point,
about three periods across the mesh. `--pattern checker` has edges instead. The pictures are over white, without a
mask, or with --matte as transparent pictures.

One view from azimuth 30, elevation 20; `new` are azimuths 0 and 60 (30 degrees away). Six views from azimuths 0 to
300, elevations 20 and -10 by turns; `between` are azimuths 30 to 330, elevation 5. PSNR is that of the re-render over
black, where either its alpha or the truth's is over 0.5: `seen` only where 90 % of the pixel's light comes from
ellipsoids that the input shows, `all` everywhere, with the rest filled from the nearest.

--memory N: peak memory of extracting 64 channels from one picture with N ellipsoids, beyond what the picture, the
ellipsoids and the libraries take; the same for the gradients of voge.sample.

--command: `voge texture` from start to end, with the mesh's own texture: PSNR of the re-render of a photo of 640 x 480
pixels by number of ellipsoids, and time and peak memory with a photo of 1632 x 1224 and a mesh of 50,000 vertices.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from fidelity import centered, pattern, psnr, views
from torch import Tensor

import voge
from voge.convert import from_mesh
from voge.io.images import write_png
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh
from voge.meshes.raycast import MeshPictures, render_mesh
from voge.meshes.resample import resample
from voge.rendering.settings import Aggregation, RenderSettings
from voge.texture import Extracted, Solver, Solving, extract, filled
from voge.texture.settings import Fill

SIZE = 256
PAPER = RenderSettings(aggregation=Aggregation.paper)


@dataclass(frozen=True)
class Row:
    """Ellipsoids and how their colors are found."""

    name: str
    ellipsoids: voge.Ellipsoids
    solving: Solving
    settings: RenderSettings | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", nargs="+", type=Path)
    parser.add_argument("--pattern", choices=("sines", "checker"), default="sines")
    parser.add_argument("--matte", action="store_true", help="transparent pictures in place of a white background")
    parser.add_argument("--memory", type=int, help="measure memory with so many ellipsoids instead")
    parser.add_argument("--command", action="store_true", help="measure the command instead")
    parser.add_argument("--sweep", action="store_true", help="other dampings, smoothnesses and neighbors as well")
    options = parser.parse_args()
    if options.memory:
        for path in options.mesh:
            memory(path, options.memory)
        return
    if options.command:
        for path in options.mesh:
            command(path)
        return
    colors = pattern if options.pattern == "sines" else checker
    print("| set | 1 view: same | new, seen | new, all | 6 views: same | between, all | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for path in options.mesh:
        mesh = centered(load_geometry(path))
        cameras = {
            "one": around([30.0], 20.0),
            "new": around([0.0, 60.0], 20.0),
            "six": views(SIZE),
            "between": around([30.0 + 60 * i for i in range(6)], 5.0),
        }
        truth = {name: render_mesh(mesh, camera, colors=colors) for name, camera in cameras.items()}
        for row in rows(mesh, options.sweep):
            start = time.process_time()
            one = extracted(row, cameras["one"], truth["one"], options.matte)
            spent = time.process_time() - start
            six = extracted(row, cameras["six"], truth["six"], options.matte)
            found = [
                quality(row, one, cameras["one"], truth["one"], seen=True),
                quality(row, one, cameras["new"], truth["new"], seen=True),
                quality(row, one, cameras["new"], truth["new"], seen=False),
                quality(row, six, cameras["six"], truth["six"], seen=True),
                quality(row, six, cameras["between"], truth["between"], seen=False),
            ]
            print(
                f"| {path.stem}, {row.name} | " + " | ".join(f"{x:.1f}" for x in found) + f" | {spent:.2f} |",
                flush=True,
            )


def around(azimuths: list[float], elevation: float) -> voge.Cameras:
    """Cameras around the origin."""
    poses = torch.stack([voge.orbit(azimuth, elevation, 2.7) for azimuth in azimuths])
    return voge.Cameras(poses, voge.intrinsics(SIZE, SIZE, focal=240).repeat(len(poses), 1, 1), SIZE, SIZE)


def checker(points: Tensor) -> Tensor:
    """Grays (P, 3) with edges every 0.16 units."""
    x, y, z = (20 * points.double()).unbind(1)
    return (0.5 + 0.4 * torch.tanh(4 * x.sin() * y.sin() * (z + 0.5).sin()))[:, None].expand(-1, 3)


def rows(mesh: Mesh, sweep: bool) -> list[Row]:
    """Both solvers, and the paper's recipe: its converter, its aggregation, eq. 10."""
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    hat, spheres = from_mesh(vertices, faces), from_mesh(vertices, faces, method="vertex")
    average, lsq = Solving(solver=Solver.average), Solving()
    made = [
        Row("lsq", hat, lsq),
        Row("average", hat, average),
        Row("paper: vertex, eq. 8, average", spheres, average, PAPER),
    ]
    if sweep:
        others = [{"damping": x} for x in (0.001, 0.05)] + [{"smoothness": x} for x in (0.02, 0.2)]
        others += [{"neighbors": x} for x in (4, 10)] + [{"margin": x} for x in (0, 2)]
        made += [Row(str(other), hat, replace(lsq, **other)) for other in others]
    return made


def extracted(row: Row, cameras: voge.Cameras, truth: MeshPictures, matte: bool) -> Extracted:
    """What the pictures say."""
    if matte:
        images, alphas = truth.image / truth.alpha.clamp_min(1e-6)[..., None], truth.alpha
    else:
        images, alphas = truth.over(torch.ones(3)), None
    return extract(row.ellipsoids, cameras, images, alphas, solving=row.solving, settings=row.settings)


def quality(row: Row, found: Extracted, cameras: voge.Cameras, truth: MeshPictures, *, seen: bool) -> float:
    """PSNR in dB; see the module's text."""
    colors = filled(row.ellipsoids, found, Fill.nearest)
    shown = torch.cat([colors, found.seen.to(colors)[:, None]], 1)
    picture = voge.render(replace(row.ellipsoids, features=shown), cameras, row.settings)
    either = (picture.alpha > 0.5) | (truth.alpha > 0.5)
    if seen:
        either &= (picture.alpha > 0.5) & (picture.image[..., 3] > 0.9 * picture.alpha)
    return psnr(picture.image[..., :3].clamp(0, 1), truth.image, either, 1)


def memory(path: Path, count: int) -> None:
    """Print peaks in MB of 2^20 bytes; the process's peak only grows, so the smaller one is measured first."""
    mesh = resample(centered(load_geometry(path)), count)
    ellipsoids = from_mesh(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces))
    image, camera = torch.rand(1, SIZE, SIZE, 64), around([30.0], 20.0)
    voge.sample(camera, image[..., :1], ellipsoids=ellipsoids)  # loads the libraries
    extract(ellipsoids[:64], camera, image[..., :1])
    before = peak()
    extract(ellipsoids, camera, image)
    extraction = peak()
    means = ellipsoids.means.clone().requires_grad_()
    image.requires_grad_()
    voge.sample(camera, image, ellipsoids=replace(ellipsoids, means=means)).features.square().sum().backward()
    print(f"{len(ellipsoids)} ellipsoids, {SIZE} x {SIZE} x 64: extract {extraction - before:.0f} MB, ", end="")
    print(f"sample with gradients {peak() - before:.0f} MB, whole process {peak():.0f} MB")


def command(path: Path) -> None:
    """Run voge texture on ray-cast photos; see the module's text."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        mesh = load_geometry(path)
        pose = photo(mesh, path.resolve(), work / "small.png", 640, 480)
        for options in (["refine=null"], ["--count", "8000"], []):
            found, _, _ = run(
                [str(work / "small.png"), "--pose", str(pose), "--turntable", "0", *options], work / "out"
            )
            print(f"640 x 480, {found['ellipsoids']} ellipsoids: re-render {found['psnr']} dB", flush=True)
        fine = resample(mesh, 50_000)
        trimesh.Trimesh(fine.vertices, fine.faces, process=False).export(work / "fine.ply")
        pose = photo(mesh, work / "fine.ply", work / "large.png", 1632, 1224)
        found, seconds, spent = run([str(work / "large.png"), "--pose", str(pose)], work / "out")
        children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"1632 x 1224, {found['ellipsoids']} ellipsoids: re-render {found['psnr']} dB, {seconds:.1f} s, ", end="")
        print(f"{spent:.1f} s of CPU with {torch.get_num_threads()} threads, peak {children:.0f} MB")


def photo(mesh: Mesh, model: Path, path: Path, width: int, height: int) -> Path:
    """Write a picture of the mesh on gray and its pose.json, which names the model; returns the latter."""
    middle = ((mesh.vertices.min(0) + mesh.vertices.max(0)) / 2).tolist()
    distance = 2.4 * float(np.abs(mesh.vertices - middle).max())
    K = voge.intrinsics(width, height, focal=1.6 * height)
    camera = voge.Cameras(voge.orbit(230.0, 15.0, distance, at=middle)[None], K[None], width, height)
    write_png(path, render_mesh(mesh, camera).over(torch.full((3,), 0.5))[0])
    pose = {"azimuth": 230, "elevation": 15, "distance": distance, "at": middle}
    document = {"model": str(model), "camera": {"width": width, "height": height, "fx": 1.6 * height}, "pose": pose}
    path.with_suffix(".json").write_text(json.dumps(document))
    return path.with_suffix(".json")


def run(arguments: list[str], out: Path) -> tuple[dict[str, Any], float, float]:
    """The command's document, its wall time and its CPU time, in seconds."""
    spent = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])  # noqa: E731
    start, before = time.perf_counter(), spent()
    words = [sys.executable, "-m", "voge_cli", "texture", *arguments, "-o", str(out), "--overwrite", "--json", "-q"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return json.loads(done.stdout), time.perf_counter() - start, spent() - before


def peak() -> float:
    """Most memory that the process has held, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
