#!/bin/bash
# trimesh 5.2.0 cuts a polygon of an OBJ into a fan from its first corner, and so covers what lies outside a concave
# one. An L of area 6 whose first corner does not see all others has area 12.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0
cd "$folder"
venv/bin/python - <<'END'
import trimesh

corners = [(4, 0), (4, 1), (1, 1), (1, 3), (0, 3), (0, 0)]
open("a.obj", "w").write("".join(f"v {x} {y} 0\n" for x, y in corners) + "f 1 2 3 4 5 6\n")
area = trimesh.load_mesh("a.obj").area
shoelace = abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, corners[1:] + corners[:1]))) / 2
print("area", area, "of", shoelace)
assert shoelace == 6 and area > 6.5, area
END
