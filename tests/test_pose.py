"""Neural ellipsoids: extractors, memory, coarse and fine estimation, and the whole pipeline at toy size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from program import picture, refuse, run

import voge
from voge.errors import ExtractorError
from voge.geometry.rigid import rotation_error
from voge.pose.data.angles import to_viewmat
from voge.pose.data.crops import Framing, crop_annotated
from voge.pose.data.reading import CategoryBatches, Reader
from voge.pose.data.records import Annotation
from voge.pose.data.views import Augmentation, crop_cameras, make_views, part_of, variation
from voge.pose.estimation import ablation, coarse, energy, refinement
from voge.pose.estimation.estimator import Estimation, Estimator
from voge.pose.network.bank import Bank, Contrast
from voge.pose.network.features import STRIDE, fixed, trainable
from voge.pose.network.model import Category, load_model, mean_cuboid, shape_ellipsoids
from voge.rendering import pixel_filter
from voge.rendering.settings import Aggregation, RenderSettings

SIZE = (192, 128)  # pixels of crops


def block(channels=8, count=200):
    """A cuboid whose features vary over its surface, unit, and its camera in cells."""
    from voge.meshes.mesh import build_mesh

    corners = np.array([[x, y, z] for x in (-0.2, 0.2) for y in (-0.4, 0.4) for z in (-0.15, 0.15)])
    from scipy.spatial import ConvexHull

    mesh = build_mesh(corners, ConvexHull(corners).simplices)
    ellipsoids = shape_ellipsoids([mesh], count=count)
    waves = torch.randn(3, channels, generator=torch.Generator().manual_seed(0)) * 7
    features = torch.nn.functional.normalize((ellipsoids.means @ waves + torch.arange(channels)).sin(), dim=1)
    return replace(ellipsoids, features=features, extra={})


def viewmats(*angles, distance=5.0):
    azimuth, elevation, theta = torch.tensor(angles).T
    return to_viewmat(azimuth, elevation, theta, distance)


def cell_cameras(poses, focal=1100.0):
    K = torch.tensor([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1]])
    return pixel_filter.on_cells(voge.Cameras(poses, K.expand(len(poses), 3, 3), *SIZE), STRIDE)


def scene(*angles, noise=0.0):
    """Widened ellipsoids, cameras in cells, and the target that those poses look like over one clutter."""
    shape = block()
    cells = cell_cameras(viewmats(*angles))
    seen = pixel_filter.widened(shape, STRIDE * 5.0 / 1100)
    clutter = torch.nn.functional.normalize(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)), dim=1)
    made = voge.render(seen, cells)
    maps = made.over(clutter[0])
    maps = maps + noise * torch.randn(maps.shape, generator=torch.Generator().manual_seed(2))
    return seen, cells, energy.target_of(maps.permute(0, 3, 1, 2), clutter)


def degrees(first, second):
    return rotation_error(first[..., :3, :3].double(), second[..., :3, :3].double())


# ---- Features --------------------------------------------------------------------------------


def test_a_trainable_extractor_gives_unit_features_at_an_eighth():
    network = trainable("compact", 12, width=0.25).eval()
    maps = network(torch.rand(2, 3, 64, 96))
    assert maps.shape == (2, 12, 8, 12)
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(2, 8, 12))


def test_efficientnet_comes_with_its_weights_and_tells_what_is_where():
    pytest.importorskip("efficientnet_lite_pytorch")
    network = fixed("efficientnet")
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 40:90, 30:100] = torch.rand(1, 3, 50, 70, generator=torch.Generator().manual_seed(0))
    maps = network(picture)
    assert maps.shape == (1, 152, 16, 16)
    shifted = network(picture.roll(32, 3))
    inner = (slice(None), slice(None), slice(4, 12), slice(6, 12))
    apart = (maps.roll(4, 3) - shifted)[inner].norm() / (maps - shifted)[inner].norm()
    assert apart < 0.35  # features move with the picture, but for what the border does to them: 0.23


def test_unknown_extractors_and_missing_packages_are_named():
    for name, message in {"vgg": "no extractor 'vgg'", "timm:": "no extractor", "hub:x": "no extractor"}.items():
        with pytest.raises(ExtractorError, match=message):
            trainable(name)
    with pytest.raises(ExtractorError, match="no weights of its own"):
        fixed("compact")


def test_colors_are_means_of_cells():
    picture = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(fixed("rgb")(picture)[0, :, 1, 2], picture[0, :, 8:16, 16:24].mean((1, 2)))


# ---- Sampling and memory ---------------------------------------------------------------------


def test_sampling_view_by_view_is_sampling_each_view():
    seen, cells, target = scene((20.0, 10.0, 0.0), (200.0, 30.0, 5.0))
    fragments = voge.trace(seen, cells)
    sums, weights = pixel_filter.sample_views(fragments, target.maps)
    for view in range(2):
        alone = voge.trace(seen, cells[view])
        one, weight = alone.sample(target.maps[view : view + 1])
        torch.testing.assert_close(sums[view], one)
        torch.testing.assert_close(weights[view], weight)


def test_the_filter_keeps_the_mass_of_a_surface_seen_from_the_front():
    flat = voge.Ellipsoids(torch.zeros(1, 3), torch.tensor([[0.05, 0.001, 0.03]]), torch.tensor([[1.0, 0, 0, 0]]),
                           torch.tensor([0.2]))  # fmt: skip
    cells = cell_cameras(viewmats((0.0, 0.0, 0.0)))
    sums = [voge.render(s, cells, RenderSettings(min_density=1e-6)).alpha.sum()
            for s in (flat, pixel_filter.widened(flat, STRIDE * 5 / 1100, 1.5))]  # fmt: skip
    assert float(sums[1] / sums[0]) == pytest.approx(1, abs=0.05)  # alpha is not quite the depth: 0.04


def test_the_bank_keeps_a_moving_mean_and_the_loss_prefers_the_right_ellipsoid():
    means = torch.eye(4, 3)
    bank = Bank(means, 4, Contrast(memory=10, clutter=2), torch.Generator().manual_seed(0))
    bank.update(torch.eye(4)[:, [1, 0, 2, 3]] * 2, torch.tensor([2.0, 2, 2, 0]), torch.eye(4)[3:])
    torch.testing.assert_close(bank.features[:3], torch.eye(4)[[1, 0, 2]])
    bank.update(torch.eye(4)[[0, 0, 0, 0]], torch.tensor([1.0, 0, 0, 0]), torch.eye(4)[3:])
    torch.testing.assert_close(bank.features[0], torch.nn.functional.normalize(torch.tensor([0.1, 0.9, 0, 0]), dim=0))
    assert bank.seen.tolist() == [True, True, True, False]
    right = bank.loss(bank.features[1:2], torch.tensor([1]), torch.eye(4)[3:])["contrast"]
    wrong = bank.loss(bank.features[1:2], torch.tensor([2]), torch.eye(4)[3:])["contrast"]
    assert float(right) < 0.1 < float(wrong)


def test_near_ellipsoids_are_not_told_apart():
    means = torch.tensor([[0.0, 0, 0], [0.01, 0, 0], [1, 0, 0]])
    bank = Bank(means, 3, Contrast(separation=0.1), torch.Generator().manual_seed(0))
    bank.features, bank.clutter = torch.eye(3)[[0, 0, 2]], torch.eye(3)[1:2]
    assert float(bank.loss(torch.eye(3)[:1], torch.tensor([0]), torch.eye(3)[2:])["contrast"]) < 1e-3


def test_a_mesh_of_too_many_pieces_for_the_count_is_named(tmp_path):
    from voge.errors import DataError
    from voge.pose.data.datasets import DataSet, Layout
    from voge.pose.network.model import Shape, category_ellipsoids

    folder = tmp_path / "CAD" / "car"
    folder.mkdir(parents=True)
    corners = [f"{i + x} {y} {i % 3}" for i in range(0, 80, 2) for x, y in ((0, 0), (1, 0), (0, 1))]
    triangles = [f"3 {3 * i} {3 * i + 1} {3 * i + 2}" for i in range(40)]
    (folder / "01.off").write_text("\n".join(["OFF", "120 40 0", *corners, *triangles]) + "\n")
    data = DataSet(tmp_path, Layout.pascal3d)
    assert len(category_ellipsoids(data, "car", Shape.mesh, 150)) >= 100
    with pytest.raises(DataError, match=r"car: its 120 vertices .* take a larger count"):
        category_ellipsoids(data, "car", Shape.mesh, 8)


def test_batches_show_every_image_once_an_epoch_and_resume_where_they_were():
    names = ["a"] * 7 + ["b"] * 5
    whole = list(CategoryBatches(names, 3, 0, 8))
    first = [number for batch in whole[:4] for number, _ in batch]
    assert sorted(first) == list(range(12))
    assert all(len({names[number] for number, _ in batch}) == 1 for batch in whole)
    assert list(CategoryBatches(names, 3, 0, 8, start=5)) == whole[5:]
    halves = [list(CategoryBatches(names, 3, 0, 8, rank=r, ranks=2)) for r in range(2)]
    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(batch) for batch in whole]


def made_views(picture, note, framing, augmentation, numbers, seed=0):
    """The training crops of one picture, and their cameras."""
    scale = note.distance / framing.distance * framing.focal / note.focal
    part = part_of(picture, (note.px, note.py), scale, framing, augmentation)
    varied = variation(augmentation, seed, numbers)
    count = len(numbers)
    cameras, windows = crop_cameras(
        note.viewmat.expand(count, 4, 4), note.intrinsics.expand(count, 3, 3), torch.full((count,), scale).double(),
        framing, varied,
    )  # fmt: skip
    return make_views([part] * count, windows, framing, varied), cameras


def labeled(width=300, height=200, focal=1100.0, **label):
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (height // 10, width // 10, 3), np.uint8)
    note = Annotation(category="car", width=width, height=height, box=(80, 50, 240, 150), azimuth=70.0, elevation=20.0,
                      theta=10.0, distance=5.5, focal=focal, px=140.3, py=95.6, **label)  # fmt: skip
    return coarse.repeat(10, 0).repeat(10, 1), note


@pytest.mark.parametrize("size", [0.5, 0.15])  # enlarged, and shrunk by 2 before it is kept
def test_training_crops_without_variation_are_the_crops_of_estimation(size):
    picture, note = labeled()
    framing = Framing(192, 128, focal=3000 * size)
    views, cameras = made_views(picture, note, framing, Augmentation(zoom=0, shift=0, color=0), [(0, 0)])
    crop = crop_annotated(picture, note, framing)
    assert float((views.images[0] - crop.image).abs().mean()) < (0.004 if size == 0.5 else 0.02)
    torch.testing.assert_close(cameras.Ks[0], (crop.matrix @ note.intrinsics).float())
    assert views.visible.all()


def test_a_varied_crop_shows_a_point_where_its_camera_does_mirrored_or_not():
    picture, note = labeled()
    point = torch.tensor([[0.1, -0.2, 0.05]])
    where, _ = voge.Cameras(note.viewmat.float()[None], note.intrinsics.float()[None], 300, 200).project(point)
    column, row = where[0, 0].floor().int().tolist()
    picture[:] = 0
    picture[row - 3 : row + 4, column - 3 : column + 4] = 255
    framing = Framing(192, 128, focal=1500.0)
    varying = Augmentation(zoom=0.3, shift=0.1, color=0, mirror=True)
    numbers = [(number, 0) for number in range(8)]
    views, cameras = made_views(picture, note, framing, varying, numbers)
    mirrored = variation(varying, 0, numbers).mirror
    assert mirrored.any()
    assert not mirrored.all()
    rows, columns = torch.meshgrid(torch.arange(128) + 0.5, torch.arange(192) + 0.5, indexing="ij")
    for view, flipped in enumerate(mirrored.tolist()):
        weight = views.images[view, 0]
        seen = torch.stack([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        place, _ = cameras[view].project(point * torch.tensor([-1.0 if flipped else 1.0, 1, 1]))
        torch.testing.assert_close(seen, place[0, 0], atol=1.5, rtol=0)  # the patch lies on whole pixels
        assert float(torch.linalg.det(cameras.viewmats[view, :3, :3])) == pytest.approx(1)


def test_patches_cover_what_they_were_asked_to_and_a_picture_varies_by_itself():
    picture, note = labeled()
    framing, varying = Framing(192, 128, focal=1500.0), Augmentation(hide=0.6)
    numbers = [(number, 3) for number in range(12)]
    views, _ = made_views(picture, note, framing, varying, numbers)
    hidden = 1 - views.visible.float().mean((1, 2))
    wanted = variation(varying, 0, numbers).hidden.float()
    assert (hidden >= wanted).all()
    assert (hidden < wanted + 0.25).all()  # the last patch covers more than was left
    plain, _ = made_views(picture, note, framing, replace(varying, hide=0), numbers)
    seen = views.visible[:, None].expand_as(views.images)
    torch.testing.assert_close(views.images[seen], plain.images[seen])
    assert float((views.images - plain.images)[~seen].abs().mean()) > 0.1
    alone, _ = made_views(picture, note, framing, varying, numbers[5:6])
    torch.testing.assert_close(alone.images[0], views.images[5])


def test_pictures_are_decoded_once_where_there_is_room_and_again_where_there_is_none(tmp_path, monkeypatch):
    from PIL import Image

    from voge.errors import DataError
    from voge.pose.data import reading
    from voge.pose.data.datasets import Item

    pixels, note = labeled()
    items = []
    for number in range(3):
        image = tmp_path / f"{number}.png"
        Image.fromarray(np.roll(pixels, 40 * number, axis=1)).save(image)
        items.append(Item(str(number), "car", "L0", image, image))
    decoded = []
    monkeypatch.setattr(reading, "AHEAD", 0)
    monkeypatch.setattr(reading, "read_bytes", lambda path, read=reading.read_bytes: decoded.append(path) or read(path))
    epochs = [[(0, 0), (1, 0)], [(2, 0)], [(2, 1), (0, 1)], [(1, 1)]]

    framing, varying = Framing(192, 128, focal=1500.0), Augmentation(hide=0.3)
    scale = note.distance / framing.distance * framing.focal / note.focal
    size = part_of(pixels, (note.px, note.py), scale, framing, varying).pixels.numel()  # bytes of each that are kept

    def made(memory):
        decoded.clear()
        reader = Reader(items, [note] * 3, {"car": framing}, varying, 0, torch.device("cpu"), threads=2, memory=memory)
        return [batch.views.images for batch in reader.batches(epochs)], len(decoded)

    kept, once = made(2**30)
    again, twice = made(0)
    some, between = made(1.5 * size)
    assert (once, between, twice) == (3, 5, 6)
    for a, b, c in zip(kept, again, some, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        torch.testing.assert_close(a, c, rtol=0, atol=0)
    assert not torch.equal(kept[0][0], kept[2][1])  # another epoch, another variation
    items[2].image.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"2\.png"):
        made(0)


def test_a_cuboid_has_the_mean_extents():
    from voge.meshes.mesh import build_mesh

    tetra = (
        np.array([[0, 0, 0], [1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0]]),
        np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
    )
    meshes = [build_mesh(scale * tetra[0], tetra[1]) for scale in (1, 3)]
    made = mean_cuboid(meshes, 500)
    np.testing.assert_allclose(made.vertices.max(0), [2, 4, 6])
    assert len(made.vertices) == pytest.approx(500, rel=0.25)
    assert (made.normals * (made.vertices - [1, 2, 3])).sum(1).min() > 0  # outwards


# ---- Estimation ------------------------------------------------------------------------------


def test_scores_without_rendering_are_those_of_rendered_maps():
    seen, cells, target = scene((40.0, 15.0, 0.0))
    poses = coarse.grid_viewmats(24, 5.0)
    templates = coarse.make_templates(seen, poses, cells[0], RenderSettings())
    found = templates.scores(target.maps, target.clutter)
    made = voge.render(seen, replace(cells, viewmats=poses, Ks=cells.Ks.expand(len(poses), 3, 3)))
    similar = (made.image * target.maps).sum(-1) - made.alpha * (target.clutter * target.maps).sum(-1)
    torch.testing.assert_close(found[:, 0], similar.clamp_min(0).mean((1, 2)), atol=1e-5, rtol=1e-4)


def test_the_grid_is_the_fields_and_best_poses_lie_apart():
    assert len(coarse.starting_viewpoints()) == 144
    assert coarse.starting_viewpoints()[:, 1].unique().tolist() == [-30, 0, 30, 60]
    poses = coarse.grid_viewmats(144, 5.0)
    scores = torch.rand(144, 3, generator=torch.Generator().manual_seed(0))
    chosen = coarse.best_apart(scores, poses, 4)
    assert (chosen[:, 0] == scores.argmax(0)).all()
    for row in chosen:
        between = degrees(poses[row][:, None], poses[row][None])
        assert float(between[~torch.eye(4, dtype=torch.bool)].min()) >= coarse.APART


def test_columns_by_hand_agree_with_differences_of_rendered_maps():
    """They take the map's slopes, which see no occlusion: 0.99 of the step is the same direction."""
    seen, cells, target = scene((40.0, 15.0, 0.0), (130.0, -10.0, 10.0))
    off = replace(
        cells, viewmats=refinement.move(cells.viewmats, torch.tensor([[0.05, -0.08, 0.04, 0.01, -0.01, 0.1]] * 2))
    )

    def residuals(poses):
        made = voge.render(seen, replace(off, viewmats=poses))
        return energy.residual(made.image, made.alpha, target), made

    r, made = residuals(off.viewmats)
    _, odds = energy.mixture(r.square().sum(-1), target)
    columns = []
    for i, step in enumerate([0.02, 0.02, 0.02, 0.02, 0.02, 0.1]):
        e = torch.zeros(2, 6)
        e[:, i] = step
        columns.append(
            (residuals(refinement.move(off.viewmats, e))[0] - residuals(refinement.move(off.viewmats, -e))[0])
            / (2 * step)
        )
    J = torch.stack(columns, -1)
    normal = torch.einsum("bhwci,bhw,bhwcj->bij", J, odds, J)
    slope = torch.einsum("bhwci,bhw,bhwc->bi", J, odds, r)
    H, g = refinement.normal_equations(off, made.image, made.alpha, made.depth, target)
    steps = [torch.linalg.solve(a[:, :3, :3] + 0.01 * torch.diag_embed(a.diagonal(dim1=1, dim2=2))[:, :3, :3], b[:, :3])
             for a, b in ((normal, slope), (H, g))]  # fmt: skip
    assert float(torch.cosine_similarity(*steps, dim=1).min()) > 0.97
    assert float(torch.cosine_similarity(normal.flatten(1), H.flatten(1)).min()) > 0.97


@pytest.mark.parametrize("method", ["lm", "adam"])
def test_refinement_finds_the_pose_that_made_the_picture(method):
    truth = [(40.0, 15.0, 0.0), (200.0, 30.0, -10.0)]
    seen, cells, target = scene(*truth, noise=0.05)
    off = refinement.move(cells.viewmats, torch.tensor([[0.1, -0.15, 0.1, 0, 0, 0], [-0.12, 0.1, 0.15, 0, 0, 0]]))
    how = refinement.Refinement(method=method, steps=None if method == "lm" else 60)
    states = list(refinement.refine(seen, replace(cells, viewmats=off), target, RenderSettings(), how))
    assert len(states) == how.count + 1
    assert float(degrees(states[0].viewmats, cells.viewmats).min()) > 10
    assert float(degrees(states[-1].viewmats, cells.viewmats).max()) < 1.5
    assert (states[-1].score > states[0].score).all()


def test_a_whole_pose_is_found_where_place_and_distance_are_free():
    seen, cells, target = scene((40.0, 15.0, 0.0))
    off = refinement.move(cells.viewmats, torch.tensor([[0.1, -0.1, 0.05, 0.03, -0.02, 0.3]]))
    how = refinement.Refinement(free="pose", steps=20)
    last = list(refinement.refine(seen, replace(cells, viewmats=off), target, RenderSettings(), how))[-1].viewmats
    assert float(degrees(last, cells.viewmats)) < 1
    torch.testing.assert_close(last[:, :3, 3], cells.viewmats[:, :3, 3], atol=0.05, rtol=0)


def test_hidden_cells_hardly_move_the_result():
    seen, cells, target = scene((40.0, 15.0, 0.0))
    maps = target.maps.clone()
    maps[:, :, maps.shape[2] // 2 :] = torch.nn.functional.normalize(
        torch.ones(8), dim=0
    )  # something else stands there
    clutter = torch.cat([target.clutter[0, :1, 0], torch.nn.functional.normalize(torch.ones(1, 8), dim=1)])
    hidden = energy.target_of(maps.permute(0, 3, 1, 2), clutter)
    off = refinement.move(cells.viewmats, torch.tensor([[0.1, -0.1, 0.05, 0, 0, 0]]))
    last = list(
        refinement.refine(seen, replace(cells, viewmats=off), hidden, RenderSettings(), refinement.Refinement())
    )[-1]
    assert float(degrees(last.viewmats, cells.viewmats)) < 2


def test_an_object_that_is_not_there_scores_nothing():
    seen, cells, target = scene((40.0, 15.0, 0.0))
    noise = 0.05 * torch.randn(target.clutter.shape, generator=torch.Generator().manual_seed(0))
    empty = energy.target_of((target.clutter + noise).permute(0, 3, 1, 2), target.clutter[0, :1, 0])
    made = voge.render(seen, cells)
    assert float(energy.score(made.image, made.alpha, target)) > 0.05
    assert float(energy.score(made.image, made.alpha, empty)) < 0
    nothing = energy.score(torch.zeros_like(made.image), torch.zeros_like(made.alpha), target)
    assert float(nothing.abs()) < 1e-6


@pytest.mark.parametrize("block_", ["transmittance", "density"])
def test_blocked_gradients_are_the_two_parts_of_the_whole(block_):
    seen, cells, _ = scene((40.0, 15.0, 0.0))
    seen, settings = seen.to(torch.float64), RenderSettings(aggregation=Aggregation.paper)
    cells = cells.to(torch.float64)

    def slope(block):
        poses = cells.viewmats.clone().requires_grad_()
        image, _ = ablation.render_blocked(seen, replace(cells, viewmats=poses), settings, block)
        image.square().sum().backward()
        return image.detach(), poses.grad

    poses = cells.viewmats.clone().requires_grad_()
    whole = voge.render(seen, replace(cells, viewmats=poses), settings).image
    whole.square().sum().backward()
    image, _ = slope(ablation.Block(block_))
    torch.testing.assert_close(image, whole.detach())
    parts = [slope(ablation.Block(name))[1] for name in ("transmittance", "density")]
    torch.testing.assert_close(parts[0] + parts[1], poses.grad, rtol=1e-6, atol=1e-8)
    assert float(parts[0].norm()) > 0.01 * float(poses.grad.norm())


def test_an_estimator_finds_poses_from_nothing_and_names_the_runner_up():
    truth = [(75.0, 20.0, 5.0), (300.0, 40.0, -10.0)]
    shape, cells, target = scene(*truth)
    shape = block()

    class Given(torch.nn.Module):
        def forward(self, images):
            return target.maps.permute(0, 3, 1, 2)

    from voge.pose.data.crops import Framing

    category = Category("block", shape, target.clutter[0, :1, 0], Framing(*SIZE, 1100.0, 5.0))
    estimator = Estimator(Given(), category, Estimation())
    poses = torch.eye(4).repeat(2, 1, 1)
    poses[:, 2, 3] = 5
    K = torch.tensor([[1100.0, 0, SIZE[0] / 2], [0, 1100.0, SIZE[1] / 2], [0, 0, 1]]).expand(2, 3, 3)
    found = estimator(torch.zeros(2, 3, SIZE[1], SIZE[0]), voge.Cameras(poses, K, *SIZE))
    for estimate, wanted in zip(found, cells.viewmats, strict=True):
        assert float(degrees(estimate.viewmat, wanted.double())) < 2
        assert 0 < estimate.margin <= estimate.score
        assert list(estimate.scores) == sorted(estimate.scores, reverse=True)


# ---- The whole pipeline at toy size ----------------------------------------------------------

TOY = ("extractor=compact", "pretrained=false", "width=0.25", "channels=16", "count=150", "size=0.13", "rate=3e-3",
       "contrast.memory=256", "augmentation.hide=0.2")  # fmt: skip


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Data, a run and its estimates."""
    pytest.importorskip("embreex")
    folder = tmp_path_factory.mktemp("toy")
    # One side of one shape: telling front from back takes longer to learn.
    easy = ("train_shapes=1", "test_shapes=1", "azimuth=[20,160]", "elevation=[5,15]", "theta=[0,0]", "levels=[L0,L1]")
    counts = ("--categories", "car", "--train", "64", "--test", "12", "--workers", "1")
    run("pose", "synth", "-o", folder / "data", *counts, "width=128", "height=96", "focal=420", *easy)
    arguments = ("pose", "train", folder / "data", "--batch", "16", "--workers", "1", *TOY)
    run(*arguments, "-o", folder / "run", "--epochs", "16", "save_every=1000")
    return folder, arguments


def test_poses_are_learned_end_to_end(toy):
    folder, _ = toy
    assert json.loads((folder / "run" / "metrics.json").read_text())["loss"] < 4
    document = json.loads(run("pose", "estimate", folder / "data", "--model", folder / "run", "-o", folder / "e",
                              "--level", "L0,L1", "--json").stdout)  # fmt: skip
    assert (document["predictions"], document["failures"]) == (24, 0)
    assert document["levels"]["L0"]["mean"]["acc_pi_6"] >= 75  # chance has 17


def test_estimation_is_sharded_resumed_and_survives_images_that_cannot_be_used(toy, tmp_path):
    import shutil

    folder, _ = toy
    data = tmp_path / "data"
    shutil.copytree(folder / "data", data)
    (data / "Images" / "car_imagenet" / "car_val_00002.JPEG").write_bytes(b"broken")
    arguments = (
        "pose",
        "estimate",
        data,
        "--model",
        folder / "run",
        "-o",
        tmp_path / "e",
        "--json",
        "--refine",
        "none",
    )
    first = json.loads(run(*arguments, "--shard", "1/2").stdout)
    assert (first["predictions"], first["estimated_now"]) == (6, 6)
    second = json.loads(run(*arguments, "--shard", "2/2").stdout)
    assert (second["predictions"], second["failures"], second["images"]) == (12, 1, 12)
    lines = (tmp_path / "e" / "predictions" / "1of2.jsonl").read_text().splitlines()
    assert "cannot be read as a picture" in json.loads(lines[1])["failure"]
    path = tmp_path / "e" / "predictions" / "2of2.jsonl"
    path.write_text(path.read_text()[:-30])  # as after a kill
    again = json.loads(run(*arguments).stdout)
    assert (again["predictions"], again["estimated_now"]) == (12, 1)
    assert "another model or configuration" in refuse(2, *arguments, "--starts", "24")


def test_a_resumed_training_ends_as_an_uninterrupted_one(toy, tmp_path):
    _, arguments = toy
    options = ("--epochs", "1", "--deterministic", "save_every=2", "-o")
    run(*arguments, *options, tmp_path / "whole")
    from voge_cli import config as configs
    from voge_cli.commands.pose_train import PoseTrainConfig
    from voge_cli.runs import RunFolder

    run(*arguments, *options, tmp_path / "part")
    loaded = configs.load("pose_train", PoseTrainConfig, file=str(tmp_path / "part" / "config.yaml")).value
    _stop_after(2, loaded, RunFolder.reopen(tmp_path / "part", "pose train"))
    run("pose", "train", "--resume", tmp_path / "part")
    torch.use_deterministic_algorithms(False)
    assert (tmp_path / "part" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_two_processes_train_one_model(toy, tmp_path):
    folder, _ = toy
    torchrun = ("torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29571", "-m", "voge_cli")
    arguments = ("pose", "train", folder / "data", "-o", tmp_path / "run", "--batch", "32", "--workers", "1", *TOY,
                 "--epochs", "1", "--device", "cpu")  # fmt: skip
    ended = subprocess.run([sys.executable, "-m", *map(str, (*torchrun, *arguments))], capture_output=True, text=True,
                           env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path / 'run'}\n"), ended.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["steps"] == 2
    assert load_model(tmp_path / "run").categories["car"].ellipsoids.features.norm(dim=1).max() > 0.9


def _stop_after(steps, config, folder):
    """Put the checkpoint of a step in the place of the last."""
    from pathlib import Path

    from voge.pose.data.datasets import open_data
    from voge.pose.network.training import Trainer, prepare

    trainer = Trainer(prepare(open_data(Path(config.data)), config), config, torch.device("cpu"))
    for step in trainer.run():
        if step.number == steps:
            break
    folder.save(trainer.state(), {"done": steps, "seconds": 0.0})


def test_a_photo_with_a_box_gives_a_pose_an_overlay_and_a_video(toy, tmp_path):
    folder, _ = toy
    image = folder / "data" / "Images" / "car_imagenet" / "car_val_00000.JPEG"
    out = tmp_path / "out"
    run(
        "pose", "estimate", image, "--model", folder / "run", "--box", "30,25,100,75", "-o", out, "units=m", "video=gif"
    )
    made = json.loads((out / "estimate.json").read_text())
    assert {"azimuth", "elevation", "theta", "score", "margin", "world_to_camera"} <= set(made)
    assert picture(out / "overlay.png").shape == (96, 128, 3)
    assert (out / "course.gif").stat().st_size > 1000
    assert json.loads((out / "pose.json").read_text())["image"] == str(image)
    heading, line = (out / "bop.csv").read_text().splitlines()
    assert heading == "scene_id,im_id,obj_id,score,R,t,time"
    assert len(line.split(",")) == 7
    run("render", out / "model.safetensors", "--cameras", out / "pose.json", "--outputs", "alpha", "-o", tmp_path / "r")
    assert picture(tmp_path / "r" / "alpha" / "car_val_00000.png").max() > 200


def test_a_video_without_ffmpeg_is_refused_before_estimating(tmp_path, monkeypatch):
    import imageio_ffmpeg

    def missing():
        raise RuntimeError("none")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    message = refuse(2, "pose", "estimate", tmp_path / "photo.png", "--model", tmp_path, "-o", tmp_path / "out")
    assert message == "mp4 needs ffmpeg, and imageio-ffmpeg finds none; write gif or webp (video=gif)"


@pytest.mark.parametrize("features", ["rgb", "efficientnet"])
def test_a_known_object_is_refined_without_training(tmp_path, features):
    if features == "efficientnet":
        pytest.importorskip("efficientnet_lite_pytorch")
    mesh, image, truth = photo(tmp_path)
    off = torch.tensor([[0.12, -0.1, 0.08, 0.02, 0.01, 0.1]], dtype=torch.float64)
    rough = refinement.move(truth[None], off)[0]
    write_pose(tmp_path / "rough.json", rough)
    out, arguments = tmp_path / "out", ("pose", "estimate", image, "--model", mesh, "--features", features)
    run(*arguments, "--pose", tmp_path / "rough.json", "-o", out, "video=gif")
    found = torch.tensor(json.loads((out / "estimate.json").read_text())["world_to_camera"], dtype=torch.float64)
    assert float(degrees(rough, truth)) > 9
    assert float(degrees(found, truth)) < 4  # 1.6 and 1.1, with slack for the noise behind it
    far = truth.clone()
    far[0, 3] += 50
    write_pose(tmp_path / "far.json", far)
    arguments = (*arguments, "-q", "-o", tmp_path / "x")
    assert "outside of the picture" in refuse(3, *arguments, "--pose", tmp_path / "far.json")
    assert "--pose" in refuse(2, *arguments)


def photo(folder):
    """A colored teapot and its ray-cast picture over noise; returns both files and the pose."""
    pytest.importorskip("embreex")
    import trimesh

    from voge.assets.teapot import teapot
    from voge.io.images import write_png
    from voge.io.meshes import load_geometry
    from voge.meshes.raycast import render_mesh

    vertices, faces, colors = teapot(8)
    vertices = (vertices - vertices.mean(0)) / np.ptp(vertices, axis=0).max()
    mesh, image = folder / "teapot.ply", folder / "photo.png"
    trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(mesh)
    truth = to_viewmat(*torch.tensor([[40.0], [20], [5]], dtype=torch.float64), 3.0)[0]
    K = torch.tensor([[400.0, 0, 160], [0, 400, 120], [0, 0, 1]], dtype=torch.float64)
    cast = render_mesh(load_geometry(mesh), voge.Cameras(truth[None], K[None], 320, 240), 2)
    noise = (
        torch.rand(1, 30, 40, 3, generator=torch.Generator().manual_seed(0))
        .repeat_interleave(8, 1)
        .repeat_interleave(8, 2)
    )
    write_png(image, cast.over(noise)[0])
    return mesh, image, truth


def write_pose(path, viewmat):
    camera = {"width": 320, "height": 240, "fx": 400, "fy": 400, "cx": 160, "cy": 120}
    pose = {"world_to_camera": viewmat.tolist(), "convention": "opencv"}
    path.write_text(json.dumps({"camera": camera, "pose": pose}))


def test_what_is_missing_for_a_photo_is_said_in_one_line(toy, tmp_path):
    folder, _ = toy
    image = folder / "data" / "Images" / "car_imagenet" / "car_val_00000.JPEG"
    model = ("--model", folder / "run", "-q", "-o", tmp_path / "out")
    assert "--box" in refuse(2, "pose", "estimate", image, *model)
    assert "outside" in refuse(3, "pose", "estimate", image, *model, "--box", "500,500,600,600")
    assert "no such file" in refuse(3, "pose", "estimate", tmp_path / "x.png", *model, "--box", "0,0,9,9")
    assert "--category must be one of" in refuse(2, "pose", "estimate", image, *model, "--category", "bus")
    assert "no such file" in refuse(3, "pose", "estimate", image, "--model", tmp_path / "none", "-q")
    assert "--model" in refuse(2, "pose", "estimate", image)
    assert "has no category bus" in refuse(3, "pose", "train", folder / "data", "--categories", "bus", "-q", *TOY)
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert "cannot be read as a pose model" in refuse(3, "pose", "estimate", image, "--model", tmp_path, "-q")
    assert not (tmp_path / "out").exists()
