"""Colors of ellipsoids on a mesh with texture coordinates, or at vertices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

import voge
from voge.assets.teapot import teapot
from voge.convert import from_mesh
from voge.convert.placement import normalize
from voge.texture.bake import bake, padded, rasterize


def _cube(path: Path, share: bool = False) -> trimesh.Trimesh:
    """A finely cut cube; each side has its own square of the texture, or all have the same."""
    n = 12
    steps = np.linspace(0, 1, n + 1)
    u, v = (grid.reshape(-1) for grid in np.meshgrid(steps, steps))
    low = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).reshape(-1)
    quad = np.concatenate([np.stack([low, low + 1, low + n + 2], 1), np.stack([low, low + n + 2, low + n + 1], 1)])
    vertices, faces, uv = [], [], []
    for side in range(6):
        axis, end = side // 2, side % 2
        place = np.zeros((len(u), 3))
        place[:, axis], place[:, (axis + 1) % 3], place[:, (axis + 2) % 3] = end, u, v
        cell = np.array([0.05, 0.05]) if share else np.array([side % 3 / 3 + 0.02, side // 3 / 2 + 0.02])
        vertices.append(place - 0.5)
        faces.append((quad if end else quad[:, ::-1]) + side * len(u))
        uv.append(cell + 0.28 * np.stack([u, v], 1))
    visual = trimesh.visual.TextureVisuals(uv=np.concatenate(uv))
    mesh = trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), visual=visual, process=False)
    mesh.export(path)
    return mesh


def _colors(points: torch.Tensor) -> torch.Tensor:
    return (0.5 + 0.4 * torch.sin(3 * points + torch.arange(3.0))).float()


def _ellipsoids(mesh: trimesh.Trimesh) -> voge.Ellipsoids:
    whole = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    whole.merge_vertices(merge_tex=True, merge_norm=True)
    made = from_mesh(torch.tensor(whole.vertices), torch.tensor(whole.faces))
    return replace(made, features=_colors(made.means))


def _looked_up(mesh: trimesh.Trimesh, places: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Points on the surface and the texture's colors there."""
    points, faces = trimesh.sample.sample_surface(mesh, places, seed=0)
    at = trimesh.triangles.points_to_barycentric(mesh.triangles[faces], points)
    uv = np.einsum("pc,pck->pk", at, mesh.visual.uv[mesh.faces[faces]])
    material = mesh.visual.material
    image = material.baseColorTexture if hasattr(material, "baseColorTexture") else material.image
    return points, trimesh.visual.color.uv_to_color(uv, image)


def test_the_texture_has_the_colors_in_both_formats(tmp_path: Path) -> None:
    mesh = _cube(tmp_path / "cube.obj")
    baked = bake(tmp_path / "cube.obj", _ellipsoids(mesh), tmp_path, size=128)
    assert baked.textured
    assert not baked.notes
    assert {file.name for file in baked.files} == {"model.obj", "model.mtl", "texture.png", "model.glb"}
    for name in ("model.obj", "model.glb"):
        again = trimesh.load_mesh(tmp_path / name, process=False)
        np.testing.assert_allclose(again.bounds, mesh.bounds, atol=1e-6)
        assert len(again.faces) == len(mesh.faces)
        points, colors = _looked_up(again)
        wanted = _colors(torch.from_numpy(points)).numpy()
        error = np.abs(colors[:, :3] / 255 - wanted)
        assert error.mean() < 0.02  # ellipsoids blend over their width; wrong places would be 0.3 off
        assert error.max() < 0.15


def test_no_seam_shows(tmp_path: Path) -> None:
    """Just outside a face's island lies its own color, not that of the empty picture or of another island."""
    mesh = _cube(tmp_path / "cube.obj")
    ellipsoids = _ellipsoids(mesh)
    white = replace(ellipsoids, features=torch.ones(len(ellipsoids), 3))
    bake(tmp_path / "cube.obj", white, tmp_path, size=96)
    again = trimesh.load_mesh(tmp_path / "model.obj", process=False)
    assert np.asarray(again.visual.material.image).min() >= 254


def test_texels_know_their_place() -> None:
    """Interpolated texture coordinates of each texel are its center, v upwards."""
    uv = np.array([[[0.1, 0.1], [0.9, 0.2], [0.3, 0.8]], [[0.9, 0.2], [0.9, 0.9], [0.3, 0.8]]])
    found = list(rasterize(uv, 40))
    face, texel, at = (np.concatenate(parts) for parts in zip(*found, strict=True))
    places = np.einsum("tc,tck->tk", at, uv[face])
    np.testing.assert_allclose(places[:, 0] * 40 - 0.5, texel % 40, atol=1e-9)
    np.testing.assert_allclose((1 - places[:, 1]) * 40 - 0.5, texel // 40, atol=1e-9)
    areas = np.abs(np.linalg.det(np.stack([uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]], 1))) / 2
    assert abs(len(texel) / 1600 - areas.sum()) < 0.02


def test_every_face_has_a_texel() -> None:
    """Also one that is smaller than a texel, and one without area."""
    tiny = np.array([[[0.501, 0.501], [0.502, 0.501], [0.501, 0.502]], [[0.2, 0.2], [0.2, 0.2], [0.2, 0.2]]])
    face = np.concatenate([face for face, _, _ in rasterize(tiny, 10)])
    assert sorted(face.tolist()) == [0, 1]


def test_padding_takes_the_nearest() -> None:
    picture, covered = np.zeros((3, 5, 3), np.uint8), np.zeros((3, 5), bool)
    picture[1, 0], picture[1, 4], covered[1, 0], covered[1, 4] = 10, 20, True, True
    assert padded(picture, covered)[0, :, 0].tolist() in ([10, 10, 10, 20, 20], [10, 10, 20, 20, 20])


def test_what_is_seen_wins_on_shared_texels(tmp_path: Path) -> None:
    mesh = _cube(tmp_path / "cube.obj", share=True)
    ellipsoids = _ellipsoids(mesh)
    front = (ellipsoids.means[:, 2] > 0.49).float()
    red = torch.tensor([1.0, 0, 0]) * front[:, None]
    made = replace(ellipsoids, features=red, extra={**ellipsoids.extra, "confidence": front})
    baked = bake(tmp_path / "cube.obj", made, tmp_path, size=64)
    assert "shared by several faces" in baked.notes[0]
    image = np.asarray(trimesh.load_mesh(tmp_path / "model.obj", process=False).visual.material.image)
    assert image[45:60, 5:20, 0].mean() > 200


def test_without_coordinates_vertices_get_colors(tmp_path: Path) -> None:
    vertices, faces, _ = teapot(6)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    mesh.export(tmp_path / "teapot.stl")
    made = from_mesh(torch.as_tensor(vertices).double(), torch.as_tensor(faces))
    # Moved after the conversion: the record takes the mesh along.
    made = normalize(replace(made, features=_colors(made.means / 3)))
    baked = bake(tmp_path / "teapot.stl", made, tmp_path)
    assert not baked.textured
    for name in ("model.ply", "model.glb"):
        again = trimesh.load_mesh(tmp_path / name, process=False)
        wanted = _colors(torch.tensor(again.vertices / 3)).numpy()
        error = np.abs(again.visual.vertex_colors[:, :3] / 255 - wanted)
        assert error.mean() < 0.02


def test_features_are_no_colors(tmp_path: Path) -> None:
    mesh = _cube(tmp_path / "cube.obj")
    made = _ellipsoids(mesh)
    with pytest.raises(ValueError, match="must have colors"):
        bake(tmp_path / "cube.obj", replace(made, features=torch.ones(len(made), 5)), tmp_path)


def test_parts_of_a_scene_get_a_texture_each(tmp_path: Path) -> None:
    """Where their nodes put them."""
    mesh = _cube(tmp_path / "cube.obj")
    scene = trimesh.Scene()
    scene.add_geometry(mesh.copy(), geom_name="a")
    shift = trimesh.transformations.translation_matrix([4.0, 0, 0])
    scene.add_geometry(mesh.copy(), geom_name="b", transform=shift)
    scene.export(tmp_path / "two.glb")
    first = _ellipsoids(mesh)
    second = replace(first, means=first.means + torch.tensor([4.0, 0, 0]))
    red, blue = (
        replace(each, features=torch.tensor([c]).expand(len(first), 3))
        for each, c in ((first, [1.0, 0, 0]), (second, [0.0, 0, 1]))
    )
    for kind in ("obj", "glb"):
        bake(tmp_path / "two.glb", voge.scene.ellipsoids.cat([red, blue]), tmp_path, size=64, formats=(kind,))
        again = trimesh.load_scene(tmp_path / f"model.{kind}", process=False)
        for part in again.dump():
            points, colors = _looked_up(part, 50)
            wanted = np.where(points[:, :1] < 2, [[255, 0, 0]], [[0, 0, 255]])
            assert np.abs(colors[:, :3].astype(int) - wanted).max() <= 2
