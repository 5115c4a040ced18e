"""Ten lines of Python give the same files as a command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from program import run

import voge
from voge.io.cameras import View, Views
from voge.io.images import write_png


def same(first: Path, second: Path, *names: str | Path) -> None:
    """Check that two folders have files of these names with the same bytes."""
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_occlusion(tmp_path):
    box = {"primitive": {"shape": "cuboid", "count": 60}, "truth": {"translation": [0.2, 0, 0]}}
    cameras = {"azimuth": 20, "elevation": 15, "distance": 5, "size": [48, 32], "fov": 50}
    (tmp_path / "scene.json").write_text(json.dumps({"objects": [box], "cameras": cameras}))
    run("occlusion", tmp_path / "scene.json", "-o", tmp_path / "command", "--no-multi-start", "frames=0")

    from voge.io.images import write_png
    from voge.occlusion import SceneSettings, Search, SolveSettings
    from voge.occlusion.pictures import take_pictures

    settings = SceneSettings(solve=SolveSettings(search=Search(enabled=False)))
    solved = voge.occlusion.solve_scene(tmp_path / "scene.json", settings=settings)
    solved.save(tmp_path / "python")
    for picture in take_pictures(solved):
        write_png(tmp_path / "python" / f"{picture.name}.png", picture.pixels)

    same(tmp_path / "command", tmp_path / "python", "scene.json", "scene_gt.json", "order.json")
    same(tmp_path / "command" / "images", tmp_path / "python", "0000_after.png", "side_after.png")


def test_match(tmp_path):
    from voge.convert.primitives import primitive
    from voge.io.images import write_png

    cuboid = primitive("cuboid", (1, 1, 1), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], 60)
    voge.save_ellipsoids(tmp_path / "cuboid.safetensors", cuboid)
    viewmats = [voge.orbit(azimuth, 20.0, 5.0, up="z") for azimuth in (30.0, 60.0)]
    K = voge.intrinsics(96, 64, focal=90.0)
    for number, viewmat in enumerate(viewmats):
        seen = voge.render(cuboid, voge.Cameras(viewmat[None], K[None], 96, 64))
        write_png(tmp_path / f"{number}.png", seen.image[0])
    camera = {"width": 96, "height": 64, "fx": 90, "fy": 90, "cx": 48, "cy": 32}
    pose = {"world_to_camera": viewmats[0].tolist(), "convention": "opencv"}
    anchor = {"camera": camera, "pose": pose, "image": "0.png", "model": "cuboid.safetensors"}
    (tmp_path / "anchor.json").write_text(json.dumps(anchor))
    pictures = [tmp_path / "0.png", tmp_path / "1.png"]
    options = ["--features", "rgb", "--delta", "0,30", "-o", tmp_path / "command"]
    run("match", tmp_path / "anchor.json", *pictures, *options)

    from voge.pose.settings import MatchSettings

    settings = MatchSettings(features="rgb", delta=[0, 30])
    matches = voge.pose.match(tmp_path / "anchor.json", pictures, settings)
    matches.save(tmp_path / "python")

    same(tmp_path / "command", tmp_path / "python", "matches.json", "sheet.png")
    assert [row["matches"][0]["picture"] for row in matches.document["deltas"]] == [str(path) for path in pictures]


def test_texture(tmp_path):
    import trimesh

    from voge.assets.teapot import teapot
    from voge.io.images import write_png

    vertices, faces, _ = teapot(4)
    trimesh.Trimesh(vertices, faces, process=False).export(tmp_path / "teapot.ply")
    model = voge.from_mesh(torch.as_tensor(vertices, dtype=torch.float32), torch.as_tensor(faces))
    at, K = [0.0, 1.2, 0.0], voge.intrinsics(56, 44, focal=57.0)
    camera = voge.Cameras(voge.orbit(30.0, 20.0, 11.0, at=at)[None], K[None], 56, 44)
    seen = voge.render(replace(model, features=0.5 + 0.4 * model.means.sin()), camera)
    write_png(tmp_path / "front.png", seen.over(torch.ones(3))[0])
    pose = {"azimuth": 30.0, "elevation": 20.0, "distance": 11.0, "at": at}
    lens = {"width": 56, "height": 44, "fx": 57.0, "fy": 57.0, "cx": 28.0, "cy": 22.0}
    (tmp_path / "pose.json").write_text(json.dumps({"model": "teapot.ply", "camera": lens, "pose": pose}))
    given = ("--pose", tmp_path / "pose.json", "--turntable", "2", "--video", "gif", "--bake", "--device", "cpu")
    run("texture", tmp_path / "front.png", *given, "-o", tmp_path / "command")

    textured = voge.texture.from_photos([tmp_path / "front.png"], [tmp_path / "pose.json"])
    album = voge.texture.TextureAlbum(textured, voge.texture.TextureAlbumSettings(turntable=2, video="gif"))
    assert album.write(tmp_path / "python")["psnr"] > 20
    voge.save_ellipsoids(tmp_path / "python" / "ellipsoids.safetensors", textured.ellipsoids)
    (tmp_path / "python" / "baked").mkdir()
    baked = textured.bake(tmp_path / "python" / "baked")

    pictures = sorted(path.relative_to(tmp_path / "python") for path in (tmp_path / "python" / "images").rglob("*.png"))
    assert len(pictures) == 5 + 2 * 2
    assert [path.name for path in baked.files] == ["model.ply", "model.glb"]
    names = ("ellipsoids.safetensors", "turntable.gif", "baked/model.ply", "baked/model.glb", *pictures)
    same(tmp_path / "command", tmp_path / "python", *names)


def test_bench(tmp_path):
    given = ("cube:1@8", "cube:2@8x6x4", "--peer", "torch", "--device", "cpu", "--repeat", "1", "memory=false")
    run("bench", *given, "-o", tmp_path / "command.json")

    scenes = ["cube:1@8", "cube:2@8x6x4"]
    settings = voge.bench.BenchSettings(scenes=scenes, peers=["torch"], repeat=1, memory=False)
    voge.bench.run(settings, device="cpu").save(tmp_path / "python.json")

    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("command", "python"))
    timed = ("forward", "both", "ratios", "calls")
    for one in (first, second):
        one["rows"] = [{key: value for key, value in row.items() if key not in timed} for row in one["rows"]]
        one["machine"] = {key: value for key, value in one["machine"].items() if key not in ("date", "load")}
    assert first == second
    assert [row["ellipsoids"] for row in first["rows"]] == [8, 8, 26, 26]


# ---- Poses -----------------------------------------------------------------------------------

SHOWN = {"train": 8, "test": 2, "train_shapes": 1, "test_shapes": 1, "width": 96, "height": 80, "focal": 300.0}


@pytest.fixture(scope="module")
def pose_data(tmp_path_factory):
    """A synthetic data set, made by the command."""
    pytest.importorskip("embreex")
    folder = tmp_path_factory.mktemp("poses") / "data"
    given = [f"{name}={value}" for name, value in SHOWN.items()]
    run("pose", "synth", "-o", folder, "--categories", "car", "--workers", "1", "levels=[L0,L1]", *given)
    return folder


@pytest.fixture(scope="module")
def pose_run(pose_data):
    """A model of it, trained by the command."""
    small = ("extractor=compact", "pretrained=false", "width=0.25", "channels=16", "count=150", "size=0.2")
    folder = pose_data.parent / "run"
    run("pose", "train", pose_data, "-o", folder, "--epochs", "1", "--batch", "4", "--device", "cpu", *small)
    return folder


def test_pose_synth(pose_data, tmp_path):
    settings = voge.pose.Synthesis(categories=["car"], levels=["L0", "L1"], **SHOWN)
    assert voge.pose.synthesize(tmp_path, settings).made == 10
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".mat"]
    assert len(made) >= 10 + 2 + 3  # images, meshes, lists; annotations hold the hour
    same(pose_data, tmp_path, *made)


def test_pose_check_data(pose_data):
    document = json.loads(run("pose", "check-data", pose_data, "--json", code=3).stdout)  # L2 and L3 are missing
    assert voge.pose.check_data(pose_data).document() == document


def test_pose_train(pose_data, pose_run, tmp_path):
    settings = voge.pose.Training(
        extractor="compact", pretrained=False, width=0.25, channels=16, count=150, size=0.2, epochs=1, batch=4
    )
    voge.pose.train(pose_data, settings).save_run(tmp_path)
    same(pose_run, tmp_path, "model.safetensors", "ellipsoids/car.safetensors")


def test_pose_estimate(pose_data, pose_run, tmp_path):
    run("pose", "estimate", pose_data, "--model", pose_run, "-o", tmp_path / "set", "--device", "cpu")
    evaluation = voge.pose.evaluate(pose_data, pose_run, folder=tmp_path / "python")
    same(tmp_path / "set", tmp_path / "python", "predictions/1of1.jsonl")
    assert evaluation.document()["predictions"] == 2

    picture, box = pose_data / "Images" / "car_imagenet" / "car_val_00000.JPEG", [20.0, 20.0, 70.0, 60.0]
    given = ("--box", ",".join(map(str, box)), "video=gif", "--device", "cpu")
    run("pose", "estimate", picture, "--model", pose_run, "-o", tmp_path / "photo", *given)
    voge.pose.estimate(picture, pose_run, voge.pose.PictureEstimation(box=box)).save(tmp_path / "one", video="gif")
    same(tmp_path / "photo", tmp_path / "one", "model.safetensors", "pose.json", "overlay.png", "course.gif")


def test_fit(tmp_path):
    from voge.convert.primitives import primitive

    cuboid = primitive("cuboid", (1, 1, 1), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], 60)
    around = voge.orbit(60 * torch.arange(6), 20.0, 4.0)
    cameras = voge.Cameras(around, voge.intrinsics(24, 24, focal=40).expand(6, 3, 3), 24, 24)
    views = []
    for number, image in enumerate(voge.render(cuboid, cameras).image):
        write_png(tmp_path / f"{number}.png", image)
        views.append(View.of(cameras[number], f"{number}", image=tmp_path / f"{number}.png"))
    voge.save_cameras(tmp_path / "transforms.json", Views(tuple(views)), "transforms")
    options = ["--holdout", "3", "--steps", "4", "--optimize", "means,colors,cameras", "start.count=42"]
    run("fit", tmp_path / "transforms.json", *options, "turntable=0", "film_every=0", "-o", tmp_path / "command")

    from voge.fitting import FitFilesSettings, StartSettings
    from voge.io.settings import CameraFile

    settings = FitFilesSettings(
        cameras=CameraFile(file=str(tmp_path / "transforms.json")),
        holdout="3",
        steps=4,
        optimize=("means", "colors", "poses", "focals"),
        start=StartSettings(count=42),
    )
    result = voge.fitting.fit_files(settings)
    result.save(tmp_path / "python")
    metrics = json.loads((tmp_path / "command" / "metrics.json").read_text())

    same(tmp_path / "command", tmp_path / "python", "ellipsoids.safetensors", "cameras.json", "images/held_out_2.png")
    assert result.figures()["held_out"] == metrics["held_out"]


# ---- Conversion and the demo -----------------------------------------------------------------


def test_convert(tmp_path):
    import trimesh

    from voge.assets.teapot import teapot

    vertices, faces, colors = teapot(2)
    mesh = tmp_path / "teapot.ply"
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(mesh)
    run("convert", mesh, "--up", "y", "--method", "triangle", "kappa=0.4", "-o", tmp_path / "command.safetensors")
    run("convert", mesh, "--normalize", "--count", "90", "-o", tmp_path / "command.ply")

    settings = voge.convert.ConvertSettings(up="y", method="triangle", kappa=0.4)
    converted = voge.convert.convert_file(mesh, settings)
    voge.save_ellipsoids(tmp_path / "python.safetensors", converted.ellipsoids)
    converted = voge.convert.convert_file(mesh, voge.convert.ConvertSettings(normalize=True, count=90))
    voge.save_ellipsoids(tmp_path / "python.ply", converted.ellipsoids)

    for suffix in ("safetensors", "ply"):
        assert (tmp_path / f"command.{suffix}").read_bytes() == (tmp_path / f"python.{suffix}").read_bytes()


def test_demo(tmp_path):
    import trimesh

    sizes = ["--turntable", "2", "--size", "24x20", "resolution=2", "video=gif", "steps=1"]
    run("demo", *sizes, "-o", tmp_path / "command")

    vertices, faces, colors = voge.assets.teapot.teapot(2)
    python = tmp_path / "python"
    python.mkdir()
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(python / "teapot.ply")
    converted = voge.convert.convert_file(python / "teapot.ply", voge.convert.ConvertSettings(up="y"))
    voge.save_ellipsoids(python / "teapot.safetensors", converted.ellipsoids)
    settings = voge.imaging.AlbumSettings(
        azimuth=[30, 120, 210, 300],
        outputs=["rgb", "alpha", "depth", "normal"],
        light=voge.imaging.Light(enabled=True),
        size="24x20",
        turntable=2,
        video="gif",
    )
    voge.render_album([python / "teapot.safetensors"], tmp_path / "album", settings)
    photos = voge.imaging.AlbumSettings(
        size="64x64",
        azimuth=[30.0 * i for i in range(12)],
        elevation=[-20.0, 35.0],
        distance=12.0,
        background="transparent",
    )
    voge.render_album([python / "teapot.safetensors"], python / "photos", photos)

    for folder, count in ((python, 2 + 25), (tmp_path / "album", 4 * (4 + 2) + 2)):
        made = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
        assert len(made) == count
        same(tmp_path / "command", folder, *made)


# ---- Pictures and cameras --------------------------------------------------------------------


@pytest.fixture
def balls(tmp_path):
    """A folder with two models, and a camera file of three views."""
    from dataclasses import replace

    from scenes import random_ellipsoids

    for name, count in (("a", 40), ("b", 30)):
        made = random_ellipsoids(count, dtype=torch.float32)
        voge.save_ellipsoids(tmp_path / f"{name}.npz", replace(made, extra={"normals": made.means}))
    K = voge.intrinsics(24, 18, fov=50).double()
    viewmats = [voge.orbit(40.0 * i, 20.0, 6.0).double() for i in range(3)]
    views = [View(name=f"v{i}", viewmat=v, K=K, width=24, height=18) for i, v in enumerate(viewmats)]
    voge.save_cameras(tmp_path / "transforms.json", Views(tuple(views)), "transforms")
    return tmp_path


def test_render(balls):
    given = ("--outputs", "rgb,depth,normal,id", "--turntable", "3", "--video", "gif", "--size", "24x18", "--film")
    run("render", balls / "a.npz", balls / "b.npz", *given, "--azim", "0,90", "-o", balls / "command")

    settings = voge.imaging.AlbumSettings(
        outputs=["rgb", "depth", "normal", "id"], turntable=3, video="gif", size="24x18", film=True, azimuth=[0, 90]
    )
    voge.imaging.render_album([balls / "a.npz", balls / "b.npz"], balls / "python", settings)
    made = [path.relative_to(balls / "python") for path in (balls / "python").rglob("*") if path.is_file()]
    assert len(made) == 2 * (1 + 2 + 2 + 2 + 1) + 3
    same(balls / "command", balls / "python", *made)


def test_cameras(balls):
    source = balls / "transforms.json"
    run("cameras", source, "--to", "npz", "-o", balls / "command.npz")
    document = json.loads(
        run("cameras", source, "--model", balls / "a.npz", "-o", balls / "command.png", "--json").stdout
    )

    voge.convert_cameras(source, balls / "python.npz", "npz")
    inspected = voge.imaging.inspect_cameras(source, voge.imaging.InspectionSettings(model=str(balls / "a.npz")))
    write_png(balls / "python.png", inspected.draw())
    assert {"out": str(balls / "command.png"), **inspected.document()} == document
    for suffix in ("npz", "png"):
        assert (balls / f"command.{suffix}").read_bytes() == (balls / f"python.{suffix}").read_bytes()


def test_info():
    assert voge.rendering.installation.describe() == json.loads(run("info", "--json").stdout)
