"""Which library reads which valid mesh file rightly: 32 kinds that real tools write (docs/formats.md).

    python benchmarks/readers.py --python P         # P has the packages of real_files.py, assimp-py and Pillow
    python benchmarks/readers.py                    # installs them in a temporary folder

Each file has one right value. Needs the tests beside it, whose builders write glTF.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from real_files import PYPI, install_python

from voge.io.ellipsoids import holds_ellipsoids
from voge.io.meshes import load_geometry
from voge.meshes.mesh import Mesh

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from test_mesh_kinds import HALVES, LEFT, TRIANGLE, Builder, triangle

PEERS = Path(__file__).with_name("readers_peers.py")
LIBRARIES = ("trimesh", "open3d", "pyvista", "assimp_py", "pymeshlab")
GREEN, RED = (0, 1, 0), (1, 0, 0)
CORNERS = [(0, 0, 0), (3, 0, 0), (3, 3, 0), (0, 3, 0)]
ROWS = "".join(f"{x} {y} {z}\n" for x, y, z in CORNERS)
XYZ = "property float x\nproperty float y\nproperty float z\n"
OBJ = "v 0 0 0\nv 2 0 0\nv 0 2 0\nvt 0.1 0.2\nvt 0.4 0.2\nvt 0.1 0.8\n"


@dataclass(frozen=True)
class Case:
    name: str
    kind: str
    area: float | None = None
    high: float | None = None  # of x
    low: float | None = None
    faces: int | None = None
    color: tuple[float, ...] | None = None  # of everything
    colors: int | None = None  # how many different ones
    splats: bool = False

    def right(self, found: dict[str, Any]) -> bool:
        if "error" in found or self.splats != bool(found.get("splats")):
            return False
        numbers = {"area": self.area, "faces": self.faces}
        numbers_right = all(want is None or abs(found[key] - want) < 0.01 for key, want in numbers.items())
        box = ((self.low, "low"), (self.high, "high"))
        inside = all(want is None or abs(found[key][0] - want) < 0.01 for want, key in box)
        if self.color is None and self.colors is None:
            return numbers_right and inside
        if not found["colors"]:
            return False
        shown = np.array(found["colors"])
        same = self.color is None or np.allclose(shown, self.color, atol=0.02)
        many = self.colors is None or len(np.unique(shown.round(1), axis=0)) >= self.colors
        return numbers_right and inside and bool(same and many)


def glb(folder: Path, name: str, builder: Builder) -> None:
    builder.document["scenes"], builder.document["scene"] = [{"nodes": [*range(len(builder.document["nodes"]))]}], 0
    for key in ("materials", "textures", "images"):
        if not builder.document[key]:
            del builder.document[key]
    for accessor in builder.document["accessors"]:
        if accessor["type"] == "VEC3" and accessor["componentType"] == 5126:
            accessor.setdefault("min", [-100, -100, -100])
            accessor.setdefault("max", [100, 100, 100])
    builder.save(folder / name)


def text(folder: Path, name: str, content: str | bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def gltf_cases(folder: Path) -> list[Case]:
    def colored(name: str, store: str, values: Any, **material: Any) -> None:
        builder = Builder()
        primitive = triangle(builder, COLOR_0=builder.accessor(np.array([values] * 3, store), store != "<f4"))
        if material:
            primitive["material"] = builder.material(**material)
        builder.node(primitive)
        glb(folder, name, builder)

    def painted(name: str, uv: Any, info: dict[str, Any], normalized: bool = False, **more: Any) -> None:
        builder = Builder()
        texture = {**builder.texture(HALVES, **({"sampler": 0} if "samplers" in more else {})), **info}
        builder.document.update(more)
        primitive = triangle(builder, TEXCOORD_0=builder.accessor(uv, normalized))
        if info:
            primitive["attributes"]["TEXCOORD_1"] = builder.accessor((LEFT + np.array([0.5, 0])).astype("<f4"))
        primitive["material"] = builder.material(pbrMetallicRoughness={"baseColorTexture": texture})
        builder.node(primitive)
        glb(folder, name, builder)

    square = np.array(CORNERS, "<f4")
    fan = Builder()
    fan.node({"attributes": {"POSITION": fan.accessor(square)}, "mode": 6})
    glb(folder, "fan.gltf", fan)
    for name, normalized, store, scale in (("norm.gltf", True, "<i2", 3.0), ("whole.gltf", False, "<u2", 3 / 10000)):
        builder = Builder(extensionsUsed=["KHR_mesh_quantization"], extensionsRequired=["KHR_mesh_quantization"])
        padded = np.zeros((4, 4), store)
        padded[:, :3] = square / 3 * (32767 if normalized else 10000)
        builder.accessor(np.array([0, 1, 2, 0, 2, 3], "<u2"))
        view = builder.view(padded.tobytes(), byteStride=8)
        top = int(padded.max())
        entry = {"bufferView": view, "componentType": 5122 if normalized else 5123, "count": 4, "type": "VEC3"}
        entry |= {"min": [0, 0, 0], "max": [top, top, 0]} | ({"normalized": True} if normalized else {})
        builder.document["accessors"].append(entry)
        builder.node({"attributes": {"POSITION": 1}, "indices": 0}, scale=[scale] * 3)
        glb(folder, name, builder)
    painted("uv16.gltf", (LEFT * 65535).astype("<u2"), {}, True)
    colored("color16.gltf", "<u2", [65535, 32768, 16384, 65535])
    colored("color8.gltf", "<u1", [255, 0, 0, 255])
    colored("colormaterial.gltf", "<f4", [1, 0, 0, 1], pbrMetallicRoughness={"baseColorFactor": [1, 1, 1, 1]})
    painted("texcoord1.gltf", LEFT, {"texCoord": 1})
    outside = (LEFT + np.array([1, 0])).astype("<f4")
    painted("clamp.gltf", outside, {}, samplers=[{"wrapS": 33071, "wrapT": 33071}])
    glossy = Builder(extensionsUsed=["KHR_materials_pbrSpecularGlossiness"])
    look = glossy.material(extensions={"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [1, 0, 0, 1]}})
    glossy.node({**triangle(glossy), "material": look})
    glb(folder, "glossy.gltf", glossy)
    many = Builder(extensionsUsed=["EXT_mesh_gpu_instancing"])
    shifts = many.accessor(np.array([[0, 0, 0], [4, 0, 0], [8, 0, 0]], "<f4"))
    many.node(triangle(many), extensions={"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": shifts}}})
    glb(folder, "instances.gltf", many)
    sparse = Builder()
    primitive = triangle(sparse)
    rows, values = sparse.view(np.array([1], "<u2").tobytes()), sparse.view(np.array([[6, 0, 0]], "<f4").tobytes())
    changed = {"count": 1, "indices": {"bufferView": rows, "componentType": 5123}, "values": {"bufferView": values}}
    sparse.document["accessors"][0]["sparse"] = changed
    sparse.node(primitive)
    glb(folder, "sparse.gltf", sparse)
    bound = Builder()
    own = bound.accessor(np.eye(4, dtype="<f4").reshape(1, 16))
    joints, weights = np.zeros((3, 4), "<u1"), np.array([[1, 0, 0, 0]] * 3, "<f4")
    primitive = triangle(bound, JOINTS_0=bound.accessor(joints), WEIGHTS_0=bound.accessor(weights))
    bound.node(primitive, skin=0, translation=[50, 0, 0])
    bound.document["nodes"].append({"translation": [4, 0, 0]})
    bound.document["skins"] = [{"joints": [1], "inverseBindMatrices": own}]
    glb(folder, "skin.gltf", bound)
    key = "KHR_gaussian_splatting"
    splats = Builder(extensionsUsed=[key])
    columns = {"ROTATION": [0, 0, 0, 1], "SCALE": [0.3, 0.1, 0.1], "SH_DEGREE_0_COEF_0": [1, -1, -1]}
    found = {f"{key}:{name}": splats.accessor(np.array([row] * 3, "<f4")) for name, row in columns.items()}
    found[f"{key}:OPACITY"] = splats.accessor(np.array([0.5] * 3, "<f4"))
    facts = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    splats.node({**triangle(splats, **found), "mode": 0, "extensions": {key: facts}})
    glb(folder, "splats.gltf", splats)
    return [
        Case("fan.gltf", "glTF triangle fan", area=9),
        Case("norm.gltf", "glTF normalized 16-bit positions", high=3),
        Case("whole.gltf", "glTF whole 16-bit positions", high=3),
        Case("uv16.gltf", "glTF 16-bit texture coordinates", color=GREEN),
        Case("color16.gltf", "glTF 16-bit colors", color=(1, 0.5, 0.25)),
        Case("color8.gltf", "glTF 8-bit colors", color=RED),
        Case("colormaterial.gltf", "glTF colors beside a material", color=RED),
        Case("texcoord1.gltf", "glTF second texture coordinates", color=RED),
        Case("clamp.gltf", "glTF clamped texture", color=RED),
        Case("glossy.gltf", "glTF specular-glossiness", color=RED),
        Case("instances.gltf", "glTF instances", area=6, high=10),
        Case("sparse.gltf", "glTF sparse accessor", area=6),
        Case("skin.gltf", "glTF skin", low=4, high=6),
        Case("splats.gltf", "glTF Gaussians", splats=True),
    ]


def obj_cases(folder: Path) -> list[Case]:
    HALVES.save(folder / "halves.png")
    Image.fromarray(np.full((8, 8), 20000, np.uint16)).save(folder / "gray16.png")
    (folder / "maps").mkdir()
    Image.new("RGB", (8, 8), (0, 255, 0)).save(folder / "maps/green.png")
    first = "v 0 0 0\nv 2 0 0\nv 0 2 0\n"
    text(folder, "relative.obj", f"{first}f -3 -2 -1\nv 7 0 0\nv 9 0 0\nv 7 2 0\nf -3 -2 -1\n")
    hooked = "v 4 0 0\nv 4 1 0\nv 1 1 0\nv 1 3 0\nv 0 3 0\nv 0 0 0\n"  # an L, whose first corner sees not all
    text(folder, "hooked.obj", hooked + "f 1 2 3 4 5 6\n")
    text(folder, "a.mtl", "newmtl a\nKd 1 0 0\n")
    text(folder, "b.mtl", "newmtl b\nKd 0 1 0\n")
    both = "mtllib a.mtl\nmtllib b.mtl\nv 0 0 0\nv 2 0 0\nv 0 2 0\nv 5 0 0\nv 7 0 0\nv 5 2 0\n"
    text(folder, "libraries.obj", both + "usemtl a\nf 1 2 3\nusemtl b\nf 4 5 6\n")
    for name, line in (
        ("backslash", "Kd .6 .6 .6\nmap_Kd maps\\green.png"),
        ("options", "map_Kd -o 0 0 0 -s 1 1 1 halves.png"),
        ("lone", "map_Kd halves.png"),
        ("gray16", "map_Kd gray16.png"),
    ):
        text(folder, f"{name}.mtl", f"newmtl m\n{line}\n")
        use = "" if name == "lone" else "usemtl m\n"
        text(folder, f"{name}.obj", f"mtllib {name}.mtl\n{OBJ}{use}f 1/1 2/2 3/3\n")
    return [
        Case("relative.obj", "OBJ indices from where the face stands", low=0, high=9, area=4),
        Case("hooked.obj", "OBJ concave polygon", area=6),
        Case("gray16.obj", "OBJ 16-bit gray texture", color=(0.305,) * 3),
        Case("libraries.obj", "OBJ two material libraries", colors=2),
        Case("backslash.obj", "OBJ backslash in a name", color=GREEN),
        Case("options.obj", "OBJ options of a map", color=GREEN),
        Case("lone.obj", "OBJ lone material not used by name", color=GREEN),
    ]


def other_cases(folder: Path) -> list[Case]:
    head = f"ply\nformat ascii 1.0\nelement vertex 4\n{XYZ}"
    strip = "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    text(folder, "strip.ply", f"{head}{strip}{ROWS}7 0 1 2 -1 0 2 3\n")
    kinds = "".join(f"property ushort {name}\n" for name in ("red", "green", "blue"))
    painted = "".join(f"{row} 65535 32768 16384\n" for row in ROWS.splitlines())
    text(folder, "color16.ply", f"{head}{kinds}end_header\n{painted}")
    faces = "element face 2\nproperty list uchar int vertex_indices\n" + kinds.replace("ushort", "uchar")
    two = "3 0 1 2 255 0 0\n3 0 2 3 0 255 0\n"
    text(folder, "faces.ply", f"{head}{faces}end_header\n{ROWS}{two}")
    text(folder, "faces.off", f"OFF\n4 2 5\n{ROWS}{two}")
    row = "{} 0 0 1 255 0 0 255\n"
    text(folder, "cn.off", "CNOFF\n4 1 0\n" + "".join(row.format(r) for r in ROWS.splitlines()) + "4 0 1 2 3\n")
    text(folder, "counts.off", f"OFF4 1 0\n{ROWS}4 0 1 2 3\n")
    lists = "property list uchar uint view_indices\nproperty list uchar float view_weights\n"
    colors = kinds.replace("ushort", "uchar")
    rows = [struct.pack("<3f3B", *corner, 255, 128, 64) for corner in CORNERS]
    rows = [r + struct.pack(f"<B{k}IB{k}f", k, *range(k), k, *[1.0] * k) for k, r in enumerate(rows, 2)]
    openmvs = f"ply\nformat binary_little_endian 1.0\nelement vertex 4\n{XYZ}{colors}{lists}end_header\n"
    text(folder, "views.ply", openmvs.encode() + b"".join(rows))
    solid = struct.pack("<12fH", 0, 0, 0, *TRIANGLE.ravel(), 0)
    text(folder, "trailing.stl", b"binary".ljust(80) + struct.pack("<I", 1) + solid + b"\0" * 9)
    text(folder, "solid.stl", b"solid by a CAD program".ljust(80) + struct.pack("<I", 1) + solid)
    sixteen = "".join(f"{row} 65280 32768 16384\n" for row in ROWS.splitlines())
    text(folder, "color16.xyz", sixteen)
    eight = "".join(f"{row} 255 128 64\n" for row in ROWS.splitlines())
    text(folder, "heading.xyz", f"//X Y Z R G B\n4\n{eight}")
    return [
        Case("strip.ply", "PLY triangle strips", faces=2, area=9),
        Case("color16.ply", "PLY 16-bit colors", color=(1, 0.5, 0.25)),
        Case("faces.ply", "PLY colors of faces", colors=2, area=9),
        Case("faces.off", "OFF colors of faces", colors=2, area=9),
        Case("cn.off", "OFF normals and colors", color=RED),
        Case("counts.off", "OFF counts on the first line", area=9),
        Case("views.ply", "PLY lists beside the vertices", color=(1, 0.5, 0.25)),
        Case("trailing.stl", "STL bytes behind", area=2),
        Case("solid.stl", "STL binary that begins with solid", area=2),
        Case("color16.xyz", "text 16-bit colors", color=(0.996, 0.5, 0.25)),
        Case("heading.xyz", "text heading of CloudCompare", color=(1, 0.5, 0.25)),
    ]


def by_voge(path: Path) -> dict[str, Any]:
    if path.suffix == ".gltf" and holds_ellipsoids(path):
        return {"splats": True, "area": 0}
    made = load_geometry(path)
    places = made.vertices if isinstance(made, Mesh) else made.points
    area = 0.0
    if isinstance(made, Mesh):
        a, b, c = (made.vertices[made.faces[:, i]] for i in range(3))
        area = float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
    count = len(made.faces) if isinstance(made, Mesh) else 0
    box = {"low": places.min(0), "high": places.max(0)}
    return {"area": area, "faces": count, "colors": None if made.colors is None else made.colors.tolist(), **box}


def run_bounded(words: list[str]) -> str:
    """What a program printed; nothing where it takes over a minute."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout
    except subprocess.TimeoutExpired:
        return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        python = options.python or install_python(Path(name) / "tools", [*PYPI, "assimp-py==1.1.0", "Pillow==13.0.0"])
        folder = Path(name) / "files"
        folder.mkdir()
        cases = gltf_cases(folder) + obj_cases(folder) + other_cases(folder)
        paths = [folder / case.name for case in cases]
        columns = {"voge": [by_voge(path) for path in paths]}
        for library in LIBRARIES:
            columns[library] = []
            for path in paths:  # each in its own process
                words = [str(python), str(PEERS), library, str(path)]
                done = run_bounded(words).splitlines()
                line = next((one[6:] for one in done if one.startswith("found ")), '{"error": "it ended"}')
                columns[library].append(json.loads(line))
    right = {key: [case.right(one) for case, one in zip(cases, found, strict=True)] for key, found in columns.items()}
    print(f"| kind | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for i, case in enumerate(cases):
        print(f"| {case.kind} | {' | '.join('right' if row[i] else '' for row in right.values())} |")
    print(f"| of {len(cases)} | {' | '.join(str(sum(row)) for row in right.values())} |")


if __name__ == "__main__":
    main()
