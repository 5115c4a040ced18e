"""voge.sample: eq. 10 as a layer, on every backend."""

from dataclasses import replace

import pytest
import torch
from scenes import cameras, random_ellipsoids, random_like

import voge
from voge.rendering.settings import Backend, RenderSettings


def _picture(view: voge.Cameras, channels: int = 3, seed: int = 1) -> torch.Tensor:
    return random_like(torch.empty(len(view), view.height, view.width, channels, dtype=view.Ks.dtype), seed)


def test_is_the_mean_of_the_picture_weighted_by_w(backend: Backend) -> None:
    ellipsoids, view = random_ellipsoids(12), cameras(9, 7, views=2)
    fragments = voge.trace(ellipsoids, view, RenderSettings(backend=backend))
    dense = fragments.interpolate(torch.eye(12, dtype=torch.float64)).reshape(-1, 12)
    image = _picture(view)
    features, pixels = voge.sample(fragments, image)
    torch.testing.assert_close(pixels, dense.sum(0))
    torch.testing.assert_close(features, dense.T @ image.reshape(-1, 3) / dense.sum(0)[:, None])


def test_cameras_do_as_well_as_fragments(backend: Backend) -> None:
    ellipsoids, view, settings = random_ellipsoids(12), cameras(9, 7), RenderSettings(backend=backend)
    image = _picture(view)
    direct = voge.sample(view, image, ellipsoids=ellipsoids, settings=settings)
    for found, wanted in zip(direct, voge.sample(voge.trace(ellipsoids, view, settings), image), strict=True):
        torch.testing.assert_close(found, wanted)


def test_masked_pixels_do_not_count(backend: Backend) -> None:
    ellipsoids, view, settings = random_ellipsoids(12), cameras(9, 7), RenderSettings(backend=backend)
    fragments, image = voge.trace(ellipsoids, view, settings), _picture(view)
    mask = (image[..., 0] > 0.4).to(image)
    spoiled = torch.where(mask[..., None] > 0, image, 1e6)
    for found, wanted in zip(
        voge.sample(fragments, spoiled, mask=mask), voge.sample(fragments, image, mask=mask), strict=True
    ):
        torch.testing.assert_close(found, wanted)
    assert (voge.sample(fragments, image, mask=mask).pixels < voge.sample(fragments, image).pixels).any()


def test_what_no_ray_meets_is_zero_with_finite_gradients(backend: Backend) -> None:
    ellipsoids = random_ellipsoids(6)
    hidden = replace(ellipsoids, means=ellipsoids.means + torch.tensor([0.0, 0.0, 50.0], dtype=torch.float64))
    image = _picture(cameras(5, 5)).requires_grad_()
    settings = RenderSettings(backend=backend)
    features, pixels = voge.sample(cameras(5, 5), image, ellipsoids=hidden, settings=settings)
    assert (pixels == 0).all()
    assert (features == 0).all()
    features.sum().backward()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_gradients_to_geometry_camera_picture_and_mask(backend: Backend) -> None:
    """Against finite differences; W is cut at eta, so all ellipsoids are kept by a tiny one."""
    ellipsoids, view = random_ellipsoids(4), cameras(3, 3)
    settings = RenderSettings(backend=backend, min_density=1e-12, stop_transmittance=0)
    image = _picture(view, 2)
    mask = 0.2 + 0.8 * image[..., 0]

    def run(*inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        means, scales, quats, density, viewmats, image, mask = inputs
        moved = replace(view, viewmats=viewmats)
        made = voge.Ellipsoids(means, scales, quats, density)
        return tuple(voge.sample(moved, image, ellipsoids=made, mask=mask, settings=settings))

    parts = (ellipsoids.means, ellipsoids.scales, ellipsoids.quats, ellipsoids.density, view.viewmats, image, mask)
    inputs = [part.clone().requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(run, inputs, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-13)])
def test_sampling_is_the_adjoint_of_interpolating(backend: Backend, dtype: torch.dtype, tolerance: float) -> None:
    """<W A, I> = <A, W^T I>; the sums are taken in float64, so that they do not round themselves."""
    ellipsoids, view = random_ellipsoids(40, dtype=dtype), cameras(32, 24, views=2, dtype=dtype)
    fragments = voge.trace(ellipsoids, view, RenderSettings(backend=backend))
    attributes, image = random_like(torch.empty(40, 5, dtype=dtype)), _picture(view, 5)
    forward = (fragments.interpolate(attributes).double() * image.double()).sum()
    backward = (attributes.double() * fragments.sample(image)[0].double()).sum()
    assert abs(forward - backward) <= tolerance * abs(forward)


def test_says_what_does_not_fit() -> None:
    ellipsoids, view = random_ellipsoids(3), cameras(4, 3)
    fragments, image = voge.trace(ellipsoids, view), _picture(view)
    with pytest.raises(ValueError, match="give ellipsoids"):
        voge.sample(view, image)
    with pytest.raises(ValueError, match="give one of them"):
        voge.sample(fragments, image, ellipsoids=ellipsoids)
    with pytest.raises(ValueError, match=r"mask must have shape \(1, 3, 4\)"):
        voge.sample(fragments, image, mask=torch.ones(4, 3))
    with pytest.raises(ValueError, match="image must have shape"):
        voge.sample(fragments, image[:, :2])
    with pytest.raises(TypeError, match=r"torch\.float64"):
        voge.sample(fragments, image.float())
