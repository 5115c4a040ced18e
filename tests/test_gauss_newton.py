"""Damped least squares, and the increments of poses that it moves."""

import math

import pytest
import torch
from scenes import random_ellipsoids
from torch import Tensor

import voge
from voge.geometry import rigid
from voge.geometry.similarity import axis_quat, check_similarity, similarity
from voge.optim.least_squares import (
    Damping,
    Equations,
    Iterate,
    LeastSquares,
    descend,
    differences,
    minimize,
    minimize_many,
)
from voge.scene.objects import place

DOUBLE = torch.float64


def line_points() -> tuple[Tensor, Tensor]:
    x = torch.linspace(0, 1, 20, dtype=DOUBLE)
    return x, 2.0 * torch.exp(-1.5 * x)


def fit_curve(settings: LeastSquares, start: tuple[float, float] = (0.5, 0.1), broken: int = 0) -> list[Iterate]:
    """y = a exp(-b x) with a = 2, b = 1.5; `broken` of the points are far off."""
    x, y = line_points()
    y = y.clone()
    y[:broken] += 5
    return list(
        minimize(
            torch.tensor(start, dtype=DOUBLE),
            residuals=lambda p: p[0] * torch.exp(-p[1] * x) - y,
            retract=lambda p, step: p + step,
            steps=torch.full((2,), 1e-6, dtype=DOUBLE),
            settings=settings,
        )
    )


def test_finds_the_parameters_of_a_curve():
    last = fit_curve(LeastSquares(iterations=50))[-1]
    torch.testing.assert_close(last.state, torch.tensor([2.0, 1.5], dtype=DOUBLE), atol=1e-5, rtol=0)


def test_cost_never_rises():
    costs = [iterate.cost for iterate in fit_curve(LeastSquares(iterations=50), start=(-3.0, 4.0))]
    assert costs == sorted(costs, reverse=True)


def test_robust_squares_disregard_outliers():
    plain = fit_curve(LeastSquares(iterations=50), broken=3)[-1].state
    robust = fit_curve(LeastSquares(iterations=50, robust=0.5), broken=3)[-1].state
    truth = torch.tensor([2.0, 1.5], dtype=DOUBLE)
    assert (plain - truth).norm() > 1
    assert (robust - truth).norm() < 0.02


def test_an_unknown_that_moves_nothing_stays():
    iterates = list(
        minimize(
            torch.tensor([1.0, 7.0], dtype=DOUBLE),
            residuals=lambda p: p[:1] - 3,
            retract=lambda p, step: p + step,
            steps=torch.full((2,), 1e-4, dtype=DOUBLE),
        )
    )
    torch.testing.assert_close(iterates[-1].state, torch.tensor([3.0, 7.0], dtype=DOUBLE), atol=1e-6, rtol=0)


def test_no_coordinate_goes_beyond_its_limit():
    first, second = list(
        minimize(
            torch.zeros(2, dtype=DOUBLE),
            residuals=lambda p: p - torch.tensor([10.0, 5.0], dtype=DOUBLE),
            retract=lambda p, step: p + step,
            steps=torch.full((2,), 1e-3, dtype=DOUBLE),
            limits=torch.tensor([1.0, 10.0], dtype=DOUBLE),
            settings=LeastSquares(iterations=1),
        )
    )
    torch.testing.assert_close(second.state - first.state, torch.tensor([1.0, 5.0], dtype=DOUBLE), atol=0.01, rtol=0)


def test_a_trial_that_is_not_finite_is_rejected():
    def residuals(p: Tensor) -> Tensor:
        return torch.log(p)  # of a full step from 4 there is none: it goes below 0

    iterates = list(
        minimize(
            torch.tensor([4.0], dtype=DOUBLE),
            residuals=residuals,
            retract=lambda p, step: p + step,
            steps=torch.tensor([1e-5], dtype=DOUBLE),
        )
    )
    assert not iterates[1].accepted
    torch.testing.assert_close(iterates[-1].state, torch.ones(1, dtype=DOUBLE), atol=1e-4, rtol=0)


def test_a_start_that_is_not_finite_is_refused():
    with pytest.raises(FloatingPointError, match="residuals must be finite"):
        next(
            minimize(
                torch.zeros(1, dtype=DOUBLE),
                residuals=lambda p: p / 0,
                retract=lambda p, step: p + step,
                steps=torch.ones(1, dtype=DOUBLE),
            )
        )


def test_a_given_jacobian_replaces_differences():
    x, y = line_points()
    calls = []

    def jacobian(p: Tensor, _values: Tensor) -> Tensor:
        calls.append(p)
        decay = torch.exp(-p[1] * x)
        return torch.stack([decay, -p[0] * x * decay], 1)

    *_, last = minimize(
        torch.tensor([0.5, 0.1], dtype=DOUBLE),
        residuals=lambda p: p[0] * torch.exp(-p[1] * x) - y,
        retract=lambda p, step: p + step,
        steps=torch.zeros(2, dtype=DOUBLE),
        jacobian=jacobian,
        settings=LeastSquares(iterations=50, patience=0),
    )
    assert calls
    torch.testing.assert_close(last.state, torch.tensor([2.0, 1.5], dtype=DOUBLE), atol=1e-9, rtol=0)


@pytest.mark.parametrize("setting", ["iterations", "damping", "robust"])
def test_settings_outside_their_range_are_refused(setting: str):
    with pytest.raises(ValueError, match=f"{setting} must be .*got 0"):
        LeastSquares(**{setting: 0})


def test_differences_are_the_jacobian():
    matrix = torch.randn(5, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    state = torch.ones(3, dtype=DOUBLE)
    found = differences(state, matrix @ state, lambda p: matrix @ p, torch.add, torch.full((3,), 1e-3, dtype=DOUBLE))
    torch.testing.assert_close(found, matrix)


def test_many_starts_end_where_each_would_alone():
    x, y = line_points()
    starts = torch.tensor([[0.5, 0.1], [-3.0, 4.0], [1.0, 1.0]], dtype=DOUBLE)
    states, costs = minimize_many(
        starts,
        residuals=lambda p: p[:, :1] * torch.exp(-p[:, 1:] * x) - y,
        retract=torch.add,
        steps=torch.full((2,), 1e-6, dtype=DOUBLE),
        settings=LeastSquares(iterations=50),
    )
    torch.testing.assert_close(states, torch.tensor([[2.0, 1.5]], dtype=DOUBLE).expand(3, 2), atol=1e-5, rtol=0)
    assert costs.max() < 1e-9


def test_of_many_starts_one_that_is_not_finite_leaves_the_others_alone():
    states, costs = minimize_many(
        torch.tensor([[-1.0], [4.0]], dtype=DOUBLE),
        residuals=torch.log,
        retract=torch.add,
        steps=torch.tensor([1e-6], dtype=DOUBLE),
    )
    torch.testing.assert_close(states, torch.tensor([[-1.0], [1.0]], dtype=DOUBLE), atol=1e-4, rtol=0)
    assert costs.isinf().tolist() == [True, False]


# ---- Increments of poses ----------------------------------------------------------------------


def pose() -> Tensor:
    return similarity([1, 2, 3], axis_quat((1, 2, -1), 40), 1.5)


def test_no_increment_changes_nothing():
    moved = rigid.move(pose(), torch.zeros(7, dtype=DOUBLE), torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE))
    torch.testing.assert_close(moved, pose())


def test_turning_and_scaling_leave_the_center_where_it_is():
    center = torch.tensor([0.4, -0.2, 0.7], dtype=DOUBLE)
    increment = torch.tensor([0, 0, 0, 0.3, -0.5, 0.9, 0.2], dtype=DOUBLE)
    moved = rigid.move(pose(), increment, center)
    at = torch.cat([center, center.new_ones(1)])
    torch.testing.assert_close(moved @ at, pose() @ at)
    check_similarity(moved)
    torch.testing.assert_close(rigid.scale_of(moved), torch.tensor(1.5 * math.exp(0.2), dtype=DOUBLE))


def test_translation_is_along_the_axes_of_the_world():
    increment = torch.tensor([0.1, 0.2, -0.3, 0, 0, 0, 0], dtype=DOUBLE)
    moved = rigid.move(pose(), increment, torch.zeros(3, dtype=DOUBLE))
    torch.testing.assert_close((moved - pose())[:3, 3], increment[:3])


@pytest.mark.parametrize("degrees", [0.0, 1e-5, 20.0, 180.0])
def test_angle_between_turned_poses(degrees: float):
    turned = pose() @ similarity(quat=axis_quat((3, 1, 2), degrees), scale=0.5)
    assert float(rigid.angle_between(pose(), turned)) == pytest.approx(degrees, abs=1e-5)


def test_place_moves_as_transform_does():
    first, second = random_ellipsoids(4, seed=1), random_ellipsoids(3, seed=2)
    poses = torch.stack([pose(), similarity([0, 1, 0])])
    index = torch.tensor([0] * 4 + [1] * 3)
    placed = place(voge.cat([first, second]), poses, index)
    expected = voge.cat([first.transform(poses[0]), second.transform(poses[1])])
    for name in ("means", "scales", "density"):
        torch.testing.assert_close(getattr(placed, name), getattr(expected, name))
    torch.testing.assert_close(placed.rotations, expected.rotations)


def test_own_normal_equations_lead_each_start_to_its_least_cost():
    """Of |x - target|^2 the first step without damping would end at the target."""
    targets = torch.tensor([[1.0, -2.0], [30.0, 4.0]])

    def equations(states, _last):
        slope = states - targets
        return Equations(slope.square().sum(1), torch.eye(2).expand(2, 2, 2), slope)

    def moved(states, normal, slope, damping):
        return states - slope / (normal.diagonal(dim1=1, dim2=2) * (1 + damping[:, None]))

    damping = Damping(first=1.0, shrink=0.1)
    found = list(descend(torch.zeros(2, 2), equations=equations, moved=moved, iterations=6, damping=damping))
    assert len(found) == 7
    costs = torch.stack([costs for _, costs in found])
    assert (costs.diff(dim=0) <= 0).all()
    torch.testing.assert_close(found[1][0], targets / 2)
    torch.testing.assert_close(found[-1][0], targets)
