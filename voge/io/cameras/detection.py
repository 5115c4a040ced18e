"""Formats of camera files, told from name and content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from voge.errors import DataError
from voge.io.cameras import bop, bundler, colmap, gaussian_splatting, opensfm
from voge.io.cameras.fields import read_arrays, read_json

_REMEDY = "say what it is with --from"
BY_SUFFIX = {".xml": "metashape", ".csv": "realitycapture"}
IN_FOLDERS = ("cameras.json", "reconstruction.json", "sfm_data.json", "camera_path.json", "cameras.xml", "cameras.csv",
              "bundle.out", "bundle/bundle.out")  # fmt: skip


def detect(path: Path) -> tuple[Path, str]:
    """The file or folder to read, and its format.

    Raises:
        DataError: it looks like none of them.
    """
    if path.is_dir():
        return _detect_folder(path)
    if bop.holds(path):
        return path, "bop"
    if colmap.find(path):
        return path, "colmap"
    if path.suffix.lower() == ".npz":
        keys = set(read_arrays(path))
        return path, _told_by(path, keys, {"R": "pytorch3d", "matrix": "npz", "K": "npz"})
    if path.suffix.lower() in BY_SUFFIX:
        return path, BY_SUFFIX[path.suffix.lower()]
    if bundler.holds(path):
        return path, "bundler"
    if path.suffix.lower() != ".json":
        raise DataError(path, "is no file of cameras that is known by its name", _REMEDY)
    content = read_json(path)
    for kind, holds in (("3dgs", gaussian_splatting.holds), ("opensfm", opensfm.holds)):
        if holds(content):
            return path, kind
    if not isinstance(content, Mapping):
        raise DataError(path, "holds no cameras: it must be an object with keys", "is it the right file?")
    kinds = {
        "camera_path": "camera-path",
        "sfm_data_version": "openmvg",
        "frames": "transforms",
        "pose": "pose",
        "camera": "pose",
        "R": "pytorch3d",
        "views": "json",
    }
    kinds |= {"matrix": "json", "K": "json"}
    if content and all(isinstance(inner, Mapping) and "cam_K" in inner for inner in content.values()):
        return path, "bop"
    return path, _told_by(path, set(content), kinds)


def _detect_folder(path: Path) -> tuple[Path, str]:
    if bop.holds(path):
        return path, "bop"
    if (path / "transforms.json").is_file():
        return path / "transforms.json", "transforms"
    if colmap.find(path):
        return path, "colmap"
    for name in IN_FOLDERS:
        if (path / name).is_file():
            return detect(path / name)
    others = sorted(file.name for file in path.glob("transforms*.json"))
    remedy = f"name one of {', '.join(others)}" if others else "name the file itself"
    raise DataError(path, "has no transforms.json, no COLMAP model and no BOP scene", remedy)


def _told_by(path: Path, keys: set[str], kinds: Mapping[str, str]) -> str:
    for key, kind in kinds.items():
        if key in keys:
            return kind
    found = ", ".join(sorted(keys))[:120] or "nothing"
    raise DataError(path, f"holds no cameras that are known; it has {found}", _REMEDY)
