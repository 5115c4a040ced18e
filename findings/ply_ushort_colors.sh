#!/bin/bash
# Colors of 16 bits in a PLY (`property ushort red`) mean three things to three libraries, none of them the fraction
# of 65535. 65535 32768 16384 is (255, 0, 0) in trimesh 5.2.0 and in vtk 9.7.2, which keep the low byte, and (257,
# 128.5, 64.25) in Open3D 0.20.0, which divides by 255 and leaves colors above 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet trimesh==5.2.0 pyvista==0.49.1 vtk==9.7.2 open3d==0.20.0 libusb-package==1.0.30.0
cd "$folder"
venv/bin/python - <<'END'
import ctypes
import libusb_package

ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)  # which Open3D needs
import open3d as o3d
import numpy as np
import pyvista
import trimesh

names = "".join(f"property float {n}\n" for n in "xyz") + "".join(f"property ushort {n}\n" for n in ("red", "green", "blue"))
rows = "".join(f"{i} {i * i} 0 65535 32768 16384\n" for i in range(4))
open("a.ply", "w").write(f"ply\nformat ascii 1.0\nelement vertex 4\n{names}end_header\n{rows}")
low = np.asarray(trimesh.load("a.ply").colors)[0, :3].tolist()
vtk = np.asarray(pyvista.read("a.ply")["RGB"])[0].tolist()
above = np.asarray(o3d.io.read_point_cloud("a.ply").colors)[0]
print("trimesh", low, "vtk", vtk, "Open3D", above.round(2).tolist())
assert low == vtk == [255, 0, 0] and np.allclose(above, np.array([65535, 32768, 16384]) / 255)
END
