"""Pictures and fragments: facts that hold on every backend, and agreement of each with the definition."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from scenes import HOSTILE, cameras, centered_camera, hostile_ellipsoids, random_ellipsoids, random_like
from torch import Tensor

import voge
from voge.rendering import arguments, compiled_fragments, compiled_pictures, ops
from voge.rendering.settings import Aggregation, Backend

AGGREGATIONS = list(Aggregation)
NAMES = ("means", "scales", "quats", "density", "features", "viewmats", "Ks")


def settings(backend: Backend, aggregation: str = "exact", **changes: float) -> voge.RenderSettings:
    """Without the early stop, which is the one thing that compiled code may do otherwise."""
    chosen = {"stop_transmittance": 0.0, "min_density": 0.01, **changes}
    return voge.RenderSettings(aggregation=Aggregation(aggregation), backend=backend, **chosen)  # type: ignore[arg-type]


def leaves(e: voge.Ellipsoids, c: voge.Cameras) -> list[Tensor]:
    tensors = (e.means, e.scales, e.quats, e.density, e.features, c.viewmats, c.Ks)
    return [t.detach().clone().requires_grad_() for t in tensors]  # type: ignore[union-attr]


def rendered(parameters: list[Tensor], like: voge.Cameras, s: voge.RenderSettings) -> tuple[Tensor, Tensor, Tensor]:
    out = voge.render(voge.Ellipsoids(*parameters[:5]), replace(like, viewmats=parameters[5], Ks=parameters[6]), s)
    return out.image, out.alpha, out.depth


def with_gradients(e: voge.Ellipsoids, c: voge.Cameras, s: voge.RenderSettings) -> tuple[list[Tensor], list[Tensor]]:
    parameters = leaves(e, c)
    outputs = rendered(parameters, c, s)
    torch.autograd.backward(outputs, [random_like(o, seed) for seed, o in enumerate(outputs)])
    return [o.detach() for o in outputs], [p.grad for p in parameters]  # type: ignore[misc]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp_min(1e-30))


# ---------------------------------------------------------------------------------------------
# Known answers


def test_one_ellipsoid_stops_one_minus_exp_minus_density(backend):
    for density in (0.1, 1.0, 4.0):
        e = voge.Ellipsoids(
            *(torch.tensor(values, dtype=torch.float64) for values in (
                [[0.0, 0.0, 0.0]], [[0.1, 0.3, 0.7]], [[0.3, 0.1, -0.5, 0.8]], [density], [[1.0, 0.5, 0.0]],
            ))
        )  # fmt: skip
        out = voge.render(e, centered_camera(), settings(backend))
        expected = 1 - math.exp(-density)
        assert out.alpha[0, 16, 16].item() == pytest.approx(expected, abs=1e-12)
        assert out.image[0, 16, 16].tolist() == pytest.approx([expected, expected / 2, 0], abs=1e-12)
        assert out.depth[0, 16, 16].item() == pytest.approx(3 * expected, abs=1e-12)


def test_an_orthographic_camera_sees_the_same_size_at_any_distance(backend):
    e = random_ellipsoids(20)
    near = cameras(24, 20, model="orthographic")
    far = replace(
        near, viewmats=near.viewmats + torch.eye(4, dtype=torch.float64)[2, :, None] * torch.tensor([0, 0, 0, 2.0])
    )
    a, b = voge.render(e, near, settings(backend)), voge.render(e, far, settings(backend))
    torch.testing.assert_close(a.image, b.image, atol=1e-12, rtol=0)
    torch.testing.assert_close(a.depth + 2 * a.alpha, b.depth, atol=1e-12, rtol=0)


def test_what_lies_behind_the_camera_is_not_seen(backend):
    out = voge.render(hostile_ellipsoids("behind"), centered_camera(), settings(backend))
    assert out.alpha.abs().max() == 0


def test_near_and_far_cut_ellipsoids_by_their_depth(backend):
    e = random_ellipsoids(2)
    e = replace(e, means=torch.tensor([[0, 0, 1.0], [0, 0, -1.0]], dtype=torch.float64), scales=e.scales * 0 + 0.1)
    c = centered_camera()
    alpha = [voge.render(e[k : k + 1], c, settings(backend)).alpha for k in range(2)]
    torch.testing.assert_close(voge.render(e, c, settings(backend, near=3.0)).alpha, alpha[1])
    torch.testing.assert_close(voge.render(e, c, settings(backend, far=3.0)).alpha, alpha[0])


def test_touching_objects_swap_smoothly_where_sorted_alpha_jumps(backend):
    """Overlap is integrated: moving one ellipsoid through another changes the pixel continuously."""
    base = random_ellipsoids(2)
    e = replace(base, scales=base.scales * 0 + 0.2, density=base.density * 0 + 3, means=base.means * 0)

    def color(z: float, aggregation: str) -> float:
        moved = replace(e, means=torch.tensor([[0, 0, 0], [0, 0, z]], dtype=torch.float64))
        return voge.render(moved, centered_camera(1), settings(backend, aggregation)).image[0, 0, 0, 0].item()

    assert abs(color(1e-4, "exact") - color(-1e-4, "exact")) < 1e-3
    assert abs(color(1e-4, "sorted") - color(-1e-4, "sorted")) > 0.1


# ---------------------------------------------------------------------------------------------
# Sizes and edges


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (8, 8), (9, 17), (64, 2)])
def test_images_of_any_size(backend, width, height):
    e = random_ellipsoids(30)
    out = voge.render(e, cameras(width, height, views=2), settings(backend))
    assert out.image.shape == (2, height, width, 3)
    assert out.alpha.shape == out.depth.shape == (2, height, width)
    assert out.image.isfinite().all()


def test_an_empty_set_renders_black(backend):
    e = random_ellipsoids(5)[:0]
    _, gradients = with_gradients(e, cameras(9, 5), settings(backend))
    out = voge.render(e, cameras(9, 5), settings(backend))
    assert out.alpha.abs().max() == 0
    assert [g.shape for g in gradients[:5]] == [(0, 3), (0, 3), (0, 4), (0,), (0, 3)]


def test_without_features_alpha_and_depth_remain(backend):
    e = random_ellipsoids(10)
    bare = voge.render(replace(e, features=None), cameras(9, 5), settings(backend))
    full = voge.render(e, cameras(9, 5), settings(backend))
    assert bare.image.shape == (1, 5, 9, 0)
    torch.testing.assert_close(bare.alpha, full.alpha)
    torch.testing.assert_close(bare.depth, full.depth)


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_losses_of_one_picture_alone_have_their_share_of_the_gradient(backend, channels):
    """Pictures that no loss looks at have no gradient: what stands for it must be zero."""
    e, c = random_ellipsoids(20, channels=channels), cameras(9, 7)
    e = replace(e, means=e.means.clone().requires_grad_())
    made = voge.render(e, c, settings(backend))
    pictures = (made.image, made.alpha, made.depth)
    losses = [(picture * random_like(picture, seed)).sum() for seed, picture in enumerate(pictures)]
    alone = [torch.autograd.grad(loss, e.means, retain_graph=True)[0] for loss in losses]
    torch.testing.assert_close(sum(alone), torch.autograd.grad(sum(losses), e.means)[0], rtol=1e-9, atol=1e-12)


def test_a_batch_of_views_is_each_view(backend):
    e, c = random_ellipsoids(60), cameras(19, 13, views=3, azimuth=20)
    batch = voge.render(e, c, settings(backend))
    for view in range(3):
        single = voge.render(e, c[view], settings(backend))
        torch.testing.assert_close(batch.image[view], single.image[0], atol=1e-14, rtol=0)
        torch.testing.assert_close(batch.depth[view], single.depth[0], atol=1e-13, rtol=0)


def test_objects_put_together_render_as_one_set_in_any_order(backend):
    a, b = random_ellipsoids(20, seed=1), random_ellipsoids(15, seed=2)
    one, other = (voge.render(voge.cat(sets), cameras(12, 12), settings(backend)) for sets in ([a, b], [b, a]))
    torch.testing.assert_close(one.image, other.image, atol=1e-12, rtol=0)


# ---------------------------------------------------------------------------------------------
# Fragments: W and its transpose


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_pictures_are_weights_times_features(backend, aggregation):
    e, c = random_ellipsoids(40), cameras(14, 10, views=2, azimuth=20)
    s = settings(backend, aggregation)
    fragments, out = voge.trace(e, c, s), voge.render(e, c, s)
    torch.testing.assert_close(fragments.interpolate(e.features), out.image, atol=1e-12, rtol=0)
    torch.testing.assert_close(fragments.alpha, out.alpha, atol=1e-12, rtol=0)


def test_weights_and_what_passes_add_up_to_one(backend):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        fragments = voge.trace(random_ellipsoids(80, dtype=dtype), cameras(16, 16, dtype=dtype), settings(backend))
        total = fragments.interpolate(torch.ones(80, 1, dtype=dtype)).squeeze(-1)
        assert (total - fragments.alpha).abs().max() < tolerance


def test_fragments_are_nearest_first(backend):
    f = voge.trace(random_ellipsoids(40), cameras(14, 10), settings(backend))
    rows = torch.repeat_interleave(torch.arange(len(f.offsets) - 1), f.offsets.diff())
    same_ray = rows[1:] == rows[:-1]
    assert (f.depth.diff()[same_ray] >= 0).all()


def test_sampling_is_the_transpose_of_interpolating(backend):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        f = voge.trace(random_ellipsoids(50, dtype=dtype), cameras(14, 10, 2, dtype), settings(backend))
        attributes, image = (
            random_like(torch.empty(50, 5, dtype=dtype)),
            random_like(torch.empty(2, 10, 14, 5, dtype=dtype), 2),
        )
        sums, ones = f.sample(image)
        left, right = (f.interpolate(attributes) * image).sum(), (attributes * sums).sum()
        assert abs(left - right) <= tolerance * abs(left)
        torch.testing.assert_close(ones, f.sample(torch.ones_like(image))[0][:, 0])


def test_fragments_carry_gradients_to_weights_attributes_and_images(backend):
    e, c = random_ellipsoids(4, seed=3), cameras(3, 2)

    def sampled(means: Tensor, attributes: Tensor, image: Tensor) -> tuple[Tensor, ...]:
        f = voge.trace(replace(e, means=means), c, settings(backend))
        return f.interpolate(attributes), *f.sample(image), f.depth, f.alpha

    inputs = [
        e.means,
        random_like(torch.empty(4, 2, dtype=torch.float64)),
        random_like(torch.empty(1, 2, 3, 2, dtype=torch.float64)),
    ]
    assert torch.autograd.gradcheck(sampled, [i.clone().requires_grad_() for i in inputs], atol=1e-7)


def test_losses_of_one_part_of_fragments_alone_have_their_share_of_the_gradient(backend):
    e, c = random_ellipsoids(20), cameras(9, 7)
    means = e.means.clone().requires_grad_()
    f = voge.trace(replace(e, means=means), c, settings(backend))
    losses = [(part * random_like(part, seed)).sum() for seed, part in enumerate((f.weight, f.depth, f.transmittance))]
    alone = [torch.autograd.grad(loss, means, retain_graph=True)[0] for loss in losses]
    torch.testing.assert_close(sum(alone), torch.autograd.grad(sum(losses), means)[0], rtol=1e-9, atol=1e-12)


def test_any_rays_give_what_the_camera_gives(backend):
    e, c = random_ellipsoids(40), cameras(14, 10, azimuth=20)
    rays = c.rays()
    order = torch.randperm(140, generator=torch.Generator(torch.get_default_device()).manual_seed(0))
    loose = voge.Rays(rays.origins.reshape(-1, 3)[order], rays.directions.reshape(-1, 3)[order])
    image = voge.trace(e, c, settings(backend)).interpolate(e.features).reshape(-1, 3)
    torch.testing.assert_close(
        voge.trace(e, loose, settings(backend)).interpolate(e.features), image[order], atol=1e-12, rtol=0
    )


def test_the_limit_keeps_the_nearest_and_counts_the_rest(backend):
    e, c = random_ellipsoids(60), cameras(10, 10)
    everything, nearest = (voge.trace(e, c, settings(backend, max_per_ray=k)) for k in (0, 4))
    counts = everything.offsets.diff()
    assert nearest.truncated == (counts - 4).clamp_min(0).sum()
    assert everything.truncated == 0
    assert torch.equal(nearest.offsets.diff(), counts.clamp_max(4))
    for ray in range(100):
        start, kept = everything.offsets[ray], nearest.offsets[ray : ray + 2]
        assert torch.equal(nearest.index[kept[0] : kept[1]], everything.index[start : start + kept[1] - kept[0]])


# ---------------------------------------------------------------------------------------------
# Gradients


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_gradients_of_every_input_are_right(backend, aggregation):
    """Double precision, against finite differences: pose, focal lengths, principal point and skew included."""
    e, c = random_ellipsoids(5, seed=11), cameras(4, 3, azimuth=20)
    s = settings(backend, aggregation, min_density=1e-6)
    assert torch.autograd.gradcheck(lambda *p: rendered(list(p), c, s), leaves(e, c), atol=1e-6, eps=1e-6)


def test_gradients_of_an_orthographic_camera_are_right(backend):
    e, c = random_ellipsoids(4, seed=11), cameras(3, 3, azimuth=20, model="orthographic")
    s = settings(backend, min_density=1e-6)
    assert torch.autograd.gradcheck(lambda *p: rendered(list(p), c, s), leaves(e, c), atol=1e-6)


@pytest.mark.parametrize("boxes", [1, 3, 4])
def test_gradients_with_other_numbers_of_boxes_are_right(backend, boxes):
    e, c = random_ellipsoids(4, seed=11), cameras(3, 2, azimuth=20)
    s = settings(backend, boxes=boxes, min_density=1e-6)
    assert torch.autograd.gradcheck(lambda *p: rendered(list(p), c, s), leaves(e, c), atol=1e-6)


def test_hidden_ellipsoids_keep_their_gradient_in_float32(backend):
    """Behind optical depth 20 light is 2e-9; suffix sums keep the gradient to five digits (docs/mathematics.md, 4)."""
    front = replace(random_ellipsoids(8, seed=1), density=torch.full((8,), 2.5, dtype=torch.float64))
    front = replace(front, means=front.means * torch.tensor([0.0, 0.0, 0.3], dtype=torch.float64))
    hidden = replace(random_ellipsoids(4, seed=2), density=torch.ones(4, dtype=torch.float64))
    hidden = replace(hidden, means=hidden.means * 0.2 - torch.tensor([0.0, 0.0, 2.0], dtype=torch.float64))
    e = voge.cat([front, hidden])
    gradients = {}
    for dtype in (torch.float64, torch.float32):
        _, g = with_gradients(e.to(dtype), centered_camera(3, dtype), settings(backend, min_density=1e-6))
        gradients[dtype] = g[0][8:].double()
    assert gradients[torch.float64].abs().max() < 1e-6, "the scene does not hide them"
    assert relative(gradients[torch.float32], gradients[torch.float64]) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_scenes_stay_finite(backend, kind, dtype):
    for aggregation in AGGREGATIONS:
        outputs, gradients = with_gradients(
            hostile_ellipsoids(kind, dtype), centered_camera(17, dtype), settings(backend, aggregation)
        )
        for name, tensor in zip(("image", "alpha", "depth", *NAMES), outputs + gradients, strict=True):
            assert tensor.isfinite().all(), f"{name} in {aggregation}"
        if kind != "behind":
            assert gradients[0].abs().max() > 0, "nothing of the scene is seen"


# ---------------------------------------------------------------------------------------------
# Agreement with the definition

# Measured over these scenes: 2e-14 in double; in float 2e-6 for pictures, 3e-6 for gradients of random scenes.
TOLERANCE = {torch.float64: (1e-11, 1e-10), torch.float32: (1e-5, 1e-4)}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", ["pinhole", "orthographic"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_compiled_code_agrees_with_the_definition(compiled_backend, aggregation, model, dtype):
    e, c = random_ellipsoids(150, dtype=dtype), cameras(37, 22, 2, dtype, model, azimuth=20)
    compare(e, c, settings(compiled_backend, aggregation), *TOLERANCE[dtype])


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_compiled_code_agrees_on_hostile_scenes(compiled_backend, aggregation, kind):
    """Double precision; 1e-8, since a ratio of 1e-3 costs six digits in quantities of second order."""
    s = settings(compiled_backend, aggregation)
    compare(hostile_ellipsoids(kind), centered_camera(17), s, for_pictures=1e-8, for_gradients=1e-8)


def compare(
    e: voge.Ellipsoids, c: voge.Cameras, s: voge.RenderSettings, for_pictures: float, for_gradients: float
) -> None:
    ours, theirs = (with_gradients(e, c, replace(s, backend=b)) for b in (s.backend, Backend.torch))
    for name, a, b in zip(("image", "alpha", "depth"), ours[0], theirs[0], strict=True):
        assert (a - b).abs().max() < for_pictures * max(1.0, b.abs().max()), name
    for name, a, b in zip(NAMES, ours[1], theirs[1], strict=True):
        assert relative(a, b) < for_gradients or (a - b).abs().max() < 1e-12, name


# ---------------------------------------------------------------------------------------------
# What may change speed only


def test_the_early_stop_changes_a_picture_by_no_more_than_it_says(backend):
    e = random_ellipsoids(300)
    c = cameras(24, 24)
    full = voge.render(e, c, settings(backend))
    for stop in (1e-2, 1e-4):
        early = voge.render(e, c, settings(backend, stop_transmittance=stop))
        assert (early.image - full.image).abs().max() <= stop
        assert (early.alpha - full.alpha).abs().max() <= stop


@pytest.mark.parametrize("tile", [[1, 1], [3, 5], [16, 16], [64, 64]])
def test_tiles_change_nothing(compiled_backend, monkeypatch, tile):
    e, c = random_ellipsoids(200), cameras(37, 22, 2, azimuth=20)
    s = settings(compiled_backend)
    expected = with_gradients(e, c, s)
    monkeypatch.setattr(arguments, "IMAGE_TILE", tile)
    changed = with_gradients(e, c, s)
    for a, b in zip((*changed[0], *changed[1]), (*expected[0], *expected[1]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)


def test_the_number_of_threads_changes_no_bit(compiled_backend):
    if compiled_backend is Backend.cuda:
        pytest.skip("a GPU's atomic additions come in any order")
    e, c = random_ellipsoids(200, dtype=torch.float32), cameras(37, 22, 2, torch.float32, azimuth=20)
    threads, results = torch.get_num_threads(), []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            outputs, gradients = with_gradients(e, c, settings(compiled_backend))
            results.append(outputs + gradients[:5])
    finally:
        torch.set_num_threads(threads)
    for others in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], others, strict=True))


# ---------------------------------------------------------------------------------------------
# Operators and errors


def test_operators_keep_torchs_contract(compiled_backend):
    e, c = random_ellipsoids(6), cameras(5, 4)
    s = settings(compiled_backend)
    leaves = e.map(lambda t: t.detach().clone().requires_grad_())
    assert leaves.features is not None
    rays = voge.Rays(*(t.detach().clone().requires_grad_() for t in (c.rays().origins, c.rays().directions)))
    drawn = compiled_pictures.render_inputs(leaves, leaves.features, rays, c, s)
    torch.library.opcheck(torch.ops.voge.render, tuple(compiled_pictures.RENDER.flat(drawn)))
    traced = compiled_fragments.trace_inputs(leaves, rays, c, s)
    torch.library.opcheck(torch.ops.voge.trace, tuple(compiled_fragments.TRACE.flat(traced)))
    f = voge.trace(e, c, s)
    weight = f.weight.detach().requires_grad_()
    image = torch.rand(20, 3, dtype=torch.float64, requires_grad=True)
    torch.library.opcheck(torch.ops.voge.gather, (weight, leaves.features, f.index, f.offsets))
    torch.library.opcheck(torch.ops.voge.scatter, (weight, image, f.index, f.offsets, 6))


def test_errors_name_the_argument_the_rule_and_the_value(backend):
    e, c = random_ellipsoids(3), cameras(4, 4)
    with pytest.raises(TypeError, match=r"viewmats must be torch.float64 .* got torch.float32"):
        voge.render(e, c.to(torch.float32), settings(backend))
    f = voge.trace(e, c, settings(backend))
    with pytest.raises(ValueError, match=r"attributes must have shape \(N, C\) with N=3"):
        f.interpolate(torch.zeros(4, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"image must have shape \(1, 4, 4, 'C'\); got \(1, 4, 5, 2\)"):
        f.sample(torch.zeros(1, 4, 5, 2, dtype=torch.float64))


@pytest.mark.skipif(ops.status()["cuda"].available, reason="needs a machine without CUDA")
def test_a_backend_that_is_missing_raises_with_its_reason():
    with pytest.raises(voge.BackendError, match="backend cuda: "):
        voge.render(random_ellipsoids(1), cameras(2, 2), settings(Backend.cuda))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": 5}, "boxes must lie between 1 and 4, got 5"),
        ({"min_density": 0.0}, "min_density must lie between 0 and 1"),
        ({"max_per_ray": -1}, "max_per_ray must be at least 1, or 0"),
        ({"near": 2.0, "far": 1.0}, "0 <= near < far"),
        ({"stop_transmittance": 1.0}, "stop_transmittance"),
    ],
)
def test_settings_check_their_ranges(change, message):
    with pytest.raises(ValueError, match=message):
        voge.RenderSettings(**change)
