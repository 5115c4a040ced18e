"""The reference operators: pairs, selection, W in compressed rows, pictures, and their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from voge.geometry.rotations import matrices_to_quats, quats_to_matrices
from voge.rendering import reference
from voge.rendering.settings import Aggregation, RenderSettings
from voge.scene.cameras import CameraModel, Cameras, Rays, intrinsics, look_at
from voge.scene.ellipsoids import Ellipsoids

RECORDED = Path(__file__).parents[1] / "../shared/data/voge_reference_aniso50.npz"
AGGREGATIONS = [pytest.param(mode, id=mode.value) for mode in Aggregation]
# Far below what any ellipsoid of `small_scene` leaves on a ray: no pair is near the cut, where W is not smooth.
SMOOTH = {mode: RenderSettings(aggregation=mode, min_density=1e-9, max_per_ray=0) for mode in Aggregation}


def random_ellipsoids(count: int, size: float = 0.1, dtype: torch.dtype = torch.float64, seed: int = 0) -> Ellipsoids:
    """Ellipsoids around the origin, scales from `size` to twice that, three features."""
    random = torch.Generator().manual_seed(seed)
    means, scales, features = torch.rand(3, count, 3, generator=random, dtype=torch.float64)
    quats = torch.randn(count, 4, generator=random, dtype=torch.float64)
    density = 0.5 + torch.rand(count, generator=random, dtype=torch.float64)
    return Ellipsoids(means * 2 - 1, size * (1 + scales), quats, density, features).to(dtype)


def random_rays(count: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Rays:
    """Rays from about (0, 0, -4) through the cube around the origin."""
    random = torch.Generator().manual_seed(seed)
    origins = torch.tensor([0.0, 0.0, -4.0]) + 0.2 * torch.randn(count, 3, generator=random, dtype=torch.float64)
    targets = torch.rand(count, 3, generator=random, dtype=torch.float64) * 2 - 1
    return Rays(origins.to(dtype), torch.nn.functional.normalize(targets - origins, dim=-1).to(dtype))


def small_scene() -> Ellipsoids:
    """Four overlapping ellipsoids, well apart in depth and wide enough to be met by every ray of the tests."""
    random = torch.Generator().manual_seed(4)
    means = torch.tensor([[0.1, 0.0, -0.6], [-0.2, 0.1, -0.1], [0.0, -0.2, 0.4], [0.1, 0.2, 0.9]], dtype=torch.float64)
    scales = 0.3 + 0.5 * torch.rand(4, 3, generator=random, dtype=torch.float64)
    quats = torch.randn(4, 4, generator=random, dtype=torch.float64)
    density = torch.tensor([0.5, 1.5, 0.8, 2.0], dtype=torch.float64)
    return Ellipsoids(means, scales, quats, density, torch.rand(4, 2, generator=random, dtype=torch.float64))


def leaves_of(ellipsoids: Ellipsoids, *more: Tensor) -> list[Tensor]:
    """Means, scales, quats, density and whatever else, as leaves that want gradients."""
    own = (ellipsoids.means, ellipsoids.scales, ellipsoids.quats, ellipsoids.density)
    return [tensor.detach().clone().requires_grad_() for tensor in (*own, *more)]


def dense(weight: Tensor, index: Tensor, offsets: Tensor, count: int) -> Tensor:
    """W (P, N) of compressed rows."""
    ray = torch.repeat_interleave(offsets.diff())
    return weight.new_zeros(len(offsets) - 1, count).index_put((ray, index.long()), weight)


# ---- One ray, one ellipsoid ------------------------------------------------------------------


def test_ball_beside_the_ray():
    """sigma 0.5, passed at a distance of 1: the density there is exp(-1 / (2 sigma^2)) of the center's."""
    one = torch.ones(3, dtype=torch.float64)
    depth, q, width = reference.intersect(
        torch.tensor([1.0, 0.0, 3.0]).double(), 0.5 * one, torch.tensor([1.0, 0, 0, 0]).double(), 0 * one,
        torch.tensor([0.0, 0.0, 1.0]).double(),
    )  # fmt: skip
    assert (depth.item(), q.item(), width.item()) == pytest.approx((3.0, -2.0, 0.5))


def test_pair_is_the_gaussian_along_the_ray():
    """q - (t - l)^2 / (2 s^2) is the exponent of the 3D Gaussian at o + t d, for every t (eqs. 5 and 6)."""
    scene, rays = random_ellipsoids(20), random_rays(20)
    depth, q, width = reference.intersect(scene.means, scene.scales, scene.quats, rays.origins, rays.directions)
    for t in (0.0, 3.0, 4.5):
        offset = rays.origins + t * rays.directions - scene.means
        exponent = -0.5 * (offset[:, None] @ torch.linalg.inv(scene.covariances) @ offset[..., None]).flatten()
        torch.testing.assert_close(q - 0.5 * ((t - depth) / width).square(), exponent, rtol=1e-9, atol=1e-9)


def test_pair_of_a_direction_that_is_not_of_unit_length_counts_in_its_length():
    scene, rays = random_ellipsoids(20), random_rays(20)
    pair = (scene.means, scene.scales, scene.quats, rays.origins)
    depth, q, width = reference.intersect(*pair, rays.directions)
    long_depth, long_q, long_width = reference.intersect(*pair, 2.5 * rays.directions)
    torch.testing.assert_close((2.5 * long_depth, long_q, 2.5 * long_width), (depth, q, width))


def test_pair_does_not_depend_on_length_and_sign_of_the_quaternion():
    scene, rays = random_ellipsoids(20), random_rays(20)
    ours = reference.intersect(scene.means, scene.scales, scene.quats, rays.origins, rays.directions)
    same = reference.intersect(scene.means, scene.scales, -3 * scene.quats, rays.origins, rays.directions)
    torch.testing.assert_close(ours, same)


def test_pairs_broadcast():
    scene, rays = random_ellipsoids(5), random_rays(7)
    table = reference.intersect(scene.means, scene.scales, scene.quats, rays.origins[:, None], rays.directions[:, None])
    assert all(part.shape == (7, 5) for part in table)
    one = reference.intersect(scene.means[3], scene.scales[3], scene.quats[3], rays.origins[2], rays.directions[2])
    torch.testing.assert_close(tuple(part[2, 3] for part in table), one)


def test_gradients_of_a_pair_agree_with_finite_differences():
    scene, rays = random_ellipsoids(3), random_rays(3)
    inputs = leaves_of(scene, rays.origins, 1.3 * rays.directions)
    assert gradcheck(lambda m, s, r, x, o, d: reference.intersect(m, s, r, o, d), inputs)


# Median error of q at a distance of 3, pairs of 0 to 3
# standard deviations. Measured 2.4e-7, 2.1e-6, 2.0e-5, 2.1e-4, then 3.9e-7, 3.7e-6, 3.7e-6, 3.6e-5: as the
# distance over the scale. The bounds are 2 to 3 times that.
@pytest.mark.parametrize(
    ("scale", "flatness", "bound"),
    [(1e-1, 1, 5e-7), (1e-2, 1, 5e-6), (1e-3, 1, 5e-5), (1e-4, 1, 5e-4),
     (1e-1, 1e-2, 1e-6), (1e-2, 1e-2, 1e-5), (1e-2, 1e-3, 1e-5), (1e-3, 1e-3, 1e-4)],
)  # fmt: skip
def test_error_of_float32_pairs(scale: float, flatness: float, bound: float):
    random = torch.Generator().manual_seed(0)
    count = 20_000
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=random, dtype=torch.float64), dim=-1)
    scales = scale * torch.tensor([1.0, 1.0, flatness], dtype=torch.float64).expand(count, 3)
    quats = torch.randn(count, 4, generator=random, dtype=torch.float64)
    inside = torch.randn(count, 3, generator=random, dtype=torch.float64) * scales
    means = 3 * direction - (quats_to_matrices(quats) @ inside[..., None]).squeeze(-1)
    single = [tensor.float() for tensor in (means, scales, quats, torch.zeros(count, 3), direction)]
    _, q, _ = reference.intersect(*single)
    _, exact, _ = reference.intersect(*(tensor.double() for tensor in single))
    assert (q.double() - exact).abs().median() < bound


# ---- Which ellipsoids a ray meets ------------------------------------------------------------


def met(index: Tensor, count: int) -> Tensor:
    """(R, N) booleans of a padded index."""
    ray = (index >= 0).nonzero()[:, 0]
    return torch.zeros(len(index), count, dtype=torch.bool).index_put((ray, index[index >= 0]), torch.tensor(True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0])
def test_selection_is_every_pair_of_enough_density_between_near_and_far(dtype: torch.dtype, size: float):
    scene, rays = random_ellipsoids(300, size, dtype), random_rays(100, dtype)
    scene.means[:100, 2] -= 4  # beside and behind the rays' origins
    settings = RenderSettings(near=0.5, far=4.2)
    index, truncated = reference.select(scene, rays.origins, rays.directions, settings)
    depth, q, _ = reference.intersect(
        scene.means, scene.scales, scene.quats, rays.origins[:, None], rays.directions[:, None]
    )
    expected = (scene.density * q.exp() >= settings.eta) & (depth > 0.5) & (depth < 4.2)
    assert (met(index, 300) == expected).all()
    assert expected.any() or size < 1e-2
    assert truncated.item() == 0


def test_selection_is_nearest_first_then_minus_one():
    scene, rays = random_ellipsoids(100), random_rays(50)
    index, _ = reference.select(scene, rays.origins, rays.directions, RenderSettings())
    chosen = index.clamp_min(0)
    depth, _, _ = reference.intersect(
        scene.means[chosen], scene.scales[chosen], scene.quats[chosen], rays.origins[:, None], rays.directions[:, None]
    )
    depth = torch.where(index >= 0, depth, math.inf)
    assert (depth.diff(dim=-1).nan_to_num(0) >= 0).all()
    assert index.dtype == torch.int64


def test_limit_keeps_the_nearest_and_counts_the_rest():
    scene, rays = random_ellipsoids(100, size=0.3), random_rays(50)
    every, none_left_out = reference.select(scene, rays.origins, rays.directions, RenderSettings())
    nearest, truncated = reference.select(scene, rays.origins, rays.directions, RenderSettings(max_per_ray=4))
    assert torch.equal(nearest, every[:, :4])
    assert none_left_out.item() == 0
    assert truncated.item() == (every[:, 4:] >= 0).sum().item() > 0


def test_ellipsoid_behind_the_origin_is_not_seen():
    ball = random_ellipsoids(1)
    behind = Rays(ball.means + torch.tensor([0, 0, 2.0]), torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64))
    index, _ = reference.select(ball, behind.origins, behind.directions, RenderSettings())
    assert (index == -1).all()


def test_ellipsoids_without_density_are_not_seen():
    scene, rays = random_ellipsoids(10, size=1.0), random_rays(10)
    scene.density[:] = torch.tensor([0.0, 1e-3] * 5)
    index, _ = reference.select(scene, rays.origins, rays.directions, RenderSettings())
    assert (index == -1).all()


# ---- W and pictures --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_compressed_rows_hold_the_selection_with_its_weights(mode: Aggregation):
    scene, rays, settings = random_ellipsoids(60), random_rays(40), RenderSettings(aggregation=mode)
    weight, depth, transmittance, index, offsets, _ = reference.trace_rays(scene, rays, settings)
    chosen, _ = reference.select(scene, rays.origins, rays.directions, settings)
    assert index.dtype == torch.int32
    assert offsets.dtype == torch.int64
    for ray in range(40):
        row = slice(offsets[ray], offsets[ray + 1])
        expected = chosen[ray][chosen[ray] >= 0]
        assert torch.equal(index[row].long(), expected)
        pair = (scene.means[expected], scene.scales[expected], scene.quats[expected])
        far, q, width = reference.intersect(*pair, rays.origins[ray], rays.directions[ray])
        x = scene.density[expected] * q.exp()
        weights, passed = reference.aggregate(far[None], x[None], width[None], settings)
        torch.testing.assert_close((weight[row], depth[row]), (weights[0], far))
        torch.testing.assert_close(transmittance[ray], passed[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_and_transmittance_of_a_ray_sum_to_one(dtype: torch.dtype):
    scene, rays = random_ellipsoids(200, dtype=dtype), random_rays(100, dtype)
    weight, _, transmittance, index, offsets, _ = reference.trace_rays(scene, rays, RenderSettings())
    assert offsets[-1] > 300
    total = dense(weight, index, offsets, 200).double().sum(-1) + transmittance
    assert (total - 1).abs().max() < 1e-6


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_picture_is_w_times_features(mode: Aggregation):
    scene, rays, settings = random_ellipsoids(60), random_rays(40), RenderSettings(aggregation=mode)
    weight, depth, transmittance, index, offsets, _ = reference.trace_rays(scene, rays, settings)
    image, alpha, expected_depth = reference.render_rays(scene, scene.features, rays, settings)
    torch.testing.assert_close(image, dense(weight, index, offsets, 60) @ scene.features)
    torch.testing.assert_close(alpha, 1 - transmittance)
    torch.testing.assert_close(expected_depth, dense(weight * depth, index, offsets, 60).sum(-1))


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_chunks_change_neither_picture_nor_gradients(mode: Aggregation, monkeypatch: pytest.MonkeyPatch):
    scene, rays = random_ellipsoids(30), random_rays(40)

    def run() -> list[Tensor]:
        leaves = leaves_of(scene, scene.features, rays.origins, rays.directions)
        *parts, features, origins, directions = leaves
        scene_, rays_ = Ellipsoids(*parts), Rays(origins, directions)
        settings = RenderSettings(aggregation=mode)
        traced = reference.trace_rays(scene_, rays_, settings)
        rendered = reference.render_rays(scene_, features, rays_, settings)
        loss = sum(out.square().sum() for out in (*traced[:3], *rendered))
        return [*traced, *rendered, *torch.autograd.grad(loss, leaves)]

    whole = run()
    monkeypatch.setattr(reference, "PAIRS_PER_CHUNK", 30 * 7)
    torch.testing.assert_close(run(), whole)


def test_rays_keep_their_shape():
    scene, rays = random_ellipsoids(10), random_rays(24)
    shaped = Rays(rays.origins.reshape(2, 3, 4, 3), rays.directions.reshape(2, 3, 4, 3))
    image, alpha, depth = reference.render_rays(scene, scene.features, shaped, RenderSettings())
    assert (image.shape, alpha.shape, depth.shape) == ((2, 3, 4, 3), (2, 3, 4), (2, 3, 4))
    flat, _, _ = reference.render_rays(scene, scene.features, rays, RenderSettings())
    torch.testing.assert_close(image.reshape(24, 3), flat)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize(("count", "rays", "channels"), [(0, 5, 3), (4, 5, 0), (4, 0, 3), (0, 0, 0), (1, 1, 1)])
def test_nothing_is_a_scene_too(mode: Aggregation, count: int, rays: int, channels: int):
    scene, settings = random_ellipsoids(count), RenderSettings(aggregation=mode)
    features = torch.zeros(count, channels, dtype=torch.float64)
    image, alpha, depth = reference.render_rays(scene, features, random_rays(rays), settings)
    assert (image.shape, alpha.shape, depth.shape) == ((rays, channels), (rays,), (rays,))
    weight, depth, transmittance, index, offsets, truncated = reference.trace_rays(scene, random_rays(rays), settings)
    assert len(weight) == len(depth) == len(index) == offsets[-1]
    assert len(transmittance) == len(offsets) - 1 == rays
    assert truncated.shape == ()


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_rays_that_meet_nothing_are_black_and_give_zero_gradients(mode: Aggregation):
    leaves = leaves_of(random_ellipsoids(5))
    rays = random_rays(6)
    away = Rays(rays.origins, -rays.directions)
    scene = Ellipsoids(*leaves)
    image, alpha, depth = reference.render_rays(scene, leaves[0], away, RenderSettings(aggregation=mode))
    assert not image.any()
    assert not alpha.any()
    assert not depth.any()
    gradients = torch.autograd.grad((image.sum() + alpha.sum() + depth.sum()), leaves)
    assert not any(gradient.any() for gradient in gradients)


def test_moving_scene_and_rays_together_changes_only_depth():
    """By a similarity: depth grows with its scale."""
    scene, rays = random_ellipsoids(30, seed=3), random_rays(40)
    rotation = quats_to_matrices(torch.tensor([0.3, -0.5, 0.7, 0.2], dtype=torch.float64))
    shift = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = 2.5 * rotation, shift
    moved_rays = Rays(2.5 * rays.origins @ rotation.mT + shift, rays.directions @ rotation.mT)
    image, alpha, depth = reference.render_rays(scene, scene.features, rays, RenderSettings())
    moved = reference.render_rays(scene.transform(matrix), scene.features, moved_rays, RenderSettings())
    torch.testing.assert_close(moved, (image, alpha, 2.5 * depth))


def test_gather_and_scatter_are_w_and_its_transpose():
    scene, rays = random_ellipsoids(60), random_rays(40)
    weight, _, _, index, offsets, _ = reference.trace_rays(scene, rays, RenderSettings())
    matrix = dense(weight, index, offsets, 60)
    attributes, image = scene.features, torch.rand(40, 2, dtype=torch.float64)
    torch.testing.assert_close(reference.gather(weight, attributes, index, offsets), matrix @ attributes)
    torch.testing.assert_close(reference.scatter(weight, image, index, offsets, 60), matrix.mT @ image)


def test_gather_and_scatter_gradients_agree_with_finite_differences():
    index, offsets = torch.tensor([0, 2, 1], dtype=torch.int32), torch.tensor([0, 2, 2, 3])
    weight, values = (torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in ((3,), (3, 2)))
    assert gradcheck(lambda w, a: reference.gather(w, a, index, offsets), (weight, values))
    assert gradcheck(lambda w, i: reference.scatter(w, i, index, offsets, 4), (weight, values))


# ---- Gradients -------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_gradients_of_w_agree_with_finite_differences(mode: Aggregation):
    scene, rays = small_scene(), random_rays(2)
    inputs = leaves_of(scene, rays.origins, rays.directions)

    def trace(*leaves: Tensor) -> tuple[Tensor, ...]:
        traced = reference.trace_rays(Ellipsoids(*leaves[:4]), Rays(*leaves[4:]), SMOOTH[mode])
        assert len(traced[0]) == 8  # every ray meets all four
        return traced[:3]

    assert gradcheck(trace, inputs)


@pytest.mark.parametrize("mode", AGGREGATIONS)
def test_gradients_of_pictures_agree_with_finite_differences(mode: Aggregation):
    scene, rays = small_scene(), random_rays(2)
    inputs = leaves_of(scene, scene.features, rays.origins, rays.directions)

    def render(*leaves: Tensor) -> tuple[Tensor, ...]:
        return reference.render_rays(Ellipsoids(*leaves[:4]), leaves[4], Rays(*leaves[5:]), SMOOTH[mode])

    assert gradcheck(render, inputs)


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("model", list(CameraModel), ids=[model.value for model in CameraModel])
def test_gradients_to_pose_and_intrinsics_agree_with_finite_differences(mode: Aggregation, model: CameraModel):
    """Through the whole pipeline: twelve entries of the pose, fx, fy, cx, cy and skew, and the lens."""
    scene = small_scene()
    view = look_at(torch.tensor([0.5, -0.3, -4.0]), torch.zeros(3), torch.tensor([0.0, -1.0, 0.0])).double()
    bottom = view[3:]
    entries = torch.tensor([6.0, 5.5, 1.6, 1.4, 0.2], dtype=torch.float64)
    lens = torch.tensor([[0.05, -0.02, 0.01, 0.02]], dtype=torch.float64)
    bent = model in (CameraModel.opencv, CameraModel.fisheye)

    def render(pose: Tensor, entries: Tensor, lens: Tensor) -> tuple[Tensor, ...]:
        fx, fy, cx, cy, skew = entries
        zero, one = torch.zeros_like(fx), torch.ones_like(fx)
        K = torch.stack([fx, skew, cx, zero, fy, cy, zero, zero, one]).reshape(1, 3, 3)
        cameras = Cameras(torch.cat([pose, bottom])[None], K, 3, 3, model, lens if bent else None)
        return reference.render_rays(scene, scene.features, cameras.rays(), SMOOTH[mode])

    assert gradcheck(render, (view[:3].clone().requires_grad_(), entries.requires_grad_(), lens.requires_grad_(bent)))


EXTREMES: dict[str, Callable[[Ellipsoids], object]] = {
    "flat": lambda e: e.scales[:, 2].mul_(1e-3),
    "needles": lambda e: e.scales[:, :2].mul_(1e-3),
    "tiny": lambda e: e.scales.mul_(1e-3),
    "huge": lambda e: e.scales.mul_(1e4),
    "opaque": lambda e: e.density.fill_(100),
    "coincident": lambda e: e.means.copy_(e.means[:1].expand_as(e.means)),
    "identical": lambda e: [t.copy_(t[:1].expand_as(t)) for t in (e.means, e.scales, e.quats, e.density)],
    "behind the camera": lambda e: e.means[:, 2].sub_(10),
    "around the camera": lambda e: [e.means[:, 2].sub_(4), e.scales.mul_(10)],
}


@pytest.mark.parametrize("mode", AGGREGATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("extreme", EXTREMES)
def test_gradients_are_finite_for_extreme_ellipsoids(mode: Aggregation, dtype: torch.dtype, extreme: str):
    scene = random_ellipsoids(40, dtype=dtype)
    EXTREMES[extreme](scene)
    # Through the centers, so that the thinnest are met, too.
    targets = scene.means + torch.tensor([0, 0, 10.0], dtype=dtype) if "behind" in extreme else scene.means
    origins = torch.tensor([0.05, 0.1, -4.0], dtype=dtype).expand(40, 3)
    inputs = leaves_of(scene, scene.features, origins, torch.nn.functional.normalize(targets - origins, dim=-1))
    image, alpha, depth = reference.render_rays(
        Ellipsoids(*inputs[:4]), inputs[4], Rays(*inputs[5:]), RenderSettings(aggregation=mode)
    )
    assert bool(alpha.any()) is ("behind" not in extreme)
    gradients = torch.autograd.grad((image.square().sum() + alpha.square().sum() + depth.sum()), inputs)
    assert all(values.isfinite().all() for values in (image, alpha, depth, *gradients))


# ---- The original, recorded ------------------------------------------------------------------


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    """Input and output of the original CUDA renderer: 50 anisotropic ellipsoids, 64 x 64 pixels, K' = 20."""
    if not RECORDED.exists():
        pytest.skip(f"{RECORDED} is for the developers only and not here")
    return dict(np.load(RECORDED))


def recorded_scene(recorded: dict[str, np.ndarray]) -> tuple[Ellipsoids, Cameras]:
    """In our conventions: covariance S^-1 / 4; row vectors and x left, y up become columns and x right, y down."""
    double = {name: torch.tensor(values).double() for name, values in recorded.items() if values.dtype == np.float32}
    spread, axes = torch.linalg.eigh(torch.linalg.inv(double["voge_sigmas"]).div(4))
    axes = axes * torch.linalg.det(axes).sign()[:, None, None]
    scene = Ellipsoids(double["means"], spread.sqrt(), matrices_to_quats(axes), torch.ones(50, dtype=torch.float64))
    flip = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    view = torch.eye(4, dtype=torch.float64)
    view[:3, :3], view[:3, 3] = flip[:, None] * double["R"].mT, flip * double["T"]
    K = intrinsics(64, 64, focal=double["focal"].item()).double()
    K[:2, 2] = double["principal_xy"]
    return scene, Cameras(view[None], K[None], 64, 64)


def padded(values: Tensor, offsets: Tensor, fill: float) -> Tensor:
    """Compressed rows as the original's (P, 20)."""
    ray = torch.repeat_interleave(offsets.diff())
    rank = torch.arange(len(values)) - offsets[ray]
    return values.new_full((len(offsets) - 1, 20), fill).index_put((ray, rank), values)


def test_paper_meets_the_ellipsoids_that_the_original_met(recorded: dict[str, np.ndarray]):
    scene, cameras = recorded_scene(recorded)
    *_, index, offsets, _ = reference.trace_rays(scene, cameras.rays(), RenderSettings(aggregation=Aggregation.paper))
    ours = padded(index, offsets, -1).numpy()
    assert (ours == recorded["vert_index"].reshape(-1, 20)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_paper_times_e_to_the_half_has_the_weights_of_the_original(recorded: dict[str, np.ndarray], dtype: torch.dtype):
    scene, cameras = recorded_scene(recorded)
    settings = RenderSettings(aggregation=Aggregation.paper)
    weight, depth, _, _, offsets, _ = reference.trace_rays(scene.to(dtype), cameras.to(dtype).rays(), settings)
    ours = padded(weight * math.exp(0.5), offsets, 0).numpy()
    # The original's own float32 error: measured 1.8e-4, whatever our dtype.
    np.testing.assert_allclose(ours, recorded["vert_weight"].reshape(-1, 20), atol=1e-3, rtol=0)
    np.testing.assert_allclose(
        padded(depth, offsets, 1e10).numpy(), recorded["vert_hit_length"].reshape(-1, 20), rtol=1e-5
    )


def test_gradients_of_paper_are_those_of_the_original(recorded: dict[str, np.ndarray]):
    """The recorded gradient to S, symmetric part, is carried on to scales and quats: six numbers for six."""
    scene, cameras = recorded_scene(recorded)
    leaves = leaves_of(scene)
    settings = RenderSettings(aggregation=Aggregation.paper)
    weight, _, _, _, offsets, _ = reference.trace_rays(Ellipsoids(*leaves), cameras.rays(), settings)
    factor = torch.tensor(np.random.RandomState(int(recorded["w_seed"])).rand(64 * 64, 20).astype(np.float32))
    loss = (padded(weight * math.exp(0.5), offsets, 0) * factor).sum()
    by_means, by_scales, by_quats = torch.autograd.grad(loss, leaves[:3])

    by_S = torch.tensor(recorded["grad_voge_sigmas"]).double()
    scales, quats = leaves[1:3]
    axes = quats_to_matrices(quats)
    S = (axes / scales[:, None].square()) @ axes.mT / 4
    expected = torch.autograd.grad(((by_S + by_S.mT) / 2 * S).sum(), (scales, quats))

    def error(ours: Tensor, theirs: Tensor) -> float:
        return ((ours - theirs).norm() / theirs.norm()).item()

    # Measured 9e-5, 3e-4, 3e-4: the original's float32.
    assert error(by_means, torch.tensor(recorded["grad_means"]).double()) < 1e-3
    assert error(by_scales, expected[0]) < 1e-3
    assert error(by_quats, expected[1]) < 1e-3
