"""Lets real tools write files, for `real_files.py`; runs where the tools are, without voge.

    python real_files_writers.py FOLDER WRITER [BIN_OF_NPM]

Writes FOLDER/WRITER.manifest.json: of each file the tool, its version, the right values and their tolerance; and why
the tool wrote no more, where it failed.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import version

import numpy as np
from real_files_shapes import (
    BIN,
    COLORS,
    ENTRIES,
    FACES,
    NORMALS,
    QUADS,
    RING,
    ROOT,
    SPLATS,
    SQUARE_FACES,
    SQUARE_UV,
    SQUARES,
    cloud,
    gaussians,
    ring,
    run_tool,
    squares,
    wrote,
)


def write_trimesh() -> None:
    import trimesh
    from PIL import Image

    number = version("trimesh")
    mesh = trimesh.Trimesh(RING, FACES, vertex_colors=COLORS, process=False)
    for suffix, colored in (("obj", True), ("ply", True), ("glb", True), ("off", False), ("stl", False)):
        mesh.export(ROOT / f"trimesh.{suffix}")
        ring("trimesh", number, f"trimesh.{suffix}", colored)
    mesh.export(ROOT / "trimesh_text.ply", encoding="ascii")
    ring("trimesh", number, "trimesh_text.ply", True)
    trimesh.PointCloud(RING, colors=COLORS).export(ROOT / "trimesh_points.ply")
    cloud("trimesh", number, "trimesh_points.ply", True)
    trimesh.PointCloud(RING, colors=COLORS).export(ROOT / "trimesh.xyz")
    cloud("trimesh", number, "trimesh.xyz", True)
    picture = Image.new("RGB", (64, 64), (255, 0, 0))
    picture.paste((0, 0, 255), (32, 0, 64, 64))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    painted = trimesh.Trimesh(SQUARES, SQUARE_FACES, process=False)
    painted.visual = trimesh.visual.TextureVisuals(SQUARE_UV, material=material)
    painted.export(ROOT / "squares.glb")
    squares("trimesh", number, "squares.glb")
    (ROOT / "squares_obj").mkdir()
    painted.visual.material = trimesh.visual.material.SimpleMaterial(image=picture)
    painted.export(ROOT / "squares_obj/squares.obj")
    squares("trimesh", number, "squares_obj/squares.obj")
    scene = trimesh.Scene()
    places = [(4.0 * i, 0, 0) for i in range(3)]
    painted.visual.material = material
    for place in places:
        scene.add_geometry(painted, geom_name="one", transform=trimesh.transformations.translation_matrix(place))
    scene.export(ROOT / "three.glb")
    squares("trimesh", number, "three.glb", places=places)


def write_open3d() -> None:
    import ctypes

    import libusb_package

    ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)  # which Open3D needs
    import open3d as o3d

    number = version("open3d")
    mesh = o3d.geometry.TriangleMesh(o3d.utility.Vector3dVector(RING), o3d.utility.Vector3iVector(FACES))
    mesh.vertex_colors = o3d.utility.Vector3dVector(COLORS / 255)
    mesh.compute_vertex_normals()
    for name, colored, options in (
        ("open3d.ply", True, {}),
        ("open3d_text.ply", True, {"write_ascii": True}),
        ("open3d.obj", True, {}),
        ("open3d.off", True, {}),
        ("open3d.glb", True, {}),
        ("open3d.stl", False, {}),
    ):
        assert o3d.io.write_triangle_mesh(str(ROOT / name), mesh, **options)
        ring("Open3D", number, name, colored)
    points = o3d.geometry.PointCloud(o3d.utility.Vector3dVector(RING))
    points.colors = o3d.utility.Vector3dVector(COLORS / 255)
    points.normals = o3d.utility.Vector3dVector(NORMALS)
    for name, colored, turned in (
        ("open3d_points.ply", True, True),
        ("open3d.xyz", False, False),
        ("open3d.xyzn", False, True),
        ("open3d.xyzrgb", True, False),
        ("open3d.pts", True, False),
    ):
        assert o3d.io.write_point_cloud(str(ROOT / name), points)
        cloud("Open3D", number, name, colored, turned)


def write_pymeshlab() -> None:
    import pymeshlab

    number = version("pymeshlab")
    alpha = np.c_[COLORS / 255, np.ones(len(COLORS))]
    quads = [list(quad) for quad in QUADS]
    for name, colored, options in (
        ("pymeshlab.ply", True, {}),
        ("pymeshlab_text.ply", True, {"binary": False}),
        ("pymeshlab.obj", True, {}),
        ("pymeshlab.off", True, {}),
        ("pymeshlab.stl", False, {}),
    ):
        document = pymeshlab.MeshSet()
        document.add_mesh(pymeshlab.Mesh(RING, FACES, v_color_matrix=alpha), "ring")
        document.save_current_mesh(str(ROOT / name), **options)
        ring("pymeshlab", number, name, colored)
    document = pymeshlab.MeshSet()
    document.add_mesh(pymeshlab.Mesh(RING, face_list_of_indices=quads, v_color_matrix=alpha), "ring")
    document.save_current_mesh(str(ROOT / "pymeshlab_quads.obj"), save_polygonal=True)
    ring("pymeshlab", number, "pymeshlab_quads.obj", True, 2e-3)
    document = pymeshlab.MeshSet()
    document.add_mesh(pymeshlab.Mesh(RING, v_normals_matrix=NORMALS, v_color_matrix=alpha), "points")
    document.save_current_mesh(str(ROOT / "pymeshlab.xyz"))
    cloud("pymeshlab", number, "pymeshlab.xyz", False, True)


def write_pyvista() -> None:
    import pyvista
    import vtk

    number = f"{version('pyvista')}, vtk {vtk.vtkVersion.GetVTKVersion()}"
    mesh = pyvista.PolyData.from_regular_faces(RING.astype(np.float32), FACES)
    mesh.point_data["RGB"] = COLORS
    mesh.save(ROOT / "pyvista.ply", texture="RGB")
    ring("pyvista", number, "pyvista.ply", True)
    mesh.save(ROOT / "pyvista_text.ply", texture="RGB", binary=False)
    ring("pyvista", number, "pyvista_text.ply", True)
    for name, binary in (("pyvista.stl", True), ("pyvista_text.stl", False), ("pyvista.obj", True)):
        mesh.save(ROOT / name, binary=binary) if name != "pyvista.obj" else mesh.save(ROOT / name)
        ring("pyvista", number, name)
    strips = mesh.strip()
    strips.point_data["RGB"] = COLORS
    strips.save(ROOT / "pyvista_strips.ply", texture="RGB")
    ring("pyvista", number, "pyvista_strips.ply", True)


def write_meshio() -> None:
    import meshio

    number = version("meshio")
    mesh = meshio.Mesh(RING, [("triangle", FACES)])
    for name, options in (
        ("meshio.obj", {}),
        ("meshio.off", {}),
        ("meshio.stl", {"binary": True}),
        ("meshio_text.stl", {"binary": False}),
        ("meshio.ply", {"binary": True}),
        ("meshio_text.ply", {"binary": False}),
    ):
        meshio.write(ROOT / name, mesh, **options)
        ring("meshio", number, name)
    colors = {name: COLORS[:, i] for i, name in enumerate(("red", "green", "blue"))}
    meshio.write(ROOT / "meshio_colors.ply", meshio.Mesh(RING, [("quad", QUADS)], point_data=colors))
    ring("meshio", number, "meshio_colors.ply", True, 2e-3)


def write_numpy_stl() -> None:
    from stl import Mode, mesh

    number = version("numpy-stl")
    solid = mesh.Mesh(np.zeros(len(FACES), mesh.Mesh.dtype))
    solid.vectors[:] = RING[FACES]
    for name, mode in (("numpystl.stl", Mode.BINARY), ("numpystl_text.stl", Mode.ASCII)):
        solid.save(str(ROOT / name), mode=mode)
        ring("numpy-stl", number, name, tolerance=1e-4)


def write_bpy() -> None:
    import bpy

    number = bpy.app.version_string
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = bpy.data.meshes.new("ring")
    mesh.from_pydata([tuple(row) for row in RING], [], [[int(i) for i in quad] for quad in QUADS])
    layer = mesh.color_attributes.new("Color", "BYTE_COLOR", "POINT")
    for datum, color in zip(layer.data, COLORS, strict=True):
        datum.color_srgb = (*(color / 255), 1)
    made = bpy.data.objects.new("ring", mesh)
    bpy.context.scene.collection.objects.link(made)
    bpy.context.view_layer.objects.active = made
    made.select_set(True)
    kept = {"forward_axis": "Y", "up_axis": "Z"}
    bpy.ops.wm.obj_export(filepath=str(ROOT / "blender.obj"), **kept)
    bpy.ops.wm.ply_export(filepath=str(ROOT / "blender.ply"), export_colors="SRGB", **kept)
    bpy.ops.wm.ply_export(filepath=str(ROOT / "blender_text.ply"), export_colors="SRGB", ascii_format=True, **kept)
    bpy.ops.wm.stl_export(filepath=str(ROOT / "blender.stl"), **kept)
    for name, colored in (("obj", False), ("ply", True), ("stl", False)):
        ring("bpy (Blender)", number, f"blender.{name}", colored, 2e-3)
    ring("bpy (Blender)", number, "blender_text.ply", True, 2e-3)
    bpy.ops.export_scene.gltf(filepath=str(ROOT / "blender.glb"), export_yup=False)
    ring("bpy (Blender)", number, "blender.glb", False, 2e-3)


def write_plyfile() -> None:
    from plyfile import PlyData, PlyElement

    number = version("plyfile")
    kinds = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u2"), ("green", "u2"), ("blue", "u2")]
    vertices = np.empty(len(RING), kinds)
    for i, name in enumerate("xyz"):
        vertices[name] = RING[:, i]
    for i, name in enumerate(("red", "green", "blue")):
        vertices[name] = COLORS[:, i].astype("u2") * 257
    faces = np.empty(len(QUADS), [("vertex_indices", "i4", (4,))])
    faces["vertex_indices"] = QUADS
    elements = [PlyElement.describe(vertices, "vertex"), PlyElement.describe(faces, "face")]
    for name, options in (("plyfile_big.ply", {"byte_order": ">"}), ("plyfile_text.ply", {"text": True})):
        PlyData(elements, **options).write(ROOT / name)
        ring("plyfile", number, name, True, 2e-3)
    PlyData([PlyElement.describe(SPLATS, "vertex")]).write(ROOT / "splats.ply")
    gaussians("plyfile", number, "splats.ply")


def write_points() -> None:
    import laspy
    from pypcd4 import Encoding, PointCloud

    las = laspy.create(point_format=2, file_version="1.2")
    las.header.scales = [1e-6] * 3
    las.x, las.y, las.z = RING.T
    las.red, las.green, las.blue = (COLORS.astype(np.uint16) * 257).T
    las.write(ROOT / "points.las")
    back = laspy.read(ROOT / "points.las")
    np.savetxt(ROOT / "laspy.xyz", np.c_[back.xyz, back.red, back.green, back.blue], fmt="%.6f %.6f %.6f %d %d %d")
    cloud("laspy, numpy.savetxt", version("laspy"), "laspy.xyz", True)
    np.savetxt(ROOT / "laspy.csv", np.c_[back.xyz, back.red, back.green, back.blue], "%.6f", ",", header="x,y,z,r,g,b")
    cloud("laspy, numpy.savetxt", version("laspy"), "laspy.csv", True)
    packed = PointCloud.encode_rgb(COLORS.astype(np.float32))
    PointCloud.from_xyzrgb_points(np.c_[RING, packed]).save(ROOT / "points.pcd", Encoding.BINARY_COMPRESSED)
    read = PointCloud.from_path(ROOT / "points.pcd")
    colors = PointCloud.decode_rgb(read.pc_data["rgb"])
    np.savetxt(ROOT / "pypcd4.txt", np.c_[read.numpy(("x", "y", "z")), colors], fmt="%.7g %.7g %.7g %d %d %d")
    cloud("pypcd4, numpy.savetxt", version("pypcd4"), "pypcd4.txt", True)


def write_pycolmap() -> None:
    import pycolmap

    number = version("pycolmap")
    lenses = {
        "PINHOLE": [60, 61, 32, 24],
        "SIMPLE_RADIAL": [60, 32, 24, 0.01],
        "OPENCV": [60, 61, 32, 24, 0.01, -0.02, 0.001, 0.002],
        "OPENCV_FISHEYE": [60, 61, 32, 24, 0.01, 0.02, 0.003, 0.004],
    }
    for text in (True, False):
        model = pycolmap.Reconstruction()
        poses, intrinsics = {}, {}
        for i, (lens, numbers) in enumerate(lenses.items(), 1):
            camera = pycolmap.Camera(model=lens, width=64, height=48, params=numbers, camera_id=i)
            model.add_camera_with_trivial_rig(camera)
            turn = pycolmap.Rotation3d(np.array([0.1 * i, -0.2, 0.3]))
            pose = pycolmap.Rigid3d(turn, np.array([0.5 * i, -1, 3]))
            seen = np.array([[10.0 + i, 20], [30, 40.5]])
            image = pycolmap.Image(name=f"{lens.lower()}.jpg", keypoints=seen, camera_id=i, image_id=10 * i)
            model.add_image_with_trivial_frame(image, pose)
            poses[lens.lower()] = [*pose.matrix().tolist(), [0, 0, 0, 1]]
            focals = numbers[:2] if lens in ("PINHOLE", "OPENCV", "OPENCV_FISHEYE") else [numbers[0]] * 2
            intrinsics[lens.lower()] = [*focals, 32, 24]
        name = "colmap_text" if text else "colmap_binary"
        (ROOT / name).mkdir()
        (model.write_text if text else model.write_binary)(str(ROOT / name))
        values = {"names": list(poses), "poses": list(poses.values()), "intrinsics": list(intrinsics.values())}
        wrote("pycolmap", number, name, "cameras", 1e-9, **values)


def write_gltf_transform() -> None:
    """Draco moves by up to 1/2^14 of the box, quantization by 1/2^14 as well."""
    number = run_tool(BIN / "gltf-transform", "--version").strip()
    for command, name, tolerance in (
        ("copy", "copy.gltf", 1e-5),
        ("draco", "draco.glb", 1e-3),
        ("meshopt", "meshopt.glb", 1e-3),
        ("quantize", "quantize.glb", 1e-3),
        ("sparse", "sparse.glb", 1e-5),
        ("reorder", "reorder.glb", 1e-5),
        ("unweld", "unweld.glb", 1e-5),
    ):
        run_tool(BIN / "gltf-transform", command, "trimesh.glb", f"gltft_{name}")
        ring("gltf-transform", number, f"gltft_{name}", True, tolerance)
    for command in ("webp", "draco", "meshopt", "quantize", "jpeg", "palette"):
        run_tool(BIN / "gltf-transform", command, "squares.glb", f"gltft_squares_{command}.glb")
        squares("gltf-transform", number, f"gltft_squares_{command}.glb", 1e-3)
    run_tool(BIN / "gltf-transform", "instance", "three.glb", "gltft_instance.glb", "--min", "2")
    squares("gltf-transform", number, "gltft_instance.glb", places=[(4.0 * i, 0, 0) for i in range(3)])


def write_gltfpack() -> None:
    number = run_tool(BIN / "gltfpack", "-v").split()[-1]
    for name, options, source in (
        ("gltfpack.glb", [], "trimesh.glb"),
        ("gltfpack_c.glb", ["-c"], "trimesh.glb"),
        ("gltfpack_cc.glb", ["-cc"], "trimesh.glb"),
        ("gltfpack_noq.glb", ["-noq"], "trimesh.glb"),
        ("gltfpack_obj.glb", ["-c"], "trimesh.obj"),
    ):
        run_tool(BIN / "gltfpack", "-i", source, "-o", name, *options)
        ring("gltfpack", number, name, source == "trimesh.glb", 1e-3)
    for name, options in (("gltfpack_squares.glb", ["-c"]), ("gltfpack_squares.gltf", ["-noq"])):
        run_tool(BIN / "gltfpack", "-i", "squares.glb", "-o", name, *options)
        squares("gltfpack", number, name, 1e-3)


def write_obj2gltf() -> None:
    number = run_tool(BIN / "obj2gltf", "--version").split()[-1]
    run_tool(BIN / "obj2gltf", "-i", "squares_obj/squares.obj", "-o", "obj2gltf.glb")
    squares("obj2gltf", number, "obj2gltf.glb")
    run_tool(BIN / "obj2gltf", "-i", "squares_obj/squares.obj", "-o", "obj2gltf.gltf", "--inputUpAxis", "Y")
    squares("obj2gltf", number, "obj2gltf.gltf")


def write_splat_transform() -> None:
    """The bounds are those of docs/formats.md; `turned` is what the tool multiplies positions by, against `.ply`."""
    shown = run_tool(BIN / "splat-transform", "--version")
    number = re.search(r"v(\d[\d.]*)", shown).group(1)
    plain, same = BIN / "splat-transform", (1, 1, 1)
    for name, tolerance, turned, options in (
        ("splatt.ply", 1e-5, same, []),
        ("splatt.compressed.ply", 0.02, same, []),
        ("splatt.sog", 0.02, same, ["-g", "cpu"]),
        ("splatt.spz", 0.03, (1, -1, -1), ["--spz-version", "3"]),
        ("splatt.glb", 1e-5, (-1, -1, 1), []),
    ):
        run_tool(plain, "-q", "-w", *options, "splats.ply", name)
        gaussians("splat-transform", number, name, tolerance, turned)


OF_PYTHON = {
    "trimesh": write_trimesh,
    "open3d": write_open3d,
    "pymeshlab": write_pymeshlab,
    "pyvista": write_pyvista,
    "meshio": write_meshio,
    "numpy_stl": write_numpy_stl,
    "bpy": write_bpy,
    "plyfile": write_plyfile,
    "points": write_points,
    "pycolmap": write_pycolmap,
}
OF_NODE = {
    "gltf_transform": write_gltf_transform,
    "gltfpack": write_gltfpack,
    "obj2gltf": write_obj2gltf,
    "splat_transform": write_splat_transform,
}


def main() -> None:
    """One writer, in a process of its own: bpy and pymeshlab bring libraries of the same names."""
    name, absent = sys.argv[2], None
    try:
        {**OF_PYTHON, **OF_NODE}[name]()
    except Exception as error:
        absent = f"{name}: {type(error).__name__}: {str(error)[:200]}"
    (ROOT / f"{name}.manifest.json").write_text(json.dumps({"entries": ENTRIES, "absent": absent}))


if __name__ == "__main__":
    main()
