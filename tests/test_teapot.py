"""The packaged teapot: a sound mesh of the right shape."""

import numpy as np
import pytest
import trimesh

from voge.assets.teapot import teapot, tessellate

R = 6  # squares along a patch's side


@pytest.fixture(scope="module")
def mesh():
    return teapot(R)


def directed_edges(faces):
    return faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)


def parts_of(mesh):
    vertices, faces, _ = mesh
    return trimesh.Trimesh(vertices, faces, process=False).split(only_watertight=False)


def test_faces_vanish_only_at_the_two_poles(mesh):
    assert len(mesh[1]) == 64 * R**2 - 8 * R


def test_every_face_has_an_area(mesh):
    vertices, faces, _ = mesh
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    assert (np.linalg.norm(np.cross(b - a, c - a), axis=1) > 1e-6).all()


def test_seams_are_closed_except_for_six_edges(mesh):
    """Open are lid and rim (4 patches round) and both ends of handle and spout (2 patches round)."""
    _, counts = np.unique(np.sort(directed_edges(mesh[1]), axis=1), axis=0, return_counts=True)
    assert counts.max() == 2
    assert (counts == 1).sum() == (2 * 4 + 4 * 2) * R


def test_winding_is_consistent(mesh):
    """Then no directed edge occurs twice."""
    _, counts = np.unique(directed_edges(mesh[1]), axis=0, return_counts=True)
    assert counts.max() == 1


def test_every_part_is_wound_outwards(mesh):
    """The volume of lid, pot, handle and spout, seen from their middle, is positive."""
    parts = parts_of(mesh)
    assert len(parts) == 4
    for part in parts:
        part.apply_translation(-part.bounds.mean(0))
        assert part.volume > 0.05  # the open ends take some away


def test_it_has_the_proportions_of_the_original():
    """Newell's teapot in the usual squat version: 3.15 high, 4 across the body, from handle -3 to spout 3.43."""
    vertices, _, _ = teapot(16)
    low, high = vertices.min(0), vertices.max(0)
    assert low == pytest.approx([-3, 0, -2], abs=1e-9)
    assert high == pytest.approx([3.434, 3.15, 2], abs=1e-3)


def test_body_is_smooth_across_patches():
    """Its bends shrink with the squares; a crease along a seam would stay."""
    bends = []
    for resolution in (8, 32):
        pot = max(parts_of(teapot(resolution)), key=lambda part: len(part.faces))
        body = pot.vertices[pot.face_adjacency_edges][..., 1].mean(1)
        bends.append(pot.face_adjacency_angles[(body > 0.2) & (body < 2.3)].max())
    assert bends[1] < 0.35 * bends[0]


def test_colors_are_colors(mesh):
    vertices, _, colors = mesh
    assert colors.shape == vertices.shape
    assert colors.dtype == np.float32
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert colors.std(0).min() > 0.05


def test_a_flat_patch_is_tessellated_flat():
    """Control points on a grid give the grid of parameters."""
    x, y = np.meshgrid(np.arange(4) / 3, np.arange(4) / 3, indexing="ij")
    grid = tessellate(np.stack([x, y, 0 * x], -1)[None], 5)[0]
    steps = np.arange(6) / 5
    assert grid[:, 2, 0] == pytest.approx(steps)
    assert grid[3, :, 1] == pytest.approx(steps)


def test_resolution_must_separate_the_halves_of_a_tube():
    with pytest.raises(ValueError, match="resolution must be at least 2, got 1"):
        teapot(1)
