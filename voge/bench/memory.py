"""Memory that rendering on the CPU takes: the growth of the resident set, in a process of its own.

A process that has rendered before reuses what it took then, so only a fresh one tells.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from voge.bench.contenders import Own
from voge.bench.scenes import Scene
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

Arrays = dict[str, NDArray[np.generic]]


def peak_growth(scene: Scene, contender: Own) -> int:
    """Bytes by which forward + backward grows the resident set at its peak, inputs not counted.

    Raises:
        MemoryError: the process was ended, as systems do that are out of memory.
    """
    e, c = scene.ellipsoids, scene.cameras
    assert e.features is not None
    tensors = {"means": e.means, "scales": e.scales, "quats": e.quats, "density": e.density, "features": e.features}
    arrays = {name: tensor.numpy() for name, tensor in {**tensors, "viewmats": c.viewmats, "Ks": c.Ks}.items()}
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(_measure, arrays, (c.width, c.height), contender, torch.get_num_threads()).result()
        except BrokenProcessPool:
            raise MemoryError("the process that measured memory was ended") from None


def _measure(arrays: Arrays, size: tuple[int, int], contender: Own, threads: int) -> int:
    torch.set_num_threads(threads)
    given = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    cameras = Cameras(given["viewmats"], given["Ks"], *size)
    e = Ellipsoids(given["means"], given["scales"], given["quats"], given["density"], given["features"])
    scene = Scene("", e, cameras)
    # Libraries are loaded, and threads started, at the first render: a tiny one.
    few = slice(0, min(len(scene.ellipsoids), 8))
    small = Scene("", scene.ellipsoids[few], replace(cameras, width=8, height=8))
    _both(contender, small)()
    run = _both(contender, scene)
    return _growth(run)


def _both(contender: Own, scene: Scene) -> Callable[[], None]:
    work = contender.prepare(scene)
    c = scene.cameras
    features = scene.ellipsoids.features
    assert features is not None
    gradient = torch.rand(len(c), c.height, c.width, features.shape[1])
    return lambda: work.draw().backward(gradient)


def _growth(run: Callable[[], None]) -> int:
    """Linux forgets the peak on request; elsewhere it is the highest so far, which may hide a small growth."""
    if sys.platform != "linux":
        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        run()
        return unit * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    """A size in bytes from the kernel's account of this process."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return 1024 * int(line.split()[1])
