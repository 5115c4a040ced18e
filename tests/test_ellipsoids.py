"""Ellipsoids: checks on construction, moving, joining."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scenes import random_ellipsoids

import voge
from voge.geometry.rotations import matrices_to_quats, multiply_quats, quats_to_matrices


def with_normals(count: int = 6) -> voge.Ellipsoids:
    e = random_ellipsoids(count)
    return replace(e, extra={"normals": e.rotations[:, :, 2], "part": torch.arange(count)}, metadata={"units": "m"})


def test_quaternions_and_matrices_are_inverse_and_multiply_alike():
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 500, 4, generator=g, dtype=torch.float64)
    torch.testing.assert_close(quats_to_matrices(matrices_to_quats(quats_to_matrices(a))), quats_to_matrices(a))
    torch.testing.assert_close(quats_to_matrices(multiply_quats(a, b)), quats_to_matrices(a) @ quats_to_matrices(b))


@pytest.mark.parametrize("axis", range(3))
def test_half_turns_have_finite_quaternions(axis):
    matrix = -torch.eye(3, dtype=torch.float64)
    matrix[axis, axis] = 1
    quats = matrices_to_quats(matrix.requires_grad_())
    torch.testing.assert_close(quats_to_matrices(quats), matrix)
    quats.sum().backward()
    assert matrix.grad is not None
    assert matrix.grad.isfinite().all()


def test_covariances_are_rotated_squares_of_scales():
    e = random_ellipsoids(5)
    expected = e.rotations @ torch.diag_embed(e.scales**2) @ e.rotations.mT
    torch.testing.assert_close(e.covariances, expected)


def test_a_similarity_moves_means_covariances_and_normals():
    e = with_normals()
    matrix = torch.eye(4, dtype=torch.float64)
    rotation = quats_to_matrices(torch.tensor([0.5, 0.1, -0.7, 0.2], dtype=torch.float64))
    matrix[:3, :3], matrix[:3, 3] = 2.5 * rotation, torch.tensor([1.0, 2, 3])
    moved = e.transform(matrix)
    torch.testing.assert_close(moved.means, 2.5 * e.means @ rotation.mT + matrix[:3, 3])
    torch.testing.assert_close(moved.covariances, 6.25 * rotation @ e.covariances @ rotation.mT)
    torch.testing.assert_close(moved.extra["normals"], e.extra["normals"] @ rotation.mT)
    assert torch.equal(moved.density, e.density)
    back = moved.transform(torch.linalg.inv(matrix))
    torch.testing.assert_close(back.covariances, e.covariances)


@pytest.mark.parametrize("diagonal", [[1.0, 1, 2, 1], [-1.0, 1, 1, 1]])
def test_a_stretch_or_a_mirror_is_refused(diagonal):
    with pytest.raises(ValueError, match="matrix must be a similarity"):
        random_ellipsoids(2).transform(torch.diag(torch.tensor(diagonal, dtype=torch.float64)))


def test_cat_and_split_are_inverse():
    e = with_normals(7)
    parts = e.split([3, 0, 4])
    whole = voge.cat(parts)
    assert [len(p) for p in parts] == [3, 0, 4]
    for name in ("means", "scales", "quats", "density", "features"):
        assert torch.equal(getattr(whole, name), getattr(e, name))
    assert torch.equal(whole.extra["part"], e.extra["part"])
    with pytest.raises(ValueError, match="add up to 7"):
        e.split([3, 3])


def test_cat_keeps_the_extras_that_all_have_and_refuses_mixed_features():
    assert set(voge.cat([with_normals(), random_ellipsoids(2)]).extra) == set()
    with pytest.raises(ValueError, match="same number of channels"):
        voge.cat([random_ellipsoids(2), random_ellipsoids(2, channels=5)])
    with pytest.raises(ValueError, match="at least one"):
        voge.cat([])


def test_indexing_and_dtype_reach_every_tensor():
    e = with_normals()
    chosen = e[torch.tensor([4, 1])].to(torch.float32)
    assert chosen.extra["part"].tolist() == [4, 1]
    assert chosen.means.dtype == chosen.extra["normals"].dtype == torch.float32
    assert chosen.metadata["units"] == "m"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scales": torch.zeros(3, 2)}, ValueError, r"scales must have shape \(N, 3\) with N=3; got \(3, 2\)"),
        ({"quats": torch.zeros(2, 4)}, ValueError, r"quats must have shape \(N, 4\) with N=3; got \(2, 4\)"),
        ({"density": torch.zeros(3, 1)}, ValueError, r"density must have shape \(N,\) with N=3; got \(3, 1\)"),
        ({"features": torch.zeros(2, 3)}, ValueError, r"features must have shape \(N, C\) with N=3"),
        (
            {"means": torch.zeros(3, 3, dtype=torch.int64)},
            TypeError,
            "means must be float32 or float64, got torch.int64",
        ),
        (
            {"scales": torch.zeros(3, 3, dtype=torch.float64)},
            TypeError,
            "scales must be torch.float32 on cpu like means",
        ),
        ({"extra": {"part": torch.zeros(2)}}, ValueError, r"extra\['part'\] must have 3 rows"),
        ({"means": [0, 0, 0]}, TypeError, "means must be a torch.Tensor, got list"),
    ],
)
def test_errors_name_the_tensor_the_rule_and_the_value(change, error, message):
    good = {"means": torch.zeros(3, 3), "scales": torch.ones(3, 3), "quats": torch.ones(3, 4), "density": torch.ones(3)}
    with pytest.raises(error, match=message):
        voge.Ellipsoids(**{**good, **change})
