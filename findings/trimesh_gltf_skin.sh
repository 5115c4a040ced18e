#!/bin/bash
# trimesh 5.2.0 moves a skinned mesh of glTF by its own node, and not by its joints. The specification says the
# reverse: the node's transform must be ignored, the joints place the vertices. Here the node is moved by 50, the
# joint by 4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0
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
import trimesh

joints, weights = np.zeros((3, 4), "<u1"), np.array([[1, 0, 0, 0]] * 3, "<f4")
kept = np.eye(4, dtype="<f4")
accessors = [
    position,
    {"bufferView": 1, "componentType": 5121, "count": 3, "type": "VEC4"},
    {"bufferView": 2, "componentType": 5126, "count": 3, "type": "VEC4"},
    {"bufferView": 3, "componentType": 5126, "count": 1, "type": "MAT4"},
]
meshes = [{"primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}}]}]
nodes = [{"mesh": 0, "skin": 0, "translation": [50, 0, 0]}, {"translation": [4, 0, 0]}]
skins = [{"joints": [1], "inverseBindMatrices": 3}]
views = [points, joints, weights, kept]
save("a.gltf", views, accessors=accessors, meshes=meshes, nodes=nodes, skins=skins, scenes=[{"nodes": [0, 1]}])
x = trimesh.load_scene("a.gltf").to_mesh().bounds[:, 0].tolist()
print("x from", *x, "instead of 4 to 6")
assert x == [50, 52], x
END
