"""Losses between pictures, and regularizers of ellipsoids and meshes: known values and gradients."""

import math

import numpy as np
import pytest
import torch
import trimesh

from voge import Ellipsoids
from voge.convert import from_mesh
from voge.optim import losses
from voge.optim import regularizers as terms


def random_set(count=12, seed=0):
    g = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.rand(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    # Scales well apart, so that the order of the axes, which is discrete, does not change under a small step.
    scales = torch.tensor([0.05, 0.1, 0.2]).double() * (0.9 + 0.2 * draw(count, 3))
    return Ellipsoids(draw(count, 3), scales, draw(count, 4) + 0.1, 0.5 + draw(count), draw(count, 3))


def ball(level=3, **options):
    mesh = trimesh.creation.icosphere(level)
    vertices, faces = torch.from_numpy(np.array(mesh.vertices)), torch.from_numpy(np.array(mesh.faces)).long()
    made = from_mesh(vertices, faces, colors=torch.full_like(vertices, 0.5), **options)
    return made.to(torch.float64), vertices, faces


ON_SETS = ["flatness", "roundness", "opacity_entropy"]
ON_NEIGHBORS = [
    "overlap", "tangency", "agreement", "size_agreement", "spacing_agreement", "laplacian", "feature_agreement",
]  # fmt: skip


@pytest.mark.parametrize("name", [*ON_SETS, *ON_NEIGHBORS])
def test_gradients_of_regularizers_are_right(name):
    base = random_set()
    beside = [terms.nearest_neighbors(base.means, 4)] if name in ON_NEIGHBORS else []

    def value(means, scales, quats, density, features):
        return getattr(terms, name)(Ellipsoids(means, scales, quats, density, features), *beside)

    inputs = [t.clone().requires_grad_() for t in (base.means, base.scales, base.quats, base.density, base.features)]
    assert value(*inputs) > 0
    assert torch.autograd.gradcheck(value, inputs)


@pytest.mark.parametrize("name", [n for n in ON_NEIGHBORS if n != "feature_agreement"])
def test_regularizers_know_no_unit_and_no_frame(name):
    base = random_set()
    beside = terms.nearest_neighbors(base.means, 4)
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = 7 * torch.linalg.qr(torch.rand(3, 3, generator=torch.Generator().manual_seed(2)).double())[0]
    matrix[:3, :3] *= torch.linalg.det(matrix[:3, :3]).sign()
    moved = base.transform(matrix)
    torch.testing.assert_close(getattr(terms, name)(moved, beside), getattr(terms, name)(base, beside))


def test_overlap_is_the_cosine_of_gaussians_by_quadrature():
    pair = random_set(2)
    line = torch.linspace(-0.8, 1.8, 105, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line, line)
    values = []
    for i in range(2):
        offset = grid - pair.means[i]
        values.append((-0.5 * (offset @ torch.linalg.inv(pair.covariances[i]) * offset).sum(1)).exp())
    cosine = (values[0] * values[1]).sum() / (values[0].square().sum() * values[1].square().sum()).sqrt()
    neighbors = torch.tensor([[1], [0]])
    # huber(x, delta=2) * 2 is x^2 for |x| < 2
    target = float(cosine.log()) + 1.5
    assert float(terms.overlap(pair, neighbors, target)) == pytest.approx(1.5**2, rel=1e-3)


def test_neighbors_of_a_regular_surface_overlap_as_hats_do():
    kappa = 0.9
    made, _, _ = ball(3, kappa=kappa)
    neighbors = terms.nearest_neighbors(made.means, 6)
    on_target = terms.overlap(made, neighbors, -2 / kappa**2)
    assert on_target < 0.6  # the icosphere's triangles are not regular; measured 0.33
    assert on_target < terms.overlap(made, neighbors, -2 / kappa**2 + 1.5)


def test_a_smooth_shell_pleases_the_terms_and_a_rough_one_does_not():
    made, _, _ = ball()
    g = torch.Generator().manual_seed(0)
    rough = Ellipsoids(
        made.means + 0.1 * torch.randn(made.means.shape, generator=g, dtype=torch.float64),
        made.scales * (0.5 * torch.randn(made.scales.shape, generator=g, dtype=torch.float64)).exp(),
        torch.randn(made.quats.shape, generator=g, dtype=torch.float64),
        made.density,
        torch.rand(made.means.shape, generator=g, dtype=torch.float64),
    )
    beside, apart = (terms.nearest_neighbors(s.means, 6) for s in (made, rough))
    for name in ON_NEIGHBORS:
        smooth, rugged = getattr(terms, name)(made, beside), getattr(terms, name)(rough, apart)
        assert 2 * smooth < rugged, name


def test_tangency_is_least_for_the_normal_of_the_local_plane():
    """With centers fixed, the minimum over the axis is the smallest eigenvalue's share: local PCA."""
    made, _, _ = ball(2)
    beside = terms.nearest_neighbors(made.means, 6)
    offset = made.means[beside] - made.means[:, None]
    values = torch.linalg.eigvalsh(offset.mT @ offset)
    least = (values[:, 0] / values.sum(1)).mean()
    assert least <= terms.tangency(made, beside) < 1.1 * least + 1e-4


def test_shortest_axes_are_columns_of_the_rotations_whatever_the_quaternions_length():
    made = random_set()
    made = Ellipsoids(made.means, made.scales[:, [1, 0, 2]], made.quats * 3, made.density)
    torch.testing.assert_close(terms.shortest_axes(made), made.rotations[:, :, 1])


def test_nearest_neighbors_leave_the_point_itself_out():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3, 0, 0]])
    assert terms.nearest_neighbors(points, 1)[:, 0].tolist() == [1, 0, 1]
    assert terms.nearest_neighbors(points, 9).shape == (3, 2)


def test_entropy_of_opacity_is_one_at_a_half_and_none_at_the_ends():
    made = random_set(3)
    half, none, full = math.log(2), 1e-9, 40.0
    entropies = [
        float(terms.opacity_entropy(Ellipsoids(made.means, made.scales, made.quats, torch.full((3,), d).double())))
        for d in (half, none, full)
    ]
    assert entropies == pytest.approx([1, 0, 0], abs=1e-6)


def test_mesh_terms_of_a_tetrahedron():
    vertices = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]).double()
    faces = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
    edges, pairs = terms.mesh_graph(faces)
    assert edges.shape == (6, 2)
    assert pairs.shape == (6, 4)
    assert float(terms.mesh_edges(vertices, edges)) == pytest.approx(8)
    assert float(terms.mesh_laplacian(vertices, edges)) == pytest.approx(4 / 3 * 3**0.5)
    assert float(terms.mesh_normals(vertices, pairs)) == pytest.approx(1 + 1 / 3)  # outward normals meet at -1/3
    for name, graph in (("mesh_edges", edges), ("mesh_laplacian", edges), ("mesh_normals", pairs)):
        assert torch.autograd.gradcheck(
            lambda v, n=name, g=graph: getattr(terms, n)(v, g), [vertices.clone().requires_grad_()]
        )


@pytest.mark.parametrize("name", ["squared", "absolute", "charbonnier", "cross_entropy", "soft_iou", "dissimilarity"])
def test_gradients_of_losses_are_right(name):
    g = torch.Generator().manual_seed(0)
    shape = (1, 12, 12, 1) if name == "dissimilarity" else (2, 4, 5)
    value = (0.1 + 0.8 * torch.rand(shape, generator=g, dtype=torch.float64)).requires_grad_()
    target = torch.rand(shape, generator=g, dtype=torch.float64).requires_grad_()
    function = getattr(losses, name)
    assert function(value, target) > 0
    assert torch.autograd.gradcheck(function, [value, target])


@pytest.mark.parametrize("name", ["squared", "absolute", "charbonnier", "soft_iou"])
def test_losses_of_equal_masks_are_none(name):
    mask = torch.ones(1, 4, 4)
    assert float(getattr(losses, name)(mask, mask)) == pytest.approx(0, abs=1e-6)


def test_losses_refuse_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="must have one shape"):
        losses.squared(torch.zeros(2, 3), torch.zeros(3))
