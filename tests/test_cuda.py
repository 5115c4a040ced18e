"""What only CUDA does: large pictures walk tiles, sums repeat bit by bit, graphs, several devices."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scenes import cameras, random_ellipsoids
from torch import Tensor

import voge
from voge.rendering import compiled, ops

pytestmark = pytest.mark.skipif(not ops.status()["cuda"].available, reason=ops.status()["cuda"].reason)

LARGE = (256, 192)  # more rays than are given a warp each


def results(e: voge.Ellipsoids, c: voge.Cameras, settings: voge.RenderSettings, like: Tensor) -> list[Tensor]:
    """Pictures and gradients, in double precision on the CPU, of a loss that is the same for all."""
    e = e.to(like.dtype).to(like.device).map(lambda t: t.detach().requires_grad_())
    c = c.to(like.dtype).to(like.device)
    c = replace(c, viewmats=c.viewmats.detach().requires_grad_(), Ks=c.Ks.detach().requires_grad_())
    picture = voge.render(e, c, settings)
    generator, loss = torch.Generator().manual_seed(5), picture.image.new_zeros(())
    for part in (picture.image, picture.alpha, picture.depth):
        weights = torch.randn(part.shape, generator=generator, dtype=torch.float64) / part.numel() ** 0.5
        loss = loss + (part * weights.to(like)).sum()
    leaves = [e.means, e.scales, e.quats, e.density, e.features, c.viewmats, c.Ks]
    return [t.detach().double().cpu() for t in (picture.image, picture.alpha, *torch.autograd.grad(loss, leaves))]


SETTINGS = {
    "exact": voge.RenderSettings(stop_transmittance=0.0),
    "one box": voge.RenderSettings(stop_transmittance=0.0, boxes=1),
    "between near and far": voge.RenderSettings(stop_transmittance=0.0, near=2.0, far=4.0),
    "sorted": voge.RenderSettings(stop_transmittance=0.0, aggregation="sorted"),
}


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize(("count", "shrink", "channels"), [(3000, 0.1, 3), (600, 0.6, 3), (3000, 0.1, 20)])
def test_large_pictures_agree_with_cpp_in_double(settings, count, shrink, channels):
    """3,000 small ellipsoids fit the walk of tiles, 600 larger ones overflow it on many rays.

    Single precision leaves 1e-6 in pictures, but for the few pixels where an ellipsoid is at the threshold eta and
    counts for one side only; and 3e-4 of the largest gradient, for the same reason.
    """
    e = random_ellipsoids(count, channels=channels)
    e = replace(e, scales=e.scales * shrink)
    s = SETTINGS[settings]
    expected = results(e, cameras(*LARGE), replace(s, backend="cpp"), torch.zeros((), dtype=torch.float64))
    found = results(e, cameras(*LARGE), replace(s, backend="cuda"), torch.zeros((), device="cuda"))
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        off = (a - b).abs()
        if i < 2:
            assert off.max() < 1.1 * s.eta
            assert (off > 1e-5).double().mean() < 1e-4
        else:
            assert off.max() < 1e-3 * b.abs().max(), i


def test_gradients_do_not_end_where_pictures_do():
    """What light an early end left over does not tell the optical depth of the whole ray."""
    e = random_ellipsoids(600)
    e, s = replace(e, density=e.density * 5), voge.RenderSettings(stop_transmittance=0.05)
    expected = results(e, cameras(*LARGE), replace(s, backend="cpp"), torch.zeros((), dtype=torch.float64))
    found = results(e, cameras(*LARGE), replace(s, backend="cuda"), torch.zeros((), device="cuda"))
    for i, (a, b) in enumerate(zip(found[2:], expected[2:], strict=True)):
        assert (a - b).abs().max() < 1e-3 * b.abs().max(), i


@pytest.mark.parametrize("size", [(40, 30), LARGE])
def test_deterministic_gradients_are_equal_bit_by_bit_and_right(size):
    e, c = random_ellipsoids(500), cameras(*size)
    s, like = voge.RenderSettings(backend="cuda"), torch.zeros((), device="cuda")
    expected = results(e, c, s, like)
    torch.use_deterministic_algorithms(True)
    try:
        first, *others = (results(e, c, s, like) for _ in range(3))
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))
    for a, b in zip(first, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("capacity", [100_000, 100])
def test_a_render_of_a_given_size_can_be_captured_in_a_graph(capacity):
    c = cameras(64, 48).to(torch.float32).to("cuda")
    e = random_ellipsoids(300, dtype=torch.float32).to("cuda")
    s = voge.RenderSettings(list_capacity=capacity)

    def step() -> tuple[Tensor, Tensor]:
        means = e.means.detach().requires_grad_()
        image = voge.render(replace(e, means=means), c, s).image
        return image, torch.autograd.grad(image.square().sum(), means)[0]

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        image, gradient = step()
    e.means.mul_(0.9)  # the graph reads what is there when it is replayed
    graph.replay()
    leaf = e.means.clone().requires_grad_()
    expected = voge.render(replace(e, means=leaf), c).image
    if capacity == 100:
        assert image.isnan().all()
        return
    torch.testing.assert_close(image, expected, rtol=0, atol=1e-6)
    (means,) = torch.autograd.grad(expected.square().sum(), leaf)
    torch.testing.assert_close(gradient, means, rtol=0, atol=1e-5 * float(means.abs().max()))


@pytest.mark.parametrize("model", ["pinhole", "orthographic"])
def test_rays_in_one_launch_are_those_of_the_definition(model):
    c = replace(cameras(19, 13, 2, azimuth=20), model=model)
    c = replace(c, Ks=c.Ks + torch.tensor([[0, 0.7, 1.3], [0, 2.1, -0.4], [0, 0, 0]], dtype=torch.float64)).to("cuda")
    found = []
    for rays_of in (compiled.pixel_rays, voge.Cameras.rays):
        viewmats, Ks = c.viewmats.clone().requires_grad_(), c.Ks.clone().requires_grad_()
        rays = rays_of(replace(c, viewmats=viewmats, Ks=Ks))
        weights = torch.linspace(-1, 1, rays.origins.numel(), dtype=torch.float64, device="cuda").reshape_as(
            rays.origins
        )
        loss = (rays.origins * weights).sum() + (rays.directions * weights.flip(0, 1)).sum()
        found.append((rays.origins, rays.directions, *torch.autograd.grad(loss, (viewmats, Ks))))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU here")
def test_tensors_on_another_device_are_rendered_there():
    e, c = random_ellipsoids(200, dtype=torch.float32), cameras(*LARGE, dtype=torch.float32)
    pictures = [voge.render(e.to(d), c.to(d)) for d in ("cuda:0", "cuda:1")]
    assert pictures[1].image.device == torch.device("cuda:1")
    assert torch.equal(pictures[0].image.cpu(), pictures[1].image.cpu())
