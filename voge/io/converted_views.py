"""Cameras from one format into another, and what gets lost on the way."""

from __future__ import annotations

import os
from pathlib import Path

from voge.io.cameras import Views, load_cameras, save_cameras


def convert_cameras(source: Views | str | Path, out: str | Path, to: str) -> tuple[str, ...]:
    """Write cameras in another format, as `voge cameras --to` does.

    Args:
        source: views, or the file or folder that they are read from.
        out: a file, or for COLMAP and BOP a folder; what is there is replaced.
        to: a key of `voge.io.cameras.FORMATS`.

    Returns:
        What the format does not keep: of units, names, paths of pictures, paths of masks.

    Raises:
        DataError: a file cannot be used, or a view has what the format cannot hold.
        ValueError: no such format, or a suffix that does not fit it.
    """
    views = source if isinstance(source, Views) else load_cameras(source)
    save_cameras(out, views, to)
    return _losses(views, load_cameras(out, to))


def only_cameras(folder: str | Path) -> bool:
    """True where a folder holds no more than COLMAP's or BOP's cameras: no points of a reconstruction, no pictures."""
    if not Path(folder).is_dir():
        return False
    cameras = {f"{stem}.{kind}" for stem in ("cameras", "images") for kind in ("bin", "txt")}
    cameras |= {"scene_camera.json", "scene_gt.json"}
    files = list(Path(folder).iterdir())
    empty = [file for file in files if file.stem == "points3D" and file.is_file() and file.stat().st_size < 80]
    return all(file.name in cameras or file in empty for file in files)


def _losses(given: Views, found: Views) -> tuple[str, ...]:
    """List what writing and reading did not give back, beside the cameras themselves."""

    def paths(views: Views, key: str) -> list[str | None]:
        files = [getattr(view, key) for view in views]
        return [None if file is None else os.path.abspath(file) for file in files]

    pairs = {
        "units": ("unknown" if given.units == "unknown" else "", "unknown" if found.units == "unknown" else ""),
        "names": ([view.name for view in given], [view.name for view in found]),
        "paths of pictures": (paths(given, "image"), paths(found, "image")),
        "paths of masks": (paths(given, "mask"), paths(found, "mask")),
    }
    there = {"paths of pictures": any(v.image for v in given), "paths of masks": any(v.mask for v in given)}
    return tuple(name for name, (a, b) in pairs.items() if a != b and there.get(name, True))
