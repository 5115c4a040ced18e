"""voge convert: counts, crops, frames, and every format in and out, as a user meets them."""

import json

import numpy as np
import pytest
import trimesh
from PIL import Image
from typer.testing import CliRunner

from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge_cli.main import app


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The current folder, with a mesh of 162 vertices and 500 points."""
    monkeypatch.chdir(tmp_path)
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.visual.vertex_colors = ((ball.vertices + 1) * 127).astype(np.uint8)
    ball.export("ball.ply")
    np.save("cloud.npy", ball.sample(500, seed=0))
    return tmp_path


def run(*arguments, code=0):
    result = CliRunner().invoke(app, ["convert", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def made(*arguments):
    run(*arguments, "--overwrite", "-o", "made.safetensors")
    return load_ellipsoids("made.safetensors")


@pytest.mark.parametrize(("file", "count"), [("ball.ply", 50), ("ball.ply", 700), ("cloud.npy", 100)])
def test_count_is_met(file, count):
    assert len(made(file, "--count", count)) == count


def test_count_of_triangles_is_about_met():
    for count in (100, 1000):
        assert len(made("ball.ply", "--count", count, "--method", "triangle")) == pytest.approx(count, rel=0.05)


def test_crop_is_in_the_coordinates_of_the_file():
    for file in ("ball.ply", "cloud.npy"):
        half = made(file, "--crop", "-9,-9,-9,9,9,0.2", "--up", "z")
        assert half.means[:, 1].max() < 0.35  # what was z is y now
        assert half.means[:, 1].min() < -0.9
    whole = made("ball.ply")
    save_ellipsoids("whole.ply", whole)
    assert len(made("whole.ply", "--crop", "-9,-9,-9,9,9,0.2")) == int((whole.means[:, 2] <= 0.2).sum())


def test_count_counts_what_the_crop_left():
    half = made("ball.ply", "--crop", "-9,-9,-9,9,9,0", "--count", 300)
    assert len(half) == 300
    assert half.means[:, 2].max() < 0.2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cloud.npy", "--count", "501"], "cloud.npy: count must be at most 500, the number of points; got 501"),
        (["ball.ply", "--count", "3"], "count must be at least 4, got 3"),
        (["ball.ply", "--crop", "5,5,5,6,6,6"], "ball.ply: crop leaves nothing: all lies between [-0."),
        (["ball.ply", "--crop", "0,0,0"], "crop must be xmin,ymin,zmin,xmax,ymax,zmax, each min below its max"),
        (["ball.ply", "--crop", "1,0,0,0,1,1"], "crop must be xmin,ymin,zmin,xmax,ymax,zmax, each min below its max"),
        (
            ["ball.ply", "--crop", "a,b"],
            "--crop takes xmin,ymin,zmin,xmax,ymax,zmax, each min below its max; got 'a,b'",
        ),
        (["ball.ply", "-o", "a.obj"], "a.obj: ellipsoids are written to .safetensors, .npz, .ply, .glb"),
    ],
)
def test_wrong_usage_is_code_2_and_writes_nothing(folder, arguments, message):
    before = sorted(path.name for path in folder.iterdir())
    assert f"error: {message}" in run(*arguments, code=2).stderr
    assert sorted(path.name for path in folder.iterdir()) == before


def test_count_on_ellipsoids_is_refused():
    run("ball.ply", "-o", "a.safetensors")
    assert "holds ellipsoids already" in run("a.safetensors", "--count", "9", "-o", "b.npz", code=2).stderr


def test_every_format_of_ellipsoids_leads_to_every_other():
    first = made("ball.ply", "--units", "cm")
    for source in (".safetensors", ".npz", ".ply"):
        save_ellipsoids(f"a{source}", first)
        for target in (".safetensors", ".npz", ".ply", ".glb"):
            run(f"a{source}", "-o", f"b{target}", "--overwrite")
            if target != ".glb":
                again = load_ellipsoids(f"b{target}")
                assert again.metadata["units"] == "cm"
                assert again.features.numpy() == pytest.approx(first.features.numpy(), abs=1e-6)
                assert again.scales.numpy() == pytest.approx(first.scales.numpy(), rel=1e-5)
    assert len(made("b.glb")) == 162


def test_a_georeferenced_mesh_keeps_its_shape_when_normalized():
    ball = trimesh.creation.icosphere(subdivisions=2)
    far = np.array([4.1e6, 5.2e5, 3.3e6])
    np.savez("far.npz", vertices=ball.vertices + far, faces=ball.faces)
    np.savez("near.npz", vertices=ball.vertices, faces=ball.faces)
    assert "--normalize, which is recorded and can be undone" in run("far.npz").stderr
    unit, near = made("far.npz", "--normalize", "--up", "z"), made("near.npz", "--normalize", "--up", "z")
    assert unit.means.numpy() == pytest.approx(near.means.numpy(), abs=1e-6)
    assert unit.scales.numpy() == pytest.approx(near.scales.numpy(), rel=1e-3)
    # Undone by the record, to the coordinates of the file.
    back = np.linalg.inv(np.array(json.loads(unit.metadata["source_to_world"])))
    middle = (back @ [0, 0, 0, 1])[:3]
    assert middle == pytest.approx(far, abs=1e-3)
    assert "warning" not in run("near.npz", "-o", "x.npz").stderr


def test_stats_tell_of_harmonics_and_extent():
    run("ball.ply", "-o", "a.ply")
    document = json.loads(run("a.ply", "-o", "b.npz", "--json").stdout)
    assert (document["count"], document["extra"]) == (162, {"normals": [162, 3]})


def test_missing_textures_and_materials_are_named(folder):
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    (folder / "a.obj").write_text(f"mtllib gone.mtl\n# h\xe4\n{corners}f 1/1 2/2 3/3\n", encoding="latin-1")
    assert "a.obj: its materials gone.mtl are not beside it" in run("a.obj").stderr
    Image.new("RGB", (4, 4), "red").save("my skin.png")
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.new("RGB", (4, 4)))
    visual = trimesh.visual.TextureVisuals(uv=np.eye(3, 2), material=material)
    mesh = trimesh.Trimesh(np.eye(3), [[0, 1, 2]], visual=visual, process=False)
    for name, data in trimesh.exchange.gltf.export_gltf(trimesh.Scene(mesh)).items():
        (folder / name).write_bytes(data)
    document = json.loads((folder / "model.gltf").read_text())
    (folder / "model.gltf").write_text(json.dumps(document | {"images": [{"uri": "my%20skin.png"}]}))
    assert made("model.gltf").features.numpy() == pytest.approx(np.array([[1, 0, 0]] * 3), abs=0.01)
    (folder / "my skin.png").unlink()
    assert "model.gltf: its texture my skin.png is not beside it" in run("model.gltf", "-o", "b.npz").stderr


@pytest.mark.parametrize("text", ["300", "300.0", "3e2"])
def test_a_count_is_read_however_it_is_written(folder, text):
    assert json.loads(run("ball.ply", "--count", text, "--json").stdout)["count"] == 300


def test_a_count_that_is_not_whole_is_refused(folder):
    assert "'300.5' is no whole number" in run("ball.ply", "--count", "300.5", code=2).stderr
