"""As many ellipsoids as asked for: the surface stays, colors follow, counts are met."""

import numpy as np
import pytest
import torch
import trimesh

from voge.meshes import surfaces
from voge.meshes.mesh import Points, build_mesh
from voge.meshes.resample import CUTS, outline_shift, refine, resample
from voge.meshes.textures import Texture, pyramid


def ball(subdivisions=3, colored=True):
    made = trimesh.creation.icosphere(subdivisions=subdivisions)
    return build_mesh(made.vertices, made.faces, (made.vertices + 1) / 2 if colored else None)


def areas(mesh):
    return surfaces.face_areas(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)).numpy()


def textured_square(image):
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    tints, plain = np.ones((1, 3), np.float32), np.zeros((0, 3, 3), np.float32)
    texture = Texture(corners[faces][..., :2], np.zeros(2, np.int64), (pyramid(image),), tints, plain)
    return build_mesh(corners, faces, texture=texture)


@pytest.mark.parametrize("count", [642, 643, 700, 2000, 5000])
def test_refining_meets_the_count_and_keeps_the_surface(count):
    mesh = ball()
    made = resample(mesh, count)
    assert len(made.vertices) == count
    assert areas(made).sum() == pytest.approx(areas(mesh).sum())
    solid = trimesh.Trimesh(made.vertices, made.faces, process=False)
    assert solid.is_watertight  # edges are split on both sides
    assert solid.volume == pytest.approx(trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).volume)
    # A vertex in the middle of an edge has the mean of its colors, and colors are linear in place here.
    assert made.colors == pytest.approx((made.vertices + 1) / 2, abs=1e-5)


@pytest.mark.parametrize("count", [4, 50, 200, 500, 641])
def test_decimating_meets_the_count_and_stays_near_the_surface(count):
    made = resample(ball(), count)
    assert len(made.vertices) == count
    assert np.linalg.norm(made.vertices, axis=1) == pytest.approx(1, abs=1.2 / count**0.5)
    assert np.abs(made.colors - (made.vertices + 1) / 2).mean() < 1 / count**0.5


def test_split_faces_are_wound_as_before_and_cover_the_face():
    slots = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]])
    for pattern, cuts in enumerate(CUTS):
        a, b, c = slots[np.array(cuts)].transpose(1, 0, 2)
        double = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
        assert (double > 0).all()
        assert double.sum() == pytest.approx(1)
        assert len(cuts) == 1 + bin(pattern).count("1")


def test_more_vertices_go_where_the_texture_changes():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, 32:] = 255
    made = refine(textured_square(image), 400)
    near = np.abs(made.vertices[:, 0] - 0.5) < 0.1
    assert near.mean() > 0.3  # 0.2 if they were even
    sides = np.abs(made.vertices[:, 0] - 0.5) > 0.1
    assert made.colors[sides, 0] == pytest.approx((made.vertices[sides, 0] > 0.5).astype(float), abs=0.01)


def test_a_picture_is_followed_when_a_mesh_is_refined():
    image = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    made = refine(textured_square(image), 300)
    inside = (np.abs(made.vertices[:, :2] - 0.5) < 0.4).all(1)
    assert made.colors[inside, 0] == pytest.approx(made.vertices[inside, 0], abs=0.03)


@pytest.mark.parametrize("count", [4, 137, 999, 1000])
def test_thinning_meets_the_count_evenly(count):
    places = np.random.default_rng(0).random((1000, 3)) * [1, 2, 3]
    made = resample(Points(places, places.astype(np.float32) / 3), count)
    assert len(made.points) == len(np.unique(made.points, axis=0)) == count
    assert {tuple(p) for p in made.points} <= {tuple(p) for p in places}
    assert made.points.mean(0) == pytest.approx([0.5, 1, 1.5], abs=1.5 / count**0.5)


def test_thinned_points_have_the_mean_color_of_those_left_out():
    places = np.random.default_rng(0).random((4000, 3))
    noise = np.random.default_rng(1).integers(0, 2, (4000, 3)).astype(np.float32)
    made = resample(Points(places, noise), 50)
    assert np.abs(made.colors - 0.5).mean() < 0.25  # of single ones: 0.5


def test_points_that_coincide_can_be_thinned():
    made = resample(Points(np.repeat(np.eye(3), 5, 0)), 10)
    assert len(made.points) == 10


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="at most 3, the number of points; got 5"):
        resample(Points(np.eye(3)), 5)
    with pytest.raises(ValueError, match="count must be at least 4, got 3"):
        resample(ball(), 3)


def test_an_open_mesh_whose_outline_moves_says_so_and_a_closed_one_has_none():
    rows, columns = np.mgrid[:41, :41]
    vertices = np.stack([rows, columns, np.sin(rows / 4) * np.cos(columns / 3)], 2).reshape(-1, 3).astype(float)
    first = (np.arange(40)[:, None] * 41 + np.arange(40)).reshape(-1)
    faces = np.concatenate([np.stack(c, 1) for c in ((first, first + 1, first + 42), (first, first + 42, first + 41))])
    sheet = build_mesh(vertices, faces)
    assert outline_shift(sheet, sheet) < 1e-9
    assert outline_shift(sheet, refine(sheet, 3000)) < 1e-9
    coarse = resample(sheet, 60)
    assert outline_shift(sheet, coarse) > 0.2
    assert [note.split(" by ")[0] for note in coarse.notes] == ["its outline moves"]
    ball = trimesh.creation.icosphere(3)
    assert resample(build_mesh(ball.vertices, ball.faces), 100).notes == ()
