"""What the tools of `real_files_writers.py` are given to write, and the notes of what they wrote; needs NumPy alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(sys.argv[1])
BIN = Path(sys.argv[3]) if len(sys.argv) > 3 else Path()
ENTRIES: list[dict[str, Any]] = []

# A closed ring: 96 vertices, 192 triangles, each vertex with an own color of 8 bits.
AROUND, ACROSS = 12, 8
PLACES = [(i, j) for i in range(AROUND) for j in range(ACROSS)]
ANGLES = np.array(PLACES) * [2 * np.pi / AROUND, 2 * np.pi / ACROSS]
WIDE = 2 + 0.5 * np.cos(ANGLES[:, 1])
RING = np.stack([WIDE * np.cos(ANGLES[:, 0]), WIDE * np.sin(ANGLES[:, 0]), 0.5 * np.sin(ANGLES[:, 1])], 1)
RING = RING.astype(np.float32).astype(np.float64)
_AT = np.arange(AROUND * ACROSS).reshape(AROUND, ACROSS)
_CORNERS = np.stack([_AT, np.roll(_AT, -1, 0), np.roll(np.roll(_AT, -1, 0), -1, 1), np.roll(_AT, -1, 1)], -1)
QUADS = _CORNERS.reshape(-1, 4)
FACES = np.concatenate([QUADS[:, [0, 1, 2]], QUADS[:, [0, 2, 3]]])
NORMALS = RING / np.linalg.norm(RING, axis=1, keepdims=True)
COLORS = np.array([[40 + 17 * i, 20 + 29 * j, 250 - 16 * i] for i, j in PLACES], np.uint8)
# Two squares, whose texture coordinates lie in the left (red) and the right (blue) half of a picture.
SQUARES = np.array([[x, y, z] for z in (0, 3) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))], np.float64)
SQUARE_FACES = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
SQUARE_UV = np.array([[u + s, v] for s in (0, 0.5) for u, v in ((0.1, 0.2), (0.4, 0.2), (0.4, 0.8), (0.1, 0.8))])
SQUARE_COLORS = np.repeat([[255, 0, 0], [0, 0, 255]], 4, 0)


def area(vertices: Any, faces: Any) -> float:
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def wrote(tool: str, number: str, name: str, kind: str, tolerance: float = 1e-5, **wanted: Any) -> None:
    if not (ROOT / name).exists():
        raise FileNotFoundError(f"{tool} wrote no {name}")
    values = {key: np.asarray(value).tolist() for key, value in wanted.items() if value is not None}
    ENTRIES.append(dict(tool=tool, version=number, file=name, kind=kind, tolerance=tolerance, wanted=values))


def ring(tool: str, number: str, name: str, colors: bool = False, tolerance: float = 1e-5, **more: Any) -> None:
    surface = area(RING, FACES)
    wrote(tool, number, name, "mesh", tolerance, vertices=RING, area=surface, colors=COLORS if colors else None, **more)


def cloud(tool: str, number: str, name: str, colors: bool = False, normals: bool = False, tolerance: float = 1e-5):
    wrote(
        tool,
        number,
        name,
        "points",
        tolerance,
        vertices=RING,
        colors=COLORS if colors else None,
        normals=NORMALS if normals else None,
    )


def squares(tool: str, number: str, name: str, tolerance: float = 1e-5, places: Any = ((0, 0, 0),)) -> None:
    copies = np.concatenate([SQUARES + place for place in places])
    painted = np.concatenate([SQUARE_COLORS] * len(places))
    wrote(tool, number, name, "mesh", tolerance, vertices=copies, area=2 * len(places), colors=painted)


def run_tool(*words: Any) -> str:
    done = subprocess.run([str(word) for word in words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
    return done.stdout + done.stderr


def _splats() -> Any:
    random = np.random.default_rng(5)
    count = 96
    names = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
    names += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]
    rows = np.zeros(count, [(name, "<f4") for name in names])
    for i, name in enumerate("xyz"):
        rows[name] = RING[:, i]
    for name in ("f_dc_0", "f_dc_1", "f_dc_2", "opacity"):
        rows[name] = random.uniform(-1.2, 1.2, count)
    for i in range(3):
        rows[f"scale_{i}"] = np.log(random.uniform(0.05, 0.4, count))
    turns = random.normal(size=(count, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    for i in range(4):
        rows[f"rot_{i}"] = turns[:, i]
    return rows


def gaussians(tool: str, number: str, name: str, tolerance: float = 1e-5, turned: Any = (1, 1, 1)) -> None:
    """Means, covariances, opacities and colors of a file of Gaussians, in the frame that the tool gives it."""
    quats = np.stack([SPLATS[f"rot_{i}"] for i in range(4)], 1).astype(np.float64)
    w, x, y, z = (quats / np.linalg.norm(quats, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    axes = np.asarray(turned, np.float64)[:, None] * np.moveaxis(np.array(rows), 2, 0)
    wide = axes * np.exp(np.stack([SPLATS[f"scale_{i}"] for i in range(3)], 1).astype(np.float64))[:, None]
    wrote(
        tool,
        number,
        name,
        "ellipsoids",
        tolerance,
        vertices=RING * turned,
        covariances=wide @ wide.swapaxes(1, 2),
        opacities=1 / (1 + np.exp(-SPLATS["opacity"].astype(np.float64))),
        colors=0.5 + 0.28209479177387814 * np.stack([SPLATS[f"f_dc_{i}"] for i in range(3)], 1).astype(np.float64),
    )


SPLATS = _splats()
