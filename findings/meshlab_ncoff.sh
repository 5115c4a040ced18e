#!/bin/bash
# A mesh with colors that pymeshlab 2025.7.post1 saves as OFF begins with NCOFF, has normals that nobody gave (their
# length is an angle, here 1.57), and has the color before the normal, where Geomview's manual has the normal before
# the color. Open3D 0.20.0 gives an empty mesh for it and only prints a warning; assimp-py 1.1.0 says that the header
# is invalid.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pymeshlab==2025.7.post1 open3d==0.20.0 assimp-py==1.1.0 numpy==2.4.6 libusb-package==1.0.30.0
cd "$folder"
venv/bin/python - <<'END'
import subprocess
import sys

code = """
import numpy, pymeshlab
points = numpy.array([[0, 0, 0], [2, 0, 0], [0, 2, 0.0]])
colors = numpy.array([[1, 0.2, 0.4, 1]] * 3)
made = pymeshlab.MeshSet()
made.add_mesh(pymeshlab.Mesh(points, numpy.array([[0, 1, 2]]), v_color_matrix=colors))
made.save_current_mesh('a.off')
"""
subprocess.run([sys.executable, "-c", code], check=True)  # in its own process, since its libraries are Open3D's too
lines = open("a.off").read().splitlines()
print(lines[0], "|", lines[2])
row = [float(word) for word in lines[2].split()]
assert lines[0] == "NCOFF" and row[3:7] == [255, 51, 102, 255] and abs(row[9] - 1.5708) < 1e-3
import ctypes
import libusb_package

ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)  # which Open3D needs
import open3d as o3d
import assimp_py

print("Open3D", o3d.io.read_triangle_mesh("a.off"))
assert not len(o3d.io.read_triangle_mesh("a.off").vertices)
try:
    assimp_py.import_file("a.off", 0)
except RuntimeError as error:
    print(error)
else:
    raise SystemExit("assimp reads it")
END
