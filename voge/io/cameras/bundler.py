"""`bundle.out` of Bundler, version 0.3, which many programs write.

After a remark and the numbers of cameras and points, a camera is f k1 k2, R by rows, and t: world to camera, x right,
y up, z backward. With p = -P / P.z a point is at f (1 + k1 |p|^2 + k2 |p|^4) p from the middle of the picture
(cs.cornell.edu/~snavely/bundler/bundler-v0.3-manual.html). Names are in `list.txt`, a line a camera; a focal
length of 0 stands for a camera that was not placed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.cameras.fields import Fields
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import find_picture, left_out, make_view, names_of, picture_size, posed
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

HEAD = "# Bundle file v0.3"
NUMBERS = 15  # of a camera
FLIP = np.diag([1.0, -1, -1])


def read(path: Path, options: Options) -> Views:
    """Views of the cameras that were placed, in the order of the file."""
    cameras = _cameras(path)
    files = _names(path, len(cameras))
    placed = [i for i, camera in enumerate(cameras) if camera[0] > 0]
    if not placed:
        raise DataError(path, "has no camera with a focal length", "there must be at least one view")
    names = names_of(files)
    views = [_view(Fields(path, {}, f"camera {i}"), cameras[i], names[i], files[i], options) for i in placed]
    notes = left_out(len(cameras) - len(placed), len(cameras), "have a focal length of 0")
    return Views(tuple(views), format="bundler", notes=notes)


def holds(path: Path) -> bool:
    """True where a file is of Bundler, by its suffix or its first line."""
    with path.open("rb") as stream:
        return path.suffix.lower() == ".out" or stream.read(len(HEAD)) == HEAD.encode()


def _cameras(path: Path) -> NDArray[np.float64]:
    """(N, 15) numbers of the cameras."""
    text = path.read_bytes().decode("utf-8-sig", "replace")
    if not text.startswith(HEAD):
        raise DataError(path, f"does not begin with '{HEAD}', got '{text[:30].strip()}'", "is it the right file?")
    words = text.partition("\n")[2].split()
    if not words or not words[0].isdecimal():
        raise DataError(path, "has no number of cameras in its second line", "is it complete?")
    count = int(words[0])
    body = words[2 : 2 + count * NUMBERS]
    if len(body) < count * NUMBERS:
        problem = f"announces {count} cameras and ends after {len(body) // NUMBERS}"
        raise DataError(path, problem, "is it complete?")
    try:
        numbers = np.array(body, np.float64).reshape(count, NUMBERS)
    except ValueError as error:
        raise DataError(path, "has a word that is no number among its cameras", "export it again") from error
    if not np.isfinite(numbers).all():
        raise DataError(path, "has numbers that are not finite", "export it again")
    return numbers


def _names(path: Path, count: int) -> list[str]:
    """Names of the pictures from a list beside the file; numbers without one."""
    places = [path.with_name(f"{path.name}.list.txt"), path.with_name("list.txt"), path.parent.parent / "list.txt"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return [f"{i:05d}" for i in range(count)]
    lines = [line.split() for line in file.read_bytes().decode("utf-8-sig", "replace").splitlines()]
    names = [words[0] for words in lines if words]
    if len(names) != count:
        raise DataError(
            file, f"has {len(names)} names for {count} cameras of {path.name}", "give the list of that file"
        )
    return names


def _view(here: Fields, numbers: NDArray[np.float64], name: str, file: str, options: Options) -> View:
    focal, k1, k2 = (float(number) for number in numbers[:3])
    image = find_picture(here.path.parent, file)
    size = picture_size(here, image, options)
    rotation = FLIP @ here.rotation(numbers[3:12].reshape(3, 3), "rotation")
    viewmat = posed(here, rotation, "rotation", shift=FLIP @ numbers[12:])
    middle = size[0] / 2, size[1] / 2
    return make_view(name, viewmat, (focal, focal), middle, size, image, (CameraModel.opencv, (k1, k2, 0.0, 0.0)))
