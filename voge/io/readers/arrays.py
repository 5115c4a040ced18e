"""Points and meshes of NumPy.

`.npy` holds columns as text does; `.npz` holds `points` or `vertices`, `faces`, `colors` and `normals`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voge.errors import DataError
from voge.io.readers.part import NO_FACES, Content, Part, unit_colors
from voge.io.readers.text import columns_of


def read(path: Path) -> Content:
    """The piece of a file.

    Raises:
        DataError: an array is missing, or has another shape or type.
    """
    with path.open("rb") as stream:
        loaded = np.load(stream, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return columns_of(path, loaded)
        arrays = {name: loaded[name] for name in loaded.files}
    points = arrays.get("points", arrays.get("vertices"))
    if points is None:
        raise DataError(path, f"has no array 'points' or 'vertices', only {sorted(arrays)}", "rename the array")
    for name in {"points", "vertices", "faces", "colors", "normals"} & set(arrays):
        array = arrays[name]
        if array.ndim != 2 or array.shape[1] != 3 or (name != "faces" and len(array) != len(points)):
            rows = "F" if name == "faces" else str(len(points))
            raise DataError(path, f"array '{name}' must have shape ({rows}, 3), got {array.shape}", "reshape it")
        if array.dtype.kind not in "fiu":
            raise DataError(path, f"array '{name}' holds {array.dtype}, not numbers", "save floats")
    faces, colors, normals = arrays.get("faces"), arrays.get("colors"), arrays.get("normals")
    if faces is not None and faces.dtype.kind not in "iu":
        raise DataError(path, f"array 'faces' must hold integers, got {faces.dtype}", "convert it")
    part = Part(
        points.astype(np.float64),
        NO_FACES if faces is None else faces.astype(np.int64),
        None if colors is None else unit_colors(colors),
        None if normals is None else normals.astype(np.float64),
    )
    left = sorted(set(arrays) - {"points", "vertices", "faces", "colors", "normals"})
    return Content([part], (f"its arrays {', '.join(left)} are left out",) if left else ())
