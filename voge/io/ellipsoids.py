"""Ellipsoids in files: `.safetensors` (native) and `.npz`, with the same names in both; Gaussians by `splat_*.py`.

Tensors: means (N, 3), scales (N, 3), quats (N, 4) as (w, x, y, z), density (N,), optionally features
(N, C), and extra attributes under their own names, such as normals (N, 3). Metadata: one JSON object
of strings under `voge`; `format_version` is ours, the rest (units, frame, how the set was made) is the
set's. All of it in one entry, because safetensors writes several in random order and equal sets
shall give equal files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge import checks
from voge.errors import DataError
from voge.io import splat_files, splat_gltf, splat_ply
from voge.io.files import atomic_file, check_not_empty
from voge.scene import harmonics
from voge.scene.ellipsoids import Ellipsoids

SUFFIXES = (".safetensors", ".npz", ".ply", ".glb", ".gltf", *splat_files.SUFFIXES)
WRITTEN = (".safetensors", ".npz", ".ply", ".glb")
FORMAT_VERSION = 1

_REQUIRED = ("means", "scales", "quats", "density")
_METADATA = "voge"  # safetensors: a key of the header; npz: an array of one string


def holds_ellipsoids(path: str | Path) -> bool:
    """True for a file that is meant to hold ellipsoids: by its suffix, and for `.npz` and `.ply` by what is in it."""
    path = Path(path)
    if path.suffix.lower() == ".ply":
        return splat_ply.is_splats(path)
    if path.suffix.lower() in (".glb", ".gltf"):
        return path.is_file() and splat_gltf.is_splats(path)
    if path.suffix.lower() == ".json":
        return splat_files.is_sog_folder(path)
    if path.suffix.lower() != ".npz":
        return path.suffix.lower() in SUFFIXES
    try:
        # Opened here, since numpy leaves a file open that it fails to read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {"means", "scales"} <= set(arrays.files)
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile):  # no archive, or a bare array in its place
        return False


def load_ellipsoids(path: str | Path) -> Ellipsoids:
    """Read ellipsoids, on the CPU, in the file's precision.

    Raises:
        DataError: the file is missing or malformed, or a value breaks its rule (finite, scales > 0,
            density >= 0); one line that names the tensor.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(path, "is a folder, not a file of ellipsoids" if path.is_dir() else "no such file")
    if path.suffix.lower() not in SUFFIXES and not splat_files.is_sog_folder(path):
        raise DataError(path, f"ellipsoids are read from {', '.join(SUFFIXES)}, not '{path.suffix}'")
    check_not_empty(path)
    tensors: dict[str, Any]
    tensors, metadata = _READERS.get(path.suffix.lower(), splat_files.read)(path)
    _check_version(path, metadata.pop("format_version", str(FORMAT_VERSION)))
    missing = [name for name in _REQUIRED if name not in tensors]
    if missing:
        found = ", ".join(sorted(tensors)) or "nothing"
        raise DataError(path, f"has no {' and no '.join(missing)}, only {found}", "write the set again")
    extra = {name: tensor for name, tensor in tensors.items() if name not in (*_REQUIRED, "features")}
    try:
        ellipsoids = Ellipsoids(
            **{name: tensors[name] for name in _REQUIRED},
            features=tensors.get("features"),
            extra=extra,
            metadata=metadata,
        )
        check_values(ellipsoids)
    except (ValueError, TypeError) as error:
        raise DataError(path, str(error), "write the set again") from error
    return ellipsoids


def save_ellipsoids(path: str | Path, ellipsoids: Ellipsoids) -> None:
    """Write ellipsoids; a file there is replaced.

    From `.safetensors` and `.npz` every bit comes back. `.ply` and `.glb` hold Gaussians of 3DGS: see
    `voge.io.splats`.

    Raises:
        ValueError: the suffix is not one of WRITTEN, the format has no place for the features, or a value breaks
            a rule that `load_ellipsoids` checks.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in WRITTEN:
        raise ValueError(f"ellipsoids are written to {', '.join(WRITTEN)}, not '{path.suffix}' ({path})")
    check_values(ellipsoids)
    with atomic_file(path) as temporary:
        if suffix == ".ply":
            splat_ply.write_splats(temporary, ellipsoids)
        elif suffix == ".glb":
            splat_gltf.write_splats(temporary, ellipsoids)
        else:
            _write_native(temporary, ellipsoids)


def _write_native(path: Path, ellipsoids: Ellipsoids) -> None:
    tensors = {name: getattr(ellipsoids, name) for name in _REQUIRED} | dict(ellipsoids.extra)
    if ellipsoids.features is not None:
        tensors["features"] = ellipsoids.features
    # A copy of each, since safetensors refuses tensors that share memory.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    metadata = json.dumps({"format_version": str(FORMAT_VERSION)} | dict(ellipsoids.metadata), sort_keys=True)
    if path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        arrays[_METADATA] = np.array(metadata)
        with path.open("wb") as file:
            np.savez(file, **arrays)
    else:
        from safetensors.torch import save

        # Not save_file, whose files nobody else may read.
        path.write_bytes(save(tensors, metadata={_METADATA: metadata}))


def check_values(ellipsoids: Ellipsoids) -> None:
    """Check what construction does not: N >= 1, all finite, scales > 0, density >= 0, quats not zero, sh's shape.

    Raises:
        ValueError: names the tensor, the rule, the row and the value.
    """
    if not len(ellipsoids):
        raise ValueError("it holds no ellipsoids")
    named = {name: getattr(ellipsoids, name) for name in _REQUIRED} | dict(ellipsoids.extra)
    if ellipsoids.features is not None:
        named["features"] = ellipsoids.features
    if "sh" in named:
        harmonics.degree_of(checks.shapes(sh=(named["sh"], "N K 3"))["K"])
    for name, tensor in named.items():
        _check_rows(f"{name} must be finite", tensor, tensor.isfinite())
    _check_rows("scales must be positive", ellipsoids.scales, ellipsoids.scales > 0)
    _check_rows("density must be at least 0", ellipsoids.density, ellipsoids.density >= 0)
    _check_rows("quats must not be zero", ellipsoids.quats, (ellipsoids.quats != 0).any(1))


def _check_rows(rule: str, tensor: Tensor, good: Tensor) -> None:
    bad = ~good.reshape(len(tensor), -1).all(1)
    if bad.any():
        row = int(bad.nonzero()[0])
        value = [float(f"{number:.6g}") for number in tensor[row].reshape(-1).tolist()]
        shown = f"{value[0]:g}" if tensor.ndim == 1 else value if len(value) <= 4 else f"{value[:4]}..."
        raise ValueError(f"{rule}; row {row} is {shown} ({int(bad.sum())} of {len(tensor)} rows are wrong)")


def _check_version(path: Path, version: str) -> None:
    if not version.isdigit() or int(version) > FORMAT_VERSION:
        raise DataError(path, f"has format version {version}; this voge reads up to {FORMAT_VERSION}", "update voge")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, _metadata(path, file.metadata() or {})  # noqa: SIM118 (no iterator)
    except (SafetensorError, OSError) as error:
        raise DataError(path, f"cannot be read as .safetensors ({error})", "is it complete?") from error


def _read_npz(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        metadata = _metadata(path, {_METADATA: str(arrays.pop(_METADATA))} if _METADATA in arrays else {})
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata
    except DataError:
        raise
    except (ValueError, TypeError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(path, f"cannot be read as .npz ({error})", "is it complete?") from error


def _metadata(path: Path, header: Mapping[str, str]) -> dict[str, str]:
    """The set's metadata; a file that another program wrote has none of ours."""
    try:
        found = json.loads(header.get(_METADATA, "{}"))
    except ValueError as error:
        raise DataError(path, f"metadata under '{_METADATA}' are not JSON ({error})", "write the set again") from error
    if not isinstance(found, dict):
        raise DataError(path, f"metadata under '{_METADATA}' must be one JSON object", "write the set again")
    return {str(key): str(value) for key, value in found.items()}


_READERS = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    ".ply": splat_ply.read_splats,
    ".glb": splat_gltf.read_splats,
    ".gltf": splat_gltf.read_splats,
}
