"""The document of a glTF 2.0 file and the numbers of its accessors (Khronos specification, sections 3.6 and 4)."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import fractions
from voge.io.readers.pictures import find_beside
from voge.meshes.mesh import Array

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_MOST_ZEROS = 100_000_000  # rows of an accessor that no data stand for
_JSON, _BIN = 0x4E4F534A, 0x004E4942


class Document:
    """A glTF file: its JSON, checked as it is asked for, and its buffers.

    Raises:
        DataError: the file is no glTF 2.0, or something that is asked for is missing or of another kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.json, self._binary = _open(path)
        asset = self.json.get("asset")
        version = asset.get("version") if isinstance(asset, dict) else None
        if version is None:
            raise DataError(path, "has no version of glTF under 'asset'", "export it as glTF 2.0")
        if not str(version).startswith("2"):
            raise DataError(path, f"is glTF {version}, and only glTF 2 is read", "export it as glTF 2.0")
        self.buffer = cache(self._buffer)
        self.view = cache(self._view)

    def extensions(self, key: str) -> list[str]:
        """The names under `extensionsUsed` or `extensionsRequired`."""
        return [str(name) for name in self.rows(key)]

    def rows(self, key: str) -> list[Any]:
        """A list of the document, empty where there is none."""
        value = self.json.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "must be a list")
        return value

    def item(self, key: str, index: Any) -> dict[str, Any]:
        """An object of a list by its index."""
        rows = self.rows(key)
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(rows):
            raise DataError(self.path, f"names {key}[{index}], of {len(rows)}", "export it again")
        if not isinstance(rows[index], dict):
            raise self.wrong(f"{key}[{index}]", "must be an object")
        found: dict[str, Any] = rows[index]
        return found

    def wrong(self, place: str, rule: str) -> DataError:
        """The error of a place that breaks a rule."""
        return DataError(self.path, f"its glTF is wrong: {place} {rule}", "export it again")

    def accessor(self, index: int, kind: str | None = None) -> Array:
        """The numbers of an accessor, (count, components): float64 where they are fractions or floats.

        Args:
            index: of the accessor.
            kind: its type, such as "VEC3", where only that one will do.
        """
        place, accessor = f"accessors[{index}]", self.item("accessors", index)
        shape, component = accessor.get("type"), accessor.get("componentType")
        if shape not in WIDTHS or component not in COMPONENTS:
            raise self.wrong(place, f"has type {shape} of componentType {component}")
        if kind is not None and shape != kind:
            raise self.wrong(place, f"must be a {kind}, not a {shape}")
        count = self.number(accessor, "count", place)
        dtype, width = np.dtype(COMPONENTS[component]), WIDTHS[shape]
        if "bufferView" in accessor:
            values = self._rows(accessor, place, dtype, width, count)
        elif count > _MOST_ZEROS:
            raise self.wrong(place, f"has {count} rows without a bufferView")
        else:
            values = np.zeros((count, width), dtype)
        if "sparse" in accessor:
            values = self._sparse(values, accessor["sparse"], place, dtype, width)
        if accessor.get("normalized") is True:
            return fractions(values)
        return values.astype(np.float64) if dtype.kind == "f" else values

    def number(self, owner: Mapping[str, Any], key: str, place: str, default: int | None = None) -> int:
        """A whole number of at least 0."""
        value = owner.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.wrong(f"{place}.{key}", f"must be a whole number of at least 0, got {value!r}"[:120])
        return value

    def vector(self, owner: Mapping[str, Any], key: str, default: tuple[float, ...], place: str) -> Array:
        """Numbers of an object, as many as the default has."""
        value = owner.get(key, default)
        good = isinstance(value, (list, tuple)) and len(value) == len(default)
        if not good or not all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in value):
            raise self.wrong(f"{place}.{key}", f"must be {len(default)} numbers")
        return np.array(value, np.float64)

    def resolve(self, uri: Any) -> bytes:
        """The bytes of a data URI or of a file beside the document.

        Raises:
            FileNotFoundError: there is no such file; nothing is ever fetched.
        """
        if not isinstance(uri, str):
            raise self.wrong("a uri", "must be text")
        if uri.startswith("data:"):
            head, _, body = uri.partition(",")
            try:
                return base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote(body).encode()
            except ValueError as error:
                raise self.wrong("a data URI", "is not base64") from error
        for name in (uri, unquote(uri)):
            found = find_beside(name, [self.path.parent])
            if found is not None:
                return found.read_bytes()
        raise FileNotFoundError(unquote(uri)[:120])

    def _buffer(self, index: int) -> bytes:
        buffer = self.item("buffers", index)
        length = self.number(buffer, "byteLength", f"buffers[{index}]")
        if "uri" not in buffer:
            if index or self._binary is None:
                raise self.wrong(f"buffers[{index}]", "has no uri, and the file no binary part")
            data = self._binary
        else:
            try:
                data = self.resolve(buffer["uri"])
            except FileNotFoundError as error:
                raise DataError(
                    self.path, f"its data {error} is not beside it", "copy it there, or export as .glb"
                ) from error
        if len(data) < length:
            raise DataError(
                self.path, f"buffer {index} announces {length} bytes but has {len(data)}", "is it complete?"
            )
        return data

    def _view(self, index: int) -> tuple[bytes, int]:
        """The bytes of a buffer view and the distance of its rows, 0 where they follow each other."""
        place, view = f"bufferViews[{index}]", self.item("bufferViews", index)
        for name in MESHOPT:
            if name in view.get("extensions", {}):
                return _meshopt(self, view["extensions"][name], place)
        start, length = self.number(view, "byteOffset", place, 0), self.number(view, "byteLength", place)
        data = self.buffer(self.number(view, "buffer", place))
        if start + length > len(data):
            raise DataError(self.path, f"{place} ends at byte {start + length} of {len(data)}", "is it complete?")
        return data[start : start + length], self.number(view, "byteStride", place, 0)

    def _rows(self, owner: Mapping[str, Any], place: str, dtype: Any, width: int, count: int) -> Array:
        data, stride = self.view(self.number(owner, "bufferView", place))
        start, size = self.number(owner, "byteOffset", place, 0), dtype.itemsize * width
        stride = stride or size
        if count and start + stride * (count - 1) + size > len(data):
            raise DataError(
                self.path,
                f"{place} needs {start + stride * (count - 1) + size} bytes, of {len(data)}",
                "is it complete?",
            )
        rows = np.ndarray((count, size), np.uint8, data, start, (stride, 1))
        values: Array = np.ascontiguousarray(rows).view(dtype).reshape(count, width)
        return values

    def _sparse(self, values: Array, sparse: Any, place: str, dtype: Any, width: int) -> Array:
        place = f"{place}.sparse"
        if not isinstance(sparse, dict) or not all(isinstance(sparse.get(k), dict) for k in ("indices", "values")):
            raise self.wrong(place, "must have indices and values")
        count = self.number(sparse, "count", place)
        kind = COMPONENTS.get(sparse["indices"].get("componentType"), "")
        if kind not in ("<u1", "<u2", "<u4"):
            raise self.wrong(f"{place}.indices", "must be unsigned integers")
        where = self._rows(sparse["indices"], f"{place}.indices", np.dtype(kind), 1, count)[:, 0]
        if count and where.max() >= len(values):
            raise self.wrong(f"{place}.indices", f"name row {where.max()} of {len(values)}")
        values = values.copy()
        values[where] = self._rows(sparse["values"], f"{place}.values", dtype, width, count)
        return values


def _meshopt(document: Document, packed: Mapping[str, Any], place: str) -> tuple[bytes, int]:
    """The bytes of a buffer view that meshoptimizer has compressed, and the distance of its rows."""
    try:
        import meshoptimizer
    except ImportError:
        raise DataError(
            document.path,
            f"is compressed ({MESHOPT[0]}), which needs a decoder",
            "pip install voge[gltf], or export it uncompressed",
        ) from None
    data = document.buffer(document.number(packed, "buffer", place))
    start, length = document.number(packed, "byteOffset", place, 0), document.number(packed, "byteLength", place)
    count, stride = document.number(packed, "count", place), document.number(packed, "byteStride", place)
    if start + length > len(data):
        raise DataError(document.path, f"{place} ends at byte {start + length} of {len(data)}", "is it complete?")
    return _decoded(meshoptimizer, data[start : start + length], packed, count, stride, document, place), stride


def _decoded(
    meshoptimizer: Any, data: bytes, packed: Mapping[str, Any], count: int, stride: int, document: Document, place: str
) -> bytes:
    mode, filtered = packed.get("mode"), packed.get("filter", "NONE")
    try:
        if mode == "ATTRIBUTES":
            values = np.asarray(meshoptimizer.decode_vertex_buffer(count, stride, data))
        elif mode == "TRIANGLES":
            values = np.asarray(meshoptimizer.decode_index_buffer(count, stride, data))
        elif mode == "INDICES":
            values = np.asarray(meshoptimizer.decode_index_sequence(count, stride, data))
        else:
            raise document.wrong(place, f"has mode {mode}")
        filters = {
            "OCTAHEDRAL": "decode_filter_oct",
            "QUATERNION": "decode_filter_quat",
            "EXPONENTIAL": "decode_filter_exp",
        }
        if filtered in filters:
            values = np.asarray(getattr(meshoptimizer, filters[filtered])(np.ascontiguousarray(values), count, stride))
        elif filtered != "NONE":
            raise document.wrong(place, f"has filter {filtered}")
    except (RuntimeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(document.path, f"{place} cannot be decompressed ({error})", "export it again") from error
    return values.tobytes()[: count * stride]  # the decoder gives 16-bit indices in the first half of 32-bit ones


def _open(path: Path) -> tuple[dict[str, Any], bytes | None]:
    """The JSON of a .gltf or .glb, and the binary part of the latter."""
    data = path.read_bytes()
    binary = None
    if path.suffix.lower() == ".gltf":
        if data.startswith(b"glTF"):
            raise DataError(path, "is a binary glTF", "rename it to .glb")
        text = data
    else:
        if not data.startswith(b"glTF") or len(data) < 20:
            raise DataError(path, "is not a GLB: it does not begin with 'glTF'", "check what kind of file it is")
        version, length = struct.unpack("<II", data[4:12])
        if version != 2:
            raise DataError(path, f"is glTF {version}, and only glTF 2 is read", "export it as glTF 2.0")
        if length > len(data):
            raise DataError(path, f"announces {length} bytes but has {len(data)}", "is it complete?")
        text, binary = _chunks(data)
    try:
        document = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(path, f"its glTF is not text in UTF-8 at byte {error.start}", "is it complete?") from error
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"its glTF is not JSON ({error})"[:200], "is it complete?") from error
    if not isinstance(document, dict):
        raise DataError(path, "is not glTF: its JSON is no object", "export it as glTF 2.0")
    return document, binary


def _chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """The JSON and the binary part of a GLB; parts of other types are passed over, as the format asks."""
    text, binary, start = b"", None, 12
    while start + 8 <= len(data):
        size, kind = struct.unpack("<II", data[start : start + 8])
        body = data[start + 8 : start + 8 + size]
        if kind == _JSON and not text:
            text = body
        elif kind == _BIN and binary is None:
            binary = body
        start += 8 + size
    return text, binary
