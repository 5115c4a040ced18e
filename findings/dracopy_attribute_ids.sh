#!/bin/bash
# DracoPy 2.2.0 numbers attributes in the order color, texture coordinate, position: the position of a mesh with both
# is id 2, not 0, so KHR_draco_mesh_compression has to name the ids that decode shows. Vertices come back in another
# order as well, of a mesh and of a cloud, so that columns kept beside the file no longer belong to them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet DracoPy==2.2.0 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'END'
import DracoPy
import numpy as np

points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
faces = np.array([[0, 1, 2], [0, 2, 3]])
colors, uv = np.array([[1, 2, 3]] * 4, np.uint8), np.array([[0.1, 0.2]] * 4)
mesh = DracoPy.decode(DracoPy.encode(points, faces=faces, colors=colors, tex_coord=uv))
ids = {attribute["attribute_type"]: attribute["unique_id"] for attribute in mesh.attributes}
cloud = DracoPy.decode(DracoPy.encode(points))
print("ids: position", ids[0], "color", ids[2], "texture coordinate", ids[3])
print("mesh", np.round(mesh.points, 3).tolist(), "cloud", np.round(cloud.points, 3).tolist())
assert ids == {0: 2, 2: 0, 3: 1}
for found in (mesh.points, cloud.points):
    assert not np.allclose(found, points, atol=0.01)
    assert np.allclose(sorted(np.round(found, 2).tolist()), sorted(points.tolist()))
END
