"""Files that cannot be used, made by hand: name -> content and a phrase of the line that refuses it."""

from __future__ import annotations

import base64
import io
import json
import struct
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

VERTICES = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
FACES = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]], np.int64)
OFF = "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"
TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
SPLAT = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", *(f"scale_{i}" for i in range(3))]
SPLAT += [f"rot_{i}" for i in range(4)]
NAN, INF = float("nan"), float("inf")


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def ellipsoids(**changes: Any) -> dict[str, np.ndarray]:
    """Arrays of four ellipsoids; a change of None leaves one out."""
    arrays: dict[str, Any] = {
        "means": VERTICES,
        "scales": np.full((4, 3), 0.1, np.float32),
        "quats": np.tile(np.array([1, 0, 0, 0], np.float32), (4, 1)),
        "density": np.ones(4, np.float32),
    }
    return {name: array for name, array in (arrays | changes).items() if array is not None}


def native(version: str = "1", **changes: Any) -> bytes:
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in ellipsoids(**changes).items()}
    return save(tensors, metadata={"voge": json.dumps({"format_version": version})})


def changed(name: str, value: float, row: int = 2) -> dict[str, np.ndarray]:
    array = ellipsoids()[name].copy()
    array[row] = value
    return {name: array}


def ply(body: str, count: int = 3, more: str = "", kind: str = "ascii", columns: str = XYZ) -> str:
    return f"ply\nformat {kind} 1.0\nelement vertex {count}\n{columns}{more}end_header\n{body}"


def splat(value: float = 0.0, rows: int = 2, leave_out: str = "", extra: tuple[str, ...] = (), cut: int = 0) -> bytes:
    """A binary 3DGS file whose numbers are all `value`."""
    names = [name for name in [*SPLAT, *extra] if name != leave_out]
    columns = "".join(f"property float {name}\n" for name in names)
    body = np.full((rows, len(names)), value, "<f4").tobytes()
    return ply("", rows, kind="binary_little_endian", columns=columns).encode() + body[: len(body) - cut]


def gltf(version: str = "2.0", position: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A glTF document of one triangle, its data within."""
    data = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], "<f4").tobytes()
    uri = "data:application/octet-stream;base64," + base64.b64encode(data).decode()
    accessor = {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]}
    return {
        "asset": {"version": version},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [accessor | (position or {})],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"uri": uri, "byteLength": 36}],
    } | more


def text(**options: Any) -> str:
    return json.dumps(gltf(**options))


def glb(
    document: dict[str, Any] | None = None, version: int = 2, length: int | None = None, data: bytes = b""
) -> bytes:
    body = json.dumps(gltf() if document is None else document).encode()
    body += b" " * (-len(body) % 4)
    chunks = struct.pack("<II", len(body), 0x4E4F534A) + body
    if data:
        chunks += struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<4sII", b"glTF", version, 12 + len(chunks) if length is None else length) + chunks


def stl(count: int, rows: int) -> bytes:
    return bytes(80) + struct.pack("<I", count) + np.ones(rows * 50, np.uint8).tobytes()


def packed(extension: str) -> dict[str, Any]:
    """A mesh of one primitive that an extension is said to have compressed; its bytes are no such thing."""
    inner = {"bufferView": 0, "attributes": {"POSITION": 0}}
    return {"primitives": [{"attributes": {"POSITION": 0}, "extensions": {extension: inner}}]}


def squeezed() -> dict[str, Any]:
    """A buffer view that meshoptimizer is said to have compressed; its bytes are no such thing."""
    inner = {"buffer": 0, "byteLength": 36, "byteStride": 12, "count": 3, "mode": "ATTRIBUTES"}
    return {"buffer": 0, "byteLength": 36, "extensions": {MESHOPT: inner}}


DRACO = "KHR_draco_mesh_compression"
MESHOPT = "EXT_meshopt_compression"

MALFORMED: dict[str, tuple[str | bytes, str]] = {
    # Nothing in them.
    "empty.obj": ("", "is empty"),
    "empty.ply": ("", "is empty"),
    "empty.stl": ("", "is empty"),
    "empty.off": ("", "is empty"),
    "empty.glb": ("", "is empty"),
    "empty.gltf": ("", "is empty"),
    "empty.xyz": ("", "is empty"),
    "empty.npy": (b"", "is empty"),
    "empty.npz": (b"", "is empty"),
    "empty.safetensors": (b"", "is empty"),
    "remarks.obj": ("# nothing\n", "no faces and no points"),
    "remarks.xyz": ("# nothing\n", "no faces and no points"),
    "none.ply": (ply("", 0), "no faces and no points"),
    "none.npy": (npy(np.zeros((0, 3))), "no faces and no points"),
    "none.off": ("OFF\n0 0 0\n", "no faces and no points"),
    "none.gltf": (json.dumps({"asset": {"version": "2.0"}}), "no faces and no points"),
    # Text where binary is expected, and the other way about; another format under this suffix.
    "noise.obj": (bytes(range(256)) * 4, "no faces and no points"),
    "noise.ply": ("noise", "does not begin with 'ply'"),
    "noise.stl": (b"noise" * 50, "announces"),
    "noise.off": ("noise\n1 2 3\n", "OFF"),
    "noise.glb": (b"noise" * 50, "does not begin with 'glTF'"),
    "noise.gltf": ("{", "not JSON"),
    "noise.xyz": ("a b c", "not numbers"),
    "noise.npy": ("1 2 3\n", "cannot be read as .npy"),
    "noise.npz": ("noise", "cannot be read as .npz"),
    "noise.safetensors": ("noise, and more", "cannot be read as"),
    "wrong.glb": (OFF, "does not begin with 'glTF'"),
    "wrong.ply": (OFF, "does not begin with 'ply'"),
    "wrong.gltf": (glb(), "rename it to .glb"),
    "wrong.off": (TRIANGLE, "OFF"),
    "wrong.safetensors": (npz(**ellipsoids()), "cannot be read as"),
    "unknown.abc": ("data", "'.abc' are not supported"),
    "suffix": ("data", "are not supported"),
    # OBJ.
    "index.obj": (TRIANGLE + "f 1 2 9\n", "names vertex data"),
    "negative.obj": (TRIANGLE + "f 1 2 -9\n", "names vertex data"),
    "word.obj": (TRIANGLE + "f a b c\n", "cannot be read"),
    "short.obj": ("v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "has 2 numbers; give 3 of them"),
    "flat.obj": ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "has an area"),
    "nan.obj": ("v nan 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "has an area"),
    # OFF.
    "index.off": ("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", "a face names vertex 9 of 3"),
    "cut.off": ("OFF\n3 1 0\n0 0 0\n1 0 0\n", "announces 3 vertices"),
    "faces.off": ("OFF\n3 2 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", "announces 2 faces"),
    "header.off": ("OFF\nthree one 0\n0 0 0\n", "OFF"),
    "flat.off": (OFF.replace("0 1 0", "2 0 0"), "has an area"),
    "colors.off": ("COFF\n3 1 0\n0 0 0 1 1 1 1\n1 0 0\n0 1 0 1 1 1 1\n3 0 1 2\n", "a vertex has no color"),
    # STL.
    "cut.stl": (stl(10, 2), "announces 10 triangles but has 2"),
    "huge.stl": (stl(2**31, 0), "announces"),
    "text.stl": ("solid a\nfacet normal 0 0 1\nouter loop\nvertex 0 0\n", "has 1 facets but 0 vertices"),
    # PLY of meshes and points.
    "cut.ply": (ply("0 0 0\n"), "announces 3 vertices but has 1"),
    "binary.ply": (ply("0" * 20, kind="binary_little_endian"), "announces 3 vertices but has 1"),
    "header.ply": ("ply\nformat ascii 1.0\nelement vertex 3\n", "no end of its PLY header"),
    "format.ply": (ply("0 0 0\n", 1, kind="morse"), "header"),
    "type.ply": (ply("0\n", 1, "property quad q\n"), "header"),
    "count.ply": (ply("0 0 0\n", -3), "header"),
    "twice.ply": (ply("0 0 0 0\n", 1, "property float x\n"), "twice"),
    "nocoordinate.ply": (ply("0 0\n", 1, columns="property float x\nproperty float y\n"), "has no z"),
    "index.ply": (
        ply("0 0 0\n1 0 0\n0 1 0\n3 0 1 9\n", more="element face 1\nproperty list uchar int vertex_indices\n"),
        "names vertex 9 of 3",
    ),
    "list.ply": (
        ply("0 0 0\n1 0 0\n0 1 0\n3 0 1\n", more="element face 1\nproperty list uchar int vertex_indices\n"),
        "list",
    ),
    "cutlist.ply": (
        ply("0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n", more="element face 2\nproperty list uchar int vertex_indices\n"),
        "announces 2 rows of face but has 1",
    ),
    "listlength.ply": (
        ply("", more="element face 1\nproperty list uchar int vertex_indices\n", kind="binary_little_endian").encode()
        + VERTICES[:3].tobytes()
        + b"\xff\0\0\0\0",
        "announces 1 rows of face but has 0",
    ),
    "nan.ply": (ply("nan 0 0\nnan 0 0\n", 2), "is finite"),
    # Points in text and arrays.
    "nan.xyz": ("nan 0 0\n", "is finite"),
    "ragged.xyz": ("1 2 3\n4 5\n", "row"),
    "columns.xyz": ("1 2 3 4 5\n4 5 6 7 8\n", "give 3 columns"),
    "one.xyz": ("1 2 3\n", "at least 4"),
    "same.xyz": ("1 2 3\n" * 5, "must differ"),
    "shape.npy": (npy(np.zeros((2, 3, 4))), "give 3 columns"),
    "scalar.npy": (npy(np.array(3.0)), "give 3 columns"),
    "text.npy": (npy(np.array([["a", "b", "c"]])), "not numbers"),
    "complex.npy": (npy(1j * VERTICES), "not numbers"),
    "pickle.npy": (npy(np.array([{"a": 1}], object)), "allow_pickle=False"),
    "cut.npy": (npy(VERTICES)[:-8], "cannot be read as .npy"),
    "nan.npy": (npy(NAN * VERTICES), "is finite"),
    "names.npz": (npz(xyz=VERTICES), "no array 'points'"),
    "shape.npz": (npz(points=VERTICES[:, :2]), "(4, 3)"),
    "rows.npz": (npz(points=VERTICES, colors=VERTICES[:2]), "must have shape (4, 3), got (2, 3)"),
    "index.npz": (npz(vertices=VERTICES, faces=FACES + 3), "names vertex 6 of 4"),
    "floats.npz": (npz(vertices=VERTICES, faces=FACES + 0.5), "must hold integers"),
    "pickle.npz": (npz(points=np.array([{}], object)), "cannot be read as .npz"),
    # glTF.
    "one.gltf": (text(version="1.0"), "glTF 1.0"),
    "one.glb": (glb(version=1), "glTF 1"),
    "cut.glb": (glb()[:200], "is it complete?"),
    "length.glb": (glb(length=10**6), "is it complete?"),
    "version.gltf": (json.dumps({"scenes": []}), "no version"),
    "list.gltf": ("[]", "glTF"),
    "buffer.gltf": (text(buffers=[{"uri": "gone%20away.bin", "byteLength": 36}]), "gone away.bin is not beside it"),
    "short.gltf": (text(position={"count": 300}), "needs 3600 bytes, of 36"),
    "base64.gltf": (text(buffers=[{"uri": "data:;base64,AAA", "byteLength": 36}]), "a data URI is not base64"),
    "accessor.gltf": (text(accessors=[]), "names accessors[0], of 0"),
    "nodes.gltf": (text(nodes=[{"mesh": 7}]), "names meshes[7], of 1"),
    "draco.gltf": (
        text(meshes=[packed(DRACO)], extensionsUsed=[DRACO]),
        "meshes[0].primitives[0] cannot be decompressed",
    ),
    "draco.glb": (glb(gltf(meshes=[packed(DRACO)], extensionsUsed=[DRACO])), "cannot be decompressed"),
    "meshopt.glb": (
        glb(gltf(bufferViews=[squeezed()], extensionsUsed=[MESHOPT])),
        "bufferViews[0] cannot be decompressed",
    ),
    "type.gltf": (text(position={"componentType": 1}), "has type VEC3 of componentType 1"),
    # Ellipsoids: native.
    "cut.safetensors": (native()[:-20], "is it complete?"),
    "header.safetensors": (native()[:40], "is it complete?"),
    "future.safetensors": (native(version="9"), "format version 9"),
    "odd.safetensors": (native(version="x"), "version x"),
    "missing.safetensors": (native(quats=None), "has no quats"),
    "nan.safetensors": (native(**changed("means", NAN)), "means must be finite; row 2"),
    "negative.safetensors": (native(**changed("scales", -1)), "scales must be positive; row 2"),
    "thin.safetensors": (native(**changed("density", -1)), "density must be at least 0"),
    "quats.safetensors": (native(**changed("quats", 0)), "quats must not be zero"),
    "integer.safetensors": (native(means=np.ones((4, 3), np.int64)), "float32 or float64"),
    "mixed.safetensors": (native(quats=np.ones((4, 4))), "quats must be torch.float32"),
    "rows.safetensors": (native(scales=np.ones((3, 3), np.float32)), "scales must have shape (N, 3)"),
    "sh.safetensors": (native(sh=np.ones((4, 5, 3), np.float32)), "[0, 3, 8, 15]"),
    # Ellipsoids: npz.
    "future.npz": (npz(**ellipsoids(), voge='{"format_version": "9"}'), "format version 9"),
    "metadata.npz": (npz(**ellipsoids(), voge="{"), "not JSON"),
    "missing_.npz": (npz(**ellipsoids(quats=None)), "no quats"),
    "negative.npz": (npz(**ellipsoids(**changed("scales", -1))), "scales must be positive"),
    "inf.npz": (npz(**ellipsoids(**changed("means", INF))), "means must be finite"),
    "strings.npz": (npz(**ellipsoids(density=np.array(list("abcd")))), "cannot be read as .npz"),
    "objects.npz": (npz(**ellipsoids(density=np.array([{}] * 4, object))), "cannot be read as .npz"),
    "cut_.npz": (npz(**ellipsoids())[:-30], "cannot be read as .npz"),
    # Ellipsoids: 3DGS.
    "splat_cut.ply": (splat(rows=5, cut=30), "announces 5 vertices but has 4"),
    "splat_none.ply": (splat(rows=0), "holds no ellipsoids"),
    "splat_quats.ply": (splat(0.0), "none of its 2 ellipsoids"),
    "splat_nan.ply": (splat(NAN), "none of its 2 ellipsoids"),
    "splat_inf.ply": (splat(INF), "none of its 2 ellipsoids"),
    "splat_rotation.ply": (splat(leave_out="rot_2"), "has no rot_2"),
    "splat_flat.ply": (splat(leave_out="scale_1"), "has no scale_1"),
    "splat_rest.ply": (splat(extra=tuple(f"f_rest_{i}" for i in range(7))), "has 7 columns f_rest_*"),
    "splat_gap.ply": (splat(extra=tuple(f"f_rest_{i}" for i in range(1, 10))), "columns f_rest_*"),
    "splat_text.ply": (
        ply("0 0 0 0\n", 1, columns="".join(f"property float {name}\n" for name in SPLAT)),
        "row 0 of vertex has too few numbers",
    ),
    "splat_packed.ply": (
        ply("", 1, columns="property uint packed_position\nproperty uint packed_scale\n"),
        "announces 1 vertices but has 0",
    ),
}
