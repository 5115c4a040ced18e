"""How much converted ellipsoids look like their mesh: pictures against ray casting (docs/mathematics.md, section 5).

    python benchmarks/fidelity.py cow.obj bunny.off
    python benchmarks/fidelity.py cow.obj --textured 2930 8000 20000
    python benchmarks/fidelity.py cow.obj --eta 0.001 0.002 0.003 0.01

Each mesh is centered and scaled so that its largest coordinate is 1, and seen from distance 2.7 in six views of
256 x 256 pixels, focal length 240: azimuths 0 to 300 degrees by 60, elevations 20 and -10 by turns. Truth is cast
with 3 x 3 rays a pixel; the ellipsoids get one. Colors are sines of the 3D point, about three periods across the
mesh: at hit points for the truth, at vertices or points for the ellipsoids.

With --textured N ... the truth's colors are those of the mesh's texture looked up at the hit points, for sets of N
ellipsoids, and one more column is the PSNR inside the true silhouette.

Columns: ellipsoids; ellipsoids that count on a ray inside the silhouette; IoU of alpha > 0.5; sum of |alpha error|
over the silhouette's area; PSNR of colors and of normals (peak 2) where either picture's alpha is over 0.5, both
over black. Alpha is the sum of the weights, at most 1, for every aggregation.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import voge
from voge.convert import from_mesh, from_points
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh
from voge.meshes.raycast import MeshPictures, render_mesh
from voge.meshes.resample import resample
from voge.rendering.settings import Aggregation, Backend, RenderSettings

WAVES = torch.tensor([[9.0, 4, -3], [-4, 8, 5], [3, -6, 9]], dtype=torch.float64)  # radians a unit
SHIFTS = torch.tensor([0.0, 1, 2], dtype=torch.float64)
EXACT = RenderSettings()


@dataclass(frozen=True)
class Row:
    """One set of ellipsoids and how it is rendered."""

    name: str
    ellipsoids: voge.Ellipsoids
    settings: RenderSettings = EXACT
    gain: float = 1.0  # of the weights


@dataclass(frozen=True)
class Fidelity:
    """How far pictures are from the truth; see the module's text."""

    count: int
    iou: float
    alpha_error: float
    colors: float
    normals: float
    inside: float = math.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--points", type=int, default=8000, help="random points of each surface")
    parser.add_argument("--eta", nargs="*", type=float, default=[], help="compare these smallest densities instead")
    parser.add_argument("--backend", type=Backend, choices=list(Backend), default=Backend.auto)
    parser.add_argument("--textured", nargs="*", type=int, default=[], help="so many ellipsoids, with the texture")
    options = parser.parse_args()
    cameras = views(options.size)
    if options.textured:
        print("| set | N | IoU | alpha error | colors dB | inside dB | normals dB |\n|---|---|---|---|---|---|---|")
        for path in options.mesh:
            for count in options.textured:
                found = textured(centered(load_geometry(path)), cameras, count, options.backend)
                values = f"{found.iou:.4f} | {found.alpha_error:.4f} | {found.colors:.2f} | {found.inside:.2f}"
                print(f"| {path.stem}, hat | {found.count} | {values} | {found.normals:.2f} |", flush=True)
        return
    print("| set | N | on a ray | IoU | alpha error | colors dB | normals dB |")
    print("|---|---|---|---|---|---|---|")
    for path in options.mesh:
        mesh = centered(load_geometry(path))
        truth = render_mesh(mesh, cameras, colors=pattern)
        for row in eta_rows(mesh, options.eta) if options.eta else method_rows(mesh, options.points):
            row = replace(row, settings=replace(row.settings, backend=options.backend))
            found, met = compare(row, cameras, truth), mean_met(row, cameras, truth.alpha > 0.5)
            values = f"{found.iou:.4f} | {found.alpha_error:.4f} | {found.colors:.2f} | {found.normals:.2f}"
            print(f"| {path.stem}, {row.name} | {found.count} | {met:.1f} | {values} |", flush=True)


def centered(mesh: object) -> Mesh:
    """The mesh with the middle of its box at the origin and largest coordinate 1."""
    if not isinstance(mesh, Mesh):
        raise SystemExit("this benchmark needs meshes, and one of the files holds points")
    vertices = mesh.vertices - (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    return replace(mesh, vertices=vertices / np.abs(vertices).max())


def views(size: int) -> voge.Cameras:
    """Six cameras around the origin."""
    poses = [voge.orbit(60.0 * i, (20.0, -10.0)[i % 2], 2.7) for i in range(6)]
    return voge.Cameras(
        torch.stack(poses), voge.intrinsics(size, size, focal=240 * size / 256).repeat(6, 1, 1), size, size
    )


def pattern(points: Tensor) -> Tensor:
    """Smooth colors (P, 3) of points (P, 3)."""
    return 0.5 + 0.5 * torch.sin(points.double() @ WAVES.T + SHIFTS)


def method_rows(mesh: Mesh, points: int) -> list[Row]:
    """Every converter with its defaults, and the paper's converter with its aggregation."""
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    colors = pattern(vertices)
    paper = RenderSettings(aggregation=Aggregation.paper)

    def converted(method: str, coverage: float = 0.5) -> voge.Ellipsoids:
        return from_mesh(vertices, faces, method=method, colors=colors, coverage=coverage)

    places, normals = random_points(mesh, points)
    scattered = facing(from_points(places, colors=pattern(places)), normals)
    spheres = from_points(places, method="isotropic", colors=pattern(places), normals=normals)
    return [
        Row("hat", converted("hat")),
        Row("triangle", converted("triangle")),
        *(Row(f"vertex zeta {zeta}", converted("vertex", zeta)) for zeta in (0.5, 0.3)),
        *(Row(f"vertex zeta {zeta}, paper", converted("vertex", zeta), paper) for zeta in (0.5, 0.3)),
        *(
            Row(f"vertex zeta {zeta}, paper x e^0.5", converted("vertex", zeta), paper, math.sqrt(math.e))
            for zeta in (0.5, 0.3)
        ),
        Row(f"{points} random points", scattered),
        Row(f"{points} random points, isotropic zeta 0.5", spheres),
    ]


def textured(mesh: Mesh, cameras: voge.Cameras, count: int, backend: Backend = Backend.auto) -> Fidelity:
    """A mesh as `count` ellipsoids with its own colors, against its texture."""
    truth = render_mesh(mesh, cameras)
    made = resample(mesh, count)
    assert isinstance(made, Mesh)
    if made.colors is None:
        raise SystemExit("--textured needs meshes with colors")
    vertices, faces = torch.from_numpy(made.vertices), torch.from_numpy(made.faces)
    row = Row("hat", from_mesh(vertices, faces, colors=torch.from_numpy(made.colors)), RenderSettings(backend=backend))
    return compare(row, cameras, truth)


def eta_rows(mesh: Mesh, etas: list[float]) -> list[Row]:
    """The same ellipsoids rendered with several smallest densities."""
    vertices, faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
    made = from_mesh(vertices, faces, colors=pattern(vertices))
    return [Row(f"hat, eta {eta}", made, RenderSettings(min_density=eta)) for eta in etas]


def random_points(mesh: Mesh, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points spread evenly at random over the surface, and the normals of their faces: (count, 3) each."""
    random = torch.Generator().manual_seed(seed)
    a, b, c = torch.from_numpy(mesh.vertices)[torch.from_numpy(mesh.faces)].unbind(1)
    cross = torch.linalg.cross(b - a, c - a)
    face = torch.multinomial(cross.norm(dim=1), count, replacement=True, generator=random)
    u, v = torch.rand(2, count, 1, generator=random, dtype=torch.float64)
    u = u.sqrt()
    places = (1 - u) * a[face] + u * (1 - v) * b[face] + u * v * c[face]
    return places, torch.nn.functional.normalize(cross[face], dim=-1)


def facing(ellipsoids: voge.Ellipsoids, normals: Tensor) -> voge.Ellipsoids:
    """Normals found from points, with the sign of the true ones: their sign is another question than their line."""
    found = ellipsoids.extra["normals"]
    same = (found * normals).sum(1, keepdim=True) >= 0
    return replace(ellipsoids, extra={"normals": torch.where(same, found, -found)})


def compare(row: Row, cameras: voge.Cameras, truth: MeshPictures) -> Fidelity:
    """Render a row and measure it against the truth."""
    made = row.ellipsoids
    assert made.features is not None
    shown = torch.cat([made.features, made.extra["normals"], torch.ones(len(made), 1)], 1)
    pictures = row.gain * voge.render(replace(made, features=shown), cameras, row.settings).image
    alpha = pictures[..., -1].clamp(max=1)
    inside, seen = truth.alpha > 0.5, alpha > 0.5
    either = inside | seen
    return Fidelity(
        count=len(made),
        iou=((inside & seen).sum() / either.sum()).item(),
        alpha_error=((alpha - truth.alpha).abs().sum() / truth.alpha.sum()).item(),
        colors=psnr(pictures[..., :3].clamp(0, 1), truth.image, either, 1),
        normals=psnr(pictures[..., 3:6], truth.normals * truth.alpha[..., None], either, 2),
        inside=psnr(pictures[..., :3].clamp(0, 1), truth.image, inside, 1),
    )


def mean_met(row: Row, cameras: voge.Cameras, inside: Tensor) -> float:
    """How many ellipsoids count on a ray through a pixel inside the silhouette."""
    counts = [voge.trace(row.ellipsoids, cameras[i], row.settings).offsets.diff() for i in range(len(cameras))]
    return torch.cat(counts)[inside.flatten()].double().mean().item()


def psnr(picture: Tensor, truth: Tensor, where: Tensor, peak: float) -> float:
    """Peak signal to noise ratio in dB over the pixels `where`."""
    return 10 * math.log10(peak**2 / (picture - truth)[where].double().square().mean().item())


if __name__ == "__main__":
    main()
