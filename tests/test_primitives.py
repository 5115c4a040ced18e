"""Cuboids, spheres and cylinders."""

import math

import pytest
import torch

import voge
from voge.convert.primitives import SIDES, Shape, primitive, primitive_mesh, side_colors


def mesh_volume(shape: str, size: tuple[float, float, float], count: int = 4000) -> float:
    vertices, faces, _ = primitive_mesh(shape, size, count)
    a, b, c = vertices[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.mark.parametrize(
    ("shape", "volume"),
    [("cuboid", 2 * 1 * 0.5), ("sphere", math.pi / 6 * 2 * 1 * 0.5), ("cylinder", math.pi / 4 * 2 * 0.5 * 1)],
)
def test_volume_is_that_of_the_solid_and_faces_look_outwards(shape: str, volume: float):
    # Flat faces cut off at most 1 % of the round ones at 4000 vertices.
    assert mesh_volume(shape, (2, 1, 0.5)) == pytest.approx(volume, rel=0.01)


@pytest.mark.parametrize("shape", list(Shape))
def test_fills_its_box(shape: Shape):
    vertices, _, _ = primitive_mesh(shape, (2, 1, 0.5), 4000)
    expected = torch.tensor([1, 0.5, 0.25], dtype=torch.float64)
    torch.testing.assert_close(vertices.amax(0), expected, rtol=2e-3, atol=0)
    torch.testing.assert_close(vertices.amin(0), -expected, rtol=2e-3, atol=0)


@pytest.mark.parametrize("shape", list(Shape))
@pytest.mark.parametrize("number", range(6))
def test_each_side_looks_its_way(shape: Shape, number: int):
    vertices, _, side = primitive_mesh(shape, (1, 1, 1), 600)
    middle = vertices[side == number].mean(0)
    axis, sign = "xyz".index(SIDES[number][1]), 1 if SIDES[number][0] == "+" else -1
    assert int(middle.abs().argmax()) == axis
    assert middle[axis] * sign > 0.3


def test_about_as_many_ellipsoids_as_asked():
    for shape in Shape:
        assert 900 < len(primitive(shape, (1, 1, 1), count=1000)) < 1400


def test_one_three_or_six_colors():
    red, green, blue = (1.0, 0, 0), (0.0, 1, 0), (0.0, 0, 1)
    assert side_colors([red]).tolist() == [list(red)] * 6
    assert side_colors([red, green, blue])[[0, 1, 4, 5]].tolist() == [list(red)] * 2 + [list(blue)] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (1, 0, 1)}, "size must be 3 positive numbers"),
        ({"colors": [(1, 0, 0)] * 2}, "colors must be 1, 3 or 6"),
        ({"colors": [(1, 0, 2)]}, "colors must be 1, 3 or 6"),
        ({"count": 3}, "count must be at least 24"),
        ({"shape": "cone"}, "cone"),
    ],
)
def test_wrong_arguments_are_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        primitive(**{"shape": "cuboid", "size": (1, 1, 1), **options})


def test_a_cuboid_is_opaque_and_shows_the_side_that_faces_the_camera():
    colors = [(1.0, 0, 0), (0.0, 1, 0), (0.0, 0, 1)]
    made = primitive("cuboid", (1, 1, 1), colors, 300)
    camera = voge.Cameras(voge.orbit(0.0, 0.0, 4.0)[None], voge.intrinsics(9, 9, fov=8.0)[None], 9, 9)
    picture = voge.render(made, camera)
    assert picture.alpha.min() > 0.98
    torch.testing.assert_close(picture.image[0].mean((0, 1)), torch.tensor([0.0, 0, 1]), atol=0.02, rtol=0)
