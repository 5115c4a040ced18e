"""The program as a user meets it: results, exit codes, and what is left behind."""

import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import replace

import imageio_ffmpeg
import numpy as np
import pytest
import trimesh
import typer
import yaml
from PIL import Image
from program import content, picture, program, refuse, run

import voge
from voge.assets.teapot import teapot
from voge.io import images
from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge.rendering import installation, ops
from voge_cli.main import app

SMALL = ["--size", "20x16"]


@pytest.fixture(scope="session")
def teapot_file(tmp_path_factory):
    """A colored mesh of 137 vertices."""
    vertices, faces, colors = teapot(2)
    path = tmp_path_factory.mktemp("models") / "pot.ply"
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(path)
    return str(path)


@pytest.fixture(scope="session")
def gray_file(teapot_file):
    """The same mesh without colors."""
    path = os.path.join(os.path.dirname(teapot_file), "gray.off")
    vertices, faces, _ = teapot(2)
    trimesh.Trimesh(vertices, faces, process=False).export(path)
    return path


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


# ---- convert ---------------------------------------------------------------------------------


def test_convert_writes_the_stem_into_the_current_folder(folder, teapot_file):
    result = run("convert", teapot_file)
    assert result.stdout == "pot.safetensors\n"
    assert content(folder) == ["pot.safetensors"]
    made = load_ellipsoids("pot.safetensors")
    assert len(made) == 137
    assert made.features.shape == (137, 3)
    assert dict(made.metadata) == {
        "source": "pot.ply",
        "frame": "right-handed, as in the source",
        "units": "unknown",
        "method": "hat",
        "kappa": "0.75",
        "optical_depth": "5",
        "flatness": "0.05",
    }


@pytest.mark.parametrize(
    ("method", "count", "record"),
    [("hat", 137, "hat"), ("triangle", 240, "triangle"), ("vertex", 137, "vertex"), ("points", 137, "points")],
)
def test_convert_by_every_method(teapot_file, method, count, record):
    run("convert", teapot_file, "--method", method)
    made = load_ellipsoids("pot.safetensors")
    assert (len(made), made.metadata["method"]) == (count, record)


def test_convert_points_by_the_papers_converter(folder):
    np.save("cloud.npy", np.random.default_rng(0).normal(size=(30, 3)))
    run("convert", "cloud.npy", "--method", "vertex", "--coverage", "0.4", "--neighbors", "5")
    assert load_ellipsoids("cloud.safetensors").metadata["method"] == "isotropic"


def test_convert_records_units_and_turns_z_upright(teapot_file):
    run("convert", teapot_file, "--up", "z", "--units", "cm", "-o", "turned.npz")
    run("convert", teapot_file, "--up", "y")
    turned, plain = load_ellipsoids("turned.npz"), load_ellipsoids("pot.safetensors")
    x, y, z = plain.means.unbind(1)
    assert turned.means.numpy() == pytest.approx(np.stack([x, z, -y], 1), abs=1e-6)
    assert (turned.metadata["units"], turned.metadata["frame"]) == ("cm", "right-handed, y up")
    assert json.loads(turned.metadata["source_to_world"])[1] == [0, 0, 1, 0]
    assert "source_to_world" not in plain.metadata


def test_convert_normalizes_only_when_asked_and_says_how_to_undo_it(teapot_file):
    run("convert", teapot_file)
    run("convert", teapot_file, "--normalize", "--up", "z", "-o", "unit.safetensors")
    plain, unit = load_ellipsoids("pot.safetensors"), load_ellipsoids("unit.safetensors")
    assert float(unit.means.norm(dim=1).max()) == pytest.approx(1)
    assert (unit.means.amin(0) + unit.means.amax(0)).numpy() == pytest.approx(0, abs=1e-6)
    matrix = np.linalg.inv(np.array(json.loads(unit.metadata["source_to_world"])))
    back = unit.means.numpy() @ matrix[:3, :3].T + matrix[:3, 3]
    assert back == pytest.approx(plain.means.numpy(), abs=1e-5)


def test_convert_between_the_native_formats_keeps_every_bit(teapot_file):
    run("convert", teapot_file)
    run("convert", "pot.safetensors", "-o", "pot.npz")
    run("convert", "pot.npz", "-o", "again.safetensors")
    with open("pot.safetensors", "rb") as first, open("again.safetensors", "rb") as second:
        assert first.read() == second.read()


def test_convert_stats_are_a_table_or_json(teapot_file):
    table = run("convert", teapot_file, "--stats").stdout.splitlines()
    assert table[0] == "pot.safetensors"
    assert table[1].split() == ["count", "137"]
    document = json.loads(run("convert", teapot_file, "--overwrite", "--json").stdout)
    assert (document["out"], document["count"], document["features"]) == ("pot.safetensors", 137, 3)
    assert document["scales"]["min"] > 0


def test_convert_tells_what_was_left_out(folder):
    (folder / "a.off").write_text("OFF\n4 1 0\n0 0 0\n1 0 0\n0 1 0\n5 5 5\n3 0 1 2\n")
    assert "a.off: left out 1 unreferenced vertices\n" in run("convert", "a.off").stderr
    assert run("convert", "a.off", "-q", "--overwrite").stderr == ""


def test_convert_packaged_config_is_the_papers(teapot_file):
    run("convert", teapot_file, "--config", "paper")
    assert load_ellipsoids("pot.safetensors").metadata["method"] == "vertex"


# ---- render ----------------------------------------------------------------------------------


def test_render_writes_the_folder_of_the_contract(folder, teapot_file):
    options = ["--azim", "0,120,240", "--elev", "-10,40", "--outputs", "rgb,alpha,depth,normal", "--turntable", "5"]
    assert run("render", teapot_file, *options, *SMALL).stdout == "pot_render\n"
    views = [f"{i:04d}" for i in range(6)]
    expected = {f"{output}/{view}.png" for output in ("rgb", "alpha", "depth", "normal") for view in views}
    expected |= {f"{output}/{view}.npz" for output in ("depth", "normal") for view in views}
    expected |= {"config.yaml", "sheet.png", "turntable.mp4"}
    assert {name for name in content(folder / "pot_render") if "." in name} == expected
    assert picture("pot_render/rgb/0000.png").shape == (16, 20, 3)


def test_render_shows_all_of_the_object(teapot_file):
    """For any elevation and shape of picture the rim of the picture stays empty, and the object is not tiny."""
    for size, elevation, more in (("24x12", 0, []), ("12x24", 60, []), ("16x16", 90, ["--ortho"]), ("16x16", -30, [])):
        run("render", teapot_file, "--outputs", "alpha", "--size", size, f"--elev={elevation}", *more, "--overwrite")
        alpha = picture("pot_render/alpha/0000.png")
        assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) == 0
        assert (alpha > 128).mean() > 0.1


def test_render_depth_says_what_it_is(teapot_file):
    run("render", teapot_file, "--outputs", "depth", "--azim", "0,90", *SMALL, "--dist", "12")
    for view in ("0000", "0001"):
        with np.load(f"pot_render/depth/{view}.npz") as exact, Image.open(f"pot_render/depth/{view}.png") as png:
            assert png.text["depth_kind"] == str(exact["kind"]) == "ray"
            scale = float(png.text["depth_scale"])
            stored = np.asarray(png) * scale
            assert stored == pytest.approx(exact["depth"], abs=scale)
            seen = exact["depth"] > 0
            assert 8 < exact["depth"][seen].min() < exact["depth"].max() < 16
            center = -exact["viewmat"][:3, :3].T @ exact["viewmat"][:3, 3]
            assert np.linalg.norm(center - [0.213, 1.545, 0]) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    ("background", "corner"),
    [("white", [255] * 3), ("black", [0] * 3), ("0,0.5,1", [0, 128, 255]), ("transparent", None)],
)
def test_render_background(teapot_file, background, corner):
    run("render", teapot_file, "--background", background, *SMALL, "--turntable", "2", "--video", "gif")
    still = picture("pot_render/rgb/0000.png")
    assert still[0, 0].tolist() == corner if corner else still[0, 0, 3] == 0
    frame = picture("pot_render/turntable.gif", "RGB")
    assert frame[0, 0].tolist() == (corner or [255] * 3)


def test_render_several_models_is_one_scene(teapot_file, gray_file):
    run("convert", teapot_file, "--normalize")
    result = run("render", "pot.safetensors", gray_file, *SMALL, "--json")
    document = json.loads(result.stdout)
    assert document["ellipsoids"] == 2 * 137
    assert f"without colors, so shown in gray: {gray_file}\n" in result.stderr


def test_render_without_colors_is_shaded_by_normals(gray_file):
    result = run("render", gray_file, *SMALL)
    assert f"without colors, so shown in gray and shaded by their normals: {gray_file}\n" in result.stderr
    gray = picture("gray_render/rgb/0000.png").astype(int)
    assert np.ptp(gray, axis=2).max() == 0
    inside = gray[..., 0][gray[..., 0] < 250]
    assert inside.std() > 5


def test_render_light_darkens_only(teapot_file):
    run("render", teapot_file, *SMALL, "--background", "black")
    run("render", teapot_file, *SMALL, "--background", "black", "--light", "-o", "lit")
    plain, lit = (picture(f"{name}/rgb/0000.png").astype(int) for name in ("pot_render", "lit"))
    assert (lit <= plain).all()
    assert lit.sum() < 0.95 * plain.sum()


def test_render_normals_point_to_the_camera(teapot_file):
    run("render", teapot_file, "--outputs", "normal", "--azim", "0", "--elev", "0", *SMALL)
    with Image.open("pot_render/normal/0000.png") as png:
        assert png.text["normal_frame"] == "world"
        normals = np.asarray(png) / 255 * 2 - 1
    seen = np.linalg.norm(normals, axis=2) > 0.5
    assert normals[seen][:, 2].mean() > 0.3
    assert np.linalg.norm(normals[seen], axis=1) == pytest.approx(1, abs=0.02)


def test_render_tells_sizes_and_distances_with_v(teapot_file):
    told = run("render", teapot_file, *SMALL, "--dist", "9", "-v").stderr
    assert "137 ellipsoids around (0.213, 1.545, 0); object diameter 7." in told
    assert "camera distance 9, 19 of 16 pixels" in told


def test_render_repeats_from_its_printed_configuration(folder, teapot_file):
    options = [teapot_file, "--azim", "10,200", "--light", *SMALL, "settings.boxes=3", "convert.kappa=0.8"]
    run("render", *options, "-o", "a")
    printed = run("render", *options, "--print-config").stdout
    (folder / "printed.yaml").write_text(printed)
    run("render", "--config", "printed.yaml", "-o", "b")
    run("render", "--config", "a/config.yaml", "-o", "c")
    for view in ("0000", "0001"):
        assert len({(folder / name / "rgb" / f"{view}.png").read_bytes() for name in "abc"}) == 1


def test_print_config_writes_nothing_else(folder, teapot_file):
    for command in (["convert", teapot_file], ["render", teapot_file], ["demo"]):
        assert yaml.safe_load(run(*command, "--print-config").stdout)
        assert json.loads(run(*command, "--print-config", "--json").stdout)
    assert content(folder) == []


# ---- info and demo ---------------------------------------------------------------------------


def test_info_gives_every_backend_its_state_and_reason():
    text, document = run("info").stdout, json.loads(run("info", "--json").stdout)
    for name, state in ops.status().items():
        assert document["backends"][name]["available"] == state.available
        assert f"backend {name}: {'' if state.available else 'not '}available; {state.reason}" in text
    assert document["versions"]["python"] == sys.version.split()[0]
    assert document["auto"]["cpu"] in ("cpp", "torch")


def test_demo_makes_a_page_that_needs_nothing_else(folder):
    result = run("demo", "--turntable", "3", "--size", "24x20", "resolution=3", "steps=2")
    assert result.stdout == "voge_demo/report.html\n"
    assert {"teapot.ply", "teapot.safetensors", "sheet.png", "turntable.mp4", "config.yaml"} <= set(
        content(folder / "voge_demo")
    )
    page = (folder / "voge_demo" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 7
    assert page.count("data:video/mp4;base64,") == 2
    assert "http" not in page
    for name in ("report.html", "fit/report.html", "fit/config.yaml", "photos/transforms.json"):
        assert ".voge-" not in (folder / "voge_demo" / name).read_text()  # no name of a temporary folder


# ---- Exit codes ------------------------------------------------------------------------------


def test_code_2_for_wrong_usage(folder, teapot_file):
    assert refuse(2, "rendr") == "No such command 'rendr'. Did you mean 'render'? (see voge --help)"
    assert refuse(2, "render", "--nosuch").startswith("No such option: --nosuch")
    assert refuse(2, "convert") == "give a file to convert"
    assert refuse(2, "render") == "give a model to render: a file of ellipsoids, a mesh, points or a scene file"
    assert refuse(2, "convert", "a", "b") == "voge convert takes one file, got 2: a b"
    assert refuse(2, "demo", "a.obj") == "voge demo takes no input, got a.obj; to render a file: voge render a.obj"
    assert refuse(2, "convert", teapot_file, "metod=hat") == "unknown key 'metod'; did you mean 'method'?"
    assert refuse(2, "render", teapot_file, "--azim", "a").startswith("--azim takes numbers with commas between")
    assert refuse(2, "render", teapot_file, "--outputs", "rbg").startswith("outputs[0]: Invalid value 'rbg'")
    assert refuse(2, "render", teapot_file, "--device", "gpu").startswith("device must be auto, cpu, cuda or cuda:i")
    assert refuse(2, "convert", teapot_file, "--method", "hut").startswith("Invalid value for '--method'")
    assert refuse(2, "convert", teapot_file, "-o", "a.stl").startswith("a.stl: ellipsoids are written to .safetensors")
    assert refuse(2, "convert", teapot_file, "--coverage", "0.4").startswith("coverage: not used by method hat")
    np.save("cloud.npy", np.eye(5, 3))
    assert refuse(2, "convert", "cloud.npy", "--method", "hat").startswith("method hat needs faces")
    assert content(folder) == ["cloud.npy"]


def test_code_2_for_an_existing_output(folder, teapot_file):
    run("convert", teapot_file)
    before = (folder / "pot.safetensors").read_bytes()
    assert refuse(2, "convert", teapot_file, "--normalize").startswith("pot.safetensors exists; add --overwrite")
    assert (folder / "pot.safetensors").read_bytes() == before
    run("convert", teapot_file, "--normalize", "--overwrite")
    assert (folder / "pot.safetensors").read_bytes() != before
    run("render", "pot.safetensors", *SMALL, "--outputs", "rgb,alpha")
    assert refuse(2, "render", "pot.safetensors", *SMALL).startswith("pot_render exists and is not empty")
    run("render", "pot.safetensors", *SMALL, "--overwrite")
    assert not (folder / "pot_render" / "alpha").exists()


def test_overwrite_replaces_only_what_voge_wrote(folder, teapot_file):
    (folder / "thesis").mkdir()
    (folder / "thesis" / "config.yaml").write_text("mine: 1\n")
    message = refuse(2, "render", teapot_file, "-o", "thesis", "--overwrite")
    assert message.startswith("thesis holds files that voge did not write")
    assert refuse(2, "render", teapot_file, "-o", "thesis/config.yaml").startswith("thesis/config.yaml is a file")
    assert refuse(2, "convert", teapot_file, "-o", "thesis").startswith("thesis: ellipsoids are written to")
    assert content(folder) == ["thesis", "thesis/config.yaml"]


def test_the_current_folder_may_be_the_output_while_it_is_empty(folder, teapot_file):
    run("render", teapot_file, *SMALL, "-o", ".")
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "rgb", "sheet.png"]


@pytest.mark.parametrize("command", ["convert", "render"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("none.obj", None),
        ("empty.obj", b""),
        ("bad.glb", b"hello"),
        ("bad.safetensors", b"hello"),
        ("bad.npz", b"hello"),
        ("bad.ply", b"ply\nformat ascii 1.0\n"),
        ("what.txt", b"hello"),
        ("four.xyz", b"0 0 0\n0 0 0\n0 0 0\n0 0 0\n"),
    ],
)
def test_code_3_for_bad_data(folder, command, name, data):
    if data is not None:
        (folder / name).write_bytes(data)
    before = content(folder)
    assert refuse(3, command, name, "-o", "made.npz").startswith(f"{name}: ")
    assert content(folder) == before


def test_code_3_for_a_model_without_what_an_output_needs(folder, teapot_file):
    run("convert", teapot_file)
    made = load_ellipsoids("pot.safetensors")
    save_ellipsoids("many.npz", replace(made, features=made.means.repeat(1, 2), extra={}))
    assert refuse(3, "render", "many.npz").startswith("many.npz: has 6 features, which are no colors")
    assert refuse(3, "render", "many.npz", "--outputs", "normal").startswith("many.npz: has no normals")
    run("render", "many.npz", "--outputs", "alpha", *SMALL)


def test_code_5_for_a_missing_device_or_backend(folder, teapot_file, monkeypatch):
    assert refuse(5, "render", teapot_file, "--device", "cuda:99").startswith("device cuda:99: ")
    missing = {**ops.status(), "cuda": ops.Status(False, "no driver", "install one")}
    monkeypatch.setattr(ops, "status", lambda: missing)
    assert refuse(5, "render", teapot_file, "--backend", "cuda") == "backend cuda: no driver; install one"
    assert refuse(5, "demo", "--backend", "cuda") == "backend cuda: no driver; install one"
    assert content(folder) == []


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried 9 bytes")]
)
def test_code_5_for_memory(folder, teapot_file, monkeypatch, error):
    monkeypatch.setattr("voge.imaging.pictures.render", raising(error))
    assert refuse_after_notes(5, "render", teapot_file).startswith("out of memory (")
    assert content(folder) == []


def test_code_1_for_what_nobody_expected(monkeypatch):
    monkeypatch.setattr(installation, "describe", raising(KeyError("two\nlines")))
    line = "KeyError: 'two\\nlines' (run again with --traceback to see where)"
    assert refuse(1, "info") == line
    for result in (run("info", "--traceback", code=1), program_with_traceback(monkeypatch)):
        assert "Traceback (most recent call last)" in result.stderr
        assert result.stderr.splitlines()[-1] == f"error: {line}"


def program_with_traceback(monkeypatch):
    monkeypatch.setenv("VOGE_TRACEBACK", "1")
    return run("info", code=1)


@pytest.mark.parametrize("command", [["render"], ["convert"], ["demo"]])
def test_code_130_when_interrupted(folder, teapot_file, monkeypatch, command):
    monkeypatch.setattr("voge.imaging.studio.take_pictures", raising(KeyboardInterrupt()))
    monkeypatch.setattr("voge.convert.files.from_mesh", raising(KeyboardInterrupt()))
    result = run(*command, *([] if command == ["demo"] else [teapot_file]), code=130)
    assert result.stderr.splitlines()[-1] == "interrupted"
    assert result.stdout == ""
    assert content(folder) == []


def test_an_error_while_pictures_are_written_leaves_nothing(folder, teapot_file, monkeypatch):
    monkeypatch.setattr(images, "contact_sheet", raising(ZeroDivisionError("late")))
    refuse_after_notes(1, "render", teapot_file, *SMALL, "-o", "deep/er/out")
    assert content(folder) == []


def test_mp4_without_ffmpeg_is_refused_before_rendering(folder, teapot_file, monkeypatch):
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", raising(RuntimeError("none")))
    message = refuse_after_notes(2, "render", teapot_file, *SMALL, "--turntable", "2")
    assert message == "mp4 needs ffmpeg, and imageio-ffmpeg finds none; write gif or webp (video=gif)"
    run("render", teapot_file, *SMALL, "--turntable", "2", "--video", "webp")
    run("demo", "--turntable", "2", "--size", "24x20", "resolution=2", "video=gif", "steps=1")


def raising(error):
    def fail(*_args, **_options):
        raise error

    return fail


def refuse_after_notes(code, *arguments):
    """As `refuse`, where the command had begun and said so."""
    return refuse(code, *arguments, "-q")


# ---- The program -----------------------------------------------------------------------------


def test_help_and_version_import_nothing_heavy():
    """So they answer at once; measured 0.1 s."""
    heavy = ("torch", "numpy", "trimesh", "hydra", "omegaconf", "rich", "PIL")
    code = (
        "import sys\nfrom voge_cli.main import app\n"
        "try: app(sys.argv[1:], prog_name='voge')\nexcept SystemExit as end: assert not end.code\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    for arguments in (["--help"], ["-h"], ["--version"], ["render", "-h"]):
        ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert ended.stderr == "[]\n"
        assert ended.stdout.lower().startswith(("usage: voge", "voge "))


def leaves(command, name=""):
    """The names of all commands, those of groups after the group's."""
    if not hasattr(command, "commands"):
        return [name.strip()]
    inner = {word: command.get_command(None, word) for word in command.list_commands(None)}
    return [leaf for word, made in inner.items() for leaf in leaves(made, f"{name} {word}")]


def test_every_command_has_the_shared_options():
    shared = {"--json", "-q", "-v", "--traceback", "-h"}
    writing = shared | {"-o", "--overwrite", "--config", "--print-config"}
    computing = writing | {"--device", "--backend"}
    wanted = {"info": shared, "convert": writing, "demo": writing}
    wanted |= {"render": computing, "cameras": computing, "bench": computing}
    wanted |= {"fit": computing, "texture": computing, "match": computing, "occlusion": computing}
    wanted |= {"pose synth": writing, "pose check-data": shared, "pose train": computing, "pose estimate": computing}
    assert set(leaves(typer.main.get_command(app))) == set(wanted)
    for name, options in wanted.items():
        words = run(*name.split(), "--help").stdout.replace(",", " ").split()
        assert options <= set(words)


def test_off_a_terminal_stdout_is_the_result_and_no_control_characters_appear(teapot_file):
    ended = program("render", teapot_file, *SMALL, "--turntable", "3")
    assert (ended.returncode, ended.stdout) == (0, "pot_render\n")
    assert ended.stderr.isprintable() or all(line.isprintable() for line in ended.stderr.splitlines())
    assert "\x1b" not in ended.stderr
    assert "\r" not in ended.stderr


def test_a_fresh_process_repeats_from_its_printed_configuration(folder, teapot_file):
    printed = program("render", teapot_file, "--print-config").stdout
    assert printed == run("render", teapot_file, "--print-config").stdout
    (folder / "a.yaml").write_text(printed)
    assert run("render", "--config", "a.yaml", "--print-config").stdout == printed


def test_plain_progress_speaks_only_of_long_work(capsys):
    from voge_cli import console

    assert list(console.Console(progress="plain").track("abc", 3, "views")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""


def test_plain_progress_counts(capsys, monkeypatch):
    from voge_cli import console

    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    assert list(console.Console(progress="plain").track("abc", 3, "views")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "views: 1/3\nviews: 2/3\n"


def test_rich_progress_passes_everything_on(capsys):
    from voge_cli import console

    assert list(console.Console(progress="rich").track("abc", 3, "views")) == ["a", "b", "c"]
    assert capsys.readouterr().out == ""


def test_the_core_imports_no_command_line():
    names = [module.name for module in pkgutil.walk_packages(voge.__path__, "voge.")]
    unwanted = ("typer", "hydra", "omegaconf", "rich", "voge_cli")
    code = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\n"
        f"print([name for name in {unwanted} if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
