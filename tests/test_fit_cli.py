"""voge fit on the command line: its folder, resuming, interruptions, and what it refuses."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch
import yaml
from launched import launch
from PIL import Image
from program import content, picture, refuse, run

import voge
from voge.assets.teapot import teapot
from voge.convert import from_mesh
from voge.fitting.settings import FitSettings, Sweep
from voge.fitting.targets import sweep_cameras
from voge.io.cameras import load_cameras
from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge.io.splat_ply import read_splats
from voge.scene import harmonics

VIEWS = 6
TINY = ["start.count=42", "views_per_step=2", "turntable=0", "film_every=0", "log_every=5", "coarse.factor=1", "-q"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small tensors: threads only cost time. And no test leaves torch deterministic."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Pictures of the teapot with alpha, their cameras as transforms.json, and the model."""
    folder = tmp_path_factory.mktemp("scene")
    vertices, faces, colors = teapot(3)
    vertices = (vertices - (vertices.max(0) + vertices.min(0)) / 2) / np.abs(vertices).max()
    model = from_mesh(torch.from_numpy(vertices), torch.from_numpy(faces), colors=torch.from_numpy(colors))
    save_ellipsoids(folder / "model.safetensors", model)
    cameras = sweep_cameras(Sweep(views=VIEWS, size=24))
    with torch.no_grad():
        made = voge.render(model, cameras)
    frames = []
    for i in range(VIEWS):
        straight = made.image[i] / made.alpha[i, ..., None].clamp_min(1e-6)
        rgba = torch.cat([straight, made.alpha[i, ..., None]], -1)
        pixels = np.rint(rgba.clamp(0, 1).numpy() * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"v{i}.png")
        Image.fromarray(pixels[..., 3]).save(folder / f"m{i}.png")
        pose = torch.linalg.inv(cameras.viewmats[i].double()) @ torch.diag(torch.tensor([1.0, -1, -1, 1]).double())
        frames.append({"file_path": f"v{i}.png", "transform_matrix": pose.tolist()})
    K = cameras.Ks[0].tolist()
    document = {"w": 24, "h": 24, "fl_x": K[0][0], "fl_y": K[1][1], "cx": 12, "cy": 12, "frames": frames}
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


def changed(scene, tmp_path, change):
    """The camera file with something changed, beside links to the pictures."""
    document = json.loads((scene / "transforms.json").read_text())
    change(document)
    for file in scene.glob("*.png"):
        (tmp_path / file.name).symlink_to(file)
    path = tmp_path / "transforms.json"
    path.write_text(json.dumps(document))
    return path


def same_end(first, second):
    """Two runs ended alike, times apart."""
    assert (first / "ellipsoids.safetensors").read_bytes() == (second / "ellipsoids.safetensors").read_bytes()
    figures = [json.loads((folder / "metrics.json").read_text()) for folder in (first, second)]
    lines = [[json.loads(x) for x in (f / "metrics.jsonl").read_text().splitlines()] for f in (first, second)]
    for document in [*figures, *lines[0], *lines[1]]:
        assert document.pop("seconds") >= 0
    assert figures[0] == figures[1]
    assert lines[0] == lines[1]


def test_a_run_leaves_its_folder(scene, tmp_path):
    out = tmp_path / "run"
    options = [o for o in TINY if o != "-q" and "film" not in o and "turntable" not in o]
    result = run(
        "fit", scene / "transforms.json", "--steps", 12, "--holdout", 3, "-o", out, *options,
        "film_every=4", "turntable=3", "video=gif", "--json",
    )  # fmt: skip
    figures = json.loads(result.stdout)
    assert figures["train"]["views"] == 4
    assert figures["held_out"]["views"] == 2
    assert {"psnr", "ssim", "iou", "iou_worst", "psnr_object"} <= set(figures["held_out"])
    assert {p for p in content(out) if "/" not in p} == {
        "checkpoint.safetensors", "config.yaml", "ellipsoids.safetensors", "images", "metrics.json", "metrics.jsonl",
        "report.html", "turntable.gif", "video.gif",
    }  # fmt: skip
    assert picture(out / "images" / "train_v0.png").shape == (24, 72, 3)
    assert [json.loads(x)["step"] for x in (out / "metrics.jsonl").read_text().splitlines()] == [1, 5, 10, 12]
    with Image.open(out / "video.gif") as film:
        assert film.n_frames >= 2  # a GIF joins equal frames; at most 0, 4, 8, 12
    page = (out / "report.html").read_text()
    assert "before, target, after" in page
    assert "<polyline" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched
    assert len(load_ellipsoids(out / "ellipsoids.safetensors")) == 42
    again = tmp_path / "again"
    run("fit", "--config", out / "config.yaml", "-o", again)
    assert (again / "ellipsoids.safetensors").read_bytes() == (out / "ellipsoids.safetensors").read_bytes()


def test_masks_of_a_folder_are_those_of_the_alpha(scene, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for i in range(VIEWS):
        (masks / f"v{i}.png").symlink_to(scene / f"m{i}.png")
    for name, extra in (("a", []), ("b", ["--masks", masks])):
        run("fit", scene / "transforms.json", "--steps", 3, "-o", tmp_path / name, *TINY, *extra)
    assert (tmp_path / "a" / "ellipsoids.safetensors").read_bytes() == (
        tmp_path / "b" / "ellipsoids.safetensors"
    ).read_bytes()


def test_pictures_without_masks_are_fitted_by_colors(scene, tmp_path):
    run(
        "fit", scene / "transforms.json", "--steps", 3, "--background", "learned", "-o", tmp_path / "run", *TINY,
        "use_masks=false",
    )  # fmt: skip
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert "iou" not in metrics["train"]
    assert "silhouette" not in json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])


def test_a_colmap_model_is_fitted_to(scene, tmp_path):
    model = tmp_path / "sparse"
    run("cameras", scene / "transforms.json", "--to", "colmap", "-o", model)
    run("fit", model, "--images", scene, "--steps", 2, "--downscale", 2, "-o", tmp_path / "run", *TINY)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["train"]["views"] == VIEWS


def test_refined_cameras_are_written_for_the_full_pictures(scene, tmp_path):
    out = tmp_path / "run"
    run(
        "fit", scene / "transforms.json", "--steps", 3, "--optimize", "cameras", "--downscale", 2, "-o", out, *TINY[1:],
        "start.kind=ellipsoids", f"start.file={scene / 'model.safetensors'}",
    )  # fmt: skip
    refined, given = load_cameras(out / "cameras.json"), load_cameras(scene / "transforms.json")
    assert [view.name for view in refined] == [view.name for view in given]
    for new, old in zip(refined, given, strict=True):
        assert (new.width, new.height, new.image.resolve()) == (24, 24, old.image.resolve())
        assert not torch.equal(new.viewmat, old.viewmat)
        torch.testing.assert_close(new.viewmat, old.viewmat, atol=0.1, rtol=0)
        torch.testing.assert_close(new.K, old.K, atol=0.2, rtol=0)


def test_colors_that_depend_on_the_view_are_saved_and_gone_on_with(scene, tmp_path):
    out, again = tmp_path / "run", tmp_path / "again"
    run("fit", scene / "transforms.json", "--sh-degree", 1, "--steps", 4, "-o", out, *TINY)
    first = load_ellipsoids(out / "ellipsoids.safetensors").extra["sh"]
    assert first.shape == (42, 3, 3)
    assert first.abs().max() > 0
    run("convert", out / "ellipsoids.safetensors", "-o", tmp_path / "splats.ply")
    torch.testing.assert_close(read_splats(tmp_path / "splats.ply")[0]["sh"].float(), first)
    run(
        "fit", scene / "transforms.json", "--sh-degree", 2, "--steps", 1, "--optimize", "poses", "-o", again, *TINY,
        "start.kind=ellipsoids", f"start.file={out / 'ellipsoids.safetensors'}",
    )  # fmt: skip
    assert torch.equal(load_ellipsoids(again / "ellipsoids.safetensors").extra["sh"], harmonics.of_degree(first, 2))


def test_a_start_in_millimeters_among_cameras_in_meters_is_named(scene, tmp_path):
    model = load_ellipsoids(scene / "model.safetensors")
    save_ellipsoids(tmp_path / "mm.safetensors", model.transform(torch.diag(torch.tensor([1000.0, 1000, 1000, 1]))))
    options = [option for option in TINY if option != "-q"]
    result = run(
        "fit", scene / "transforms.json", "--steps", 1, "-o", tmp_path / "run", *options, "start.kind=ellipsoids",
        f"start.file={tmp_path / 'mm.safetensors'}",
    )  # fmt: skip
    assert "object diameter" in result.stderr
    assert "warning: " in result.stderr


def test_views_of_a_mesh_are_taken_and_tested(tmp_path):
    pytest.importorskip("embreex")
    out = tmp_path / "run"
    run("fit", "teapot", "--steps", 2, "sweep.size=16", "sweep.views=4", "sweep.held_out=2", "-o", out, *TINY)
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["held_out"]["views"] == 2
    assert figures["unseen_side"]["views"] == 5
    assert 0 < figures["shape"]["chamfer"] < 1


@pytest.mark.parametrize("name", ["cow", "cuboid"])
def test_packaged_configs_compose(name):
    result = run("fit", "--config", name, "--print-config")
    assert yaml.safe_load(result.stdout)["mesh"] is not None


def test_the_packaged_defaults_are_those_of_python():
    shown = yaml.safe_load(run("fit", "--print-config", "--json").stdout)
    plain = json.loads(json.dumps(FitSettings(), default=vars))
    assert {key: shown[key] for key in plain if key != "settings"} == {
        k: v for k, v in plain.items() if k != "settings"
    }


# ---- Going on --------------------------------------------------------------------------------


def wait_for(path, lines, process):
    """Until a file has so many lines."""
    end = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert process.is_alive(), "the run ended before it could be stopped"
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_and_resumed_ends_bit_equal(scene, tmp_path):
    """kill -9 at three moments: before the first checkpoint, and at two more that chance picks within a step."""
    options = [
        "--steps", 80, "--deterministic", *TINY, "log_every=1", "save_every=7", "growth.budget=60", "growth.every=20",
        "background=random",
    ]  # fmt: skip
    run("fit", scene / "transforms.json", "-o", tmp_path / "whole", *options)
    out = tmp_path / "killed"
    command = ["fit", scene / "transforms.json", "-o", out, *options]
    for moment in (4, 25, 50):
        process = launch(*command)
        wait_for(out / "metrics.jsonl", moment, process)
        process.kill()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        command = ["fit", "--resume", out, "-q"]
    run(*command)
    same_end(tmp_path / "whole", out)


def test_an_interrupted_run_writes_a_checkpoint_and_goes_on(scene, tmp_path):
    out, errors = tmp_path / "run", tmp_path / "errors"
    options = ["--steps", 100_000, *TINY, "log_every=1"]
    process = launch("fit", scene / "transforms.json", "-o", out, *options, errors=errors)
    wait_for(out / "metrics.jsonl", 3, process)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    assert process.exitcode == 130
    assert errors.read_text().splitlines()[-1] == "interrupted"
    assert "Traceback" not in errors.read_text()
    done = int(load_done(out))
    assert done >= 3
    run("fit", "--resume", out, "--steps", done + 2, "-q")
    assert json.loads((out / "metrics.json").read_text())["steps"] == done + 2


def load_done(folder):
    from safetensors.torch import load_file

    return load_file(folder / "checkpoint.safetensors")["done"]


def test_a_finished_run_can_be_given_more_steps(scene, tmp_path):
    out = tmp_path / "run"
    run("fit", scene / "transforms.json", "-o", out, "--steps", 5, *TINY)
    run("fit", "--resume", out, "--steps", 8, "-q")
    assert load_done(out) == 8
    assert "more than --steps" in refuse(2, "fit", "--resume", out, "--steps", 6)


def test_a_loss_that_is_not_finite_stops_with_4_and_keeps_the_checkpoint(scene, tmp_path, monkeypatch):
    from voge.optim import losses

    calls = []

    def breaking(value, target):
        calls.append(1)
        return (value - target).square().mean() / (0 if len(calls) == 9 else 1)

    monkeypatch.setitem(losses.COLOR_LOSSES, losses.ColorLoss.squared, breaking)
    out = tmp_path / "run"
    message = refuse(4, "fit", scene / "transforms.json", "-o", out, "--steps", 20, *TINY, "save_every=3")
    assert message.startswith("loss term 'color' is not finite at step 9")
    assert load_done(out) == 6
    run("fit", "--resume", out, "-q")
    assert load_done(out) == 20


# ---- What is refused -------------------------------------------------------------------------

BROKEN = {
    "a missing picture": (lambda d: d["frames"][2].update(file_path="nowhere.png"), "nowhere.png: no such file"),
    "a picture of another size": (lambda d: d.update(w=20, cx=10), "v0.png: is 24x24 pixels, its camera 20x24"),
    "a mask of another size": (lambda d: d["frames"][1].update(mask_path="small.png"), "small.png: is 3x3 pixels"),
    "an empty mask": (
        lambda d: [f.update(mask_path="black.png") for f in d["frames"]],
        "black.png: is black everywhere",
    ),
    "a camera without a picture": (lambda d: d["frames"][3].pop("file_path"), "names no picture"),
    "a pose that is not finite": (
        lambda d: d["frames"][4]["transform_matrix"][0].__setitem__(3, float("nan")),
        "frames[4].transform_matrix: has numbers that are not finite",
    ),
    "an unreadable picture": (lambda d: d["frames"][5].update(file_path="torn.png"), "torn.png: cannot be read"),
    "an unreadable mask": (lambda d: d["frames"][5].update(mask_path="torn.png"), "torn.png: cannot be read"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_bad_input_is_one_line_before_anything_is_written(kind, scene, tmp_path):
    change, message = BROKEN[kind]
    path = changed(scene, tmp_path, change)
    Image.new("L", (3, 3), 255).save(tmp_path / "small.png")
    Image.new("L", (24, 24)).save(tmp_path / "black.png")
    (tmp_path / "torn.png").write_bytes((scene / "v0.png").read_bytes()[:80])
    assert message in refuse(3, "fit", path, "-o", tmp_path / "run", *TINY)
    assert not (tmp_path / "run").exists()


def test_an_unreadable_camera_file_is_bad_input(tmp_path):
    path = tmp_path / "transforms.json"
    path.write_text("{")
    assert "transforms.json" in refuse(3, "fit", path, "-o", tmp_path / "run")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give what to fit to"),
        (["a.json", "b.json"], "takes one input"),
        (["teapot", "weights.silhouete=1"], "silhouette"),
        (["teapot", "steps=0"], "steps must be at least 1"),
        (["teapot", "--holdout", "4"], "sweep.held_out"),
        (["teapot", "--optimize", "size"], "size"),
        (["teapot", "start.kind=mesh"], "start.kind mesh needs a file"),
        (["teapot", "start.count=100"], "count of a sphere must be one of"),
        (["--resume", "nowhere"], "nowhere is no run of voge fit"),
        (["--resume", "nowhere", "teapot"], "leave an input out"),
    ],
)
def test_wrong_use_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refuse(2, "fit", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_kept_without_overwrite(scene, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "exists and is not empty" in refuse(2, "fit", scene / "transforms.json", "-o", out, *TINY)
    refuse(2, "fit", scene / "transforms.json", "-o", out, "--overwrite", *TINY)
    assert content(out) == ["mine.txt"]
