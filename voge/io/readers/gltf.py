"""Meshes and points of glTF 2.0 and GLB: the default scene, with its instances, skins in their joints, morph targets.

Read are accessors of every component type, normalized and sparse; points, triangles, strips and fans; COLOR_0 times the
base color; texture coordinates of any set, with KHR_texture_transform and wrap modes; EXT_mesh_gpu_instancing;
KHR_draco_mesh_compression and meshoptimizer's compression where their decoders are installed. Whatever a file uses
beyond that gives a note (docs/formats.md has the list).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from voge.errors import DataError
from voge.io.readers.gltf_data import MESHOPT, Document
from voge.io.readers.gltf_materials import BASIS, SPECULAR, TRANSFORM, WEBP, Look, Materials
from voge.io.readers.part import NO_FACES, Content, Part, Skin, fractions
from voge.meshes.mesh import Array

DRACO = "KHR_draco_mesh_compression"
INSTANCING = "EXT_mesh_gpu_instancing"
SPLATS = "KHR_gaussian_splatting"
READ = (DRACO, INSTANCING, TRANSFORM, WEBP, BASIS, SPECULAR, "KHR_mesh_quantization", *MESHOPT)
# They change light, reflection or speed, and not the base color of a surface.
_HARMLESS = ("KHR_materials_unlit", "KHR_lights_punctual", "KHR_xmp", "KHR_xmp_json_ld", "KHR_materials_ior")
_MODES = {0: "points", 1: "lines", 2: "lines", 3: "lines", 4: "triangles", 5: "strip", 6: "fan"}
_MOST_INSTANCES = 10_000_000  # vertices that instances may make


def read(path: Path) -> Content:
    """The pieces of the default scene in world coordinates.

    Raises:
        DataError: the file cannot be used, or needs an extension that is not read.
    """
    document = Document(path)
    notes = _extension_notes(document)
    for index, buffer in enumerate(document.rows("buffers")):
        if isinstance(buffer, dict) and isinstance(buffer.get("uri"), str):
            document.buffer(index)  # missing data are said before anything else
    scene = Scene(document)
    parts = [part for node in scene.order for part in scene.parts(node)]
    left = {key: len(document.rows(key)) for key in ("animations", "cameras")}
    notes += [f"its {count} {key} are left out" for key, count in left.items() if count]
    if len(document.rows("scenes")) > 1:
        notes.append(f"of its {len(document.rows('scenes'))} scenes only number {scene.number} is read")
    return Content(parts, tuple(dict.fromkeys([*notes, *scene.notes, *scene.materials.notes])))


def _extension_notes(document: Document) -> list[str]:
    for name in document.extensions("extensionsRequired"):
        if name not in READ and name not in _HARMLESS and not name.startswith("KHR_materials_"):
            raise DataError(
                document.path, f"needs the glTF extension {name}, which is not supported", "export it without"
            )
    unknown = [name for name in document.extensions("extensionsUsed") if name not in (*READ, *_HARMLESS, SPLATS)]
    notes = [f"it uses {', '.join(unknown)}, not read here"] if unknown else []
    if SPLATS in document.extensions("extensionsUsed"):
        notes.append(f"its Gaussian splats ({SPLATS}) are read as points here")
    return notes


class Scene:
    """The nodes of a scene, placed."""

    def __init__(self, document: Document) -> None:
        self.document, self.materials = document, Materials(document)
        self.notes: list[str] = []
        scenes = document.rows("scenes")
        self.number = document.number(document.json, "scene", "scene", 0) if scenes else 0
        roots = self._list(document.item("scenes", self.number), "nodes") if scenes else self._parentless()
        self.world: dict[int, Array] = {}
        self.order: list[int] = []
        stack = [(node, np.eye(4)) for node in reversed(roots)]
        while stack:
            node, above = stack.pop()
            if node in self.world:
                raise document.wrong(f"nodes[{node}]", "stands in the scene twice")
            here = document.item("nodes", node)
            self.world[node] = above @ self._local(here, f"nodes[{node}]")
            self.order.append(node)
            stack += [(child, self.world[node]) for child in reversed(self._list(here, "children"))]

    def parts(self, number: int) -> Iterator[Part]:
        """The pieces of a node's mesh, once for every instance."""
        node = self.document.item("nodes", number)
        if "mesh" not in node:
            return
        mesh, place = self.document.item("meshes", node["mesh"]), f"meshes[{node['mesh']}]"
        weights = node.get("weights", mesh.get("weights", []))
        joints = self._joints(node["skin"]) if "skin" in node else None
        transforms = [np.eye(4)] if joints is not None else self._instances(node, number)
        if joints is not None and INSTANCING in (node.get("extensions") or {}):
            self.notes.append("instances of its skinned meshes are left out: their joints place them once")
        primitives = mesh.get("primitives")
        if not isinstance(primitives, list):
            raise self.document.wrong(place, "must have primitives")
        for index, primitive in enumerate(primitives):
            if not isinstance(primitive, dict) or not isinstance(primitive.get("attributes"), dict):
                raise self.document.wrong(f"{place}.primitives[{index}]", "must have attributes")
            piece = _Primitive(self, primitive, f"{place}.primitives[{index}]").part(weights, joints)
            if piece is None:
                continue
            if len(transforms) * len(piece.vertices) > _MOST_INSTANCES:
                raise DataError(
                    self.document.path,
                    f"its {len(transforms)} instances of {place} would have more than {_MOST_INSTANCES} vertices",
                    "export fewer",
                )
            yield from (_moved(piece, transform) for transform in transforms)

    def _joints(self, index: Any) -> Array:
        """(J, 4, 4): from a skinned mesh's own coordinates to the world, by joint."""
        skin, place = self.document.item("skins", index), f"skins[{index}]"
        joints = self._list(skin, "joints")
        if not joints or any(joint not in self.world for joint in joints):
            raise self.document.wrong(place, "has joints outside the scene" if joints else "has no joints")
        inverse = np.tile(np.eye(4), (len(joints), 1, 1))
        if "inverseBindMatrices" in skin:
            stored = self.document.accessor(self.document.number(skin, "inverseBindMatrices", place), "MAT4")
            if len(stored) < len(joints):
                raise self.document.wrong(place, f"has {len(stored)} matrices for {len(joints)} joints")
            inverse = stored[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
        return np.stack([self.world[joint] for joint in joints]) @ inverse

    def _instances(self, node: Mapping[str, Any], number: int) -> list[Array]:
        """The world transforms of a node: its own, or one an instance."""
        here = self.world[number]
        extension = node.get("extensions", {}).get(INSTANCING) if isinstance(node.get("extensions"), dict) else None
        if extension is None:
            return [here]
        attributes = extension.get("attributes") if isinstance(extension, dict) else None
        if not isinstance(attributes, dict) or not attributes:
            raise self.document.wrong(f"nodes[{number}].{INSTANCING}", "must have attributes")
        kinds = {"TRANSLATION": "VEC3", "ROTATION": "VEC4", "SCALE": "VEC3"}
        columns = {
            name: self.document.accessor(attributes[name], kind) for name, kind in kinds.items() if name in attributes
        }
        counts = {len(column) for column in columns.values()}
        if len(counts) != 1:
            raise self.document.wrong(f"nodes[{number}].{INSTANCING}", "must have attributes of one length")
        [count] = counts
        rows = [{name.lower(): column[i].tolist() for name, column in columns.items()} for i in range(count)]
        return [here @ self._local(row, f"nodes[{number}].{INSTANCING}") for row in rows]

    def _local(self, node: Mapping[str, Any], place: str) -> Array:
        """A node's own transform: its matrix (by columns), or translation times rotation times scale."""
        if "matrix" in node:
            return self.document.vector(node, "matrix", (0.0,) * 16, place).reshape(4, 4).T
        matrix = np.eye(4)
        x, y, z, w = self.document.vector(node, "rotation", (0.0, 0.0, 0.0, 1.0), place)
        length = np.sqrt(x * x + y * y + z * z + w * w) or 1.0
        x, y, z, w = x / length, y / length, z / length, w / length
        turn = np.array([
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ])  # fmt: skip
        matrix[:3, :3] = turn * self.document.vector(node, "scale", (1.0,) * 3, place)
        matrix[:3, 3] = self.document.vector(node, "translation", (0.0,) * 3, place)
        return matrix

    def _list(self, owner: Mapping[str, Any], key: str) -> list[int]:
        value = owner.get(key, [])
        if not isinstance(value, list) or not all(isinstance(n, int) and not isinstance(n, bool) for n in value):
            raise self.document.wrong(key, "must be a list of numbers of nodes")
        return value

    def _parentless(self) -> list[int]:
        nodes = self.document.rows("nodes")
        children = {c for node in nodes if isinstance(node, dict) for c in self._list(node, "children")}
        return [number for number in range(len(nodes)) if number not in children]


class _Primitive:
    """One primitive: its numbers, its faces, its colors."""

    def __init__(self, scene: Scene, primitive: Mapping[str, Any], place: str) -> None:
        self.scene, self.document, self.place = scene, scene.document, place
        self.primitive = primitive
        self.attributes: dict[str, Any] = dict(primitive["attributes"])
        self.packed: dict[str, Array] = {}
        extensions = primitive.get("extensions")
        packed = extensions.get(DRACO) if isinstance(extensions, dict) else None
        if packed is not None:
            self.packed = _draco(self.document, packed, place)

    def part(self, weights: Any, joints: Array | None) -> Part | None:
        """The piece in the node's coordinates, or in the world's where joints place it; None for lines."""
        mode = self.primitive.get("mode", 4)
        if mode not in _MODES:
            raise self.document.wrong(self.place, f"has mode {mode}")
        if _MODES[mode] == "lines":
            self.scene.notes.append("its lines are left out")
            return None
        vertices = self._morphed(self._attribute("POSITION", "VEC3"), weights)
        if joints is not None:
            vertices = self._skinned(vertices, joints)
        colors, skin = self._colors(len(vertices))
        if _MODES[mode] == "points":
            normals = self._attribute("NORMAL", "VEC3") if "NORMAL" in self.attributes else None
            rows = self._corners(len(vertices)) if "indices" in self.primitive else slice(None)
            return Part(
                vertices[rows],
                colors=None if colors is None else colors[rows],
                normals=None if normals is None else normals[rows],
            )
        return Part(vertices, self._faces(_MODES[mode], len(vertices)), colors, skin=skin)

    def _attribute(self, name: str, kind: str | None = None, count: int | None = None) -> Array:
        if name in self.packed:
            values = self._unpacked(name)
        elif name in self.attributes:
            values = self.document.accessor(self.attributes[name], kind).astype(np.float64)
        else:
            raise self.document.wrong(self.place, f"has no {name}")
        if count is not None and len(values) != count:
            raise self.document.wrong(self.place, f"has {len(values)} values of {name} for {count} vertices")
        return values

    def _unpacked(self, name: str) -> Array:
        """The values of an attribute that Draco held; the accessor says if its integers are fractions."""
        values = self.packed[name]
        accessor = self.document.item("accessors", self.attributes[name]) if name in self.attributes else {}
        return fractions(values) if accessor.get("normalized") is True else values.astype(np.float64)

    def _corners(self, count: int) -> Array:
        """The row of every corner, in order."""
        if "indices" in self.packed:
            corners = self.packed["indices"]
        elif "indices" in self.primitive:
            number = self.document.number(self.primitive, "indices", self.place)
            corners = self.document.accessor(number, "SCALAR").reshape(-1).astype(np.int64)
        else:
            return np.arange(count)
        if len(corners) and not 0 <= corners.min() <= corners.max() < count:
            raise DataError(
                self.document.path, f"a face names vertex {corners.max()} of {count}", "export the mesh again"
            )
        return corners

    def _faces(self, mode: str, count: int) -> Array:
        """(F, 3): each triangle turns the same way."""
        corners = self._corners(count)
        if mode == "triangles":
            return corners[: len(corners) // 3 * 3].reshape(-1, 3)
        return strip_faces(corners) if mode == "strip" else fan_faces(corners)

    def _morphed(self, vertices: Array, weights: Any) -> Array:
        targets = self.primitive.get("targets", [])
        if not isinstance(targets, list) or not isinstance(weights, list):
            raise self.document.wrong(self.place, "has targets or weights that are no lists")
        for target, weight in zip(targets, weights, strict=False):
            if weight and isinstance(target, dict) and "POSITION" in target:
                moved = self.document.accessor(target["POSITION"], "VEC3")
                if len(moved) != len(vertices):
                    raise self.document.wrong(self.place, f"has a target of {len(moved)} vertices for {len(vertices)}")
                vertices = vertices + float(weight) * moved
        return vertices

    def _skinned(self, vertices: Array, joints: Array) -> Array:
        """Vertices placed by the joints; the node's own transform does not count (section 3.7.3.3)."""
        total = np.zeros((len(vertices), 4, 4))
        share = np.zeros(len(vertices))
        number = 0
        while f"JOINTS_{number}" in self.attributes:
            names = self._attribute(f"JOINTS_{number}", "VEC4", len(vertices)).astype(np.int64)
            weights = self._attribute(f"WEIGHTS_{number}", "VEC4", len(vertices))
            if names.size and names[weights > 0].max(initial=0) >= len(joints):
                raise self.document.wrong(self.place, f"names joint {names.max()} of {len(joints)}")
            for column in range(4):
                total += weights[:, column, None, None] * joints[np.minimum(names[:, column], len(joints) - 1)]
            share += weights.sum(1)
            number += 1
        if not number:
            raise self.document.wrong(self.place, "is skinned but has no JOINTS_0")
        placed = np.einsum("vij,vj->vi", total[:, :3, :3], vertices) + total[:, :3, 3]
        return np.asarray(placed / np.where(share > 0, share, 1)[:, None])

    def _colors(self, count: int) -> tuple[Array | None, Skin | None]:
        """Colors (V, 3) of the vertices times the material's factor, and its picture."""
        look = self.scene.materials.look(self.primitive.get("material"))
        stored = self._attribute("COLOR_0", count=count)[:, :3] if "COLOR_0" in self.attributes else None
        colors = None if stored is None else np.clip(stored, 0, 1)
        if look is None:
            return colors, None
        if look.image is not None:
            skin = self._skin(look, count)
            if skin is not None:
                return colors, skin
        if colors is None and look.factor == (1.0, 1.0, 1.0) and look.image is None:
            return np.ones((count, 3)), None
        return (np.ones((count, 3)) if colors is None else colors) * look.factor, None

    def _skin(self, look: Look, count: int) -> Skin | None:
        name = f"TEXCOORD_{look.texture_set}"
        if name not in self.attributes:
            self.scene.notes.append(f"a texture has no coordinates ({name}), so colors come from the materials")
            return None
        assert look.image is not None
        uv = look.coordinates(self._attribute(name, "VEC2", count))
        return Skin(look.image, uv, look.factor, look.wrap)


def strip_faces(corners: Array) -> Array:
    """(F, 3) of a strip of triangles: every second one is turned."""
    count = max(len(corners) - 2, 0)
    first = np.arange(count)
    odd = first % 2
    return np.stack([corners[first], corners[first + 1 + odd], corners[first + 2 - odd]], 1) if count else NO_FACES


def fan_faces(corners: Array) -> Array:
    """(F, 3) of a fan of triangles around the first corner."""
    if len(corners) < 3:
        return NO_FACES
    return np.stack([np.full(len(corners) - 2, corners[0]), corners[1:-1], corners[2:]], 1)


def _moved(part: Part, transform: Array) -> Part:
    if np.array_equal(transform, np.eye(4)):
        return part
    linear, shift = transform[:3, :3], transform[:3, 3]
    faces = part.faces[:, ::-1] if np.linalg.det(linear) < 0 else part.faces
    normals = None if part.normals is None else part.normals @ np.linalg.pinv(linear)
    return replace(part, vertices=part.vertices @ linear.T + shift, faces=faces, normals=normals)


def _draco(document: Document, packed: Any, place: str) -> dict[str, Array]:
    """The attributes, by name, and `indices` of a primitive that Draco has compressed."""
    try:
        import DracoPy
    except ImportError:
        raise DataError(
            document.path,
            "is compressed with Draco, which needs a decoder",
            "pip install voge[gltf], or export it uncompressed",
        ) from None
    if not isinstance(packed, dict) or not isinstance(packed.get("attributes"), dict):
        raise document.wrong(f"{place}.{DRACO}", "must have attributes")
    data, _ = document.view(document.number(packed, "bufferView", f"{place}.{DRACO}"))
    try:
        decoded = DracoPy.decode(bytes(data))
    except Exception as error:  # the decoder's own kinds
        raise DataError(document.path, f"{place} cannot be decompressed ({error})"[:200], "export it again") from error
    columns = {attribute["unique_id"]: np.asarray(attribute["data"]) for attribute in decoded.attributes}
    found: dict[str, Array] = {
        name: columns[number].reshape(len(decoded.points), -1)
        for name, number in packed["attributes"].items()
        if number in columns
    }
    faces = getattr(decoded, "faces", None)
    if faces is not None:
        found["indices"] = np.asarray(faces, np.int64).reshape(-1)
    return found
