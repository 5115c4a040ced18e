"""What else than colors a picture holds: ids, features, kinds of depth, frames, color spaces; and bounded memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scenes import cameras, centered_camera, random_ellipsoids

from voge import CameraModel, Ellipsoids, orbit, render, trace
from voge.geometry.similarity import similarity
from voge.imaging import pictures
from voge.imaging.color import linear_to_srgb, srgb_to_linear
from voge.imaging.pictures import SEEN, take_pictures
from voge.imaging.previews import FeaturePalette, id_colors, show_ids
from voge.imaging.settings import ColorSpace, DepthKind, Frame
from voge.imaging.writer import RenderWriter
from voge.io import images
from voge.rendering import identity
from voge.rendering.identity import NOBODY, bands, strongest
from voge.rendering.settings import RenderSettings
from voge.scene import harmonics
from voge.scene.extent import bounding_box
from voge.scene.objects import assemble
from voge.scene.viewpoints import orbit_camera, resized


def wall(z=0.0, **changes):
    """One ellipsoid so wide and flat that it is a plane across the picture, facing +z."""
    made = Ellipsoids(
        means=torch.tensor([[0.0, 0, z]]),
        scales=torch.tensor([[50.0, 50.0, 0.001]]),
        quats=torch.tensor([[1.0, 0, 0, 0]]),
        density=torch.tensor([50.0]),
        features=torch.tensor([[0.2, 0.4, 0.6]]),
        extra={"normals": torch.tensor([[0.0, 0, 1]])},
    )
    return replace(made, **changes)


def camera(size=9, **changes):
    return orbit_camera(0, 0, 4.0, at=(0, 0, 0), size=(size, size), fov=90, **changes)


# ---- Ids -------------------------------------------------------------------------------------


def test_strongest_is_the_argmax_of_every_row_of_w(backend):
    scene = random_ellipsoids(40)
    fragments = trace(scene, cameras(16, 12), RenderSettings(backend=backend))
    found = strongest(fragments)
    assert (found.shape, found.dtype) == ((1, 12, 16), torch.int32)
    for ray, index in enumerate(found.flatten().tolist()):
        row = slice(int(fragments.offsets[ray]), int(fragments.offsets[ray + 1]))
        weights = fragments.weight[row]
        expected = int(fragments.index[row][weights.argmax()]) if len(weights) else NOBODY
        assert index == expected


def test_of_equal_weights_the_nearer_is_taken():
    fragments = trace(wall(), camera())
    twice = replace(
        fragments,
        offsets=torch.tensor([0, 2, 2, 3]),
        index=torch.tensor([7, 3, 5], dtype=torch.int32),
        weight=torch.tensor([0.5, 0.5, 0.1]),
        transmittance=torch.ones(3),
        shape=torch.Size([3]),
    )
    assert strongest(twice).tolist() == [7, NOBODY, 5]


def test_ids_are_of_what_is_in_front_and_nobody_where_little_is_seen():
    scene = assemble(["near", "far"], [wall(1.0), wall(-1.0)], [None, None])
    assert (take_pictures(scene.ellipsoids, camera(), outputs=("id",))["id"] == 0).all()
    behind = orbit_camera(180, 0, 4.0, at=(0, 0, 0), size=(9, 9), fov=90)
    ids = take_pictures(scene.ellipsoids, behind, outputs=("id",))["id"]
    assert (ids == 1).all()
    assert scene.object_index[ids.long()].tolist() == [[1] * 9] * 9
    faint = wall(density=torch.tensor([SEEN / 2]))
    assert (take_pictures(faint, camera(), outputs=("id",))["id"] == NOBODY).all()


# ---- Bounded memory --------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["pinhole", "orthographic"])
def test_bands_of_a_picture_are_the_picture(model):
    """A knob for memory alone: nothing changes beyond rounding."""
    scene, view = random_ellipsoids(60), cameras(17, 23, model=model)
    whole = render(scene, view)
    for pixels in (1, 17 * 5, 10**6):
        parts = [render(scene, band) for band in bands(view, pixels)]
        assert torch.allclose(torch.cat([part.image for part in parts], 1), whole.image, atol=1e-12)
    assert torch.allclose(torch.cat([b.rays().directions for b in bands(view, 40)], 1), view.rays().directions)


def test_pictures_do_not_depend_on_the_size_of_bands(monkeypatch):
    scene, view = random_ellipsoids(60), cameras(17, 23)
    scene = replace(scene, extra={"normals": scene.means})
    options = {"outputs": pictures.OUTPUTS, "depth_kind": DepthKind.z, "background": torch.rand(23, 17, 3)}
    whole = take_pictures(scene, view, **options)
    monkeypatch.setattr(pictures, "_RENDERED", 50)
    monkeypatch.setattr(identity, "_TRACED", 50)
    for name, picture in take_pictures(scene, view, **options).items():
        assert torch.allclose(picture, whole[name], atol=1e-10), name


# ---- Depth, normals, features ----------------------------------------------------------------


def test_depth_of_a_wall_is_constant_along_the_axis_and_grows_along_rays():
    view = camera()
    z = take_pictures(wall(), view, outputs=("depth",), depth_kind=DepthKind.z)["depth"]
    along = take_pictures(wall(), view, outputs=("depth",))["depth"]
    cosine = view.rays().directions[0] @ view.forwards[0]
    assert z.numpy() == pytest.approx(4, abs=0.01)
    assert along.numpy() == pytest.approx((4 / cosine).numpy(), abs=0.01)


def test_orthographic_depth_is_the_same_of_both_kinds():
    view = camera(ortho=True)
    both = [take_pictures(wall(), view, outputs=("depth",), depth_kind=kind)["depth"] for kind in DepthKind]
    assert torch.allclose(*both)


def test_normals_of_the_camera_frame_turn_with_the_camera():
    view = orbit_camera(60, 0, 4.0, at=(0, 0, 0), size=(9, 9), fov=10)
    made = take_pictures(wall(), view, outputs=("normal",), normal_frame=Frame.camera)["normal"][4, 4]
    assert made.tolist() == pytest.approx((view.viewmats[0, :3, :3] @ torch.tensor([0.0, 0, 1])).tolist(), abs=1e-5)
    assert made[2] == pytest.approx(-0.5, abs=1e-5)  # faces the camera


@pytest.mark.parametrize("channels", [1, 5, 70])
def test_features_are_w_times_features_whatever_their_number(channels):
    scene, view = random_ellipsoids(30, channels=channels), cameras(9, 7)
    made = take_pictures(scene, view, outputs=("features", "alpha"))
    fragments = trace(scene, view)
    assert torch.allclose(made["features"], fragments.interpolate(scene.features)[0], atol=1e-9)
    assert torch.allclose(made["alpha"], fragments.alpha[0], atol=1e-9)


def test_features_and_backgrounds_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="have no features"):
        take_pictures(wall(features=None), camera(), outputs=("features",))
    with pytest.raises(ValueError, match=r"background must be a color \(3,\) or a picture \(9, 9, 3\)"):
        take_pictures(wall(), camera(), background=torch.ones(3, 4, 3))


# ---- Colors ---------------------------------------------------------------------------------


def test_srgb_and_linear_are_inverse_and_match_the_standard():
    values = torch.linspace(0, 1.2, 200, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(linear_to_srgb(srgb_to_linear(values)), values, atol=1e-7)
    assert srgb_to_linear(torch.tensor([0.04045, 0.5, 1.0])).tolist() == pytest.approx(
        [0.0031308, 0.21404, 1], rel=1e-4
    )
    (gradient,) = torch.autograd.grad(srgb_to_linear(values).sum(), values)
    assert gradient.isfinite().all()


def test_half_a_white_veil_over_black_depends_on_the_space_of_blending():
    veil = wall(density=torch.tensor([0.6931472]), features=torch.ones(1, 3))
    stored, linear = (
        take_pictures(veil, camera(), background=(0, 0, 0), color_space=space)["rgb"][4, 4] for space in ColorSpace
    )
    assert stored.tolist() == pytest.approx([0.5] * 3, abs=1e-3)
    assert linear.tolist() == pytest.approx([0.7354] * 3, abs=1e-3)  # what half the light looks like


@pytest.mark.parametrize("background", [(0.1, 0.5, 0.9), None])
def test_what_hides_all_or_nothing_has_the_same_color_in_both_spaces(background):
    for scene in (wall(), wall(density=torch.zeros(1))):
        stored, linear = (
            take_pictures(scene, camera(), background=background, color_space=space)["rgb"] for space in ColorSpace
        )
        assert torch.allclose(stored, linear, atol=1e-4)


def test_a_picture_behind_shows_through_pixel_by_pixel():
    behind = torch.rand(9, 9, 3)
    clear = take_pictures(wall(density=torch.zeros(1)), camera(), background=behind)["rgb"]
    assert torch.allclose(clear, behind)


def test_colors_follow_the_direction_of_view():
    """A coefficient along +z shows from +z and the opposite from -z; it turns with its object."""
    sh = torch.zeros(1, 3, 3)
    sh[0, 1, 0] = 0.4  # degree 1, order 0, red
    scene = wall(features=torch.full((1, 3), 0.5), extra={"sh": sh})
    turned = scene.transform(similarity(quat=torch.tensor([0.0, 0, 1, 0])).float())

    def red(made, azimuth, **options):
        view = orbit_camera(azimuth, 0, 4.0, at=(0, 0, 0), size=(9, 9), fov=1, **options)
        return float(take_pictures(made, view, background=(0, 0, 0))["rgb"][4, 4, 0])

    step = 0.4 * float(harmonics.basis(torch.tensor([0.0, 0, 1]), 1)[1])
    for options in ({}, {"ortho": True}):
        assert red(scene, 0, **options) == pytest.approx(0.5 - step, abs=1e-3)  # the view goes along -z
        assert red(scene, 180, **options) == pytest.approx(0.5 + step, abs=1e-3)
        assert red(turned, 0, **options) == pytest.approx(0.5 + step, abs=1e-3)


# ---- Cameras ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ortho", [False, True])
def test_orbit_cameras_see_the_target_in_the_middle(ortho):
    view = orbit_camera(20, 30, 5.0, at=(1, 2, 3), size=(40, 30), fov=50, ortho=ortho)
    pixel, depth = view.project(torch.tensor([[1.0, 2, 3]]))
    assert pixel[0, 0].tolist() == pytest.approx([20, 15], abs=1e-4)
    assert depth.item() == pytest.approx(5, abs=1e-5)
    assert view.model is (CameraModel.orthographic if ortho else CameraModel.pinhole)


def test_resized_cameras_see_the_same_at_the_same_share_of_the_picture():
    view = cameras(16, 12)
    points = random_ellipsoids(20).means
    before, after = view.project(points)[0], resized(view, 48, 6).project(points)[0]
    assert torch.allclose(before / torch.tensor([16, 12]), after / torch.tensor([48, 6]))
    assert (resized(view, 48, 6).width, resized(view, 48, 6).height) == (48, 6)


# ---- Scenes ----------------------------------------------------------------------------------


def test_a_scene_is_its_objects_moved_and_together():
    a, b = random_ellipsoids(5, seed=1), random_ellipsoids(7, seed=2, dtype=torch.float32)
    pose = similarity((1, 2, 3), torch.tensor([1.0, 0, 1, 0]), 2.0)
    scene = assemble(["a", "b"], [a, b], [None, pose])
    assert (scene.names, scene.counts, scene.ellipsoids.dtype) == (("a", "b"), (5, 7), torch.float32)
    assert scene.object_index.tolist() == [0] * 5 + [1] * 7
    assert torch.allclose(scene.objects()[1].means, b.transform(pose.float()).means)
    assert scene.to(torch.float64).ellipsoids.dtype == torch.float64


def test_touching_objects_are_one_volume():
    """Two halves of a set, rendered as two objects, are the picture of the set."""
    whole, view = random_ellipsoids(40), cameras(20, 16)
    scene = assemble(["left", "right"], [whole[:17], whole[17:]], [None, torch.eye(4)])
    assert torch.allclose(render(scene.ellipsoids, view).image, render(whole, view).image, atol=1e-12)


# ---- To look at ------------------------------------------------------------------------------


def test_ids_have_colors_that_stay_and_differ():
    ids = torch.tensor([[-1, 0, 1, 2]])
    shown = show_ids(ids)[0]
    assert shown[0].tolist() == [0, 0, 0]
    assert torch.equal(shown[1:], id_colors(torch.arange(3)))
    many = id_colors(torch.arange(200))
    assert len({tuple((color * 255).round().tolist()) for color in many}) > 190
    assert many.min() >= 0
    assert many.max() <= 1


def test_a_palette_commutes_with_rendering():
    """Showing rendered features is rendering shown features: a linear map."""
    scene, view = random_ellipsoids(30, channels=9), centered_camera(9)
    palette = FeaturePalette.of(scene.features)
    made = take_pictures(scene, view, outputs=("features", "alpha"))
    shown = palette.show(made["features"], made["alpha"])
    painted = palette.show(scene.features[None], torch.ones(1, len(scene)))[0]
    direct = render(replace(scene, features=painted.double()), view).image[0]
    assert torch.allclose(shown, direct, atol=1e-9)
    assert (painted.min(), painted.max()) == (pytest.approx(0), pytest.approx(1))


def test_a_palette_finds_the_axis_of_largest_variance_whatever_its_sign():
    features = torch.zeros(50, 6)
    features[:, 4] = -torch.linspace(0, 1, 50)
    features[:, 1] = torch.linspace(0, 0.1, 50) ** 2
    axes = FeaturePalette.of(features).axes
    assert axes[:, 0].abs().argmax() == 4
    assert axes[4, 0] > 0


@pytest.mark.parametrize(("channels", "expected"), [(1, [0.5, 0.5, 0.5]), (2, [0.5, 0.5, 0]), (3, [5, 5, 5])])
def test_few_channels_are_shown_as_they_are(channels, expected):
    features = torch.tensor([[0.0], [10.0], [5.0]]).expand(3, channels)
    shown = FeaturePalette.of(features).show(features[None], torch.ones(1, 3))[0, 2]
    assert shown.tolist() == pytest.approx([value if channels < 3 else 0.5 for value in expected])
    colors = torch.tensor([[0.2, 0.3, 0.4], [0.5, 0.6, 0.7]])
    assert torch.equal(FeaturePalette.of(colors).show(colors[None], torch.ones(1, 2))[0], colors)


def test_orbit_and_bounding_box_agree_on_the_middle():
    scene = random_ellipsoids(20)
    view = orbit_camera(0, 0, 3, at=bounding_box(scene).center, size=(8, 8), fov=40)
    assert torch.allclose(view.viewmats, orbit(0.0, 0.0, 3.0, at=bounding_box(scene).center)[None])


# ---- Files -----------------------------------------------------------------------------------


def test_more_objects_than_a_palette_holds_are_16_bit_numbers(tmp_path):
    scene = assemble([f"o{i}" for i in range(300)], [wall()] * 300, [None] * 300)
    ids = torch.tensor([[-1, 0, 299]], dtype=torch.int32)
    writer = RenderWriter(folder=tmp_path, scene=scene)
    shown = writer.write("frame.0001", {"id": ids}, camera(), ["id"])
    assert set(shown) == {"id", "object"}
    with Image.open(tmp_path / "object" / "frame.0001.png") as png:
        assert np.asarray(png).tolist() == [[0, 1, 300]]
    assert np.load(tmp_path / "id" / "frame.0001.npz")["object"].tolist() == [[-1, 0, 299]]


def test_depth_pictures_of_all_views_have_one_scale(tmp_path):
    writer = RenderWriter(folder=tmp_path, scene=assemble(["a"], [wall()], [None]))
    for view, far in (("a.1", 2.0), ("b", 8.0)):
        writer.write(view, {"depth": torch.full((2, 3), far)}, camera(), ["depth"])
    writer.finish()
    for view, far in (("a.1", 2.0), ("b", 8.0)):
        with Image.open(tmp_path / "depth" / f"{view}.png") as png:
            assert float(png.text["depth_scale"]) == 8 / 65535
            assert np.asarray(png) * (8 / 65535) == pytest.approx(far, abs=1e-4)


def test_pictures_are_read_upright_over_white(tmp_path):
    clear = np.zeros((2, 3, 4), np.uint8)
    clear[0, 0] = [255, 0, 0, 255]
    Image.fromarray(clear).save(tmp_path / "a.png")
    read = images.read_picture(tmp_path / "a.png")
    assert read.shape == (2, 3, 3)
    assert read[0, 0].tolist() == [1, 0, 0]
    assert (read[1] == 1).all()
    turned = Image.fromarray(clear[..., :3])
    exif = turned.getexif()
    exif[274] = 6  # turned by 90 degrees
    turned.save(tmp_path / "b.jpg", exif=exif)
    assert images.read_picture(tmp_path / "b.jpg").shape == (3, 2, 3)
