"""voge occlusion: scene files to run folders."""

import json

import numpy as np
import pytest
import torch
from program import picture, program, refuse, run

from voge.errors import DataError
from voge.io.scenes import load_scene
from voge_cli.errors import ExitCode

QUICK = ["solve.search.reach=0.7", "solve.search.rounds=1", "solve.search.attempts=1", "frames=4", "video=gif"]
COLORS = [[1, 0.2, 0.1], [0.1, 0.9, 0.2], [0.2, 0.2, 1]]


def scene_document(**changes):
    box = {"shape": "cuboid", "size": [1.6, 0.8, 1.2], "colors": COLORS, "count": 120}
    wall = {"shape": "cuboid", "size": [2, 2, 0.6], "colors": COLORS[::-1], "count": 120}
    start, truth = {"translation": [0.1, 0, 0.6]}, {"translation": [0.5, 0, 1]}
    objects = [
        {"name": "box", "primitive": box, "pose": start, "truth": truth, "free": {"rotation": False}},
        {"name": "wall", "primitive": wall, "truth": {}, "free": {"rotation": False, "translation": False}},
    ]
    cameras = {"azimuth": 20, "elevation": 15, "distance": 5, "size": [64, 48], "fov": 50}
    return {"objects": objects, "cameras": cameras, **changes}


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.json"
    path.write_text(json.dumps(scene_document()))
    return path


@pytest.fixture(scope="module")
def solved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solved")
    (folder / "scene.json").write_text(json.dumps(scene_document()))
    result = run("occlusion", folder / "scene.json", "-o", folder / "out", "--json", *QUICK)
    return folder / "out", json.loads(result.stdout)


def test_finds_the_object_and_says_what_hides_what(solved):
    _, document = solved
    assert document["objects"]["box"]["position_error"] < 0.01
    assert document["hides"] == [["box", "wall"]]
    assert document["objects"]["box"]["visible"] == pytest.approx(1, abs=0.01)
    assert 0.2 < document["objects"]["wall"]["visible"] < 0.9
    assert document["objects"]["box"]["evidence"] > 0.9


def test_the_folder_has_all_results(solved):
    folder, _ = solved
    names = (
        "config.yaml metrics.json metrics.jsonl checkpoint.safetensors scene.json scene_gt.json order.json report.html"
    )
    assert all((folder / name).is_file() for name in [*names.split(), "video.gif"])
    for name in ("0000_before", "0000_target", "0000_after", "side_before", "side_after"):
        assert picture(folder / "images" / f"{name}.png").shape == (48, 64, 3)
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 6
    assert "box hides wall" in page


def test_the_scene_written_is_read_back_and_rendered(solved, tmp_path):
    folder, document = solved
    pose = load_scene(folder / "scene.json").objects[0].pose
    assert pose.tolist() == document["objects"]["box"]["object_to_world"]
    run("render", folder / "scene.json", "--size", "32", "-o", tmp_path / "pictures")


def test_bop_poses_are_in_the_cameras_frame(solved):
    folder, _ = solved
    entry = json.loads((folder / "scene_gt.json").read_text())["0"][1]
    assert entry["obj_id"] == 2
    # The wall stands where the camera looks: straight ahead at distance 5.
    np.testing.assert_allclose(entry["cam_t_m2c"], [0, 0, 5], atol=1e-5)
    turn = np.array(entry["cam_R_m2c"]).reshape(3, 3)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)


def test_a_users_picture_is_the_target(scene, solved, tmp_path):
    image = solved[0] / "images" / "0000_target.png"
    document = scene_document()
    for entry in document["objects"]:
        del entry["truth"]
    scene.write_text(json.dumps(document))
    result = run("occlusion", scene, image, "-o", tmp_path / "out", "--json", *QUICK)
    found = json.loads(result.stdout)["objects"]["box"]
    # Eight bits of color leave a few thousandths.
    np.testing.assert_allclose(np.array(found["object_to_world"])[:3, 3], [0.5, 0, 1], atol=0.01)
    assert "position_error" not in found


@pytest.mark.parametrize("aggregation", ["paper", "sorted"])
def test_gradient_descent_with_other_aggregations(scene, tmp_path, aggregation):
    options = ["--method", "gradient", "--steps", "5", "--aggregation", aggregation, "frames=0", "--no-multi-start"]
    document = json.loads(run("occlusion", scene, "-o", tmp_path / "out", "--json", *options).stdout)
    assert document["steps"] == 5
    assert document["objects"]["box"]["margin"] is None


@pytest.mark.parametrize("method", ["solver", "gradient"])
def test_a_resumed_run_ends_as_the_uninterrupted_one(scene, tmp_path, monkeypatch, method):
    from voge.occlusion import pictures
    from voge_cli.runs import RunFolder

    options = ["--method", method, "--steps", "6", "--deterministic", "save_every=2", *QUICK]
    monkeypatch.setattr(pictures, "film", lambda *_: iter([np.zeros((16, 16, 3))] * 2))
    try:
        whole = json.loads(run("occlusion", scene, "-o", tmp_path / "whole", "--json", *options).stdout)
        save, saved = RunFolder.save, []

        def save_once(self, *arguments):
            save(self, *arguments)
            saved.append(1)
            if len(saved) == 2:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(RunFolder, "save", save_once)
            run("occlusion", scene, "-o", tmp_path / "parts", *options, code=ExitCode.interrupted)
        resumed = json.loads(run("occlusion", "--resume", tmp_path / "parts", "--json").stdout)
    finally:
        torch.use_deterministic_algorithms(False)
    assert resumed["objects"] == whole["objects"]
    assert resumed["steps"] == whole["steps"]


def test_a_loss_that_is_not_finite_ends_with_code_4(scene, tmp_path, monkeypatch):
    from voge.occlusion.gradient import GradientDescent

    monkeypatch.setattr(
        GradientDescent, "_loss", lambda self, _step: {"picture": self.optimizer["increments"].sum() / 0}
    )
    line = refuse(ExitCode.diverged, "occlusion", scene, "-o", tmp_path / "out", "--method", "gradient")
    assert "not finite" in line


def test_an_object_out_of_view_is_a_warning(scene, tmp_path):
    document = scene_document()
    document["objects"][0] |= {"pose": {"translation": [0, 0, 50]}, "truth": {"translation": [0, 0, 50]}}
    scene.write_text(json.dumps(document))
    result = run("occlusion", scene, "-o", tmp_path / "out", "--no-multi-start", "frames=0")
    assert "warning: box is out of view" in result.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": {"azimuth": 1}}, "cameras lacks elevation and distance and size"),
        ({"cameras": {"azimut": 1}}, "did you mean 'azimuth'"),
        ({"targets": [{"imag": "a.png"}]}, "did you mean 'image'"),
        ({"objects": [{"primitive": {"shape": "cone"}, "truth": {}}]}, "cone"),
        ({"objects": [{"primitive": {"shape": "cuboid"}, "free": {"rotations": False}}]}, "did you mean 'rotation'"),
        ({"objects": [{"primitive": {"shape": "cuboid"}, "truth": {}, "free": {"angle": 200}}]}, "angle must lie"),
        ({"objects": [{"primitive": {"shape": "cuboid"}}]}, "has no targets"),
    ],
)
def test_a_wrong_scene_is_one_line_and_code_3(scene, tmp_path, change, message):
    scene.write_text(json.dumps(scene_document(**change)))
    assert message in refuse(3, "occlusion", scene, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_picture_of_another_size_is_refused(scene, tmp_path):
    from voge.io.images import write_png

    write_png(tmp_path / "small.png", np.zeros((8, 8, 3)))
    assert "is 8x8, its camera 64x48" in refuse(3, "occlusion", scene, tmp_path / "small.png", "-o", tmp_path / "out")


def test_no_scene_is_a_usage_error():
    assert "give a scene file" in refuse(2, "occlusion")


def test_scene_with_model_and_primitive_is_refused(tmp_path):
    path = tmp_path / "scene.json"
    path.write_text(json.dumps({"objects": [{"model": "a.ply", "primitive": {"shape": "sphere"}}]}))
    with pytest.raises(DataError, match="has a model and a primitive"):
        load_scene(path)


def test_the_packaged_case_is_a_configuration():
    assert "scene: cuboids" in program("occlusion", "--config", "cuboids", "--print-config").stdout
