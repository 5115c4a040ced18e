#!/bin/bash
# trimesh 5.2.0 reads an accessor of glTF without its sparse values: the base array is all that comes. Here vertex 1
# is moved from x 2 to x 6 by a sparse value; trimesh gives 2, assimp-py 1.1.0 gives 6.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0 assimp-py==1.1.0
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
import trimesh

rows, values = np.array([1], "<u2"), np.array([[6, 0, 0]], "<f4")
changed = {"count": 1, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 2}}
meshes = [{"primitives": [{"attributes": {"POSITION": 0}}]}]
accessors = [{**position, "sparse": changed, "max": [6, 2, 0]}]
save("a.gltf", [points, rows, values], accessors=accessors, meshes=meshes, nodes=[{"mesh": 0}], scenes=[{"nodes": [0]}])
one = trimesh.load_scene("a.gltf").bounds[1, 0]
scene = assimp_py.import_file("a.gltf", 0)  # kept: it owns the vertices
other = np.asarray(scene.meshes[0].vertices).reshape(-1, 3)[:, 0].max()
print("largest x: trimesh", one, "assimp", other)
assert (one, other) == (2, 6)
END
