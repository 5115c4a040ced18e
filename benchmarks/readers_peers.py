"""What a library makes of a file of a mesh, for `readers.py`; runs where the libraries are, without voge.

    python readers_peers.py LIBRARY FILE ...

Prints a JSON object per file: vertices, faces and area, the box, and colors: of vertices, else of faces, else of the
picture at the vertices, else of the material. A library is taken at what its ordinary call gives, read generously.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Found = dict[str, Any]


def facts(vertices: Any, faces: Any, colors: Any = None) -> Found:
    vertices = np.asarray(vertices, float).reshape(-1, 3)
    faces = np.asarray(faces, np.int64).reshape(-1, 3)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    colors = None if colors is None or not len(colors) else np.asarray(colors, float)[:, :3].tolist()
    used = vertices[faces.reshape(-1)] if len(faces) else vertices
    area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    box = {"low": used.min(0).tolist(), "high": used.max(0).tolist()}
    return {"vertices": len(vertices), "faces": len(faces), "area": area, "colors": colors, **box}


def sampled(picture: Any, uv: Any) -> Any:
    """Colors of a picture at coordinates that repeat, v upwards."""
    picture = np.asarray(picture)
    picture = picture / (np.iinfo(picture.dtype).max if picture.dtype.kind in "iu" else 1)
    picture = np.atleast_3d(picture)
    picture = picture if picture.shape[2] >= 3 else np.repeat(picture[:, :, :1], 3, 2)
    at = np.asarray(uv, float)[:, :2] % 1
    rows, columns = ((1 - at[:, 1]) * picture.shape[0]).astype(int), (at[:, 0] * picture.shape[1]).astype(int)
    return picture[rows.clip(0, picture.shape[0] - 1), columns.clip(0, picture.shape[1] - 1), :3]


def by_trimesh(path: Path) -> Found:
    import trimesh

    if path.suffix == ".xyz":
        made: Any = trimesh.load(path)
    else:
        made = trimesh.load_scene(path)
        clouds = [one for one in made.geometry.values() if isinstance(one, trimesh.PointCloud)]
        made = clouds[0] if clouds else made.to_mesh()
    if isinstance(made, trimesh.PointCloud):
        return facts(made.vertices, [], None if made.colors is None else np.asarray(made.colors) / 255)
    visual = made.visual.to_color() if made.visual.kind == "texture" else made.visual
    colors = {"vertex": visual.vertex_colors, "face": visual.face_colors}.get(visual.kind)
    return facts(made.vertices, made.faces, None if colors is None else np.asarray(colors) / 255)


def by_open3d(path: Path) -> Found:
    import ctypes

    with contextlib.suppress(ImportError):
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    import open3d as o3d

    o3d.utility.set_verbosity_level(o3d.utility.VerbosityLevel.Error)
    mesh = o3d.io.read_triangle_mesh(str(path), enable_post_processing=False)
    if not len(mesh.triangles):
        cloud = o3d.io.read_point_cloud(str(path), format="xyzrgb" if path.suffix == ".xyz" else "auto")
        return facts(cloud.points, [], np.asarray(cloud.colors))
    colors: Any = np.asarray(mesh.vertex_colors)
    if not len(colors) and len(mesh.triangle_uvs) and any(len(np.asarray(t)) for t in mesh.textures):
        picture = next(np.asarray(t) for t in mesh.textures if len(np.asarray(t)))
        colors = sampled(picture[::-1] if path.suffix == ".gltf" else picture, mesh.triangle_uvs)
    elif not len(colors) and path.suffix in (".gltf", ".obj"):
        model = o3d.io.read_triangle_model(str(path))
        colors = [model.materials[one.material_idx].base_color[:3] for one in model.meshes]
    return facts(mesh.vertices, mesh.triangles, colors)


def by_pyvista(path: Path) -> Found:
    import pyvista

    if path.suffix == ".xyz":
        raise ValueError("no reader")
    made = pyvista.read(path)
    if isinstance(made, pyvista.MultiBlock):
        made = made.combine().extract_surface(algorithm=None)
    made = made.extract_surface(algorithm=None) if not isinstance(made, pyvista.PolyData) else made
    solid = made.triangulate() if made.n_cells > made.n_verts else made
    faces = solid.regular_faces if solid.n_cells and solid.is_all_triangles else []
    names = [name for name in ("RGB", "RGBA", "COLOR_0") if name in solid.point_data or name in solid.cell_data]
    colors = solid[names[0]] if names else None
    if colors is not None and colors.dtype.kind in "iu":
        colors = colors / np.iinfo(colors.dtype).max
    elif "texture" in made.field_data:
        raise ValueError("texture")
    return facts(solid.points, faces, colors)


def by_assimp(path: Path) -> Found:
    import assimp_py

    flags = assimp_py.Process_Triangulate | assimp_py.Process_PreTransformVertices
    scene = assimp_py.import_file(str(path), flags)
    vertices, faces, colors, start = [], [], [], 0
    for mesh in scene.meshes:
        rows = np.asarray(mesh.vertices, float).reshape(-1, 3)
        corners = np.asarray(mesh.indices).reshape(-1)
        vertices.append(rows)
        if len(corners) and len(corners) % 3 == 0:
            faces.append(corners.reshape(-1, 3) + start)
        start += len(rows)
        material = scene.materials[mesh.material_index] if scene.materials else {}
        base = np.asarray(material.get("BASE_COLOR", material.get("COLOR_DIFFUSE", [1, 1, 1])), float)[:3]
        picture = next(iter(material.get("TEXTURES", {}).get(assimp_py.TextureType_DIFFUSE, [])), None)
        if mesh.colors is not None and len(mesh.colors):
            colors.append(np.asarray(mesh.colors[0], float).reshape(len(rows), -1)[:, :3] * base)
        elif isinstance(picture, str) and mesh.texcoords and (path.parent / picture.replace("\\", "/")).is_file():
            uv = np.asarray(mesh.texcoords[0], float).reshape(len(rows), -1)
            colors.append(sampled(np.asarray(Image.open(path.parent / picture.replace("\\", "/"))), uv))
        else:
            colors.append(np.tile(base, (len(rows), 1)))
    return facts(np.concatenate(vertices), np.concatenate(faces) if faces else [], np.concatenate(colors))


def by_pymeshlab(path: Path) -> Found:
    import pymeshlab

    document = pymeshlab.MeshSet()
    options = {"strformat": "X Y Z R G B", "separator": "SPACE", "rowtoskip": 0} if path.suffix == ".xyz" else {}
    document.load_new_mesh(str(path), **options)
    if document.mesh_number() > 1:
        document.generate_by_merging_visible_meshes()
    mesh = document.current_mesh()
    colors: Any = None
    if mesh.has_vertex_color():
        colors = mesh.vertex_color_matrix()
    elif mesh.has_face_color():
        colors = mesh.face_color_matrix()
    if mesh.texture_number() and mesh.has_wedge_tex_coord():
        first = next(iter(mesh.textures().values()))
        pixels = [[first.pixel(x, y) for x in range(first.width())] for y in range(first.height())]
        shown = np.array(pixels, np.uint32)
        rgb = np.stack([shown >> 16 & 255, shown >> 8 & 255, shown & 255], 2).astype(np.uint8)
        colors = sampled(rgb, mesh.wedge_tex_coord_matrix())
    return facts(mesh.vertex_matrix(), mesh.face_matrix() if mesh.face_number() else [], colors)


LIBRARIES = {
    "trimesh": by_trimesh,
    "open3d": by_open3d,
    "pyvista": by_pyvista,
    "assimp_py": by_assimp,
    "pymeshlab": by_pymeshlab,
}

if __name__ == "__main__":
    for file in sys.argv[2:]:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found = LIBRARIES[sys.argv[1]](Path(file))
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error)[:120]}"}
        print("found " + json.dumps(found), flush=True)
