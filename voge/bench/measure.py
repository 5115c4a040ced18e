"""Timing contenders in turns on one scene: wall, kernels, memory, and how much there was to do."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from voge.bench.contenders import Contender, Own, Work, failure
from voge.bench.memory import peak_growth
from voge.bench.scenes import Scene
from voge.rendering.renderer import trace

T = TypeVar("T")

PASSES = ("forward", "both")  # both: forward and backward
WARM_UPS = 3  # calls before the first that counts: compilers, caches, allocators, clocks
PROFILED = 3  # calls in one session of the profiler
SESSIONS = 5  # sessions of the profiler at most: starting one takes longer than most calls
TOP = 12  # kernels named in a result

Row = dict[str, Any]  # one contender on one scene, as JSON; docs/bench.md lists the fields


@dataclass(frozen=True)
class Effort:
    """Limits of measuring."""

    repeat: int = 10  # calls of each pass that count, at most
    seconds: float = 10.0  # for one contender on one scene, after which it is not called again
    memory: bool = True  # measure peak memory: costs two seconds a row on the CPU
    hits: bool = True  # count the ellipsoids on each ray


@dataclass(eq=False)
class _Trial:
    """A contender while it is measured."""

    contender: Contender
    gradient: Tensor  # of the loss to the picture
    work: Work | None = None
    error: str | None = None
    spent: float = 0.0
    wall: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PASSES})
    busy: dict[str, list[float]] = field(default_factory=lambda: {p: [] for p in PASSES})
    kernels: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    peak: int | None = None
    hits: float | None = None

    def attempt(self, step: Callable[[], None]) -> None:
        """Do a step unless an earlier one failed; what may fail becomes `error`."""
        if self.error is not None:
            return
        try:
            step()
        except Exception as error:
            self.error = failure(error, self.contender)
            if self.error is None:
                raise
            self.work = None
        if self.error is not None and self.contender.device.type == "cuda":
            torch.cuda.empty_cache()

    def run(self, which: str) -> None:
        """One call of a pass, without waiting for its end."""
        assert self.work is not None
        if which == "forward":
            with torch.no_grad():
                self.work.draw()
            return
        for leaf in self.work.leaves:
            leaf.grad = None
        self.work.draw().backward(self.gradient)

    def wait(self) -> None:
        """Wait until the device has done everything."""
        if self.contender.device.type == "cuda":
            torch.cuda.synchronize(self.contender.device)


def measure(scene: Scene, contenders: Sequence[Contender], effort: Effort) -> list[Row]:
    """Time every contender on a scene, call by call in turns, so that a machine's moods meet all alike.

    A contender that cannot (no memory, not installed, fails inside) has a row with `error`; the others go on.

    Returns:
        A row for each contender, in order.
    """
    trials = [_Trial(contender, _gradient(scene, contender.device)) for contender in contenders]
    for trial in trials:
        trial.attempt(lambda t=trial: _warm_up(t, scene))  # type: ignore[misc]
    for _ in range(effort.repeat):
        for trial in trials:
            if trial.spent < effort.seconds:
                trial.attempt(lambda t=trial: _time(t))  # type: ignore[misc]
    on_gpu = [trial for trial in trials if trial.contender.device.type == "cuda"]
    for _ in range(min(effort.repeat, SESSIONS)):
        for trial in on_gpu:
            if trial.spent < effort.seconds or not trial.busy["both"]:
                trial.attempt(lambda t=trial: _profile(t))  # type: ignore[misc]
    for trial in trials:
        if effort.memory and trial.error is None:
            trial.peak = _extra(lambda t=trial: _peak(t, scene), trial.contender)  # type: ignore[misc]
        trial.work = None
    if effort.hits:
        _count_hits(trials, scene)
    rows = [_row(trial, scene) for trial in trials]
    return _with_ratios(rows)


def _gradient(scene: Scene, device: torch.device) -> Tensor:
    """The gradient of a loss to the picture: the same random numbers for everyone."""
    c, features = scene.cameras, scene.ellipsoids.features
    assert features is not None
    random = torch.Generator().manual_seed(1)
    return torch.rand(len(c), c.height, c.width, features.shape[1], generator=random, dtype=features.dtype).to(device)


def _warm_up(trial: _Trial, scene: Scene) -> None:
    trial.work = trial.contender.prepare(scene)
    start = time.perf_counter()
    for _ in range(WARM_UPS):
        for which in PASSES:
            trial.run(which)
        trial.wait()
        if time.perf_counter() - start > 1:  # slow enough that a first call is no worse than the others
            break


def _time(trial: _Trial) -> None:
    for which in PASSES:
        trial.wait()
        start, worked = time.perf_counter(), time.process_time()
        trial.run(which)
        trial.wait()
        took, worked = time.perf_counter() - start, time.process_time() - worked
        trial.wall[which].append(1e3 * took)
        trial.spent += took
        if trial.contender.device.type != "cuda":
            trial.busy[which].append(1e3 * worked)


def _profile(trial: _Trial) -> None:
    """The sum of what ran on the GPU, kernels, copies and fills, from the profiler."""
    from torch.profiler import ProfilerActivity, profile

    for which in PASSES:
        trial.wait()
        start = time.perf_counter()
        with profile(activities=[ProfilerActivity.CUDA]) as session:
            for _ in range(PROFILED):
                trial.run(which)
            trial.wait()
        trial.spent += time.perf_counter() - start
        trial.kernels[which] = _kernels(session.events() or [])
        trial.busy[which].append(sum(kernel["ms"] for kernel in trial.kernels[which]))


def _kernels(events: Iterable[Any]) -> list[dict[str, Any]]:
    """Milliseconds and launches of a call by name, longest first, from events of PROFILED calls."""
    from torch._C._autograd import DeviceType

    took: Counter[str] = Counter()
    launches: Counter[str] = Counter()
    for event in events:
        if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
            took[event.name] += event.time_range.elapsed_us() / 1e3 / PROFILED
            launches[event.name] += 1
    return [{"name": n, "ms": round(ms, 6), "launches": launches[n] / PROFILED} for n, ms in took.most_common()]


def _extra(count: Callable[[], T], contender: Contender) -> T | None:
    """A figure beside the times; None where memory is too short for it, since the times stand without."""
    try:
        return count()
    except Exception as error:
        if failure(error, contender) is None:
            raise
        return None


def _peak(trial: _Trial, scene: Scene) -> int:
    """Peak memory of forward + backward above the inputs, gradients included."""
    contender = trial.contender
    if contender.device.type != "cuda":
        assert isinstance(contender, Own)
        return peak_growth(scene, contender)
    assert trial.work is not None
    for leaf in trial.work.leaves:
        leaf.grad = None
    trial.wait()
    torch.cuda.reset_peak_memory_stats(contender.device)
    before = torch.cuda.memory_allocated(contender.device)
    trial.run("both")
    trial.wait()
    return torch.cuda.max_memory_allocated(contender.device) - before


def _count_hits(trials: Sequence[_Trial], scene: Scene) -> None:
    """Ellipsoids on a ray, which depend on the aggregation's settings alone: the first of our backends counts."""
    known: dict[tuple[Any, ...], float | None] = {}
    for trial in trials:
        if not isinstance(trial.contender, Own) or trial.error is not None:
            continue
        key = tuple(value for name, value in trial.contender.about.items() if name != "backend")
        if key not in known:
            known[key] = _extra(lambda own=trial.contender: _hits(own, scene), trial.contender)  # type: ignore[misc]
        trial.hits = known[key]


def _hits(own: Own, scene: Scene) -> float:
    """Mean number on a ray."""
    with torch.no_grad():
        fragments = trace(scene.ellipsoids.to(own.device), scene.cameras.to(own.device), own.settings)
    return len(fragments.index) / scene.pixels


def _row(trial: _Trial, scene: Scene) -> Row:
    c, features, contender = scene.cameras, scene.ellipsoids.features, trial.contender
    assert features is not None
    row: Row = {
        "scene": scene.name,
        "ellipsoids": len(scene.ellipsoids),
        "width": c.width,
        "height": c.height,
        "channels": features.shape[1],
        "views": len(c),
        "name": contender.name,
        "peer": contender.peer.value if contender.peer else None,
        "device": str(contender.device),
        **contender.about,
        "error": trial.error,
    }
    if trial.error is not None:
        return row
    for which in PASSES:
        wall = _spread(trial.wall[which])
        row[which] = {
            "images_per_second": round(1e3 * len(c) / wall["median"], 3),
            "wall_ms": wall,
            "kernel_ms": _spread(trial.busy[which]),
        }
        if which in trial.kernels:
            row[which]["launches"] = sum(kernel["launches"] for kernel in trial.kernels[which])
            row[which]["kernels"] = trial.kernels[which][:TOP]
    return {
        **row,
        "repeats": len(trial.wall["both"]),
        "peak_bytes": trial.peak,
        "hits_per_ray": None if trial.hits is None else round(trial.hits, 3),
    }


def _spread(samples: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else 3 * [samples[0]]
    return {"median": round(middle, 6), "low": round(low, 6), "high": round(high, 6)}


def _with_ratios(rows: list[Row]) -> list[Row]:
    """Our time over each peer's, forward + backward: of kernels between GPUs, of wall time elsewhere."""
    peers = [row for row in rows if row["peer"] and not row["error"]]
    for row in rows:
        if row["peer"] or row["error"]:
            continue
        row["ratios"] = {}
        for peer in peers:
            if peer["renderer"] == "voge" and peer["aggregation"] != row["aggregation"]:
                continue
            kernels = row["device"].startswith("cuda") and peer["device"].startswith("cuda")
            clock = "kernel_ms" if kernels else "wall_ms"
            ratio = row["both"][clock]["median"] / peer["both"][clock]["median"]
            row["ratios"][peer["peer"]] = {"both": round(ratio, 4), "clock": clock}
    return rows
