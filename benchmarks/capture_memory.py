"""Peak memory of a fit's pictures above the imports, and what a step loses by pictures on disk.

    python benchmarks/capture_memory.py [--views 120 --size 1024x768 --downscale 8] [--steps 30] [--memory GB]

Writes noisy JPEG pictures of a ring of cameras to a temporary folder and fits to them, in a process of its own.
Prints the peak of the resident set above what the imports took, and the seconds of reading and of a step.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def write(folder: Path, views: int, width: int, height: int) -> None:
    from PIL import Image

    import voge

    random = np.random.default_rng(0)
    distinct = min(views, 20)  # pictures; views share them by name
    for number in range(distinct):
        small = random.integers(0, 256, (height // 16, width // 16, 3), np.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"{number}.jpg", quality=90
        )
    frames = []
    for number in range(views):
        pose = np.linalg.inv(voge.orbit(360.0 * number / views, 15.0, 3.0).numpy()) @ np.diag([1, -1, -1, 1])
        frames.append({"file_path": f"{number % distinct}.jpg", "transform_matrix": pose.tolist()})
    facts = {"w": width, "h": height, "fl_x": width, "fl_y": width, "cx": width / 2, "cy": height / 2}
    (folder / "transforms.json").write_text(json.dumps({**facts, "frames": frames}))


def peak() -> float:
    """MB of the resident set at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(source: Path, downscale: float, steps: int, memory: float) -> None:
    import PIL.Image  # noqa: F401  (the imports are not counted)
    import scipy.spatial  # noqa: F401
    import torch

    import voge
    from voge.io.cameras import load_cameras
    from voge.io.captures import load_captures

    sphere = voge.Ellipsoids(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1, 4), torch.ones(1))
    camera = voge.Cameras(voge.orbit(0.0, 0.0, 3.0)[None], voge.intrinsics(2, 2, fov=40.0)[None], 2, 2)
    voge.render(sphere, camera)  # loads the compiled code
    voge.fit  # noqa: B018
    before, began = peak(), time.perf_counter()
    captures, _ = load_captures(load_cameras(source), source, downscale=downscale, memory=1e9 * memory)
    read = time.perf_counter() - began
    loaded = peak() - before
    settings = voge.FitSettings(steps=steps, views_per_step=1, background="learned")
    times: list[float] = []
    voge.fit(captures, settings=settings, watch=lambda *_: times.append(time.perf_counter()))
    step = float(np.median(np.diff(times)))
    print(
        f"{sum(map(len, captures))} views of {captures[0].cameras.width} x {captures[0].cameras.height}: reading "
        f"{read:.1f} s, {loaded:.0f} MB; with {steps} steps {peak() - before:.0f} MB, {1000 * step:.0f} ms a step"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--views", type=int, default=120)
    parser.add_argument("--size", default="1024x768")
    parser.add_argument("--downscale", type=float, default=8)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--memory", type=float, default=2.0, help="max_picture_memory, GB")
    parser.add_argument("--source", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.source:
        measure(Path(given.source), given.downscale, given.steps, given.memory)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given.views, *map(int, given.size.split("x")))
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--source", f"{folder}/transforms.json"], check=True)


if __name__ == "__main__":
    main()
