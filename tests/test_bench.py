"""Measuring: scenes are what they claim, contenders take turns, failures are rows, figures add up."""

import mmap
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from scenes import random_ellipsoids

from voge import RenderSettings, render, trace
from voge.bench import contenders, measure, memory, plot, scenes
from voge.bench.contenders import Gsplat, Own, Peer, Work, peer_of
from voge.bench.measure import Effort
from voge.rendering import ops

CPU = torch.device("cpu")
QUICK = Effort(repeat=2, memory=False)
TORCH = Own(RenderSettings(backend="torch"), CPU)


def small(intervals=2, size=(12, 8), channels=3, views=1):
    return scenes.scene("cube", scenes.cube(intervals), scenes.CUBE_STAND, size, channels=channels, views=views)


# ---- Scenes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("intervals", "count"), [(1, 8), (2, 26), (13, 1016), (29, 5048), (58, 20186), (129, 99848)])
def test_the_cube_has_its_number_of_ellipsoids_and_that_number_finds_it(intervals, count):
    assert len(scenes.cube(intervals)) == count == 6 * intervals**2 + 2
    assert scenes.intervals_for(count) == intervals


def test_the_cube_is_the_surface_of_the_lattice():
    n = 4
    grid = torch.linspace(-1, 1, n + 1)
    lattice = torch.cartesian_prod(grid, grid, grid)
    made = scenes.cube(n)
    assert torch.equal(made.means, lattice[(lattice.abs() == 1).any(-1)])
    # Midway to the neighbor the density has fallen to a half.
    half = torch.exp(-0.5 * (1 / n / made.scales[0, 0]) ** 2)
    assert half.item() == pytest.approx(0.5, abs=1e-6)
    assert scenes.cube(n, width=2).scales[0, 0] == pytest.approx(2 * made.scales[0, 0].item())


def test_hits_a_ray_do_not_depend_on_the_number():
    pictures = [small(n, (32, 32)) for n in (6, 12)]
    hits = [len(trace(scene.ellipsoids, scene.cameras).index) for scene in pictures]
    assert hits[0] == pytest.approx(hits[1], rel=0.05)  # 0.4 % measured


def test_a_model_is_framed():
    moved = random_ellipsoids(50, dtype=torch.float32)
    moved = replace(moved, means=moved.means * 7 + 100, scales=moved.scales * 7)
    made = scenes.framed(moved)
    low, high = made.means.amin(0), made.means.amax(0)
    assert torch.allclose(low + high, torch.zeros(3), atol=1e-4)  # 100 in float32: 1e-5 of noise
    assert torch.maximum(low.abs(), high.abs()).max() == pytest.approx(1, abs=1e-4)
    reach = (moved.means.amax(0) - moved.means.amin(0)).max() / 2
    assert torch.allclose(made.scales, moved.scales / reach, rtol=1e-4)


def test_a_model_of_one_point_cannot_be_framed():
    made = random_ellipsoids(5, dtype=torch.float32)
    with pytest.raises(ValueError, match="one point"):
        scenes.framed(replace(made, means=torch.ones(5, 3)))


def test_views_stand_around_and_features_are_repeatable():
    made = small(views=4, channels=7)
    assert made.cameras.centers.norm(dim=1).tolist() == pytest.approx([6] * 4, abs=1e-5)
    steps = made.cameras.forwards @ made.cameras.forwards[0]
    assert steps[1].item() == pytest.approx(steps[3].item(), abs=1e-6)
    assert made.ellipsoids.features.shape == (26, 7)
    assert torch.equal(made.ellipsoids.features, small(channels=7).ellipsoids.features)
    assert made.pixels == 4 * 12 * 8
    assert made.cameras.Ks[0, 0, 0] == pytest.approx(1.65 * 8)


# ---- Measuring -------------------------------------------------------------------------------


class Fake:
    """A contender that notes when it is called, and takes as long as it is told."""

    device, peer = CPU, None
    about = {"renderer": "fake"}  # noqa: RUF012

    def __init__(self, name, calls, fails=None):
        self.name, self.calls, self.fails = name, calls, fails

    def prepare(self, scene):
        leaf = torch.zeros(len(scene.cameras), 8, 12, 3, requires_grad=True)
        return Work((leaf,), lambda: self.draw(leaf))

    def draw(self, leaf):
        self.calls.append(self.name)
        if self.fails is not None and self.calls.count(self.name) > self.fails[0]:
            raise self.fails[1]
        return leaf * 2


def test_contenders_take_turns():
    calls = []
    measure.measure(small(), [Fake("a", calls), Fake("b", calls)], Effort(3, memory=False, hits=False))
    assert "".join(calls[-12:]) == "aabb" * 3  # forward, both; then the other


def test_gradients_do_not_pile_up_and_come_from_one_loss():
    work = TORCH.prepare(small())
    trial = measure._Trial(TORCH, measure._gradient(small(), CPU), work)
    trial.run("both")
    once = [leaf.grad.clone() for leaf in work.leaves]
    trial.run("both")
    assert len(once) == 5
    assert all(before.abs().sum() > 0 for before in once)
    assert all(torch.equal(leaf.grad, before) for leaf, before in zip(work.leaves, once, strict=True))


def test_a_row_has_all_figures(backend):
    own = Own(RenderSettings(backend=backend), torch.device("cuda" if backend.value == "cuda" else "cpu"))
    with torch.device("cpu"):  # scenes are made there, whatever the fixture made the default
        (row,) = measure.measure(small(views=2), [own], QUICK)
    assert (row["name"], row["ellipsoids"], row["views"], row["repeats"]) == (f"{backend.value} exact", 26, 2, 2)
    assert (row["boxes"], row["min_density"], row["max_per_ray"], row["error"]) == (2, 0.002, 0, None)
    for which in ("forward", "both"):
        wall, busy = row[which]["wall_ms"], row[which]["kernel_ms"]
        assert 0 < wall["low"] <= wall["median"] <= wall["high"]
        assert 0 < busy["low"] <= busy["median"] <= busy["high"]
        assert row[which]["images_per_second"] == pytest.approx(2000 / wall["median"], rel=1e-2)
    assert row["hits_per_ray"] > 1


def test_a_slow_contender_is_called_less_often(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(measure.time, "perf_counter", lambda: float(next(clock)))  # every call takes a second
    calls = []
    (row,) = measure.measure(small(), [Fake("a", calls)], Effort(50, seconds=6, memory=False, hits=False))
    assert row["repeats"] == 3  # of two seconds each
    assert row["forward"]["wall_ms"]["median"] == 1000


def test_ratios_are_of_wall_time_on_the_cpu_and_of_like_aggregations():
    paper = Own(replace(TORCH.settings, aggregation="paper"), CPU)
    rows = measure.measure(small(), [TORCH, paper, peer_of(Peer.torch, TORCH)], QUICK)
    ours, other, peer = rows
    ratio = ours["both"]["wall_ms"]["median"] / peer["both"]["wall_ms"]["median"]
    assert ours["ratios"] == {"torch": {"both": pytest.approx(ratio, abs=1e-4), "clock": "wall_ms"}}
    assert other["ratios"] == {}
    assert "ratios" not in peer


def test_ratios_are_of_kernel_time_between_gpus():
    times = {"wall_ms": {"median": 8.0}, "kernel_ms": {"median": 1.0}}
    ours = {"peer": None, "error": None, "device": "cuda:0", "aggregation": "exact", "both": times}
    peer = {"peer": "gsplat", "error": None, "device": "cuda:0", "renderer": "gsplat",
            "both": {"wall_ms": {"median": 1.0}, "kernel_ms": {"median": 4.0}}}  # fmt: skip
    assert measure._with_ratios([ours, peer])[0]["ratios"]["gsplat"] == {"both": 0.25, "clock": "kernel_ms"}


def test_kernel_time_is_the_sum_of_what_ran_on_the_gpu():
    from torch.autograd import DeviceType

    def event(name, us, device=DeviceType.CUDA, note=False):
        took = SimpleNamespace(elapsed_us=lambda: us)
        return SimpleNamespace(name=name, device_type=device, is_user_annotation=note, time_range=took)

    once = [event("sort", 30), event("sort", 60), event("render", 600), event("launch", 5, DeviceType.CPU)]
    found = measure._kernels([*once, *once, *once, event("step", 9000, note=True)])
    assert measure.PROFILED == 3
    assert found == [
        {"name": "render", "ms": 0.6, "launches": 1.0},
        {"name": "sort", "ms": 0.09, "launches": 2.0},
    ]


# ---- What goes wrong -------------------------------------------------------------------------


def test_running_out_of_memory_is_a_row_and_the_others_go_on():
    calls = []
    failing = Fake("a", calls, fails=(0, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")))
    late = Fake("c", calls, fails=(7, MemoryError()))  # after the warm-up
    rows = measure.measure(small(), [failing, Fake("b", calls), late], Effort(2, memory=False, hits=False))
    assert [row["error"] for row in rows] == ["out of memory", None, "out of memory"]
    assert calls.count("a") == 1
    assert "both" not in rows[0]
    assert rows[1]["repeats"] == 2


def test_times_stand_where_memory_is_too_short_to_count(monkeypatch):
    def short(*arguments):
        raise MemoryError

    monkeypatch.setattr(measure, "trace", short)
    monkeypatch.setattr(measure, "peak_growth", short)
    (row,) = measure.measure(small(), [TORCH], Effort(1))
    assert (row["error"], row["hits_per_ray"], row["peak_bytes"]) == (None, None, None)
    assert row["both"]["wall_ms"]["median"] > 0


def test_a_defect_of_ours_is_no_row():
    with pytest.raises(ZeroDivisionError):
        measure.measure(small(), [Fake("a", [], fails=(0, ZeroDivisionError()))], QUICK)


def test_a_missing_peer_is_a_row_with_the_remedy(monkeypatch):
    monkeypatch.setattr(contenders.importlib.util, "find_spec", lambda name: None)
    rows = measure.measure(small(), [TORCH, Gsplat(CPU)], QUICK)
    assert rows[1]["error"] == "gsplat is not installed; pip install 'voge[peers]'"
    assert rows[0]["error"] is None


@pytest.fixture
def gsplat(monkeypatch):
    """A package in the place of gsplat, which needs a GPU: it notes what it is given and draws as we do."""
    given = []

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, **options):
        given.append((means, quats, scales, opacities, colors, viewmats, Ks, width, height, options))
        shade = means.sum() + quats.sum() + scales.sum() + opacities.sum()
        return colors.sum(0).expand(len(viewmats), height, width, -1) * shade, None, {}

    package = SimpleNamespace(rasterization=rasterization, fails=None)
    modules = {"gsplat": package, "gsplat.cuda": ModuleType("c"), "gsplat.cuda._backend": SimpleNamespace(_C=object())}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(contenders, "missing_gsplat", lambda: None)
    monkeypatch.setattr(contenders.importlib.metadata, "version", lambda name: "1.5.3")
    return SimpleNamespace(given=given, package=package, compiled=modules["gsplat.cuda._backend"])


class Pretended(Gsplat):
    """gsplat on a device that says that it is a GPU."""

    def prepare(self, scene):
        target = SimpleNamespace(to=lambda device: scene.ellipsoids), SimpleNamespace(to=lambda device: scene.cameras)
        return super().prepare(SimpleNamespace(ellipsoids=target[0], cameras=target[1]))


@pytest.mark.parametrize("peer", [Peer.gsplat, Peer.gsplat_ut])
def test_gsplat_gets_the_same_scene(gsplat, peer):
    scene = small(views=2, channels=5)
    work = Pretended(torch.device("cuda"), peer).prepare(scene)
    work.draw().backward(torch.ones(2, 8, 12, 5))
    means, quats, scales, opacities, colors, viewmats, Ks, width, height, options = gsplat.given[0]
    e, c = scene.ellipsoids, scene.cameras
    for mine, theirs in [(e.means, means), (e.quats, quats), (e.scales, scales), (e.features, colors)]:
        assert torch.equal(mine, theirs)
    # One ellipsoid's opacity through its center is the share of light that ours stops there.
    assert torch.allclose(opacities, 1 - torch.exp(-e.density))
    assert torch.equal(viewmats, c.viewmats)
    assert torch.equal(Ks, c.Ks)
    assert (width, height) == (12, 8)
    ray = peer is Peer.gsplat_ut
    assert options == {"packed": False, "with_ut": ray, "with_eval3d": ray}
    assert all(leaf.grad is not None and leaf.is_leaf for leaf in work.leaves)
    assert {leaf.shape for leaf in work.leaves} == {(26, 3), (26, 4), (26,), (26, 5)}


def test_whatever_a_peer_raises_is_its_answer(gsplat):
    assert contenders.failure(AssertionError("radii"), Gsplat(CPU)) == "AssertionError: radii"
    assert contenders.failure(AssertionError("radii"), TORCH) is None
    assert contenders.failure(ops.BackendError("no\n nvcc"), TORCH) == "no nvcc"
    assert contenders.failure(RuntimeError("DefaultCPUAllocator: can't allocate"), TORCH) == "out of memory"


def test_gsplat_without_a_compiler_or_a_gpu_says_so(gsplat):
    with pytest.raises(ops.BackendError, match="on CUDA devices only, not on cpu"):
        Gsplat(CPU).prepare(small())
    gsplat.compiled._C = None
    with pytest.raises(ops.BackendError, match="no CUDA compiler"):
        Pretended(torch.device("cuda")).prepare(small())


# ---- On a GPU --------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(not ops.status()["cuda"].available, reason="no GPU, or no compiled code for it")


@needs_gpu
def test_figures_of_a_gpu():
    scene = small(8, (96, 64))
    own = Own(RenderSettings(backend="cuda"), torch.device("cuda"))
    (row,) = measure.measure(scene, [own], Effort(3))
    for which in ("forward", "both"):
        assert row[which]["kernel_ms"]["median"] > 0
        assert row[which]["launches"] >= 3  # projection, lists, pictures
        assert sum(kernel["ms"] for kernel in row[which]["kernels"]) <= 1.5 * row[which]["kernel_ms"]["high"]
    assert row["both"]["kernel_ms"]["median"] > row["forward"]["kernel_ms"]["median"]
    leaves = own.prepare(scene).leaves
    assert row["peak_bytes"] > sum(4 * leaf.numel() for leaf in leaves) + 4 * 3 * 96 * 64  # gradients, the picture


@needs_gpu
@pytest.mark.skipif(contenders.missing_gsplat() is not None, reason="gsplat is not installed")
@pytest.mark.parametrize("peer", [Peer.gsplat, Peer.gsplat_ut])
def test_gsplat_shows_what_we_show(peer):
    device = torch.device("cuda")
    scene = small(3, (96, 64), views=2)
    sorted_alpha = Own(RenderSettings(backend="cuda", aggregation="sorted"), device)
    with torch.no_grad():
        ours, theirs = (c.prepare(scene).draw() for c in (sorted_alpha, Gsplat(device, peer)))
    # The same ellipsoids in the same places; they differ in how fast an ellipsoid fades. Mirrored ones would not fit.
    error = (ours - theirs).abs().mean()
    assert error < 0.5 * (ours - theirs.flip(1)).abs().mean()
    assert error < 0.5 * (ours - theirs.flip(2)).abs().mean()
    assert error < 0.5 * (ours - theirs.flip(0)).abs().mean()


# ---- Memory ----------------------------------------------------------------------------------


def test_peak_memory_is_what_is_allocated():
    before = memory._status("VmRSS") if sys.platform == "linux" else None
    size = 64 * 2**20

    def take():  # of the system: an array may fit into what the process has already
        with mmap.mmap(-1, size) as pages:
            for at in range(0, size, mmap.PAGESIZE):
                pages[at] = 1

    grown = memory._growth(take)
    assert 0.98 * size < grown < 1.25 * size  # the kernel counts pages in batches
    if before is not None:
        assert memory._status("VmRSS") - before < size / 2  # given back, so that only the peak shows it


def test_memory_of_a_render_holds_its_picture():
    own = Own(RenderSettings(), CPU)
    # 300 channels of float32: a picture of 28 MiB at least, far above what anything else takes.
    grown = memory.peak_growth(small(8, (192, 128), channels=300), own)
    assert 4 * 300 * 192 * 128 < grown < 6 * 4 * 300 * 192 * 128


# ---- Plots -----------------------------------------------------------------------------------


def row(count, side, time, name="cuda exact", **more):
    times = {"median": time, "low": 0.9 * time, "high": 1.1 * time}
    return {"scene": "cube", "ellipsoids": count, "width": side, "height": side, "channels": 3, "views": 1,
            "name": name, "peer": None, "device": "cuda:0", "error": None,
            "both": {"wall_ms": times, "kernel_ms": times}, **more}  # fmt: skip


def test_series_hold_what_does_not_grow():
    rows = [row(50, 8, 3.0), row(10, 8, 1.0), row(10, 16, 4.0), row(20, 8, 1.5, error="out of memory")]
    (by_count,) = plot.series(rows, "ellipsoids")
    assert (by_count.x, by_count.middle, by_count.fixed) == ([10, 50], [1.0, 3.0], "cube, 8x8")
    (by_pixels,) = plot.series(rows, "pixels")
    assert (by_pixels.x, by_pixels.middle, by_pixels.fixed) == ([64, 256], [1.0, 4.0], "cube, 10 ellipsoids")
    assert plot.grows(rows) == ["ellipsoids", "pixels"]
    assert plot.grows(rows[:2]) == ["ellipsoids"]


def test_a_row_on_the_cpu_makes_all_wall_time():
    assert plot.clock([row(1, 1, 1.0)]) == "kernel_ms"
    assert plot.clock([row(1, 1, 1.0), row(1, 1, 1.0, device="cpu")]) == "wall_ms"


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_a_plot_is_written_whole(tmp_path, name, start):
    pytest.importorskip("matplotlib", reason="extra plot")
    rows = [row(10 * n, 8 * n, n * t, who, peer=p) for n in (1, 2) for t, who, p in [(1, "a", None), (2, "b", "torch")]]
    rows += [row(10, 16, 3.0, "a")]
    plot.draw(rows, tmp_path / name, "a machine")
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.svg":
        assert "number of pixels" in (tmp_path / name).read_text()


def test_nothing_that_grows_is_no_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="extra plot")
    with pytest.raises(ValueError, match="two numbers of ellipsoids or two sizes"):
        plot.draw([row(10, 8, 1.0), row(20, 16, 1.0)], tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_measuring_renders_what_render_renders():
    scene = small()
    assert torch.equal(TORCH.prepare(scene).draw(), render(scene.ellipsoids, scene.cameras, TORCH.settings).image)
