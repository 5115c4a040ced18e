#!/bin/bash
# EXT_mesh_gpu_instancing, which gltf-transform writes with `instance`, is left out without a word by trimesh 5.2.0
# and by assimp (assimp-py 1.1.0), and by vtk 9.7.2 with a warning on standard error, where the file does not require
# it: one of three copies comes, at the node's place.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0 assimp-py==1.1.0 pyvista==0.49.1 vtk==9.7.2
cd "$folder"
venv/bin/python - <<'END'
import base64, json
import numpy as np


def save(name, views, **document):
    """A glTF whose views are arrays, each padded to four bytes."""
    data, rows = b"", []
    for view in views:
        rows.append({"buffer": 0, "byteOffset": len(data), "byteLength": view.nbytes})
        data += view.tobytes() + b"\0" * (-view.nbytes % 4)
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    whole = {"asset": {"version": "2.0"}, "scene": 0, "bufferViews": rows, **document}
    open(name, "w").write(json.dumps({**whole, "buffers": [{"byteLength": len(data), "uri": uri}]}))


points = np.array([[0, 0, 0], [2, 0, 0], [0, 2, 0]], "<f4")
position = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [2, 2, 0]}
import assimp_py
import pyvista
import trimesh

places, corners = np.array([[0, 0, 0], [4, 0, 0], [8, 0, 0]], "<f4"), np.array([0, 1, 2], "<u2")
accessors = [
    position,
    {**position, "bufferView": 1, "max": [8, 0, 0]},
    {"bufferView": 2, "componentType": 5123, "count": 3, "type": "SCALAR"},
]
many = {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 1}}}
facts = {"nodes": [{"mesh": 0, "extensions": many}], "scenes": [{"nodes": [0]}], "extensionsUsed": list(many)}
meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 2}]}]
save("a.gltf", [points, places, corners], accessors=accessors, meshes=meshes, **facts)
scene = assimp_py.import_file("a.gltf", assimp_py.Process_PreTransformVertices)  # kept: it owns the vertices
found = {
    "trimesh": trimesh.load_scene("a.gltf").bounds[1, 0],
    "assimp": max(np.asarray(mesh.vertices).max() for mesh in scene.meshes),
    "vtk": pyvista.read("a.gltf").bounds[1],
}
print("largest x", {name: float(x) for name, x in found.items()}, "instead of 10")
assert all(x == 2 for x in found.values()), found
END
