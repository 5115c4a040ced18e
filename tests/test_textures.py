"""Textures: means over footprints, and how near a converted cow comes to its ray-cast mesh."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from voge.io.meshes import load_geometry
from voge.meshes.textures import Texture, corner_colors, pyramid, vertex_colors

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("VOGE_DATA", ROOT.parent / "shared" / "data"))
sys.path.insert(0, str(ROOT / "benchmarks"))


def one_face(image, uv=((0, 0), (1, 0), (0, 1))):
    """A face with a picture (H, W, 3) uint8."""
    return Texture(
        np.array([uv], float),
        np.zeros(1, np.int64),
        (pyramid(image),),
        np.ones((1, 3), np.float32),
        np.zeros((0, 3, 3)),
    )


def checker(size=256, cell=1):
    """Black and white fields; their mean is a middle gray."""
    i, j = np.indices((size, size)) // cell
    return np.repeat(((i + j) % 2 * 255).astype(np.uint8)[..., None], 3, 2)


def ramp(size=256):
    """Red grows to the right, green upwards."""
    i, j = np.indices((size, size)) + 0.5
    return np.stack([j / size * 255, (1 - i / size) * 255, 0 * i], -1).round().astype(np.uint8)


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_a_pyramid_keeps_the_mean_down_to_one_pixel(size):
    image = np.random.default_rng(0).integers(0, 256, (size, 2 * size + 1, 3), dtype=np.uint8)
    levels = pyramid(image)
    assert levels[-1].shape == (1, 1, 3)
    assert levels[-1][0, 0] == pytest.approx(image.mean((0, 1)), abs=1)


@pytest.mark.parametrize("reach", [0.5, 1.0])
@pytest.mark.parametrize("cell", [1, 2, 3])
def test_a_fine_checker_becomes_gray_whatever_texel_the_vertices_meet(cell, reach):
    for shift in (0, 0.3 / 256, 1 / 256):
        texture = one_face(checker(cell=cell), np.array([(0, 0), (1, 0), (0, 1)]) + shift)
        assert corner_colors(texture, reach) == pytest.approx(0.5, abs=0.03)


def test_without_a_footprint_a_texel_is_met():
    texel = 0.5 / 256
    colors = one_face(checker(), [(texel, texel), (1, 0), (0, 1)]).lookup(np.zeros(1, np.int64), np.eye(3)[:1])
    assert colors[0] == pytest.approx([1, 1, 1], abs=1e-6)


def test_the_mean_over_a_shrunk_hat_is_that_of_its_integral():
    """On linear colors: the hat's center is at (1/2, 1/4, 1/4), and shrinking moves it towards the corner."""
    texture = one_face(ramp(), ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8)))
    for reach in (0.5, 1.0):
        found = corner_colors(texture, reach)[0]
        near, far = 0.2 + 0.6 * reach / 4, 0.8 - 0.6 * reach / 2
        expected = [[near, near, 0], [far, near, 0], [near, far, 0]]
        assert found == pytest.approx(np.array(expected), abs=0.01)


def test_faces_without_picture_keep_their_plain_colors_and_tints_multiply():
    texture = Texture(
        np.zeros((2, 3, 2)),
        np.array([0, -1]),
        (pyramid(np.full((2, 2, 3), 200, np.uint8)),),
        np.array([[1, 0.5, 0]], np.float32),
        np.array([np.ones((3, 3)), np.eye(3)], np.float32),
    )
    colors = vertex_colors(texture, np.array([[0, 1, 2], [3, 4, 5]]), np.ones(2), 6, reach=0.0)
    level = 200 / 255
    assert colors == pytest.approx(np.array([[level, level / 2, 0]] * 3 + np.eye(3).tolist()), abs=1e-6)


def test_a_scene_of_textured_and_plain_meshes_keeps_each_ones_colors(tmp_path):
    """Two meshes share a picture with other tints, a third has vertex colors, a fourth none."""
    corners, faces = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], float), np.array([[0, 1, 2]])
    image = Image.fromarray(np.full((4, 4, 3), 255, np.uint8))
    scene = trimesh.Scene()
    for step, factor in enumerate(([255, 0, 0, 255], [0, 255, 0, 255])):
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, baseColorFactor=factor)
        visual = trimesh.visual.TextureVisuals(uv=corners[:, :2], material=material)
        scene.add_geometry(trimesh.Trimesh(corners + np.array([0, 0, step]), faces, visual=visual, process=False))
    scene.add_geometry(
        trimesh.Trimesh(corners + np.array([0, 0, 2]), faces, vertex_colors=[0, 0, 255, 255], process=False)
    )
    scene.add_geometry(trimesh.Trimesh(corners + np.array([0, 0, 3]), faces, process=False))
    scene.export(tmp_path / "a.glb")
    mesh = load_geometry(tmp_path / "a.glb")
    found = {round(z): np.round(color, 2).tolist() for z, color in zip(mesh.vertices[:, 2], mesh.colors, strict=True)}
    assert (found[0], found[1], found[2]) == ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    assert len(set(found[3])) == 1  # without colors: white, or the gray that the writer gave it


def test_the_cow_at_20000_ellipsoids_is_near_its_ray_cast_mesh():
    path = DATA / "cow.obj"
    if not path.is_file():
        pytest.skip(f"{path} is not here; set VOGE_DATA to its folder")
    pytest.importorskip("embreex")
    import fidelity

    cameras = fidelity.views(256)[torch.tensor([0, 3])]
    found = fidelity.textured(fidelity.centered(load_geometry(path)), cameras, 20_000)
    assert found.count == 20_000
    assert found.inside > 28  # 28.97 dB over all six views; 26.9 without regard to color, 21.7 at 2,930
    assert found.iou > 0.995
