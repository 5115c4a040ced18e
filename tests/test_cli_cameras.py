"""voge cameras as a user meets it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image
from program import content, refuse, run
from test_camera_files import POSE, make_views

from voge.assets.teapot import teapot
from voge.io.cameras import load_cameras, save_cameras


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with cameras and a mesh of diameter 7.7 around the origin, which they see from 14."""
    monkeypatch.chdir(tmp_path)
    views = make_views()
    moved = []
    for view in views:
        viewmat = view.viewmat.clone()
        viewmat[2, 3] += 11
        moved.append(replace(view, viewmat=viewmat))
    save_cameras("transforms.json", replace(views, views=tuple(moved), units="unknown"), "transforms")
    vertices, faces, colors = teapot(2)
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export("pot.ply")
    return tmp_path


def test_a_table_of_the_views():
    lines = run("cameras", "transforms.json").stdout.splitlines()
    assert lines[0] == "transforms, 3 views, units unknown"
    assert lines[1].split("  ")[0] == "view"
    assert [line.split()[:2] for line in lines[2:]] == [["v000", "36x24"], ["v001", "24x30"], ["v002", "36x24"]]
    assert all("pinhole" in line for line in lines[2:])


def test_the_same_as_json():
    document = json.loads(run("cameras", "transforms.json", "--json", "--model", "pot.ply").stdout)
    assert [view["name"] for view in document["views"]] == ["v000", "v001", "v002"]
    first = document["views"][0]
    assert (first["focal"], first["principal_point"]) == ([40, 36], [23.3, 8.3])
    assert np.linalg.norm(first["looks_along"]) == pytest.approx(1)
    assert 13 < first["distance"] < 15
    assert 7 < document["model"]["diameter"] < 9
    assert document["warnings"] == []


def test_distances_to_a_model_and_warnings():
    result = run("cameras", "transforms.json", "--model", "pot.ply")
    lines = result.stdout.splitlines()
    assert lines[1].endswith("distance  object px")
    assert lines[-1].startswith("object diameter 7.688")
    run("cameras", "transforms.json", "--units", "m", "--to", "bop", "-o", "scene")
    warned = run("cameras", "scene", "--model", "pot.ply").stderr
    assert warned.startswith("warning: the object seems to be in meters and the cameras in millimeters: ")
    assert len(warned.splitlines()) == 1


@pytest.mark.parametrize(
    ("to", "out"),
    [
        ("transforms", "t.json"),
        ("colmap", "model"),
        ("colmap-text", "model"),
        ("bop", "scene"),
        ("pytorch3d", "p.npz"),
        ("npz", "m.npz"),
        ("json", "m.json"),
    ],
)
def test_conversions(folder, to, out):
    given = load_cameras("transforms.json")
    result = run("cameras", "transforms.json", "--to", to, "-o", out, "--units", "mm")
    assert result.stdout == f"{out}\n"
    found = load_cameras(out)
    assert found.format == to
    for a, b in zip(given, found, strict=True):
        assert b.viewmat.numpy() == pytest.approx(a.viewmat.numpy(), abs=1e-12)
    assert refuse(2, "cameras", "transforms.json", "--to", to, "-o", out, "--units", "mm").startswith(f"{out} exists")
    run("cameras", "transforms.json", "--to", to, "-o", out, "--units", "mm", "--overwrite")


def test_what_a_format_does_not_keep_is_told():
    """The paths of pictures are lost where these are in no folder `images`."""
    result = run("cameras", "transforms.json", "--units", "mm", "--to", "colmap", "-o", "model")
    assert result.stderr.splitlines() == ["colmap keeps no units", "colmap keeps no paths of pictures"]
    result = run("cameras", "transforms.json", "--units", "mm", "--to", "bop", "-o", "scene")
    assert result.stderr.splitlines() == ["bop keeps no names", "bop keeps no paths of pictures"]
    assert run("cameras", "transforms.json", "--units", "mm", "--to", "npz", "-o", "all.npz").stderr == ""


def test_a_reconstruction_is_never_overwritten(folder):
    run("cameras", "transforms.json", "--to", "colmap", "-o", "model")
    (folder / "model" / "points3D.bin").write_bytes(bytes(1000))
    message = refuse(2, "cameras", "transforms.json", "--to", "colmap", "-o", "model", "--overwrite")
    assert message.startswith("model holds files that voge did not write")


def test_a_picture_of_cameras_and_model():
    run("cameras", "transforms.json", "--model", "pot.ply", "-o", "all.png", "--size", "200x150", "--azim", "60")
    run("cameras", "transforms.json", "-o", "bare.png", "--size", "200x150")
    with Image.open("all.png") as picture, Image.open("bare.png") as bare:
        assert (picture.size, bare.size) == ((200, 150), (200, 150))
        assert np.abs(np.asarray(picture).astype(int) - np.asarray(bare)).max() > 100


def test_a_pose_brings_its_model(folder):
    (folder / "pose.json").write_text(json.dumps({**POSE, "model": "pot.ply"}))
    assert "object diameter 7.688" in run("cameras", "pose.json").stdout
    (folder / "pose.json").write_text(json.dumps(POSE))
    assert run("cameras", "pose.json").stderr == (
        "pose.json: its model car.safetensors is not there, so nothing is checked against it\n"
    )


def test_what_a_file_leaves_open_is_asked_for(folder):
    np.savez("m.npz", K=np.eye(3), matrix=np.eye(4))
    assert "does not say its direction" in refuse(3, "cameras", "m.npz")
    stated = ["--convention", "opencv", "--direction", "camera_to_world"]
    assert "has no 'width'" in refuse(3, "cameras", "m.npz", *stated)
    assert "8x6" in run("cameras", "m.npz", *stated, "--image-size", "8x6").stdout


def test_usage_errors():
    assert refuse(2, "cameras") == "give a file of cameras"
    assert refuse(2, "cameras", "transforms.json", "--to", "npz") == "--to npz needs --out: where to write"
    assert refuse(2, "cameras", "transforms.json", "b.json").startswith("voge cameras takes one file or folder, got 2")
    message = refuse(2, "cameras", "transforms.json", "--to", "npz", "-o", "a.json")
    assert message == "a.json: npz cameras must be called .npz"
    message = refuse(2, "cameras", "transforms.json", "-o", "a.json")
    assert message == "a.json: the picture of the cameras must be called .png; a format is chosen with --to"
    assert "did you mean 'image_size'?" in refuse(2, "cameras", "transforms.json", "image_siz=8x6")
    assert "format must be one of transforms" in refuse(2, "cameras", "transforms.json", "format=nerf")
    run("cameras", "transforms.json", "--units", "mm", "--to", "bop", "-o", "scene")
    assert refuse(2, "cameras", "scene", "--units", "m") == "scene is in mm, not m; leave --units out"


def test_printed_configuration_repeats_the_run(folder):
    printed = run("cameras", "transforms.json", "--up", "z", "--print-config").stdout
    (folder / "again.yaml").write_text(printed)
    assert run("cameras", "--config", "again.yaml", "--print-config").stdout == printed
    assert run("cameras", "--config", "again.yaml").stdout == run("cameras", "transforms.json").stdout


def test_the_folder_holds_only_what_was_asked_for(folder):
    before = content(folder)
    run("cameras", "transforms.json", "--model", "pot.ply", "-v")
    assert content(folder) == before
