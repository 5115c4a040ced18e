"""What becomes of 3D Gaussian Splatting files: the error of a round trip, and of rendering them here (docs/formats.md).

    python benchmarks/splats.py scene.ply ...
    python benchmarks/splats.py            # 3,000 random Gaussians with harmonics of degree 3

Pictures of six views are compared over black, with peak 1. `3DGS` is its compositing evaluated along each ray:
alpha = min(0.99, opacity exp(q)) in the order of the means' depth, without its 0.3 pixel dilation and its affine
projection. Round trip: ply to ours to ply and back. Other columns: our aggregations.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from pathlib import Path

import torch
from torch import Tensor

import voge
from voge.imaging.pictures import take_pictures
from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge.io.splats import narrowing
from voge.rendering.reference import intersect
from voge.scene import harmonics

RAYS = 512  # worked on together


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    options = parser.parse_args()
    print("| set | N | round trip, largest error | sorted and 3DGS, dB | exact and 3DGS, dB | exact and sorted, dB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.ply", Path(folder) / "second.ply"
        for path in options.files or [None]:
            save_ellipsoids(first, random_set() if path is None else load_ellipsoids(path))
            read = load_ellipsoids(first)
            save_ellipsoids(second, read)
            cameras = around(read, options.size)
            pictures = {name: rendered(read, cameras, name) for name in ("exact", "sorted")}
            again = rendered(load_ellipsoids(second), cameras, "exact")
            classic = torch.stack([splatted(read, cameras[i]) for i in range(len(cameras))])
            errors = [psnr(pictures["sorted"], classic), psnr(pictures["exact"], classic), psnr(*pictures.values())]
            name = "random" if path is None else path.stem
            loss = (again - pictures["exact"]).abs().max().item()
            print(f"| {name} | {len(read)} | {loss:.1e} | {' | '.join(f'{error:.1f}' for error in errors)} |")


def random_set(count: int = 3000, seed: int = 0) -> voge.Ellipsoids:
    """Gaussians like those of trained scenes: flat, of all opacities, colored by direction."""
    g = torch.Generator().manual_seed(seed)
    sizes = torch.exp(torch.randn(count, 3, generator=g) * 0.6 - 3.2)
    opacity = torch.sigmoid(torch.randn(count, generator=g) * 2)
    return voge.Ellipsoids(
        torch.randn(count, 3, generator=g) * 0.4,
        sizes * torch.tensor([1, 1, 0.2]),
        torch.randn(count, 4, generator=g),
        -torch.log1p(-opacity),
        torch.rand(count, 3, generator=g),
        {"sh": torch.randn(count, 15, 3, generator=g) * 0.1},
    )


def around(ellipsoids: voge.Ellipsoids, size: int) -> voge.Cameras:
    """Six views of the middle from three times the spread."""
    middle = ellipsoids.means.median(0).values
    distance = 4 * (ellipsoids.means - middle).norm(dim=1).quantile(0.8).item()
    poses = torch.stack([voge.orbit(60.0 * i, 15.0, distance) for i in range(6)])
    poses[:, :3, 3] -= (poses[:, :3, :3] @ middle[:, None])[..., 0]
    return voge.Cameras(poses, voge.intrinsics(size, size, fov=40).repeat(6, 1, 1), size, size)


def rendered(ellipsoids: voge.Ellipsoids, cameras: voge.Cameras, aggregation: str) -> Tensor:
    """(V, H, W, 3) over black."""
    settings = voge.RenderSettings(aggregation=voge.Aggregation(aggregation), min_density=1 / 255)
    views = [take_pictures(ellipsoids, cameras[i], settings, background=(0, 0, 0))["rgb"] for i in range(len(cameras))]
    return torch.stack(views)


def splatted(ellipsoids: voge.Ellipsoids, camera: voge.Cameras) -> Tensor:
    """(H, W, 3) as 3DGS composites, over black."""
    assert ellipsoids.features is not None
    order = (ellipsoids.means @ camera.viewmats[0, 2, :3]).argsort()
    e = ellipsoids[order]
    assert e.features is not None
    colors = harmonics.evaluate(
        e.features, e.extra.get("sh", e.means.new_zeros(len(e), 0, 3)), e.means - camera.centers
    )
    opacity = -torch.expm1(-e.density)
    scales = e.scales / torch.from_numpy(narrowing(e.density.double().numpy()))[:, None]  # the file's
    rays = camera.rays()
    parts = []
    for origins, directions in zip(
        rays.origins.reshape(-1, 3).split(RAYS), rays.directions.reshape(-1, 3).split(RAYS), strict=True
    ):
        depth, q, _ = intersect(e.means, scales.float(), e.quats, origins[:, None], directions[:, None])
        alpha = (opacity * q.exp()).clamp(max=0.99)
        alpha = torch.where((alpha < 1 / 255) | (depth <= 0), 0, alpha)
        passed = torch.cumprod(1 - alpha, 1).roll(1, 1)
        passed[:, 0] = 1
        parts.append((passed * alpha) @ colors)
    return torch.cat(parts).reshape(camera.height, camera.width, 3)


def psnr(one: Tensor, other: Tensor) -> float:
    return 10 * math.log10(1 / max((one - other).double().square().mean().item(), 1e-20))


if __name__ == "__main__":
    main()
