"""View-dependent colors: the functions themselves, their order and signs, and what turning an object does."""

import math
from dataclasses import replace

import pytest
import torch
from scipy.special import sph_harm_y

import voge
from voge.optim.regularizers import feature_agreement, nearest_neighbors
from voge.scene import harmonics

DOUBLE = torch.float64


def directions(count=40, seed=0):
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)
    return torch.nn.functional.normalize(points, dim=1)


def coefficients(count=40, degree=3, seed=1):
    shape = (count, (degree + 1) ** 2 - 1, 3)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def similarity(scale=2.0):
    matrix = torch.eye(4, dtype=DOUBLE)
    matrix[:3, :3] = scale * voge.geometry.rotations.quats_to_matrices(
        torch.tensor([0.3, -0.5, 0.7, 0.2], dtype=DOUBLE)
    )
    matrix[:3, 3] = torch.tensor([1.0, -2, 3])
    return matrix


def seen(made, camera):
    return harmonics.evaluate(made.features, made.extra["sh"], made.means - camera)


def a_set(degree=3):
    means = 3 * directions()
    ones = torch.ones(40, dtype=DOUBLE)
    return voge.Ellipsoids(
        means,
        means.abs() + 0.1,
        torch.randn(40, 4, dtype=DOUBLE),
        ones,
        means * 0 + 50,
        {"sh": coefficients(40, degree)},
    )


def test_the_basis_is_that_of_the_textbook():
    """Real functions from the complex ones with their phase: sqrt(2) Re for m > 0, sqrt(2) Im of |m| for m < 0."""
    unit = directions()
    polar, around = torch.arccos(unit[:, 2]).numpy(), torch.atan2(unit[:, 1], unit[:, 0]).numpy()
    found, column = harmonics.basis(unit, 3), 0
    for degree in (1, 2, 3):
        for order in range(-degree, degree + 1):
            complex_one = torch.from_numpy(sph_harm_y(degree, abs(order), polar, around))
            part = complex_one.real if order >= 0 else complex_one.imag
            expected = part * (math.sqrt(2) if order else 1)
            torch.testing.assert_close(found[:, column], expected, rtol=0, atol=1e-12)
            column += 1
    assert column == found.shape[1]


def test_the_basis_is_orthonormal_over_the_sphere():
    nodes = directions(200_000)
    functions = harmonics.basis(nodes, 3)
    gram = 4 * math.pi * functions.T @ functions / len(nodes)
    torch.testing.assert_close(gram, torch.eye(15, dtype=DOUBLE), rtol=0, atol=0.03)  # 3 / sqrt(200,000) x 4


def test_colors_are_those_of_3dgs_written_out():
    """The constants and signs of its published code, for the first terms of each degree."""
    x, y, z = (v[:, None] for v in directions().unbind(1))
    sh = coefficients()
    expected = (
        50.0
        - 0.4886025119029199 * y * sh[:, 0] + 0.4886025119029199 * z * sh[:, 1] - 0.4886025119029199 * x * sh[:, 2]
        + 1.0925484305920792 * x * y * sh[:, 3] - 1.0925484305920792 * y * z * sh[:, 4]
        + 0.31539156525252005 * (2 * z * z - x * x - y * y) * sh[:, 5]
        - 1.0925484305920792 * x * z * sh[:, 6] + 0.5462742152960396 * (x * x - y * y) * sh[:, 7]
        - 0.5900435899266435 * y * (3 * x * x - y * y) * sh[:, 8] + 2.890611442640554 * x * y * z * sh[:, 9]
        - 0.4570457994644658 * y * (4 * z * z - x * x - y * y) * sh[:, 10]
        + 0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y) * sh[:, 11]
        - 0.4570457994644658 * x * (4 * z * z - x * x - y * y) * sh[:, 12]
        + 1.445305721320277 * z * (x * x - y * y) * sh[:, 13]
        - 0.5900435899266435 * x * (x * x - 3 * y * y) * sh[:, 14]
    )  # fmt: skip
    found = harmonics.evaluate(torch.full((40, 3), 50.0, dtype=DOUBLE), sh, 7 * directions())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert pytest.approx(0.28209479177387814) == harmonics.Y00


def test_no_color_is_below_zero_and_degree_0_keeps_the_features():
    features = torch.tensor([[-1.0, 0.2, 1.5]])
    colors = harmonics.evaluate(features, torch.zeros(1, 0, 3), torch.ones(1, 3))
    assert colors[0].tolist() == pytest.approx([0, 0.2, 1.5])


def test_gradients_reach_features_coefficients_and_directions():
    inputs = [torch.full((5, 3), 9.0, dtype=DOUBLE), coefficients(5), 2 * directions(5)]
    assert torch.autograd.gradcheck(harmonics.evaluate, [tensor.requires_grad_() for tensor in inputs])


def test_a_camera_sees_along_its_lines_of_sight():
    made, poses = a_set(2), voge.orbit(torch.tensor([30.0, 120.0]), 20.0, 9.0)
    pinhole = voge.Cameras(poses, torch.eye(3).repeat(2, 1, 1), 4, 4).to(DOUBLE)
    parallel = replace(pinhole, model=voge.CameraModel.orthographic)

    def colors(viewmats, camera):
        return harmonics.seen_from(replace(camera, viewmats=viewmats), made.means, made.features, made.extra["sh"])

    for found, center in zip(colors(pinhole.viewmats, pinhole), pinhole.centers, strict=True):
        torch.testing.assert_close(found, seen(made, center))
    far = replace(pinhole, viewmats=voge.orbit(torch.tensor([30.0, 120.0]).to(DOUBLE), 20.0, 1e8))
    torch.testing.assert_close(colors(parallel.viewmats, parallel), colors(far.viewmats, far), rtol=0, atol=1e-5)
    for camera in (pinhole, parallel):
        viewmats = camera.viewmats.clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda v, camera=camera: colors(v, camera), viewmats)


def test_neighbors_agree_in_the_mean_over_all_directions():
    made = a_set(2)
    neighbors = nearest_neighbors(made.means, 4)
    shown = [made.features + (harmonics.basis(d, 2)[:, None] * made.extra["sh"]).sum(1) for d in directions(4000)]
    each = [feature_agreement(replace(made, features=colors, extra={}), neighbors) for colors in shown]
    torch.testing.assert_close(feature_agreement(made, neighbors), torch.stack(each).mean(), rtol=0.05, atol=0)


def test_coefficients_of_another_degree_show_the_same_where_they_can():
    sh = coefficients(degree=2)
    assert torch.equal(harmonics.of_degree(harmonics.of_degree(sh, 3), 2), sh)
    assert torch.equal(harmonics.of_degree(sh, 1), sh[:, :3])
    assert harmonics.of_degree(sh, 0).shape == (40, 0, 3)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_moved_object_shows_a_moved_camera_the_same_colors(degree):
    made, matrix, camera = a_set(degree), similarity(), torch.tensor([0.5, 8.0, -3], dtype=DOUBLE)
    moved = made.transform(matrix)
    expected = seen(made, camera)
    torch.testing.assert_close(seen(moved, matrix[:3, :3] @ camera + matrix[:3, 3]), expected, rtol=0, atol=1e-9)
    assert (seen(moved, camera) - expected).abs().max() > 0.1


def test_sets_of_several_degrees_join():
    low, high, none = a_set(1), a_set(3), a_set(1)
    none = voge.Ellipsoids(none.means, none.scales, none.quats, none.density, none.features)
    joined, camera = voge.cat([low, high, none]), torch.tensor([9.0, 1, 1], dtype=DOUBLE)
    assert joined.extra["sh"].shape == (120, 15, 3)
    expected = torch.cat([seen(low, camera), seen(high, camera), none.features])
    torch.testing.assert_close(seen(joined, camera), expected)


def test_a_number_of_coefficients_of_no_degree_is_refused():
    with pytest.raises(ValueError, match=r"\[0, 3, 8, 15\] coefficients a channel beside the first; got 5"):
        harmonics.evaluate(torch.ones(2, 3), torch.ones(2, 5, 3), torch.ones(2, 3))
