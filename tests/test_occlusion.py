"""Where objects stand, from pictures in which some hide others."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

import voge
from voge import occlusion
from voge.convert.primitives import primitive
from voge.geometry import rigid
from voge.geometry.similarity import axis_quat, similarity
from voge.occlusion import Bodies, Body, Freedom, Gradient, OcclusionSettings, Search, Target
from voge.occlusion.jacobian import jacobian
from voge.occlusion.levels import level_of, strided
from voge.occlusion.proposals import Layers, layered, views_of
from voge.optim.least_squares import differences
from voge.rendering.renderer import render

STILL = Freedom(translation=(False,) * 3, rotation=(False,) * 3)
SLIDING = Freedom(rotation=(False,) * 3)
COLORS = [(1.0, 0.2, 0.1), (0.9, 0.8, 0.1), (0.1, 0.9, 0.2), (0.1, 0.8, 0.9), (0.2, 0.2, 1.0), (0.9, 0.2, 0.9)]
SIZE = 64


def camera(size: int = SIZE) -> voge.Cameras:
    return voge.Cameras(voge.orbit(20.0, 15.0, 5.0)[None], voge.intrinsics(size, size, fov=50.0)[None], size, size)


def box(free: Freedom = SLIDING, at: tuple = (0.0, 0, 0), size: tuple = (1.6, 0.8, 1.2), name: str = "box") -> Body:
    return Body(name, primitive("cuboid", size, COLORS, 150), similarity(at), free)


def wall(free: Freedom = SLIDING, at: tuple = (0.0, 0, 0)) -> Body:
    return Body("wall", primitive("cuboid", (2, 2, 0.6), COLORS[::-1], 150), similarity(at), free)


def picture_of(bodies: list[Body], poses: Tensor | None = None, view: voge.Cameras | None = None) -> Target:
    scene = Bodies(bodies)
    view = view or camera()
    with torch.no_grad():
        return Target(view, render(scene.place(scene.starts if poses is None else poses), view).image[0])


def moved(body: Body, at: tuple, quat: Tensor | None = None) -> Body:
    return replace(body, pose=similarity(at, quat))


def shift_of(poses: Tensor, number: int, truth: tuple) -> float:
    return float((poses[number, :3, 3] - torch.tensor(truth, dtype=torch.float64)).norm())


# ---- Solving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [1.5, 10.0])
def test_an_object_wholly_hidden_at_the_start_is_found_in_front(behind: float):
    truth = [box(at=(0.5, 0, 1)), wall()]
    starts = [moved(truth[0], (-1, 0, -behind)), truth[1]]
    # As by default, but for a coarser grid, to be quick.
    search = Search(spacing=0.6, depth_ratio=1.4, smallest=0.2, kept=4)
    solution = occlusion.solve(starts, [picture_of(truth)], OcclusionSettings(search=search))
    assert shift_of(solution.poses, 0, (0.5, 0, 1)) < 0.01
    assert shift_of(solution.poses, 1, (0, 0, 0)) < 0.01
    assert solution.order == [(0, 1)]
    assert not solution.warnings


def test_position_and_rotation_of_a_half_hidden_object_are_found():
    turn = axis_quat((1, 2, 0.5), 15)
    free = Freedom(angle=40)
    truth = [box(STILL, at=(0.6, 0, 1.2)), replace(wall(free), pose=similarity((0, 0, 0), turn))]
    starts = [truth[0], moved(truth[1], (-0.4, 0.3, -0.5))]
    solution = occlusion.solve(starts, [picture_of(truth)], OcclusionSettings(search=Search(reach=0.5)))
    assert shift_of(solution.poses, 1, (0, 0, 0)) < 0.02
    assert float(rigid.angle_between(solution.poses[1], truth[1].pose)) < 0.5


def test_scale_is_found_where_it_is_free_and_depth_is_not():
    free = Freedom(translation=(True, True, False), rotation=(False,) * 3, scale=True)
    truth = box(free)
    start = replace(truth, pose=similarity((0.2, 0.1, 0), scale=1.3))
    solution = occlusion.solve([start], [picture_of([truth])], OcclusionSettings(search=Search(enabled=False)))
    assert float(rigid.scale_of(solution.poses[0])) == pytest.approx(1, abs=5e-3)


def test_silhouettes_alone_place_an_object():
    truth = box(at=(0.4, 0.2, 0.5))
    seen = render(truth.ellipsoids.transform(truth.pose.float()), camera())
    target = Target(camera(), silhouette=seen.alpha[0])
    solution = occlusion.solve([moved(truth, (0, 0, 0))], [target], OcclusionSettings(search=Search(reach=1.0)))
    assert shift_of(solution.poses, 0, (0.4, 0.2, 0.5)) < 0.02


def test_masked_pixels_do_not_count():
    truth = box(at=(0.3, 0, 0.2))
    target = picture_of([truth])
    assert target.image is not None
    spoiled = target.image.clone()
    spoiled[: SIZE // 2 - 8] = torch.rand(SIZE // 2 - 8, SIZE, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(SIZE, SIZE)
    mask[: SIZE // 2 - 8] = 0
    masked = Target(target.camera, spoiled, mask=mask)
    solution = occlusion.solve([moved(truth, (0, 0, 0))], [masked], OcclusionSettings(search=Search(enabled=False)))
    assert shift_of(solution.poses, 0, (0.3, 0, 0.2)) < 0.01


def test_gradient_descent_moves_a_visible_object():
    truth = box(at=(0.2, 0.1, 0.0))
    settings = OcclusionSettings(
        method="gradient", gradient=Gradient(steps=60, final=0.05), search=Search(enabled=False)
    )
    solution = occlusion.solve([moved(truth, (0, 0, 0))], [picture_of([truth])], settings)
    assert len(solution.path) == 60
    assert shift_of(solution.poses, 0, (0.2, 0.1, 0)) < 0.05


def test_solving_twice_gives_the_same_bits():
    truth = [box(at=(0.5, 0, 1)), wall()]
    starts = [moved(truth[0], (0.3, 0, 0.8)), truth[1]]
    settings = OcclusionSettings(search=Search(reach=0.4, rounds=1, attempts=1, kept=3))
    first, second = (occlusion.solve(starts, [picture_of(truth)], settings).poses for _ in range(2))
    assert torch.equal(first, second)


# ---- What may move, and how far ---------------------------------------------------------------


def test_what_is_not_free_stays():
    free = Freedom(translation=(True, False, False), rotation=(False,) * 3)
    truth = box(free, at=(0.5, 0.0, 0.0))
    search = Search(reach=0.5, rounds=1, attempts=1)
    solution = occlusion.solve([moved(truth, (0, 0.1, 0.2))], [picture_of([truth])], OcclusionSettings(search=search))
    assert solution.poses[0, 1:3, 3].tolist() == [0.1, 0.2]
    assert torch.equal(solution.poses[0, :3, :3], torch.eye(3, dtype=torch.float64))


def test_bounds_hold():
    free = Freedom(low=(-1, -1, -1), high=(0.25, 1, 1), angle=10)
    body = box(free, at=(0, 0, 0))
    far = rigid.move(body.pose, torch.tensor([2, 0, 0, 1, 0, 0, 0], dtype=torch.float64), body.pivot)
    near = body.bounded(far[None])[0]
    torch.testing.assert_close(near[:3, 3] + near[:3, :3] @ body.pivot, torch.tensor([0.25, 0, 0]).double())
    assert float(rigid.angle_between(body.pose, near)) == pytest.approx(10, abs=1e-6)


def test_a_body_turns_about_its_own_center():
    body = replace(box(), center=(0.5, 0.0, 0.0))
    turned = rigid.move(body.pose, torch.tensor([0, 0, 0, 0, 1.0, 0, 0], dtype=torch.float64), body.pivot)
    at = torch.tensor([0.5, 0, 0, 1], dtype=torch.float64)
    torch.testing.assert_close(turned @ at, body.pose @ at)


# ---- What a solution says ---------------------------------------------------------------------


def test_visible_fraction_and_order_of_a_known_scene():
    square = primitive("cuboid", (1, 1, 0.2), COLORS, 150)
    view = voge.Cameras(voge.orbit(0.0, 0.0, 50.0)[None], voge.intrinsics(64, 64, focal=1200.0)[None], 64, 64)
    bodies = Bodies([Body("front", square, similarity((0.5, 0, 1))), Body("back", square, similarity((0, 0, 0)))])
    found = occlusion.visibility(bodies, bodies.starts, [view])
    # From afar the front square covers the right half of the back one, and a rim as wide as its edge is soft.
    torch.testing.assert_close(found.visible, torch.tensor([1, 0.5], dtype=torch.float64), atol=0.05, rtol=0)
    assert occlusion.depth_order(found.hides) == [(0, 1)]


@pytest.mark.parametrize("method", ["solver", "gradient"])
def test_an_object_out_of_view_is_reported_and_stays_finite(method: str):
    away = box(at=(0, 0, 40), name="away")
    target = picture_of([wall()])
    settings = OcclusionSettings(method=method, gradient=Gradient(steps=3), search=Search(enabled=False))
    solution = occlusion.solve([wall(), away], [target], settings)
    assert solution.poses.isfinite().all()
    assert "away is out of view" in solution.warnings[0]


def test_a_target_without_the_object_is_reported():
    empty = Target(camera(), torch.zeros(SIZE, SIZE, 3))
    solution = occlusion.solve([box()], [empty], OcclusionSettings(search=Search(reach=0.5, rounds=0)))
    assert solution.poses.isfinite().all()
    assert any("box" in note for note in solution.warnings)


def test_identical_objects_are_reported():
    made = primitive("cuboid", (1, 1, 1), COLORS, 100)
    twins = [Body("a", made, similarity((-1, 0, 0)), SLIDING), Body("b", made, similarity((1, 0, 0)), SLIDING)]
    solution = occlusion.solve(twins, [picture_of(twins)], OcclusionSettings(search=Search(enabled=False)))
    assert solution.warnings == ("a and b look the same: they may be swapped",)


def test_a_target_that_is_not_finite_raises():
    image = torch.full((SIZE, SIZE, 3), math.nan)
    with pytest.raises((FloatingPointError, ArithmeticError)):
        occlusion.solve([box()], [Target(camera(), image)], OcclusionSettings(search=Search(enabled=False)))


# ---- Parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_level_has_no_residual_at_the_truth(stride: int):
    truth = [box(at=(0.5, 0, 1)), wall()]
    target = picture_of(truth)
    level = level_of([target], stride, 1.0, torch.zeros(3))
    bodies = Bodies(truth)
    assert float(level.residuals(bodies.place(bodies.starts)).abs().max()) < 1e-5  # rays differ by rounding
    assert strided(target, stride).camera.width == -(-(SIZE - stride // 2) // stride)


def test_an_object_alone_seen_from_moved_cameras_is_the_moved_object():
    body = box()
    pose = similarity((0.4, -0.2, 0.7), axis_quat((1, 1, 0), 30), 1.4)
    views, scale = views_of(camera(), pose[None])
    own = render(body.ellipsoids, views)
    world = render(body.ellipsoids.transform(pose.float()), camera())
    torch.testing.assert_close(own.image, world.image, atol=2e-4, rtol=0)
    torch.testing.assert_close(own.depth * scale[0], world.depth, atol=2e-3, rtol=0)


def test_layers_of_objects_apart_are_the_scene():
    front, back = (b.ellipsoids.transform(b.pose.float()) for b in (box(at=(0.5, 0, 1.2)), wall(at=(0, 0, -0.5))))
    both = render(voge.cat([front, back]), camera())
    for first, second in ((front, back), (back, front)):
        made = layered(render(first, camera()), render(second, camera()))
        assert float((made.image - both.image).abs().mean()) < 1e-3


def test_layered_costs_are_the_costs_of_the_scene():
    truth = [box(at=(0.5, 0, 1.2)), wall()]
    level = level_of([picture_of(truth)], 1, 0.0, torch.zeros(3))
    bodies = Bodies(truth)
    poses = bodies.starts.clone()
    poses[0, 0, 3] += 0.3
    layers = Layers.of(level, truth[0].ellipsoids, bodies.place(poses).split(bodies.counts)[1])
    expected = float(level.residuals(bodies.place(poses)).square().sum())
    assert float(layers.costs(poses[:1])[0]) == pytest.approx(expected, rel=0.02)


def test_jacobian_of_windows_is_that_of_whole_pictures():
    truth = [box(Freedom(), at=(0.5, 0, 1)), wall(Freedom())]
    bodies = Bodies(truth, camera())
    level = level_of([picture_of(truth)], 1, 1.0, torch.tensor([0.2, 0.3, 0.4]))
    steps = torch.full((12,), 0.02, dtype=torch.float64)
    found = jacobian(level, bodies, bodies.starts, bodies.mask, steps)
    with torch.no_grad():
        whole = differences(
            bodies.starts,
            level.residuals(bodies.place(bodies.starts)),
            lambda p: level.residuals(bodies.place(p)),
            lambda p, d: bodies.retract(p, d, bodies.mask),
            steps,
        )
    # The window ends at three standard deviations, where an ellipsoid's share is below 1 %.
    assert float((found - whole).abs().max()) < 0.01 * float(whole.abs().max())
