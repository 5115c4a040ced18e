"""Reading meshes and points: formats, seams, colors, what is dropped, and one line for what cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from voge.errors import DataError
from voge.io.meshes import load_geometry
from voge.io.readers.part import unit_colors
from voge.meshes.mesh import Mesh, Points, build_mesh
from voge.meshes.textures import sample_texture

trimesh = pytest.importorskip("trimesh")
Image = pytest.importorskip("PIL.Image")

DATA = Path(os.environ.get("VOGE_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
FACES = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])  # counter-clockwise from outside
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [51, 102, 153]], np.uint8)


def mesh_of(path: Path) -> Mesh:
    found = load_geometry(path)
    assert isinstance(found, Mesh)
    return found


def points_of(path: Path) -> Points:
    found = load_geometry(path)
    assert isinstance(found, Points)
    return found


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def colored(visual_colors: np.ndarray = COLORS) -> trimesh.Trimesh:
    return trimesh.Trimesh(TETRAHEDRON, FACES, vertex_colors=visual_colors, process=False)


def by_position(mesh: Mesh, values: np.ndarray) -> dict[tuple[float, ...], list[float]]:
    keys = (tuple(np.round(vertex, 4).tolist()) for vertex in mesh.vertices)
    return dict(zip(keys, np.round(values.astype(float), 2).tolist(), strict=True))


# ---- Meshes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "off", "glb"])
def test_every_format_gives_the_same_mesh(tmp_path, kind):
    colored().export(tmp_path / f"tetrahedron.{kind}")
    mesh = mesh_of(tmp_path / f"tetrahedron.{kind}")
    assert sorted(map(tuple, np.round(mesh.vertices, 5))) == sorted(map(tuple, TETRAHEDRON))
    assert mesh.faces.shape == (4, 3)
    # Regular: the vertices' normals point away from the middle.
    np.testing.assert_allclose(mesh.normals, mesh.vertices / np.sqrt(3), atol=1e-6)
    if kind in ("obj", "ply", "glb"):
        assert mesh.colors is not None
        expected = dict(zip(map(tuple, TETRAHEDRON.tolist()), np.round(COLORS / 255, 2).tolist(), strict=True))
        assert by_position(mesh, mesh.colors) == expected
    else:
        assert mesh.colors is None
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)


def test_colors_of_coff_are_read(tmp_path):
    rows = [
        f"{x} {y} {z} {r / 255} {g / 255} {b / 255} 1" for (x, y, z), (r, g, b) in zip(TETRAHEDRON, COLORS, strict=True)
    ]
    faces = [f"3 {a} {b} {c}" for a, b, c in FACES]
    mesh = mesh_of(write(tmp_path, "a.off", "\n".join(["COFF", "# made by hand", "4 4 0", *rows, *faces])))
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, COLORS / 255, atol=1e-6)


def test_vertices_along_a_texture_seam_become_one_with_their_mean_color(tmp_path):
    """Two triangles share the edge 1-2, which has other texture coordinates on either side: red and blue."""
    Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)).save(tmp_path / "two.png")
    write(tmp_path, "a.mtl", "newmtl m\nmap_Kd two.png\n")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nvt 0.25 0.5\nvt 0.75 0.5\n"
    path = write(tmp_path, "a.obj", f"mtllib a.mtl\n{corners}usemtl m\nf 1/1 2/1 3/1\nf 2/2 4/2 3/2\n")
    mesh = mesh_of(path)
    assert mesh.vertices.shape == (4, 3)
    assert mesh.colors is not None
    assert by_position(mesh, mesh.colors) == {
        (0, 0, 0): [1, 0, 0], (1, 0, 0): [0.5, 0, 0.5], (0, 1, 0): [0.5, 0, 0.5], (1, 1, 0): [0, 0, 1]
    }  # fmt: skip
    np.testing.assert_allclose(mesh.normals, [[0, 0, 1]] * 4)


def test_a_missing_texture_is_noted(tmp_path):
    write(tmp_path, "a.mtl", "newmtl m\nKd 0.2 0.4 0.6\nmap_Kd gone.png\n")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\n"
    mesh = mesh_of(write(tmp_path, "a.obj", f"mtllib a.mtl\n{corners}usemtl m\nf 1/1 2/2 3/3\n"))
    assert mesh.notes == ("the texture gone.png of a.mtl is not beside it",)
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, [[0.2, 0.4, 0.6]] * 3, atol=1e-6)


def test_several_materials_make_one_mesh_that_shares_its_border(tmp_path):
    write(tmp_path, "a.mtl", "newmtl red\nKd 1 0 0\nnewmtl blue\nKd 0 0 1\n")
    corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n"
    mesh = mesh_of(write(tmp_path, "a.obj", f"mtllib a.mtl\n{corners}usemtl red\nf 1 2 3\nusemtl blue\nf 2 4 3\n"))
    assert mesh.vertices.shape == (4, 3)
    assert mesh.colors is not None
    assert by_position(mesh, mesh.colors)[(1, 0, 0)] == [0.5, 0, 0.5]


def test_texture_coordinates_run_upwards_and_repeat():
    image = np.arange(12.0).reshape(2, 3, 2)  # rows from the top
    centers = np.array([[0.5 / 3, 0.75], [2.5 / 3, 0.25], [2.5 / 3 - 2, 0.25 + 5]])
    np.testing.assert_allclose(sample_texture(image, centers), [image[0, 0], image[1, 2], image[1, 2]])
    between = sample_texture(image, np.array([[1 / 3, 0.75], [0.0, 0.75]]))
    np.testing.assert_allclose(between, [(image[0, 0] + image[0, 1]) / 2, (image[0, 0] + image[0, 2]) / 2])


def test_a_textured_glb_multiplies_texture_and_factor(tmp_path):
    image = Image.fromarray(np.full((2, 2, 3), 200, np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, baseColorFactor=[255, 51, 0, 255])
    visual = trimesh.visual.TextureVisuals(uv=np.full((4, 2), 0.5), material=material)
    trimesh.Trimesh(TETRAHEDRON, FACES, visual=visual, process=False).export(tmp_path / "a.glb")
    mesh = mesh_of(tmp_path / "a.glb")
    assert mesh.colors is not None
    np.testing.assert_allclose(mesh.colors, [[200 / 255, 200 / 255 * 0.2, 0]] * 4, atol=1e-3)


def test_a_scene_is_flattened_with_its_transforms_and_mirrors_keep_their_outside(tmp_path):
    scene = trimesh.Scene()
    mirror = np.diag([-2.0, 2, 2, 1])
    mirror[:3, 3] = [10, 0, 0]
    scene.add_geometry(colored(), node_name="plain", geom_name="t")
    scene.add_geometry(colored(), node_name="mirrored", geom_name="u", transform=mirror)
    scene.export(tmp_path / "scene.glb")
    mesh = mesh_of(tmp_path / "scene.glb")
    assert mesh.vertices.shape == (8, 3)
    moved = TETRAHEDRON * [-2, 2, 2] + [10, 0, 0]
    assert {tuple(v) for v in np.round(mesh.vertices, 4)} == {tuple(v) for v in np.concatenate([TETRAHEDRON, moved])}
    middle = np.where(mesh.vertices[:, :1] > 5, [10, 0, 0], [0, 0, 0])
    assert (((mesh.vertices - middle) * mesh.normals).sum(1) > 0).all()


def test_the_cow_has_a_vertex_a_position_and_its_texture():
    path = DATA / "cow.obj"
    if not path.is_file():
        pytest.skip(f"{path} is not here; set VOGE_DATA to its folder")
    mesh = mesh_of(path)
    assert mesh.vertices.shape == (2930, 3)
    assert mesh.faces.shape == (5856, 3)
    assert mesh.dropped == {}
    assert mesh.notes == ()
    assert mesh.colors is not None
    # Cream with dark patches.
    np.testing.assert_allclose(np.median(mesh.colors, axis=0), [1, 0.93, 0.90], atol=0.02)
    assert 0.1 < (mesh.colors.max(1) < 0.5).mean() < 0.4


def test_quads_are_split(tmp_path):
    mesh = mesh_of(write(tmp_path, "a.obj", "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3 4\n"))
    assert mesh.faces.shape == (2, 3)


def test_what_cannot_be_seen_is_dropped_and_counted(tmp_path):
    lines = ["v 0 0 0 1 0 0", "v 1 0 0 0 1 0", "v 0 1 0 0 0 1", "v 9 9 9 0 0 0", "v nan 0 0 0 0 0", "v 2 0 0 0 0 0"]
    faces = ["f 1 2 3", "f 1 2 2", "f 1 2 6", "f 1 2 5"]  # a triangle, a point twice, a line, a broken corner
    rows = [line.split()[1:4] for line in lines]
    off = [
        "OFF",
        "6 4 0",
        *(" ".join(row) for row in rows),
        *("3 " + " ".join(str(int(i) - 1) for i in f.split()[1:]) for f in faces),
    ]
    mesh = mesh_of(write(tmp_path, "a.off", "\n".join(off)))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2]]
    assert mesh.dropped == {
        "vertices that are not finite": 1,
        "faces with a vertex that is not finite": 1,
        "faces of zero area": 2,
        "unreferenced vertices": 2,
    }


def test_a_small_triangle_is_not_taken_for_one_without_area():
    big = 1e4 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    tiny = 1e-3 * np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]])
    mesh = build_mesh(np.concatenate([big, tiny]), np.arange(6).reshape(2, 3))
    assert mesh.faces.shape == (2, 3)
    assert mesh.dropped == {}


def test_vertices_keep_the_order_of_the_file():
    ring = np.random.default_rng(0).normal(size=(50, 3))
    faces = np.stack([np.arange(50), np.roll(np.arange(50), 1), np.roll(np.arange(50), 7)], 1)
    np.testing.assert_array_equal(build_mesh(ring, faces).vertices, ring)


# ---- Points ----------------------------------------------------------------------------------


def test_a_ply_cloud_keeps_colors_and_normals(tmp_path):
    header = [
        "ply",
        "format ascii 1.0",
        "element vertex 2",
        *(f"property float {n}" for n in ("x", "y", "z", "nx", "ny", "nz")),
    ]
    header += [f"property uchar {n}" for n in ("red", "green", "blue")] + ["end_header"]
    points = points_of(
        write(tmp_path, "a.ply", "\n".join([*header, "1 2 3 0 0 1 255 0 51", "4 5 6 0 1 0 0 102 255", ""]))
    )
    assert points.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert points.normals is not None
    assert points.colors is not None
    assert points.normals.tolist() == [[0, 0, 1], [0, 1, 0]]
    np.testing.assert_allclose(points.colors, [[1, 0, 0.2], [0, 0.4, 1]], atol=1e-6)


def test_a_binary_ply_cloud_is_read(tmp_path):
    trimesh.PointCloud(TETRAHEDRON, colors=COLORS).export(tmp_path / "a.ply")
    points = points_of(tmp_path / "a.ply")
    assert points.points.tolist() == TETRAHEDRON.tolist()
    assert points.normals is None
    assert points.colors is not None
    np.testing.assert_allclose(points.colors, COLORS / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "colors", "normals"),
    [
        ("# remark\n1 2 3\n4 5 6\n", None, None),
        ("1,2,3,255,0,51\n4,5,6,0,102,255\n", [[1, 0, 0.2], [0, 0.4, 1]], None),
        ("1 2 3 1 0 0.2\n4 5 6 0 0.4 1\n", [[1, 0, 0.2], [0, 0.4, 1]], None),
        ("1 2 3 0 0 1\n4 5 6 0.6 0.8 0\n", None, [[0, 0, 1], [0.6, 0.8, 0]]),
        ("1 2 3 255 0 51 0 0 1\n4 5 6 0 102 255 0 1 0\n", [[1, 0, 0.2], [0, 0.4, 1]], [[0, 0, 1], [0, 1, 0]]),
    ],
)
def test_text_points_may_have_colors_and_normals(tmp_path, text, colors, normals):
    points = points_of(write(tmp_path, "a.xyz", text))
    assert points.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    for found, expected in ((points.colors, colors), (points.normals, normals)):
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_arrays_are_read(tmp_path):
    np.save(tmp_path / "a.npy", TETRAHEDRON.astype(np.float32))
    assert points_of(tmp_path / "a.npy").points.tolist() == TETRAHEDRON.tolist()
    np.savez(tmp_path / "b.npz", points=TETRAHEDRON, colors=COLORS, normals=TETRAHEDRON)
    points = points_of(tmp_path / "b.npz")
    assert points.colors is not None
    np.testing.assert_allclose(points.colors, COLORS / 255, atol=1e-6)
    assert points.normals is not None
    np.savez(tmp_path / "c.npz", vertices=TETRAHEDRON, faces=FACES, colors=COLORS / 255)
    assert mesh_of(tmp_path / "c.npz").faces.tolist() == FACES.tolist()


def test_points_that_are_not_finite_are_dropped_with_their_colors(tmp_path):
    broken = np.array([[0, 0, 0], [np.nan, 0, 0], [1, 1, np.inf], [2, 2, 2]])
    np.savez(tmp_path / "a.npz", points=broken, colors=COLORS)
    points = points_of(tmp_path / "a.npz")
    assert points.points.tolist() == [[0, 0, 0], [2, 2, 2]]
    assert points.colors is not None
    np.testing.assert_allclose(points.colors, COLORS[[0, 3]] / 255, atol=1e-6)
    assert points.dropped == {"points that are not finite": 2}


def test_colors_scale_by_their_type():
    assert unit_colors(np.array([[0, 255]], np.uint8)).tolist() == [[0, 1]]
    assert unit_colors(np.array([[0, 65535]], np.uint16)).tolist() == [[0, 1]]
    assert unit_colors(np.array([[0, 255.0]])).tolist() == [[0, 1]]
    assert unit_colors(np.array([[0, 1.0]])).tolist() == [[0, 1]]


# ---- Files that cannot be used: see also test_malformed.py -----------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.obj: no such file"):
        load_geometry(tmp_path / "gone.obj")
    with pytest.raises(DataError, match="is a folder"):
        load_geometry(tmp_path)
