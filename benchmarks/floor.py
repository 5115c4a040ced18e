"""What the CPU renderer must do at least for a mesh, from its own counts: the floor of docs/performance.md.

    python benchmarks/floor.py bunny.off cow.obj

`voge bench bunny.off@256 cow.obj@256` tells what it takes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

import voge
from voge import convert
from voge.bench import scenes
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh
from voge.rendering import compiled

PER_PAIR, PER_HIT = 60, 250  # operations; a hit has 4 events with one exponential each
PER_SECOND = 2 * 32 * 2.6e9  # operations: 2 cores x 32 a cycle (AVX-512) x 2.6 GHz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mesh", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    options = parser.parse_args()
    print("| mesh | ellipsoids | pairs tested | hits | floor ms, forward + backward |\n|---|---|---|---|---|")
    for path in options.mesh:
        mesh = load_geometry(path)
        assert isinstance(mesh, Mesh)
        made = scenes.framed(convert.from_mesh(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)))
        scene = scenes.scene(path.stem, made, scenes.MODEL_STAND, (options.size, options.size))
        pairs, hits = counts(scene)
        floor = 1e3 * (PER_PAIR * pairs + PER_HIT * hits) / PER_SECOND
        print(f"| {path.stem} | {len(made):,} | {pairs:,} | {hits:,} | {floor:.2f} |")


def counts(scene: scenes.Scene) -> tuple[int, int]:
    """Pairs that the tile lists make the renderer test, and hits."""
    e, c, s = scene.ellipsoids, scene.cameras, voge.RenderSettings()
    (_, offsets, *_), tile = compiled.tile_lists(e, c.rays(), c, s)
    return int(offsets[-1]) * math.prod(tile[:2]), int(voge.trace(e, c, s).offsets[-1])


if __name__ == "__main__":
    main()
