"""voge texture as a user meets it: files in and out, pairs of images and poses, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from program import content, picture, refuse, run

import voge
from voge.assets.teapot import teapot
from voge.convert import from_mesh
from voge.io.ellipsoids import load_ellipsoids, save_ellipsoids
from voge.io.images import write_png
from voge.scene.viewpoints import turned, upright_axis

AT, DISTANCE, SIZE = [0.0, 1.2, 0.0], 11.0, (56, 44)
QUICK = ["--turntable", "0", "--novel", "azim+30", "refine=null"]


def _camera(azimuth, elevation=20.0):
    focal = 1.3 * SIZE[1]
    K = torch.tensor([[focal, 0, SIZE[0] / 2 + 2], [0, focal, SIZE[1] / 2 - 1], [0, 0, 1.0]])
    return voge.Cameras(voge.orbit(azimuth, elevation, DISTANCE, at=AT)[None], K[None], *SIZE)


def _pose(azimuth, **changes):
    K = _camera(azimuth).Ks[0].tolist()
    camera = {"width": SIZE[0], "height": SIZE[1], "fx": K[0][0], "fy": K[1][1], "cx": K[0][2], "cy": K[1][2]}
    pose = {"azimuth": azimuth, "elevation": 20.0, "distance": DISTANCE, "at": AT}
    return {"model": "teapot.ply", "camera": camera, "pose": pose, **changes}


def _colored():
    vertices, faces, _ = teapot(4)
    made = from_mesh(torch.as_tensor(vertices).double(), torch.as_tensor(faces))
    return replace(made, features=0.5 + 0.4 * torch.sin(made.means + torch.arange(3.0)))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with teapot.ply, and for two azimuths a photo on white, a transparent one and a pose."""
    monkeypatch.chdir(tmp_path)
    vertices, faces, _ = teapot(4)
    trimesh.Trimesh(vertices, faces, process=False).export("teapot.ply")
    for name, azimuth in (("front", 30.0), ("back", 200.0)):
        made = voge.render(_colored(), _camera(azimuth))
        write_png(f"{name}.png", made.over(torch.ones(3))[0])
        straight = made.image[0] / made.alpha[0].clamp_min(1e-6)[..., None]
        write_png(f"{name}_cut.png", torch.cat([straight, made.alpha[0][..., None]], -1))
        (tmp_path / f"{name}.json").write_text(json.dumps(_pose(azimuth)))
    return tmp_path


def _document(*arguments):
    return json.loads(run("texture", *arguments, "--json").stdout)


def test_a_photo_becomes_textured_ellipsoids(folder):
    found = _document("front.png", "--pose", "front.json", "--turntable", "2", "--video", "gif", "refine=null")
    assert found["out"] == "front_texture"
    assert found["psnr"] > 30
    assert 0.1 < found["seen"] < 0.6
    made = load_ellipsoids("front_texture/ellipsoids.safetensors")
    seen = made.extra["confidence"] > 0.9
    assert (made.features - _colored().features)[seen].abs().mean() < 0.02
    assert made.extra["pixels"].shape == made.extra["confidence"].shape == (len(made),)
    assert "from front.png" in made.metadata["texture"]
    kinds = ["photo", "overlay", "render", "difference", "confidence"]
    shown = [f"images/{kind}/front.png" for kind in kinds]
    shown += [f"images/{kind}/azim{turn}.png" for kind in ("novel", "novel_confidence") for turn in ("+30", "-30")]
    files = {"config.yaml", "ellipsoids.safetensors", "report.html", "turntable.gif", *shown}
    assert files <= set(content(folder / "front_texture"))
    page = (folder / "front_texture" / "report.html").read_text()
    assert page.count("<img") + page.count("<video") == len(shown) + 1
    assert "http" not in page.replace("http-equiv", "")


def test_the_novel_view_is_the_camera_turned():
    _document("front_cut.png", "--pose", "front.json", *QUICK)
    shown = picture("front_cut_texture/images/novel/azim+30.png") / 255
    camera = turned(_camera(30.0), [float(x) for x in _middle()], 30, 0)
    wanted = voge.render(load_ellipsoids("front_cut_texture/ellipsoids.safetensors"), camera).over(torch.ones(3))[0]
    np.testing.assert_allclose(shown, wanted.numpy(), atol=1 / 255)


def _middle():
    means = _colored().means
    return (means.amin(0) + means.amax(0)) / 2


@pytest.mark.parametrize("up", ["y", "z"])
def test_turned_goes_as_orbit_does(up):
    start = voge.Cameras(voge.orbit(20.0, 10.0, 3.0, at=AT, up=up)[None], torch.eye(3)[None], 4, 4)
    made = turned(start, AT, 50, 15, up=up)
    torch.testing.assert_close(made.viewmats[0], voge.orbit(70.0, 25.0, 3.0, at=AT, up=up), rtol=0, atol=1e-5)
    assert upright_axis(start.viewmats[0]) == up


def test_several_photos_see_more():
    one = _document("front.png", "--pose", "front.json", *QUICK, "-o", "one")
    two = _document("front.png", "back.png", "--pose", "front.json,back.json", *QUICK, "-o", "two")
    assert two["seen"] > 1.5 * one["seen"]
    assert [view["name"] for view in two["views"]] == ["front", "back"]
    assert min(view["psnr"] for view in two["views"]) > 28


def test_a_file_of_cameras_serves_all_photos(folder):
    frames = [
        {"file_path": f"{name}.png", "transform_matrix": torch.linalg.inv(_camera(a).viewmats[0].double()).tolist()}
        for name, a in (("back", 200.0), ("front", 30.0))
    ]
    for frame in frames:  # OpenGL axes
        frame["transform_matrix"] = [[row[0], -row[1], -row[2], row[3]] for row in frame["transform_matrix"]]
    K = _camera(0.0).Ks[0].tolist()
    lens = {"w": SIZE[0], "h": SIZE[1], "fl_x": K[0][0], "fl_y": K[1][1], "cx": K[0][2], "cy": K[1][2]}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    args = ["--pose", "transforms.json", "--model", "teapot.ply", *QUICK]
    by_name = _document("front.png", "back.png", *args, "-o", "a")
    named = _document(*args, "-o", "b")  # the images that the cameras name
    assert [view["name"] for view in by_name["views"]] == ["front", "back"]
    assert {view["psnr"] for view in by_name["views"]} == {view["psnr"] for view in named["views"]}
    assert min(view["psnr"] for view in named["views"]) > 28
    assert "has no view of other.png" in refuse(
        2, "texture", _copy("front.png", "other.png"), "back.png", "back_cut.png", *args
    )


def _copy(name, other):
    Image.open(name).save(other)
    return other


def test_masks_and_occluders_leave_pixels_out():
    shot = picture("front.png").copy()
    hidden = np.zeros(SIZE[::-1], np.uint8)
    hidden[15:30, 20:30] = 255
    shot[hidden > 0] = [255, 0, 255]
    write_png("spoiled.png", shot)
    write_png("hand.png", hidden)
    write_png("object.png", 255 - hidden)
    bad = _document("spoiled.png", "--pose", "front.json", *QUICK, "-o", "bad")
    for option, file in (("--occluder", "hand.png"), ("--mask", "object.png")):
        found = _document("spoiled.png", "--pose", "front.json", option, file, *QUICK, "-o", option[2:])
        assert found["psnr"] > bad["psnr"] + 5
        made = load_ellipsoids(f"{option[2:]}/ellipsoids.safetensors")
        seen = made.extra["confidence"] > 0.9
        assert (made.features - _colored().features)[seen].abs().mean() < 0.03


def test_features_go_through_and_back():
    """A rendered map of features is sampled into ellipsoids that render the same map."""
    made = _colored()
    many = replace(made, features=torch.cat([made.features, -made.features, made.means], 1))
    save_ellipsoids("many.safetensors", many)
    run("render", "many.safetensors", "--cameras", "front.json", "--outputs", "features", "-o", "maps")
    for suffix in ("npz", "safetensors"):
        found = _document(
            f"maps/features/front.{suffix}", "--pose", "front.json", "--model", "many.safetensors", *QUICK, "-o", suffix
        )
        assert found["channels"] == 9
        assert found["relative_error"] < 0.03
    again = load_ellipsoids("npz/ellipsoids.safetensors")
    seen = again.extra["confidence"] > 0.9
    assert (again.features - many.features)[seen].abs().mean() < 0.05
    # A smaller map by a whole factor takes the camera along.
    with np.load("maps/features/front.npz") as maps:
        np.savez("half.npz", features=maps["features"][::2, ::2], alpha=maps["alpha"][::2, ::2], divided_by_alpha=False)
    run("texture", "half.npz", "--pose", "front.json", *QUICK)


def test_none_leaves_the_model_s_colors_and_symmetry_finds_the_far_side():
    save_ellipsoids(
        "red.safetensors", replace(_colored(), features=torch.tensor([[1.0, 0, 0]]).repeat(len(_colored()), 1))
    )
    args = ["front.png", "--pose", "front.json", "--model", "red.safetensors", *QUICK]
    run("texture", *args, "--fill", "none", "-o", "none")
    made = load_ellipsoids("none/ellipsoids.safetensors")
    assert (made.features[made.extra["confidence"] == 0] == torch.tensor([1.0, 0, 0])).all()
    found = _document(*args, "--fill", "symmetry", "-o", "symmetry")
    assert abs(found["plane"][2]) > 0.99
    given = _document(*args, "--fill", "symmetry", "--plane", "0,0,1,0", "-o", "given")
    assert given["plane"] == [0, 0, 1, 0]


def test_linear_light_averages_light(folder):
    """A flat gray stays what it is in either space; the setting is recorded."""
    made = replace(_colored(), features=torch.full_like(_colored().features, 0.4))
    write_png("gray.png", voge.render(made, _camera(30.0)).over(torch.ones(3))[0])
    for space in ("srgb", "linear"):
        run("texture", "gray.png", "--pose", "front.json", *QUICK, f"color_space={space}", "-o", space)
        found = load_ellipsoids(f"{space}/ellipsoids.safetensors")
        seen = found.extra["confidence"] > 0.9
        torch.testing.assert_close(
            found.features[seen], torch.tensor(0.4).expand(int(seen.sum()), 3), rtol=0, atol=0.02
        )
    assert "color_space: linear" in (folder / "linear" / "config.yaml").read_text()


def test_a_coarse_mesh_is_refined_for_a_fine_photo():
    found = _document("front.png", "--pose", "front.json", "--turntable", "0", "refine=0.5")
    assert found["ellipsoids"] > 1.5 * len(_colored())
    asked = _document("front.png", "--pose", "front.json", "--turntable", "0", "--count", "300", "-o", "few")
    assert 250 < asked["ellipsoids"] < 350


def test_bake_writes_the_mesh():
    found = _document("front.png", "--pose", "front.json", *QUICK, "--bake")
    assert found["baked"] == "vertex colors"
    again = trimesh.load_mesh("front_texture/baked/model.ply", process=False)
    assert len(again.vertices) == len(trimesh.load_mesh("teapot.ply", process=False).vertices)


def test_the_record_repeats_the_run():
    first = _document("front.png", "--pose", "front.json", *QUICK)
    again = _document("--config", "front_texture/config.yaml", "-o", "again")
    assert first["psnr"] == again["psnr"]
    a, b = (load_ellipsoids(f"{each}/ellipsoids.safetensors") for each in ("front_texture", "again"))
    assert torch.equal(a.features, b.features)


def test_the_packaged_configs_run():
    for name in ("paper", "preview"):
        _document("front.png", "--pose", "front.json", "--config", name, "--turntable", "0", "-o", name)


# ---- What is refused -------------------------------------------------------------------------


def _with(folder, **changes):
    (folder / "pose.json").write_text(json.dumps(_pose(30.0, **changes)))
    return ["texture", "front.png", "--pose", "pose.json", *QUICK]


def test_a_pose_that_does_not_see_the_object(folder):
    behind = _with(folder, pose={"azimuth": 30, "elevation": 20, "distance": 11, "at": [0, 200, 0]})
    line = refuse(3, *behind)
    assert line.startswith("pose.json: does not see the object")
    assert not (folder / "front_texture").exists()


def test_a_camera_of_another_size(folder):
    camera = _pose(30.0)["camera"]
    assert "front.png: is 56x44 pixels, and the camera in pose.json 100x44" in refuse(
        3, *_with(folder, camera={**camera, "width": 100})
    )
    assert "turned?" in refuse(3, *_with(folder, camera={**camera, "width": 44, "height": 56}))


def test_an_unknown_key_names_the_nearest(folder):
    line = refuse(3, *_with(folder, poses={}))
    assert "unknown key 'poses'; did you mean 'pose'?" in line
    assert "did you mean 'solving.damping'?" in refuse(2, "texture", "front.png", "solving.dampin=1")


def test_an_image_that_cannot_be_read(folder):
    (folder / "bad.png").write_bytes(b"no picture")
    assert "bad.png: cannot be read as a picture" in refuse(3, "texture", "bad.png", "--pose", "front.json")
    assert "none.png: no such file" in refuse(3, "texture", "none.png", "--pose", "front.json")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["front.png"], "--pose"),
        (["--pose", "front.json"], "give the image"),
        (["front.png", "back.png", "--pose", "front.json"], "one view, for 2 images"),
        (["front.png", "--pose", "front.json,back.json"], "one file, or one for each of the 1 images"),
        (["front.png", "--pose", "front.json", "--mask", "a.png,b.png"], "--mask must name a file for each"),
        (["front.png", "--pose", "front.json", "--novel", "azim30"], "azim+30, elev-10"),
        (["front.png", "--pose", "front.json", "--plane", "up"], "plane must be auto, x, y, z"),
        (["front.png", "--pose", "front.json", "--model", "m.npz", "--bake"], "--bake needs the mesh"),
        (["front.png", "--pose", "front.json", "solving.damping=0"], "damping must be positive"),
    ],
)
def test_wrong_usage(arguments, problem):
    save_ellipsoids("m.npz", _colored())
    assert problem in refuse(2, "texture", *arguments)


def test_a_mask_that_leaves_nothing():
    write_png("none.png", np.zeros(SIZE[::-1], np.uint8))
    args = ["texture", "front.png", "--pose", "front.json", *QUICK]
    assert "leaves nothing of the object" in refuse(3, *args, "--mask", "none.png")
    write_png("small.png", np.zeros((4, 4), np.uint8))
    assert "small.png: is 4x4 pixels, and its image 56x44" in refuse(3, *args, "--mask", "small.png")


def test_no_plane_of_symmetry():
    made = _colored()
    save_ellipsoids("half.npz", made[(made.means[:, 2] > 0.3) & (made.means[:, 0] + made.means[:, 1] > 0.5)])
    args = ["front.png", "--pose", "front.json", "--model", "half.npz", *QUICK, "--fill", "symmetry"]
    assert "no plane of symmetry was found" in refuse(2, "texture", *args)


def test_an_existing_folder_is_kept(folder):
    run("texture", "front.png", "--pose", "front.json", *QUICK)
    assert "add --overwrite" in refuse(2, "texture", "front.png", "--pose", "front.json", *QUICK)
    run("texture", "front.png", "--pose", "front.json", *QUICK, "--overwrite")
