"""Pictures of one view, shading, and where cameras stand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from voge import Cameras, Ellipsoids, intrinsics, orbit
from voge.convert.placement import normalize, turn_upright
from voge.imaging.lighting import shade
from voge.imaging.pictures import GRAY, SEEN, take_pictures
from voge.imaging.previews import show_depth, show_normals
from voge.imaging.settings import Light
from voge.io import images
from voge.scene.extent import bounding_box, camera_distance


def disc(**changes):
    """One wide flat ellipsoid in the plane z = 0, opaque in the middle, red, facing +z."""
    made = Ellipsoids(
        means=torch.zeros(1, 3),
        scales=torch.tensor([[0.5, 0.5, 0.01]]),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        density=torch.tensor([50.0]),
        features=torch.tensor([[1.0, 0, 0]]),
        extra={"normals": torch.tensor([[0.0, 0, 2]])},
    )
    return replace(made, **changes)


def camera(size=17, distance=4.0):
    return Cameras(orbit(0, 0, distance)[None], intrinsics(size, size, fov=60)[None], size, size)


def middle(picture):
    return picture[8, 8]


# ---- Pictures --------------------------------------------------------------------------------


def test_outputs_of_an_opaque_disc():
    made = take_pictures(disc(), camera(), outputs=("normal", "depth", "alpha", "rgb"))
    assert list(made) == ["rgb", "alpha", "depth", "normal"]
    assert middle(made["rgb"]).tolist() == pytest.approx([1, 0, 0], abs=1e-4)
    assert middle(made["alpha"]).item() == pytest.approx(1, abs=1e-4)
    assert middle(made["depth"]).item() == pytest.approx(4, abs=0.05)
    assert middle(made["normal"]).tolist() == pytest.approx([0, 0, 1], abs=1e-6)
    assert made["depth"][0, 0] == 0
    assert made["normal"][0, 0].tolist() == [0, 0, 0]


def test_depth_is_divided_by_alpha_where_something_is_seen():
    """A thin veil is as far away as a wall."""
    for density in (0.1, 1.0, 50.0):
        made = take_pictures(disc(density=torch.tensor([density])), camera(), outputs=("alpha", "depth"))
        seen = made["alpha"] >= SEEN
        assert middle(made["depth"]).item() == pytest.approx(4, abs=0.05)
        assert ((made["depth"] > 0) == seen).all()


def test_background_shows_through_by_what_is_left_of_the_light():
    veil = disc(density=torch.tensor([math.log(2)]))  # stops half of the light
    made = take_pictures(veil, camera(), outputs=("rgb", "alpha"), background=(0, 0, 1))
    assert middle(made["alpha"]).item() == pytest.approx(0.5, abs=1e-3)
    assert middle(made["rgb"]).tolist() == pytest.approx([0.5, 0, 0.5], abs=1e-3)
    clear = take_pictures(veil, camera(), background=None)["rgb"]
    assert middle(clear).tolist() == pytest.approx([1, 0, 0, 0.5], abs=1e-3)  # colors not multiplied by alpha
    assert clear[0, 0].tolist() == [0, 0, 0, 0]


def test_without_colors_it_is_gray_and_grays_are_spread():
    plain = take_pictures(disc(features=None), camera())["rgb"]
    assert middle(plain).tolist() == pytest.approx([GRAY] * 3, abs=1e-4)
    gray = take_pictures(disc(features=torch.tensor([[0.2]])), camera())["rgb"]
    assert middle(gray).tolist() == pytest.approx([0.2] * 3, abs=1e-4)


def test_headlight_and_placed_light():
    def lit(**light):
        return middle(take_pictures(disc(), camera(), light=Light(enabled=True, **light))["rgb"])[0].item()

    assert lit() == pytest.approx(1, abs=1e-3)  # at the camera, straight above the disc
    assert lit(position=[9.0, 0, 0], ambient=0.25) == pytest.approx(0.25, abs=1e-3)  # in the disc's plane
    assert lit(position=[3.0, 0, 3.0], ambient=0.0) == pytest.approx(math.sqrt(0.5), abs=1e-3)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"features": torch.ones(1, 5)}, {}, r"features must be colors .* got \(1, 5\)"),
        ({"extra": {}}, {"outputs": ("normal",)}, "have no normals"),
        ({"extra": {}}, {"light": Light(enabled=True)}, "have no normals"),
        ({}, {"outputs": ("rgb", "nrm")}, "outputs must be among rgb, alpha, depth, normal, id, features; got nrm"),
    ],
)
def test_what_cannot_be_shown_is_refused(changes, arguments, message):
    with pytest.raises(ValueError, match=message):
        take_pictures(disc(**changes), camera(), **arguments)


def test_pictures_to_look_at_are_in_range():
    depth = torch.tensor([[0, 1.0, 2.0, 3.0]])
    assert show_depth(depth)[0].tolist() == pytest.approx([0, 1, 0.6, 0.2])
    assert show_depth(torch.zeros(2, 2)).tolist() == [[0, 0], [0, 0]]
    assert show_normals(torch.tensor([[-1.0, 0, 1]])).tolist() == [[0, 0.5, 1]]


# ---- Shading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("two_sided", "back"), [(False, 0.4), (True, 1.0)])
def test_the_back_is_lit_only_when_asked(two_sided, back):
    colors, positions = torch.ones(2, 3), torch.zeros(2, 3)
    normals = torch.tensor([[0, 0, 3.0], [0, 0, -1.0]])
    shaded = shade(colors, normals, positions, torch.tensor([0, 0, 5.0]), ambient=0.4, two_sided=two_sided)
    assert shaded[:, 0].tolist() == pytest.approx([1.0, back])


def test_full_ambient_changes_nothing():
    colors = torch.rand(4, 3)
    assert torch.equal(shade(colors, torch.randn(4, 3), torch.randn(4, 3), torch.ones(3), ambient=1.0), colors)


def test_ambient_has_its_range():
    with pytest.raises(ValueError, match="ambient must lie between 0 and 1, got 2"):
        shade(torch.ones(1, 3), torch.ones(1, 3), torch.zeros(1, 3), torch.ones(3), ambient=2)


# ---- Places ----------------------------------------------------------------------------------


def cloud(count=200):
    random = torch.Generator().manual_seed(0)
    points = torch.randn(count, 3, generator=random, dtype=torch.float64) * torch.tensor([3.0, 1.0, 0.5]) + 7
    return Ellipsoids(
        points,
        torch.full((count, 3), 1e-3, dtype=torch.float64),
        torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64).expand(count, 4),
        torch.ones(count, dtype=torch.float64),
    )


@pytest.mark.parametrize("ortho", [False, True])
@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("elevation", [-60, 0, 20, 90])
def test_a_full_turn_stays_in_the_picture_and_fills_it(elevation, aspect, up, ortho):
    scene = cloud()
    distance = camera_distance(scene, elevation, 50, aspect, up=up, ortho=ortho)
    azimuths = torch.arange(0, 360, 0.5, dtype=torch.float64)
    viewmats = orbit(azimuths, elevation, distance, at=bounding_box(scene).center, up=up)
    local = scene.means @ viewmats[:, :3, :3].mT + viewmats[:, None, :3, 3]
    depth = torch.full_like(local[..., 2], distance) if ortho else local[..., 2]
    assert (depth > 0).all()
    above = math.tan(math.radians(25))
    used = torch.maximum((local[..., 0] / depth / (above * aspect)).abs(), (local[..., 1] / depth / above).abs())
    assert 0.85 < used.max() < 1


def test_turning_upright_and_normalizing_are_recorded_as_one_matrix():
    scene = cloud()
    moved = normalize(turn_upright(scene))
    assert (moved.means.amin(0) + moved.means.amax(0)).abs().max() < 1e-12
    assert moved.means.norm(dim=1).max().item() == pytest.approx(1)
    matrix = torch.tensor(json.loads(moved.metadata["source_to_world"]), dtype=torch.float64)
    assert torch.allclose(scene.means @ matrix[:3, :3].T + matrix[:3, 3], moved.means)
    up = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    assert torch.nn.functional.normalize(matrix[:3, :3] @ up, dim=0).tolist() == pytest.approx([0, 1, 0])


def test_one_point_cannot_be_normalized():
    with pytest.raises(ValueError, match="all one point"):
        normalize(disc())


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize("order", [[0, 0, 0, 0], [0, 1, 1, 2, 2, 0], [0]])
@pytest.mark.parametrize("fps", [24, 7.5])
def test_animations_keep_equal_frames_and_their_time(tmp_path, suffix, order, fps):
    rows, columns = np.mgrid[:67, :101]
    views = [np.stack([rows + 40 * v, columns, rows + columns], 2).astype(np.uint8) for v in range(3)]
    images.write_video(tmp_path / f"a.{suffix}", (views[v] for v in order), fps=fps)
    with Image.open(tmp_path / f"a.{suffix}") as film:
        assert film.n_frames == len(order)
        assert film.info["loop"] == 0
        time = 0
        for number, view in enumerate(order):
            film.seek(number)
            shown = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(shown - views[view]).mean() < 6  # 256 colors, or lossy
            time += film.info["duration"]
    step = 10 if suffix == "gif" else 1
    assert abs(time - 1000 * len(order) / fps) <= step / 2
