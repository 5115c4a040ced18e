"""Files that real tools write, read by voge and compared with what the tools were given (docs/formats.md).

    python benchmarks/real_files.py                            # installs pinned packages in a temporary folder
    python benchmarks/real_files.py --python P --bin B         # or uses a Python and programs of npm that have them

Prints a table; exits with 1 if a value is wrong or no eight tools wrote files. Names tools that cannot be
installed. Needs `voge[gltf]` and the network; programs of npm run where node is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import voge
from voge.errors import DataError
from voge.io.cameras import load_cameras
from voge.io.ellipsoids import holds_ellipsoids, load_ellipsoids
from voge.io.meshes import load_geometry
from voge.io.splats import narrowing
from voge.meshes.mesh import Mesh

PYPI = [
    "numpy==2.4.6",
    "trimesh==5.2.0",
    "open3d==0.20.0",
    "libusb-package==1.0.30.0",
    "pymeshlab==2025.7.post1",
    "pyvista==0.49.1",
    "vtk==9.7.2",
    "meshio==5.3.5",
    "numpy-stl==4.1.1",
    "plyfile==1.1.5",
    "laspy==2.7.0",
    "pypcd4==1.5.1",
    "pycolmap==4.2.1",
]
BLENDER = ["bpy==5.0.1"]
NPM = ["@gltf-transform/cli@4.5.1", "@playcanvas/splat-transform@2.7.1", "gltfpack@1.3.0", "obj2gltf@3.2.0"]
WRITERS = Path(__file__).with_name("real_files_writers.py")
OF_PYTHON = ["trimesh", "open3d", "pymeshlab", "pyvista", "meshio", "numpy_stl", "bpy", "plyfile", "points", "pycolmap"]
OF_NODE = ["gltf_transform", "gltfpack", "obj2gltf", "splat_transform"]
FEWEST_TOOLS = 8

Values = dict[str, NDArray[Any]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help="a Python that has the packages; none are installed then")
    parser.add_argument("--blender", type=Path, help="a Python that has bpy; by default as --python")
    parser.add_argument("--bin", type=Path, help="a folder of the programs of npm")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = options.python or install_python(folder / "tools", PYPI)
        blender = options.blender or (python if options.python else install_python(folder / "blender", BLENDER))
        programs = options.bin or (None if options.python else install_node(folder / "node"))
        files = folder / "files"
        files.mkdir()
        entries = write_files(files, python, blender, programs)
        bad = [entry for entry in entries if not report(files, entry)]
        tools = {entry["tool"] for entry in entries}
    print(f"\n{len(entries)} files of {len(tools)} tools; {len(entries) - len(bad)} read rightly, {len(bad)} wrong")
    return 1 if bad or len(tools) < FEWEST_TOOLS else 0


def install_python(folder: Path, packages: list[str]) -> Path:
    """The Python of a new environment with the packages; each that cannot be installed is named."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin/python"
    if subprocess.run([python, "-m", "pip", "install", "--quiet", *packages]).returncode:
        for package in packages:
            if subprocess.run([python, "-m", "pip", "install", "--quiet", package]).returncode:
                print(f"not installed: {package}")
    return python


def install_node(folder: Path) -> Path | None:
    """The folder of the programs, or None where npm is not there or fails."""
    npm = shutil.which("npm")
    if npm is None:
        print(f"not installed, since npm is not there: {', '.join(NPM)}")
        return None
    folder.mkdir()
    done = subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", *NPM], cwd=folder)
    return None if done.returncode else folder / "node_modules/.bin"


def write_files(files: Path, python: Path, blender: Path, programs: Path | None) -> list[dict[str, Any]]:
    """Let all tools write; what each wrote, with the right values."""
    entries = []
    for name in OF_PYTHON + (OF_NODE if programs else []):
        own = python if name in OF_PYTHON and name != "bpy" else blender if name == "bpy" else python
        words = [str(own), str(WRITERS), str(files), name, *([str(programs)] if programs else [])]
        done = subprocess.run(words, capture_output=True, text=True)
        manifest = files / f"{name}.manifest.json"
        if not manifest.exists():
            print(f"{name}: wrote nothing: {done.stderr.strip()[-200:]}")
            continue
        document = json.loads(manifest.read_text())
        entries += document["entries"]
        if document["absent"]:
            print(document["absent"])
    print(f"\nvoge {voge.__version__}\n\n| tool | version | file | checked | result |\n|---|---|---|---|---|")
    return entries


def report(files: Path, entry: dict[str, Any]) -> bool:
    """One row of the table; True where all values are right."""
    wanted = {key: np.array(value) for key, value in entry["wanted"].items()}
    try:
        wrong = CHECKS[entry["kind"]](files / entry["file"], wanted, entry["tolerance"])
    except DataError as error:
        wrong = [str(error).replace(str(files), "")]
    result = "right" if not wrong else "WRONG: " + "; ".join(wrong)
    print(f"| {entry['tool']} | {entry['version']} | {entry['file']} | {', '.join(wanted)} | {result} |", flush=True)
    return not wrong


def check_mesh(path: Path, wanted: Values, tolerance: float) -> list[str]:
    mesh = load_geometry(path)
    if not isinstance(mesh, Mesh):
        return ["read as points"]
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area, right = np.linalg.norm(across, axis=1).sum() / 2, float(wanted["area"])
    found: Values = {"vertices": mesh.vertices}
    if mesh.colors is not None:
        found["colors"] = mesh.colors
    wrong = [] if abs(area - right) <= max(10 * tolerance, 1e-4) * right else [f"area {area:.5f}, not {right:.5f}"]
    return wrong + compare(found, wanted, tolerance)


def check_points(path: Path, wanted: Values, tolerance: float) -> list[str]:
    points = load_geometry(path)
    if isinstance(points, Mesh):
        return ["read as a mesh"]
    found: Values = {"vertices": points.points}
    if points.colors is not None:
        found["colors"] = points.colors
    if points.normals is not None:
        found["normals"] = points.normals
    return compare(found, wanted, tolerance)


def check_ellipsoids(path: Path, wanted: Values, tolerance: float) -> list[str]:
    if not holds_ellipsoids(path):
        return ["not taken for ellipsoids"]
    ellipsoids = load_ellipsoids(path)
    density = ellipsoids.density.double().numpy()
    covariances = ellipsoids.covariances.double().numpy() / narrowing(density)[:, None, None] ** 2
    found: Values = {"vertices": ellipsoids.means.numpy(), "covariances": covariances, "opacities": -np.expm1(-density)}
    if ellipsoids.features is not None:
        found["colors"] = ellipsoids.features.numpy()
    return compare(found, wanted, tolerance)


def check_cameras(path: Path, wanted: Values, tolerance: float) -> list[str]:
    views = {view.name: view for view in load_cameras(path)}
    if set(views) != set(wanted["names"]):
        return [f"views {sorted(views)}"]
    wrong = []
    for name, pose, numbers in zip(wanted["names"], wanted["poses"], wanted["intrinsics"], strict=True):
        K = views[name].K.numpy()
        if not np.allclose(views[name].viewmat.numpy(), pose, atol=tolerance):
            wrong.append(f"pose of {name}")
        if not np.allclose([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], numbers, atol=tolerance):
            wrong.append(f"intrinsics of {name}")
    return wrong


def compare(found: Values, wanted: Values, tolerance: float) -> list[str]:
    """What differs, value by value; rows are matched by the nearest position, since tools reorder them."""
    places = wanted["vertices"]
    if len(found["vertices"]) != len(places):
        return [f"{len(found['vertices'])} vertices, not {len(places)}"]
    away, rows = cKDTree(found["vertices"]).query(places)
    reach = tolerance * np.ptp(places, axis=0).max()
    if away.max() > max(reach, 1e-5) or len(set(rows)) != len(rows):
        return [f"vertices differ by {away.max():.3g}"]
    wrong = []
    for name in ("colors", "normals", "covariances", "opacities"):
        if name not in wanted:
            continue
        if name not in found:
            wrong.append(f"no {name}")
            continue
        values = wanted[name] / 255 if name == "colors" and wanted[name].dtype.kind in "iu" else wanted[name]
        bound = max(tolerance * max(1.0, np.abs(values).max()), 0.005 if name == "colors" else 1e-5)
        error = np.abs(found[name][rows] - values).max()
        if error > bound:
            wrong.append(f"{name} differ by {error:.3g}")
    return wrong


CHECKS = {"mesh": check_mesh, "points": check_points, "ellipsoids": check_ellipsoids, "cameras": check_cameras}

if __name__ == "__main__":
    raise SystemExit(main())
