"""Figures of pictures, masks and shapes against hand-made values."""

import math

import pytest
import torch

from voge.optim import metrics


def test_psnr_of_a_known_error():
    target = torch.rand(5, 6, 3, generator=torch.Generator().manual_seed(0))
    assert float(metrics.psnr(target + 0.1, target)) == pytest.approx(20, abs=1e-4)
    assert float(metrics.psnr(target, target)) == math.inf


def test_psnr_counts_only_the_mask():
    image, target = torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)
    image[0, 0] = 0.1
    mask = torch.tensor([[True, False], [False, False]])
    assert float(metrics.psnr(image, target, mask)) == pytest.approx(20, abs=1e-4)
    assert float(metrics.psnr(image, target, ~mask)) == math.inf
    assert math.isnan(float(metrics.psnr(image, target, torch.zeros(2, 2, dtype=torch.bool))))


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise():
    g = torch.Generator().manual_seed(0)
    picture = torch.rand(32, 32, 3, generator=g)
    noise = torch.randn(32, 32, 3, generator=g)
    values = [float(metrics.ssim(picture + size * noise, picture)) for size in (0, 0.05, 0.2)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert values[0] > values[1] > values[2] > 0


def test_ssim_of_flat_pictures_is_its_luminance_term():
    """Without variance SSIM is (2ab + C1) / (a^2 + b^2 + C1), C1 = 0.01^2."""
    a, b, c1 = 0.2, 0.6, 1e-4
    value = metrics.ssim(torch.full((16, 16, 1), a).double(), torch.full((16, 16, 1), b).double())
    assert float(value) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_ssim_takes_pictures_smaller_than_its_window():
    picture = torch.rand(4, 20, 3, generator=torch.Generator().manual_seed(0))
    assert float(metrics.ssim(picture, picture)) == pytest.approx(1, abs=1e-6)


def test_iou_of_masks():
    left, right = torch.tensor([[1, 1, 0, 0]]).bool(), torch.tensor([[0, 1, 1, 0]]).bool()
    assert float(metrics.iou(left, right)) == pytest.approx(1 / 3)
    assert float(metrics.iou(left, left)) == 1
    assert float(metrics.iou(left & ~left, left & ~left)) == 1


def test_shape_error_of_two_squares():
    """Points 0.1 above one half of a plane: exact distances to it, and from it."""
    line = torch.linspace(0, 1, 101)
    plane = torch.cartesian_prod(line, line, torch.zeros(1))
    points = torch.cartesian_prod(line[:51], line, torch.tensor([0.1]))
    found = metrics.shape_error(points, plane, threshold=0.15)
    assert found.accuracy == pytest.approx(0.1)
    assert found.precision == 1
    # Up to x = 0.5 the plane is 0.1 away from the points, beyond it hypot(0.1, x - 0.5); 0.15 is at x = 0.6118.
    assert found.recall == pytest.approx(62 / 101)
    away = [math.hypot(0.1, max(x - 0.5, 0)) for x in line.tolist()]
    assert found.completeness == pytest.approx(sum(away) / len(away), rel=1e-5)
    assert found.chamfer == pytest.approx((found.accuracy + found.completeness) / 2)
    assert found.f_score == pytest.approx(2 * found.recall / (1 + found.recall))


def test_shape_error_of_far_points_has_no_f_score():
    found = metrics.shape_error(torch.full((1, 3), 9.0), torch.zeros(1, 3), 0.1)
    assert found.f_score == 0


@pytest.mark.parametrize("call", [metrics.psnr, metrics.ssim])
def test_pictures_of_other_shapes_are_refused(call):
    with pytest.raises(ValueError, match="must have one shape"):
        call(torch.zeros(4, 4, 3), torch.zeros(4, 5, 3))
