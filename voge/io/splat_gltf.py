"""Gaussians in glTF: the extension KHR_gaussian_splatting, ratified in 2025, in and out.

Its attributes are standard deviations, opacities and quaternions (x, y, z, w) as they are, no logarithms or logits.
Programs that know no Gaussians show colored points.
"""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.io.readers.gltf import SPLATS, Scene
from voge.io.readers.gltf_data import Document
from voge.io.splats import Array, Gaussians, logit, origin
from voge.scene import harmonics
from voge.scene.ellipsoids import Ellipsoids, cat

_COMPRESSED = (
    "KHR_gaussian_splatting_compression_spz",
    "KHR_gaussian_splatting_compression_spz_2",
    "KHR_spz_compression",
)
_ORDER = {3: 1, 8: 2, 15: 3}


def is_splats(path: Path) -> bool:
    """True where a glTF holds Gaussians; False for what is no glTF."""
    try:
        document = Document(path)
    except (DataError, OSError):
        return False
    return SPLATS in document.json.get("extensionsUsed", []) and any(True for _ in _primitives(document))


def read_splats(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name (float32) and metadata of all Gaussians of the default scene, in world coordinates.

    Raises:
        DataError: an attribute is missing, a node is no similarity, or no row can be used.
    """
    document = Document(path)
    for name in _COMPRESSED:
        if name in document.json.get("extensionsUsed", []):
            raise DataError(path, f"its Gaussians are compressed ({name})", "export them uncompressed, or as .ply")
    scene, sets = Scene(document), []
    for number in scene.order:
        node = document.item("nodes", number)
        primitives = _of_mesh(document, node["mesh"]) if "mesh" in node else []
        for primitive in primitives:
            tensors = _gaussians(document, primitive).tensors(path)
            extra = {"sh": tensors.pop("sh")} if "sh" in tensors else {}
            ellipsoids = Ellipsoids(**tensors, extra=extra)  # type: ignore[arg-type]  # no metadata among them
            sets.append(_placed(path, ellipsoids, scene.world[number]))
    meshes = sum("mesh" in document.item("nodes", n) for n in scene.order)
    if meshes > len(sets):
        warnings.warn(f"{path}: its {meshes - len(sets)} meshes beside the Gaussians are left out", stacklevel=3)
    if not sets:
        raise DataError(path, "holds no ellipsoids in its default scene", "put their node into the scene")
    whole = cat(sets)
    named = {name: getattr(whole, name) for name in ("means", "scales", "quats", "density", "features")}
    return {**named, **whole.extra}, origin(path)


def write_splats(path: Path, ellipsoids: Ellipsoids) -> None:
    """Write a GLB of Gaussians, with their colors for programs that show points.

    Raises:
        ValueError: features are not colors (N, 3) or grays (N, 1).
    """
    made = Gaussians.of(ellipsoids)
    opacity = 1 / (1 + np.exp(-made.logits))
    colors = np.concatenate([made.colors.clip(0, 1), opacity[:, None]], 1)
    attributes: dict[str, Array] = {
        "POSITION": made.means,
        "COLOR_0": np.round(colors * 255).astype(np.uint8),
        f"{SPLATS}:ROTATION": made.quats[:, [1, 2, 3, 0]],
        f"{SPLATS}:SCALE": np.exp(made.log_scales),
        f"{SPLATS}:OPACITY": opacity[:, None],
        f"{SPLATS}:SH_DEGREE_0_COEF_0": (made.colors - 0.5) / harmonics.Y00,
    }
    if made.sh is not None:
        degrees = [(d, c) for d in range(1, _ORDER[made.sh.shape[1]] + 1) for c in range(2 * d + 1)]
        attributes |= {f"{SPLATS}:SH_DEGREE_{d}_COEF_{c}": made.sh[:, row] for row, (d, c) in enumerate(degrees)}
    path.write_bytes(_glb(attributes, ellipsoids.metadata))


def _glb(attributes: dict[str, Array], metadata: Any) -> bytes:
    views, accessors, body = [], [], b""
    kinds = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}
    for values in attributes.values():
        whole = values.dtype == np.uint8
        data = np.ascontiguousarray(values if whole else values.astype("<f4"))
        views.append({"buffer": 0, "byteOffset": len(body), "byteLength": data.nbytes, "target": 34962})
        entry: dict[str, Any] = {
            "bufferView": len(views) - 1,
            "componentType": 5121 if whole else 5126,
            "count": len(data),
            "type": kinds[data.shape[1]],
        }
        accessors.append(entry | ({"normalized": True} if whole else {}))
        body += data.tobytes()
    accessors[0] |= {"min": attributes["POSITION"].min(0).tolist(), "max": attributes["POSITION"].max(0).tolist()}
    primitive = {
        "mode": 0,
        "attributes": {name: number for number, name in enumerate(attributes)},
        "extensions": {SPLATS: {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}},
    }
    document = {
        "asset": {"version": "2.0", "generator": "voge", "extras": dict(metadata)},
        "extensionsUsed": [SPLATS],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(body)}],
    }
    text = json.dumps(document, allow_nan=False, sort_keys=True).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(body), 0x004E4942) + body
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _primitives(document: Document) -> Any:
    for number in range(len(document.rows("meshes"))):
        yield from _of_mesh(document, number)


def _of_mesh(document: Document, number: Any) -> list[dict[str, Any]]:
    """The primitives of a mesh that are Gaussians."""
    primitives = document.item("meshes", number).get("primitives", [])
    found = [p for p in primitives if isinstance(p, dict) and isinstance(p.get("extensions"), dict)]
    return [p for p in found if SPLATS in p["extensions"] and isinstance(p.get("attributes"), dict)]


def _gaussians(document: Document, primitive: dict[str, Any]) -> Gaussians:
    attributes = primitive["attributes"]

    def column(name: str, kind: str) -> Array:
        if name not in attributes:
            raise DataError(document.path, f"its Gaussians have no {name}", "export it again")
        return document.accessor(attributes[name], kind).astype(np.float64)

    degree = max(d for d in range(4) if d == 0 or f"{SPLATS}:SH_DEGREE_{d}_COEF_0" in attributes)
    rest = [column(f"{SPLATS}:SH_DEGREE_{d}_COEF_{c}", "VEC3") for d in range(1, degree + 1) for c in range(2 * d + 1)]
    with np.errstate(divide="ignore"):
        log_scales = np.log(column(f"{SPLATS}:SCALE", "VEC3"))
    made = Gaussians(
        means=column("POSITION", "VEC3"),
        log_scales=log_scales,
        quats=column(f"{SPLATS}:ROTATION", "VEC4")[:, [3, 0, 1, 2]],
        logits=logit(column(f"{SPLATS}:OPACITY", "SCALAR")[:, 0]),
        colors=0.5 + harmonics.Y00 * column(f"{SPLATS}:SH_DEGREE_0_COEF_0", "VEC3"),
        sh=np.stack(rest, 1) if rest else None,
    )
    space = primitive["extensions"][SPLATS].get("colorSpace", "srgb_rec709_display")
    if space != "srgb_rec709_display":
        warnings.warn(f"{document.path}: its colors are of {space} and taken as sRGB", stacklevel=4)
    return made


def _placed(path: Path, ellipsoids: Ellipsoids, transform: Array) -> Ellipsoids:
    if np.array_equal(transform, np.eye(4)):
        return ellipsoids
    try:
        return ellipsoids.transform(torch.from_numpy(transform).float())
    except ValueError as error:
        raise DataError(
            path, f"a node of its Gaussians is no similarity ({error})", "apply the transform first"
        ) from error
