#!/bin/bash
# trimesh 5.2.0 counts relative indices of an OBJ from the end of the file, not from where the face stands. A file of
# two triangles, each `f -3 -2 -1` behind its own three vertices, is the last triangle twice: x is 7 to 9 instead of 0
# to 9. The OBJ format counts back from the vertices that stand above the face.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0
cd "$folder"
venv/bin/python - <<'END'
import trimesh

text = "v 0 0 0\nv 2 0 0\nv 0 2 0\nf -3 -2 -1\nv 7 0 0\nv 9 0 0\nv 7 2 0\nf -3 -2 -1\n"
open("a.obj", "w").write(text)
x = trimesh.load_mesh("a.obj").bounds[:, 0].tolist()
print("x from", *x)
assert x == [7, 9], x
END
