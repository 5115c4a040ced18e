"""How near each aggregation comes to the volume integral: the table of docs/mathematics.md, section 2.

    python benchmarks/aggregation.py
    python benchmarks/aggregation.py --mesh cow.obj bunny.off --zeta 0.5

prints, for random rays and for rays through the paper's isotropic ellipsoids of meshes, the relative L1 error of
the weights (mean over rays of sum |dW| / sum W) and the cosine between the gradients of sum c_k W_k, c random, and
those of the quadrature, to depth l, log density q and width s.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from voge.rendering import reference
from voge.rendering.settings import RenderSettings
from voge.scene.ellipsoids import Ellipsoids

Rows = tuple[Tensor, Tensor, Tensor]  # depth, optical depth, width (R, K), float64; absent entries have x = 0
Weigh = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

METHODS: dict[str, Weigh] = {
    "paper": reference.aggregate_paper,
    "sorted alpha (3DGS)": lambda depth, x, width: reference.aggregate_sorted(depth, x),
    "boxes N=1 (EVER's density)": partial(reference.aggregate_exact, boxes=1),
    "boxes N=2": partial(reference.aggregate_exact, boxes=2),
    "boxes N=3": partial(reference.aggregate_exact, boxes=3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesh", nargs="+", type=Path, default=[], help="meshes to send rays through, too")
    parser.add_argument("--zeta", type=float, default=0.5, help="coverage of the paper's converter")
    parser.add_argument("--rays", type=int, default=240, help="rays in each set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    random = torch.Generator().manual_seed(options.seed)

    print(f"| rays (kernels on each) | {' | '.join(METHODS)} |")
    print("|---" * (len(METHODS) + 1) + "|")
    rows_of: dict[str, Callable[[], Rows]] = {
        "random": partial(random_rows, options.rays, 1.0, random),
        "random, density x 4": partial(random_rows, options.rays, 4.0, random),
    }
    for path in options.mesh:
        rows_of[f"{path.stem}, zeta {options.zeta}"] = partial(mesh_rows, path, options.zeta, options.rays, random)
    for name, make in rows_of.items():
        rows = make()
        cells = " | ".join(compare(rows, random))
        print(f"| {name} ({(rows[1] > 0).sum(-1).double().mean():.1f}) | {cells} |", flush=True)


def random_rows(rays: int, density: float, random: torch.Generator) -> Rows:
    """Random rays: 1 to 20 kernels, l in (0, 2), s from 0.03 to 0.5, e^q in (0.01, 1).

    Moved by 10, so that no kernel reaches back to the ray's origin.
    """
    a, b, c = torch.rand(3, rays, 20, generator=random, dtype=torch.float64)
    present = torch.arange(20) < torch.randint(1, 21, (rays, 1), generator=random)
    return 10 + 2 * a, torch.where(present, density * (0.01 + 0.99 * b), 0.0), 0.03 * (0.5 / 0.03) ** c


def mesh_rows(path: Path, zeta: float, rays: int, random: torch.Generator) -> Rows:
    """Rays from all around at random points of a mesh, through its isotropic ellipsoids; eta 0.01, no limit."""
    scene = isotropic(path, zeta)
    size = scene.means.norm(dim=-1).max()
    origins = (
        3 * size * torch.nn.functional.normalize(torch.randn(rays, 3, generator=random, dtype=torch.float64), dim=-1)
    )
    targets = scene.means[torch.randint(len(scene), (rays,), generator=random)]
    directions = torch.nn.functional.normalize(targets - origins, dim=-1)
    index, _ = reference.select(scene, origins, directions, RenderSettings(min_density=0.01))
    chosen = index.clamp_min(0)
    depth, q, width = reference.intersect(
        scene.means[chosen], scene.scales[chosen], scene.quats[chosen], origins[:, None], directions[:, None]
    )
    return depth, torch.where(index >= 0, scene.density[chosen] * q.exp(), 0.0), width


def isotropic(path: Path, zeta: float) -> Ellipsoids:
    """The paper's converter: s^2 = d^2 / (8 ln(1 / zeta)), d the mean length of a vertex's edges; density 1."""
    import trimesh

    mesh = trimesh.load_mesh(path)
    mesh.merge_vertices(merge_tex=True, merge_norm=True)
    ends = torch.tensor(mesh.edges_unique).T.flatten()
    length = torch.tensor(mesh.edges_unique_length).repeat(2)
    count = len(mesh.vertices)
    degree = torch.bincount(ends, minlength=count).clamp_min(1)
    mean_length = torch.zeros(count, dtype=torch.float64).index_add(0, ends, length) / degree
    means = torch.tensor(mesh.vertices)
    scales = (mean_length / math.sqrt(8 * math.log(1 / zeta)))[:, None].expand(count, 3)
    quats = torch.tensor([1.0, 0, 0, 0], dtype=torch.float64).expand(count, 4)
    return Ellipsoids(means - means.mean(0), scales, quats, torch.ones(count, dtype=torch.float64))


def compare(rows: Rows, random: torch.Generator) -> list[str]:
    """One cell a method: error of the weights / cosines of the gradients to l, q and s."""
    factor = torch.rand(rows[0].shape, generator=random, dtype=torch.float64)
    # Five nodes a panel: right to 1e-10.
    true_weights, true_gradients = weights_and_gradients(partial(reference.quadrature, nodes=5), rows, factor)
    cells = []
    for method in METHODS.values():
        weights, gradients = weights_and_gradients(method, rows, factor)
        error = ((weights - true_weights).abs().sum(-1) / true_weights.sum(-1)).mean().item()
        pairs = zip(gradients, true_gradients, strict=True)
        cosines = [torch.cosine_similarity(ours.flatten(), true.flatten(), dim=0).item() for ours, true in pairs]
        cells.append(f"{error:.4f} / {' '.join(f'{cosine:.3f}' for cosine in cosines)}")
    return cells


def weights_and_gradients(weigh: Weigh, rows: Rows, factor: Tensor) -> tuple[Tensor, list[Tensor]]:
    """W (R, K), and the gradients of sum c_k W_k to l, q and s, each (R, K)."""
    weights, gradients = [], []
    for depth, x, width, c in zip(*(torch.split(v, 5) for v in (*rows, factor)), strict=True):  # for memory's sake
        present = int((x > 0).sum(-1).max())
        leaves = [values[:, :present].clone().requires_grad_() for values in (depth, torch.zeros_like(x), width)]
        part, _ = weigh(leaves[0], x[:, :present] * leaves[1].exp(), leaves[2])
        found = torch.autograd.grad((c[:, :present] * part).sum(), leaves, allow_unused=True, materialize_grads=True)
        padding = (0, x.shape[1] - present)
        weights.append(torch.nn.functional.pad(part.detach(), padding))
        gradients.append([torch.nn.functional.pad(gradient, padding) for gradient in found])
    return torch.cat(weights), [torch.cat(parts) for parts in zip(*gradients, strict=True)]


if __name__ == "__main__":
    main()
