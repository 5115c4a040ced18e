"""Attributes from pictures: voge.texture, voge.texture.unseen and voge.texture.symmetry."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from scenes import cameras, random_ellipsoids, random_like
from torch.utils._python_dispatch import TorchDispatchMode

import voge
from voge.assets.teapot import teapot
from voge.convert import from_mesh
from voge.rendering.settings import Backend, RenderSettings
from voge.texture import Extracted, Solver, Solving, extract, filled
from voge.texture.settings import Fill
from voge.texture.symmetry import Plane, plane_of


def _teapot(resolution: int = 4) -> voge.Ellipsoids:
    """Ellipsoids of the teapot with smooth colors that differ everywhere."""
    vertices, faces, _ = teapot(resolution)
    points = torch.as_tensor(vertices).double()
    made = from_mesh(points, torch.as_tensor(faces))
    return replace(made, features=0.5 + 0.4 * torch.sin(2.5 * made.means + torch.arange(3.0)))


def _around(azimuth: float = 30.0, size: int = 96, **options: Any) -> voge.Cameras:
    at = (0.0, 1.2, 0.0)
    return voge.Cameras(
        voge.orbit(azimuth, 20.0, 11.0, at=at, **options)[None], voge.intrinsics(size, size, fov=40.0)[None], size, size
    )


def _photo(ellipsoids: voge.Ellipsoids, camera: voge.Cameras, background: float) -> torch.Tensor:
    return voge.render(ellipsoids, camera).over(torch.full((3,), background))


def _straight(ellipsoids: voge.Ellipsoids, camera: voge.Cameras) -> tuple[torch.Tensor, torch.Tensor]:
    """A transparent picture: colors not multiplied by alpha, and alpha."""
    made = voge.render(ellipsoids, camera)
    return made.image / made.alpha.clamp_min(1e-6)[..., None], made.alpha


def test_lsq_solves_the_normal_equations(backend: Backend) -> None:
    """Against a dense solution in float64."""
    ellipsoids, view = random_ellipsoids(15), cameras(36, 30, views=2)
    # Of one size and thin: all are seen.
    ellipsoids = replace(
        ellipsoids, scales=torch.full_like(ellipsoids.scales, 0.15), density=0.5 + 0 * ellipsoids.density
    )
    settings = RenderSettings(backend=backend)
    image = random_like(torch.empty(2, 30, 36, 2, dtype=torch.float64))
    mask = random_like(torch.empty(2, 30, 36, dtype=torch.float64), seed=2)
    solving = Solving(damping=0.03, smoothness=0.2, neighbors=3, tolerance=1e-12, iterations=500)
    found = extract(ellipsoids, view, image, mask, solving=solving, settings=settings)

    fragments = voge.trace(ellipsoids, view, settings)
    dense = fragments.interpolate(torch.eye(15, dtype=torch.float64)).reshape(-1, 15)
    m, alpha, pixels = mask.reshape(-1, 1), fragments.alpha.reshape(-1, 1), image.reshape(-1, 2)
    confidence = (dense.T @ m)[:, 0]
    torch.testing.assert_close(found.pixels, confidence)
    assert found.seen.all()
    gaps = torch.cdist(ellipsoids.means, ellipsoids.means).topk(4, largest=False).indices[:, 1:]
    laplacian = torch.eye(15, dtype=torch.float64).scatter(1, gaps, -1 / 3)
    mean = dense.T @ (m * pixels) / confidence[:, None]
    scale, eye = confidence.mean(), torch.eye(15, dtype=torch.float64)
    left = dense.T @ (m * dense) + scale * (0.03 * eye + 0.2 * laplacian.T @ laplacian)
    right = dense.T @ (m * alpha * pixels) + scale * 0.03 * mean
    torch.testing.assert_close(found.features, torch.linalg.solve(left, right), rtol=1e-6, atol=1e-8)


def test_average_is_eq_10(backend: Backend) -> None:
    ellipsoids, view, settings = random_ellipsoids(15), cameras(12, 10), RenderSettings(backend=backend)
    image = random_like(torch.empty(1, 10, 12, 20, dtype=torch.float64))
    mask = torch.ones(1, 10, 12)
    solving = Solving(solver=Solver.average)
    found = extract(ellipsoids, view, image, mask, solving=solving, settings=settings)
    wanted = voge.sample(view, image, ellipsoids=ellipsoids, settings=settings)
    torch.testing.assert_close(found.features, wanted.features)
    torch.testing.assert_close(found.pixels, wanted.pixels)


def test_lsq_explains_the_picture_better_than_the_mean() -> None:
    """Colors in stripes of one ellipsoid: means blur them."""
    ellipsoids, camera = _teapot(), _around()
    striped = replace(ellipsoids, features=random_like(torch.empty(len(ellipsoids), 3)))
    image, alpha = _straight(striped, camera)
    error = {}
    for solver in Solver:
        found = extract(ellipsoids, camera, image, alpha, solving=Solving(solver=solver, damping=1e-4, smoothness=1e-3))
        again = voge.render(replace(ellipsoids, features=found.features), camera).image
        error[solver] = (again - image * alpha[..., None]).square().mean().sqrt()
    assert error[Solver.lsq] < 0.25 * error[Solver.average]


def test_background_does_not_reach_the_ellipsoids() -> None:
    """Without a mask too: black or white behind the teapot, the same colors, right at its silhouette as well."""
    ellipsoids, camera = _teapot(), _around()
    dark, bright = (extract(ellipsoids, camera, _photo(ellipsoids, camera, b)) for b in (0.0, 1.0))
    assert (dark.seen == bright.seen).all()
    # Weights at the rim are small but not 0, hence not equal.
    assert (dark.features - bright.features)[dark.seen].abs().max() < 0.05
    # With eq. 10 over all pixels the silhouette turns white.
    plain = voge.sample(camera, _photo(ellipsoids, camera, 1.0), ellipsoids=ellipsoids).features
    assert (dark.features - plain)[dark.seen].abs().max() > 0.2


def test_masked_pixels_change_nothing() -> None:
    ellipsoids, camera = _teapot(), _around()
    image, alpha = _straight(ellipsoids, camera)
    mask = alpha.clone()
    mask[:, 30:60, 40:55] = 0  # something in front
    spoiled = image.clone()
    spoiled[:, 30:60, 40:55] = float("nan")
    clean, dirty = (extract(ellipsoids, camera, each, mask) for each in (image, spoiled))
    assert torch.equal(clean.features, dirty.features)
    assert clean.seen.sum() < extract(ellipsoids, camera, image, alpha).seen.sum()
    opaque = [extract(ellipsoids, camera, each, masks=(mask > 0) * 1.0) for each in (image, spoiled)]
    assert torch.equal(opaque[0].features, opaque[1].features)


def test_pictures_of_several_sizes_add_up() -> None:
    ellipsoids, views = _teapot(), [_around(30.0), _around(150.0, 64), _around(270.0)]
    pictures = [_straight(ellipsoids, view) for view in views]
    images, masks = ([part[0] for part in parts] for parts in zip(*pictures, strict=True))
    together = extract(ellipsoids, views, images, masks)
    apart = [
        extract(ellipsoids, view, image[None], mask[None])
        for view, image, mask in zip(views, images, masks, strict=True)
    ]
    torch.testing.assert_close(together.pixels, sum(each.pixels for each in apart))
    assert together.seen.sum() > max(each.seen.sum() for each in apart)
    wanted = ellipsoids.features
    assert wanted is not None
    assert (together.features - wanted)[together.seen].abs().mean() < 0.02


def test_eight_bits_are_parts_of_255_and_channels_do_not_matter() -> None:
    ellipsoids, camera = _teapot(), _around()
    image, alpha = _straight(ellipsoids, camera)
    bits = (image * 255).round().to(torch.uint8)
    one = extract(ellipsoids, camera, bits, alpha)
    many = extract(ellipsoids, camera, (bits / 255).repeat(1, 1, 1, 7), alpha)
    torch.testing.assert_close(one.features.repeat(1, 7), many.features, rtol=0, atol=2e-4)  # the solver's tolerance


def test_few_pixels_still_see_ellipsoids() -> None:
    """A feature map has fewer pixels than ellipsoids: half a pixel each is more than it can give."""
    ellipsoids, camera = _teapot(6), _around(size=16)
    image, alpha = _straight(ellipsoids, camera)
    found = extract(ellipsoids, camera, image, alpha)
    assert found.pixels.median() == 0
    assert 50 < found.seen.sum() < 200
    assert not found.seen[found.pixels == 0].any()


class _Largest(TorchDispatchMode):
    """The most elements of any tensor that an operator makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(each, torch.Tensor):
                self.elements = max(self.elements, each.untyped_storage().nbytes() // each.element_size())
        return out


def test_no_table_of_pixels_and_ellipsoids(compiled_backend: Backend) -> None:
    ellipsoids, camera, settings = _teapot(6).detach(), _around(size=64), RenderSettings(backend=compiled_backend)
    channels = 24
    image = torch.rand(1, 64, 64, channels)
    assert len(ellipsoids) > 1000
    with _Largest() as largest:
        extract(ellipsoids, camera, image, settings=settings)
        voge.sample(camera, image, ellipsoids=ellipsoids, settings=settings)
    # The picture and a column for the weights; W itself has some ten entries a pixel.
    assert largest.elements <= 64 * 64 * (channels + 1)


def test_says_what_does_not_fit() -> None:
    ellipsoids, camera = _teapot(), _around(size=16)
    image = torch.rand(1, 16, 16, 3)
    with pytest.raises(ValueError, match=r"images\[0\] must have shape \(16, 16, 'C'\); got \(8, 16, 3\)"):
        extract(ellipsoids, camera, image[:, :8])
    with pytest.raises(ValueError, match="got 1 views, 2 images, 1 alphas, 1 masks"):
        extract(ellipsoids, camera, image.repeat(2, 1, 1, 1))
    with pytest.raises(ValueError, match=r"alphas\[0\] must have shape"):
        extract(ellipsoids, camera, image, torch.ones(1, 4, 4))
    with pytest.raises(ValueError, match=r"masks\[0\] must have shape"):
        extract(ellipsoids, camera, image, masks=torch.ones(1, 4, 4))
    with pytest.raises(TypeError, match=r"torch\.int64"):
        extract(ellipsoids, camera, image.long())
    with pytest.raises(ValueError, match="not finite; mask them out"):
        extract(ellipsoids, camera, image * torch.nan)
    with pytest.raises(ValueError, match="no pixel that counts"):
        extract(ellipsoids, camera, image, torch.zeros(1, 16, 16))
    with pytest.raises(ValueError, match="damping must be positive"):
        Solving(damping=0)


# ---- What no picture shows -------------------------------------------------------------------


def _seen_from_one_side() -> tuple[voge.Ellipsoids, Extracted]:
    """Teapot in colors that are the same on both sides of its plane of symmetry, z = 0, seen from one of them."""
    plain = _teapot()
    folded = torch.cat([plain.means[:, :2], plain.means[:, 2:].abs()], 1)
    ellipsoids = replace(plain, features=0.5 + 0.4 * torch.sin(2.5 * folded + torch.arange(3.0)))
    camera = _around(0.0)
    image, alpha = _straight(ellipsoids, camera)
    return ellipsoids, extract(ellipsoids, camera, image, alpha)


def _error(ellipsoids: voge.Ellipsoids, features: torch.Tensor, where: torch.Tensor) -> float:
    assert ellipsoids.features is not None
    return float((features - ellipsoids.features)[where].abs().mean())


def test_symmetry_knows_the_far_side() -> None:
    ellipsoids, found = _seen_from_one_side()
    plane = plane_of(ellipsoids.means, "auto")
    assert abs(plane.normal[2]) > 0.999
    assert abs(plane.offset) < 1e-3
    across = ellipsoids.means * torch.tensor([1.0, 1.0, -1.0])
    far = ~found.seen & (
        torch.cdist(across, ellipsoids.means[found.seen]).amin(1) < 0.1
    )  # the triangles are not mirrored
    mirrored = filled(ellipsoids, found, Fill.symmetry, plane)
    near = filled(ellipsoids, found, Fill.nearest)
    assert far.sum() > 50
    assert _error(ellipsoids, mirrored, far) < 0.5 * _error(ellipsoids, near, far)  # measured 0.4
    # Well seen ones keep their own.
    sure = found.confidence > 0.98
    torch.testing.assert_close(mirrored[sure], found.features[sure], rtol=0, atol=0.02)


def test_nearest_takes_seen_values_only() -> None:
    means = torch.tensor([[0.0, 0, 0], [1, 0, 0], [5, 0, 0], [5.2, 0, 0]])
    like = voge.Ellipsoids(means, torch.ones(4, 3), torch.tensor([[1.0, 0, 0, 0]]).expand(4, 4), torch.ones(4))
    features = torch.tensor([[0.2], [99], [0.8], [99]])
    found = Extracted(features, torch.tensor([9.0, 0, 9, 0]), torch.tensor([1e3, 0, 1e3, 0]))
    made = filled(like, found, Fill.nearest)[:, 0]
    torch.testing.assert_close(made[[0, 2]], torch.tensor([0.2, 0.8]))
    assert 0.2 < made[1] < 0.3
    assert 0.79 < made[3] < 0.8


def test_without_fill_the_unseen_stay_as_they_were() -> None:
    ellipsoids, found = _seen_from_one_side()
    gray = filled(replace(ellipsoids, features=None), found, Fill.none)
    assert (gray[~found.seen] == 0.75).all()
    kept = filled(replace(ellipsoids, features=torch.full_like(found.features, 0.1)), found, Fill.none)
    assert (kept[~found.seen] == torch.tensor(0.1)).all()
    assert torch.equal(kept[found.seen], found.features[found.seen])


def test_a_plane_is_found_wherever_the_object_stands() -> None:
    means = _teapot().means.double()
    turn = torch.linalg.qr(random_like(torch.empty(3, 3, dtype=torch.float64)))[0]
    turn = turn * torch.linalg.det(turn)
    plane = plane_of(means @ turn.T + torch.tensor([3.0, -20, 1]).double(), "auto")
    assert abs(torch.tensor(plane.normal).double() @ turn[:, 2]) > 0.9999


def test_a_plane_may_be_given() -> None:
    points = torch.tensor([[0.0, 0, 0], [2, 4, 6]])
    assert plane_of(points, "y") == Plane((0.0, 1.0, 0.0), 2.0, plane_of(points, "y").error)
    assert plane_of(points, [0, 0, 2, 3]).offset == 1.5
    torch.testing.assert_close(plane_of(points, "x").mirror(points), torch.tensor([[2.0, 0, 0], [0, 4, 6]]))
    with pytest.raises(ValueError, match="normal that is not zero"):
        plane_of(points, [0, 0, 0, 1])
    with pytest.raises(ValueError, match="auto, x, y, z or numbers"):
        plane_of(points, "w")


def test_no_plane_where_there_is_none() -> None:
    """An arm that bends in three directions."""
    t = torch.linspace(0, 1, 200)[:, None]
    bends = [
        torch.cat([t, 0 * t, 0 * t], 1),
        torch.cat([1 + 0 * t, 0.7 * t, 0 * t], 1),
        torch.cat([1 + 0 * t, 0.7 + 0 * t, 0.5 * t], 1),
    ]
    with pytest.raises(ValueError, match="no plane of symmetry was found"):
        plane_of(torch.cat(bends), "auto")


def test_new_views_are_near_ray_cast_ones() -> None:
    """The teapot from a ray-cast picture over white, without a mask; 30 degrees away, on what was seen."""
    pytest.importorskip("embreex")
    from voge.meshes.mesh import build_mesh
    from voge.meshes.raycast import render_mesh

    vertices, faces, _ = teapot(10)
    mesh = build_mesh(vertices, faces)
    ellipsoids = from_mesh(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces))

    def colors(points: torch.Tensor) -> torch.Tensor:
        return 0.5 + 0.5 * torch.sin(2 * points + torch.arange(3.0))

    photo = render_mesh(mesh, _around(30.0, 160), colors=colors).over(torch.ones(3))
    truth = render_mesh(mesh, _around(60.0, 160), colors=colors)
    psnr = {}
    for solver in Solver:
        found = extract(ellipsoids, _around(30.0, 160), photo, solving=Solving(solver=solver))
        shown = torch.cat([found.features, found.seen[:, None].float()], 1)
        made = voge.render(replace(ellipsoids, features=shown), _around(60.0, 160))
        where = (made.image[..., 3] > 0.9 * made.alpha) & (made.alpha > 0.5)
        assert where.sum() > 0.5 * (truth.alpha > 0.5).sum()
        psnr[solver] = -10 * float((made.image[..., :3] - truth.image)[where].square().mean().log10())
    # Measured: 33.6 and 31.7.
    assert psnr[Solver.lsq] > 32
    assert psnr[Solver.lsq] > psnr[Solver.average] + 0.5
