"""Cameras in files: transforms.json, COLMAP, BOP, PyTorch3D, matrices, pose.json, and those of other programs.

    views = load_cameras("capture/transforms.json")
    for batch in views.batches():
        voge.render(ellipsoids, batch.cameras.to(torch.float32))

One file a format; docs/cameras.md has their conventions and what each cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from voge.errors import DataError
from voge.io.cameras import (
    bop,
    bundler,
    camera_path,
    colmap,
    gaussian_splatting,
    matrices,
    metashape,
    openmvg,
    opensfm,
    pose,
    pytorch3d,
    realitycapture,
    transforms,
)
from voge.io.cameras.detection import detect
from voge.io.cameras.options import CONVENTIONS as CONVENTIONS
from voge.io.cameras.options import DIRECTIONS as DIRECTIONS
from voge.io.cameras.options import Options
from voge.io.cameras.pictures import size_notes
from voge.io.cameras.views import Batch as Batch
from voge.io.cameras.views import View as View
from voge.io.cameras.views import Views as Views
from voge.io.files import atomic_file, atomic_folder


@dataclass(frozen=True)
class Format:
    """Reader and writer of a format."""

    read: Callable[[Path, Options], Views]
    write: Callable[[Path, Views, Path], None]  # to a temporary place, for a final one
    suffixes: tuple[str, ...]  # of a file; none where it is a folder


FORMATS = {
    "transforms": Format(transforms.read, lambda at, v, to: transforms.write(at, v, named=to), (".json",)),
    "colmap": Format(colmap.read, lambda at, v, to: colmap.write(at, v, binary=True, named=to), ()),
    "colmap-text": Format(
        lambda at, o: colmap.read(at, o, text=True), lambda at, v, to: colmap.write(at, v, binary=False, named=to), ()
    ),
    "bop": Format(bop.read, lambda at, v, to: bop.write(at, v, named=to), ()),
    "pytorch3d": Format(pytorch3d.read, lambda at, v, to: pytorch3d.write(at, v, named=to), (".json", ".npz")),
    "npz": Format(matrices.read_npz, lambda at, v, to: matrices.write_npz(at, v, named=to), (".npz",)),
    "json": Format(matrices.read_document, lambda at, v, to: matrices.write_document(at, v, named=to), (".json",)),
    "pose": Format(pose.read, lambda at, v, to: pose.write(at, v, named=to), (".json",)),
}

READ_ONLY: dict[str, Callable[[Path, Options], Views]] = {
    "3dgs": gaussian_splatting.read,
    "camera-path": camera_path.read,
    "bundler": bundler.read,
    "opensfm": opensfm.read,
    "openmvg": openmvg.read,
    "metashape": metashape.read,
    "realitycapture": realitycapture.read,
}


def load_cameras(
    path: str | Path,
    format: str | None = None,
    *,
    size: tuple[int, int] | None = None,
    convention: str | None = None,
    direction: str | None = None,
    object_id: int | None = None,
) -> Views:
    """Read the cameras of a file, or of the folder of a COLMAP model or BOP scene.

    Args:
        path: where they are.
        format: a key of FORMATS or READ_ONLY; by default told from the names and the content.
        size: width and height of the pictures in pixels, for files that do not say it.
        convention: camera axes of bare matrices, "opencv" or "opengl", for files that do not say it.
        direction: of bare matrices, "world_to_camera" or "camera_to_world", likewise.
        object_id: BOP: the object whose frame becomes the world.

    Returns:
        The views, in this package's convention, float64, on the CPU. Nothing is recentered or rescaled.

    Raises:
        DataError: the file is missing or malformed; one line that names it, what is wrong and what to do.
        ValueError: no such format, convention or direction.
    """
    path = Path(path)
    for name, value, known in (
        ("format", format, (*FORMATS, *READ_ONLY)),
        ("convention", convention, CONVENTIONS),
        ("direction", direction, DIRECTIONS),
    ):
        if value is not None and value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}; got '{value}'")
    if not path.exists():
        raise DataError(path, "no such file or folder")
    options = Options(size=size, convention=convention, direction=direction, object_id=object_id)
    place, chosen = (path, format) if format is not None else detect(path)
    reader = FORMATS[chosen].read if chosen in FORMATS else READ_ONLY[chosen]
    if place.is_dir() and (chosen in READ_ONLY or FORMATS[chosen].suffixes):
        found = [place / name for name in ("transforms.json",) if chosen == "transforms" and (place / name).is_file()]
        if not found:
            raise DataError(path, f"is a folder, and {chosen} cameras are a file", "name the file")
        place = found[0]
    views = reader(place, options)
    return replace(views, notes=(*views.notes, *size_notes(views)))


def save_cameras(path: str | Path, views: Views, format: str) -> None:
    """Write cameras, completely or not at all; what is there is replaced.

    Args:
        path: a file, or for COLMAP and BOP a folder.
        views: at least one.
        format: a key of FORMATS.

    Raises:
        DataError: a view has something that the format cannot hold, such as skew or distortion.
        ValueError: no such format, or a suffix that does not fit it.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}; got '{format}'")
    if not len(views):
        raise ValueError("there must be at least one view to write")
    writer = FORMATS[format]
    if writer.suffixes and path.suffix.lower() not in writer.suffixes:
        raise ValueError(f"{format} cameras are written to {' or '.join(writer.suffixes)}; got '{path}'")
    with atomic_file(path) if writer.suffixes else atomic_folder(path) as temporary:
        writer.write(temporary, views, path)
