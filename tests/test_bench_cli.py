"""voge bench as a user meets it: tables, JSON, plots, what is refused."""

import json
import os
import re
from pathlib import Path

import pytest
import torch
from program import refuse, run
from scenes import random_ellipsoids

from voge.bench import session
from voge.bench import table as bench_table
from voge.bench.cases import cases
from voge.io.ellipsoids import save_ellipsoids
from voge.rendering.ops import Status
from voge_cli import bench_table as terminal_table
from voge_cli import config
from voge_cli.commands.bench import BenchConfig

QUICK = ["--repeat", "1", "memory=false"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_ellipsoids("a.npz", random_ellipsoids(40, dtype=torch.float32))
    return tmp_path


def load(*overrides, **options):
    return config.load("bench", BenchConfig, options=options, overrides=overrides).value


def asked(*overrides, **options):
    return [(c.name, c.number, c.size, c.channels) for c in cases(load(*overrides, **options))]


# ---- What is measured ------------------------------------------------------------------------


def test_the_defaults_are_six_cubes():
    assert len(asked()) == 6


def test_cases_are_the_product_and_a_scene_may_have_its_own_size():
    assert asked(scenes=["cube"], intervals=[2, 3], sizes=["8", "16x9"], channels=[3, 64]) == [
        ("cube", n, size, c) for n in (2, 3) for size in ((8, 8), (16, 9)) for c in (3, 64)
    ]
    assert asked(scenes=["cube:5@8", "cube@10x6x64", "a.npz@7"], intervals=[2]) == [
        ("cube", 5, (8, 8), 3), ("cube", 2, (10, 6), 64), ("a", None, (7, 7), 3)
    ]  # fmt: skip


def test_counts_find_the_nearest_cube_and_resample_models(folder):
    (folder / "b.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n")
    made = asked(scenes=["cube", "b.obj"], counts=[1000, 5_000_000], sizes=["8"])
    assert [number for _, number, _, _ in made] == [13, 913, 1000, 5_000_000]


def test_a_file_may_have_any_name(folder):
    os.rename("a.npz", "cube:2@8.npz")
    assert asked(scenes=["cube:2@8.npz@4", "cube:2@8.npz"], sizes=["6"]) == [
        ("cube:2@8", None, (4, 4), 3), ("cube:2@8", None, (6, 6), 3)
    ]  # fmt: skip


def test_widths_are_for_cubes():
    named = [c.name for c in cases(load(scenes=["cube:2@8", "a.npz@8"], widths=[1.0, 2.5]))]
    assert named == ["cube", "cube, width 2.5", "a"]


# ---- What is given ---------------------------------------------------------------------------


def test_a_table_of_markdown_off_a_terminal():
    result = run("bench", "cube:2@8", "a.npz@10x8x4", "--aggregation", "exact,paper", "--views", "2", *QUICK)
    head, rule, *rows = result.stdout.splitlines()
    assert len({len(line) for line in (head, rule, *rows)}) == 1
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in (head, *rows)]
    assert table[0] == list(bench_table.HEAD)
    assert [line[0] for line in table[1:]] == ["cube", "cube", "a", "a"]
    assert table[3][1:3] == ["40", "10x8, 4 channels, 2 views"]
    assert [line[3].split()[1] for line in table[1:]] == ["exact", "paper"] * 2
    assert all(float(line[column].split()[0].replace(",", "")) > 0 for line in table[1:] for column in (4, 5, 6))
    assert "rendering on cpu with backend" in result.stderr


def test_json_is_one_document_and_the_same_in_a_file():
    result = run("bench", "cube:2@8", "--json", "-o", "out.json", "--peer", "torch", "--device", "cpu", *QUICK)
    document = json.loads(result.stdout)
    assert document == json.loads(Path("out.json").read_text())
    assert document["machine"]["versions"]["torch"] == torch.__version__
    assert [row["peer"] for row in document["rows"]] == [None, "torch"]
    assert document["rows"][0]["ratios"]["torch"]["both"] > 0
    assert document["rows"][0]["hits_per_ray"] > 0


def test_every_backend_that_is_there_and_no_row_twice():
    rows = json.loads(run("bench", "cube:1@6", "--json", "--backend", "all,torch", *QUICK).stdout)["rows"]
    names = [row["name"] for row in rows]
    assert "torch exact" in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("device", "expected"),
    [("auto", ["cuda", "cpp", "torch"]), ("cuda:1", ["cuda", "torch"]), ("cpu", ["cpp", "torch"])],
)
def test_all_backends_are_those_of_the_device(monkeypatch, device, expected):
    there = {name: Status(True, "") for name in ("cuda", "cpp", "torch")}
    monkeypatch.setattr("voge.rendering.ops.status", lambda: there)
    assert session.backends(load(backends=["all"]), device) == expected
    there["cpp"] = Status(False, "not built")
    assert session.backends(load(backends=["all"]), device) == [name for name in expected if name != "cpp"]


def test_settings_reach_every_contender():
    rows = json.loads(
        run("bench", "cube:1@6", "--json", "--aggregation", "paper,sorted", "settings.max_per_ray=7", *QUICK).stdout
    )["rows"]
    assert [(row["aggregation"], row["max_per_ray"], row["min_density"]) for row in rows] == [
        ("paper", 7, 0.01), ("sorted", 7, 0.01)
    ]  # fmt: skip


def test_a_plot_of_growth_and_the_same_from_earlier_results(folder):
    pytest.importorskip("matplotlib", reason="extra plot")
    first = run("bench", "--intervals", "1,2", "--sizes", "6", "--plot", "a.svg", "-o", "a.json", *QUICK)
    second = run("bench", "--intervals", "1", "--sizes", "6,8", "-o", "b.json", *QUICK)
    both = run("bench", "--from", "a.json,b.json", "--plot", "b.svg", "-o", "c.json")
    rows = [line.split() for text in (first, second) for line in text.stdout.splitlines()[2:]]
    assert [line.split() for line in both.stdout.splitlines()[2:]] == rows
    assert "number of ellipsoids" in (folder / "a.svg").read_text()
    assert "number of pixels" not in (folder / "a.svg").read_text()
    assert "number of pixels" in (folder / "b.svg").read_text()
    assert len(json.loads((folder / "c.json").read_text())["rows"]) == 4


def test_memory_is_measured_in_mebibytes():
    rows = json.loads(run("bench", "cube:8@64x64x60", "--json", "--repeat", "1").stdout)["rows"]
    assert 60 * 4 * 64 * 64 < rows[0]["peak_bytes"] < 100 * 60 * 4 * 64 * 64
    shown = bench_table.cells(rows)[1][bench_table.HEAD.index("peak MiB")]
    assert float(shown) == pytest.approx(rows[0]["peak_bytes"] / 2**20, rel=0.01)


def failed(**more):
    times = {"median": 2.0, "low": 1.5, "high": 2.5}
    figures = {"images_per_second": 500.0, "wall_ms": times, "kernel_ms": times}
    row = {"scene": "cube", "ellipsoids": 26, "width": 8, "height": 8, "channels": 3, "views": 1, "device": "cuda:0"}
    ours = {**row, "name": "cuda exact", "peer": None, "error": None, "forward": figures, "both": figures,
            "peak_bytes": 2**20, "hits_per_ray": 3.0,
            "ratios": {"gsplat": {"both": 1.25, "clock": "kernel_ms"}}}  # fmt: skip
    return [ours, {**row, "name": "gsplat 3DGS", "peer": "gsplat", "error": "out of memory", **more}]


def test_what_could_not_be_measured_is_in_the_table_with_its_reason():
    table = bench_table.cells(failed())
    assert table[0][-2:] == ("time / gsplat", "not measured")
    assert table[1][-2:] == ("1.25", "")
    assert table[2][3:] == ("gsplat 3DGS", *[""] * 8, "out of memory")
    assert {len(line) for line in table} == {len(table[0])}
    assert table[1][7] == "2 ±25%"


def test_a_terminal_gets_a_table_a_scene_that_fits_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = re.sub("\x1b.*?m", "", terminal_table.terminal(failed()))
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0].strip() == "cube, 26 ellipsoids, 8x8"
    ours = next(line for line in lines if "cuda exact" in line)
    assert ours.split() == ["cuda", "exact", "500", "500", "2", "2", "±25%", "2", "±25%", "1", "3", "1.25"]
    assert "gsplat 3DGS: out of memory" in shown
    assert max(map(len, lines)) <= 100


# ---- Peers -----------------------------------------------------------------------------------


def test_a_missing_peer_that_was_named_is_an_error_with_the_remedy(monkeypatch):
    monkeypatch.setattr("voge.bench.contenders.missing_gsplat", lambda: "gsplat is not installed; pip install x")
    assert refuse(5, "bench", "--peer", "torch,gsplat-ut", *QUICK) == "--peer: gsplat is not installed; pip install x"


def test_gsplat_needs_a_gpu(monkeypatch):
    monkeypatch.setattr("voge.bench.contenders.missing_gsplat", lambda: None)
    line = refuse(5, "bench", "--device", "cpu", "--peer", "gsplat", *QUICK)
    assert line == "--peer: gsplat renders on CUDA devices only, and this run is on cpu"


@pytest.mark.parametrize(
    ("peers", "device", "expected"),
    [
        (["auto"], "cuda", ["gsplat", "gsplat-ut"]),
        (["auto"], "cpu", []),
        (["torch", "auto"], "cuda", ["torch", "gsplat", "gsplat-ut"]),
        (["torch"], "cpu", ["torch"]),
        (["none"], "cuda", []),
    ],
)
def test_auto_compares_with_gsplat_on_gpus(peers, device, expected):
    assert [p.value for p in session.peers(load(peers=peers), torch.device(device))] == expected


# ---- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.obj"], "scene 'no.obj': no such file; give cube, cube:N or a file, each with or without @WxH or @WxHxC"),
        (["cube:0@8"], "scene 'cube:0@8': numbers of intervals and channels must be at least 1"),
        (["cube@0"], "scene 'cube@0': size must lie between 1 and 16384 pixels a side, got '0'"),
        (["--sizes", "wide"], "size must be WxH in pixels, such as 640x480; got 'wide'"),
        (["--counts", "many"], "--counts takes whole numbers with commas between, such as 1,2,4; got 'many'"),
        (["--counts", "-3"], "counts must be positive, got [-3]"),
        (["--repeat", "0"], "repeat must be positive, got 0"),
        (["--peer", "pulsar"], "peers must be of torch, gsplat, gsplat-ut, auto, none; got 'pulsar'"),
        (["--backend", "gpu"], "backends must be of auto, cuda, cpp, torch, all; got 'gpu'"),
        (["--plot", "a.bmp"], "plot must be a file called .png, .svg, .pdf; got 'a.bmp'"),
        (["sizes=[]"], "sizes must have at least one entry, got []"),
        (["siez=[8]"], "unknown key 'siez'; did you mean 'sizes'?"),
        (["--out", "a.npz"], "a.npz exists; add --overwrite, or choose another with --out"),
    ],
)
def test_wrong_usage_is_one_line(arguments, message):
    assert refuse(2, "bench", *arguments) == message


def test_a_plot_without_growth_is_refused_before_measuring():
    pytest.importorskip("matplotlib", reason="extra plot")
    line = refuse(2, "bench", "cube:2@8", "cube:3@9", "--plot", "a.png")
    assert line == "--plot draws growth: give two --counts, --intervals or --sizes of one scene"


def test_a_plot_without_matplotlib_names_the_remedy(monkeypatch):
    monkeypatch.setattr("voge.bench.plot.missing", lambda: "matplotlib is not installed; pip install x")
    assert refuse(5, "bench", "--plot", "a.png") == "matplotlib is not installed; pip install x"


def test_a_file_that_cannot_be_used_is_bad_data(folder):
    (folder / "b.obj").write_text("v 0 0\n")
    assert refuse(3, "bench", "b.obj", *QUICK).startswith("b.obj: ")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rows": [{"name": 1}], "machine": {}}'])
def test_other_files_are_no_earlier_results(folder, text):
    (folder / "x.json").write_text(text)
    line = refuse(3, "bench", "--from", "x.json")
    assert line.startswith("x.json: is no result of voge bench")
    assert line.endswith("write one with voge bench -o FILE.json")
    assert refuse(3, "bench", "--from", "y.json") == "y.json: no such file"


def test_nothing_measured_at_all_is_an_error(monkeypatch, folder):
    def no_memory(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("voge.bench.contenders.render", no_memory)
    assert refuse(5, "bench", "cube:2@8", "-o", "a.json", *QUICK) == "no scene could be measured: out of memory"
    assert not (folder / "a.json").exists()
