"""What trimesh would misread without a word, or say in its own words: checked before a mesh file is read."""

from __future__ import annotations

import json
import re
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from voge.errors import DataError
from voge.io import ply

_DRACO = "KHR_draco_mesh_compression"
_TRANSFORM = "KHR_texture_transform"
_KNOWN = (_TRANSFORM, "KHR_mesh_quantization", "EXT_texture_webp", "KHR_lights_punctual", "KHR_materials_")


def check_mesh_file(path: Path) -> tuple[str, ...]:
    """What the user should know of a file, a line each.

    Raises:
        DataError: the file cannot be used.
    """
    checks = {".gltf": _check_gltf, ".glb": _check_gltf, ".obj": _check_obj, ".off": _check_off, ".ply": _check_ply}
    check = checks.get(path.suffix.lower())
    if path.suffix.lower() == ".stl":
        _check_stl(path)
    return () if check is None else check(path)


def read_text(path: Path) -> str:
    """The file as text; bytes that are not UTF-8, as in old remarks, are replaced."""
    return path.read_bytes().decode("utf-8", "replace")


# ---- glTF ------------------------------------------------------------------------------------


def _check_gltf(path: Path) -> tuple[str, ...]:
    document = _gltf_document(path)
    version = document.get("asset", {}).get("version") if isinstance(document.get("asset"), dict) else None
    if version is None:
        raise DataError(path, "has no version of glTF under 'asset'", "export it as glTF 2.0")
    if not str(version).startswith("2"):
        raise DataError(path, f"is glTF {version}, and only glTF 2 is read", "export it as glTF 2.0")
    for name in document.get("extensionsRequired", []):
        if name == _DRACO and find_spec("DracoPy") is None:
            raise DataError(
                path,
                "is compressed with Draco, which needs a decoder",
                "pip install DracoPy, or export it uncompressed",
            )
        if name != _DRACO and not str(name).startswith(_KNOWN):
            raise DataError(path, f"needs the glTF extension {name}, which is not supported", "export it without")
    for buffer in document.get("buffers", []):
        if (missing := _missing(path, buffer.get("uri"))) is not None:
            raise DataError(path, f"its data {missing} is not beside it", "copy it there, or export as .glb")
    notes = [
        f"its texture {missing} is not beside it"
        for image in document.get("images", [])
        if (missing := _missing(path, image.get("uri"))) is not None
    ]
    if _TRANSFORM in document.get("extensionsUsed", []):
        notes.append("it moves its textures (KHR_texture_transform), which is not done here: colors may be wrong")
    return tuple(notes)


def _gltf_document(path: Path) -> dict[str, Any]:
    """The JSON of a .gltf or .glb."""
    with path.open("rb") as stream:
        start = stream.read(20)
        if path.suffix.lower() == ".gltf":
            if start.startswith(b"glTF"):
                raise DataError(path, "is a binary glTF", "rename it to .glb")
            text = start + stream.read()
        else:
            if not start.startswith(b"glTF") or len(start) < 20:
                raise DataError(path, "is not a GLB: it does not begin with 'glTF'", "check what kind of file it is")
            version, length, size = struct.unpack("<III", start[4:16])
            if version != 2:
                raise DataError(path, f"is glTF {version}, and only glTF 2 is read", "export it as glTF 2.0")
            found = path.stat().st_size
            if length > found:
                raise DataError(path, f"announces {length} bytes but has {found}", "is it complete?")
            text = stream.read(size)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise DataError(path, f"its glTF is not JSON ({error})", "is it complete?") from error
    if not isinstance(document, dict):
        raise DataError(path, "is not glTF: its JSON is no object", "export it as glTF 2.0")
    return document


def _missing(path: Path, uri: Any) -> str | None:
    """The name of a file that a glTF refers to and that is not there."""
    if not isinstance(uri, str) or uri.startswith("data:"):
        return None
    name = unquote(uri)
    return None if (path.parent / name).is_file() else name


# ---- OBJ, OFF, STL, PLY ----------------------------------------------------------------------


def _check_obj(path: Path) -> tuple[str, ...]:
    notes = []
    for library in re.findall(r"^mtllib[ \t]+(.+?)[ \t\r]*$", read_text(path), re.MULTILINE):
        material = path.parent / library
        if not material.is_file():
            notes.append(f"its materials {library} are not beside it, so it has no colors from them")
            continue
        for line in re.findall(r"^[ \t]*map_Kd[ \t]+(.+?)[ \t\r]*$", read_text(material), re.MULTILINE | re.IGNORECASE):
            picture = line.split()[-1] if line.startswith("-") else line  # options come before the name
            if not (path.parent / picture).is_file():
                notes.append(f"the texture {picture} of {library} is not beside it")
    return tuple(dict.fromkeys(notes))


def _check_off(path: Path) -> tuple[str, ...]:
    lines = [line.partition("#")[0].split() for line in read_text(path).splitlines()]
    lines = [line for line in lines if line]
    first = lines[0] if lines else []
    if not first or not first[0].upper().endswith("OFF"):
        raise DataError(path, "is not OFF: it does not begin with OFF", "check what kind of file it is")
    counts, rows = (first[1:], lines[1:]) if len(first) > 1 else ((lines[1:2] or [[]])[0], lines[2:])
    try:
        vertices, faces = int(counts[0]), int(counts[1])
    except (ValueError, IndexError):
        raise DataError(path, "has no numbers of vertices and faces after OFF", "export it again") from None
    if len(rows) < vertices:
        raise DataError(path, f"announces {vertices} vertices but has {len(rows)}", "is it complete?")
    if len(rows) < vertices + faces:
        raise DataError(path, f"announces {faces} faces but has {len(rows) - vertices}", "is it complete?")
    return ()


def _check_stl(path: Path) -> None:
    """A binary STL is 84 bytes and 50 a triangle; trimesh takes a short one for text."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(84)
    if start.lstrip().lower().startswith(b"solid") or size < 84:
        return
    count, found = int.from_bytes(start[80:], "little"), (size - 84) // 50
    if count > found:
        raise DataError(path, f"announces {count} triangles but has {found}", "is it complete, and an STL?")


def _check_ply(path: Path) -> tuple[str, ...]:
    """Columns and rows; a text PLY that was cut off loads without a word."""
    header = ply.read_header(path)
    vertex = header.element("vertex")
    if vertex is None:
        raise DataError(path, "has no element 'vertex'", "export it as a mesh or points")
    for name in ("x", "y", "z"):
        if name not in vertex.columns:
            raise DataError(path, f"has no {name} of its vertices", "export it again")
    if header.order:
        ply.check_binary_size(path, header)
    else:
        ply.check_text_rows(path, header)
    return ()
