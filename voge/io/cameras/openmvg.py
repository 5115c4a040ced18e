"""`sfm_data.json` of OpenMVG: views, intrinsics and extrinsics, each by its own number.

`rotation` is world to camera with OpenCV axes, `center` the camera's (openmvg.readthedocs.io, "SfM_Data"). Names of
lenses stand where a lens is first met; later ones have its number only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from voge.errors import DataError
from voge.io.cameras.fields import Fields, located, read_json
from voge.io.cameras.options import Options
from voge.io.cameras.reconstructions import find_picture, left_out, make_view, names_of, posed
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

FIRST = 1 << 31  # set in a polymorphic_id where its name follows
LENSES = {
    "pinhole": (CameraModel.pinhole, "", 0, 0),
    "pinhole_radial_k1": (CameraModel.opencv, "disto_k1", 1, 3),
    "pinhole_radial_k3": (CameraModel.opencv, "disto_k3", 3, 0),
    "pinhole_brown_t2": (CameraModel.opencv, "disto_t2", 5, 0),
    "fisheye": (CameraModel.fisheye, "fisheye", 4, 0),
}


def read(path: Path, options: Options) -> Views:
    """Views that have a pose and a lens, in the order of the file."""
    document = Fields(path, read_json(path))
    lenses = {item.number("key"): item for item in document.items("intrinsics")}
    kinds = _kinds(lenses.values())
    poses = {item.number("key"): item.inner("value") for item in document.items("extrinsics")}
    shots = [_data(item.inner("value")) for item in document.items("views")]
    placed = [shot for shot in shots if shot.number("id_pose") in poses and shot.number("id_intrinsic") in lenses]
    if not placed:
        raise DataError(path, "has no view with a pose", "export the data after the reconstruction")
    names = names_of([shot.text("filename") for shot in placed])
    root = document.text("root_path", "")
    views = []
    for shot, name in zip(placed, names, strict=True):
        number = shot.number("id_intrinsic")
        views.append(_view(shot, lenses[number], kinds[number], poses[shot.number("id_pose")], name, root))
    return Views(tuple(views), format="openmvg", notes=left_out(len(shots) - len(placed), len(shots), "have no pose"))


def _kinds(lenses: Any) -> dict[float, str]:
    """Names of the lenses by the number of the intrinsics."""
    kinds, known = {}, {}
    for item in lenses:
        value = item.inner("value")
        number = int(value.number("polymorphic_id")) % FIRST
        if "polymorphic_name" in value:
            known[number] = value.text("polymorphic_name")
        if number not in known:
            raise value.error("has no polymorphic_name", "export it again")
        kinds[item.number("key")] = known[number]
    return kinds


def _data(value: Fields) -> Fields:
    """The values of a shared pointer, with those of its base class."""
    data = value.inner("ptr_wrapper").inner("data")
    base = data.content.get("value0")
    return Fields(data.path, {**(base if isinstance(base, dict) else {}), **data.content}, data.where)


def _view(shot: Fields, item: Fields, kind: str, pose: Fields, name: str, root: str) -> View:
    camera = _data(item.inner("value"))
    if kind not in LENSES:
        raise camera.error(f"is a {kind}, which is not supported", f"known are {', '.join(LENSES)}; undistort first")
    model, key, count, padded = LENSES[kind]
    numbers = [] if not key else camera.array(key, (count,)).tolist() + [0.0] * padded
    if kind == "pinhole_radial_k3":
        numbers = [numbers[0], numbers[1], 0.0, 0.0, numbers[2]]
    elif kind == "pinhole_brown_t2":
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4], numbers[2]]
    focal, center = camera.number("focal_length", positive=True), camera.array("principal_point", (2,))
    viewmat = posed(pose, pose.array("rotation", (3, 3)), "rotation", center=pose.array("center", (3,)))
    folder, file = shot.path.parent, shot.text("filename")
    image = located(folder, "/".join(part for part in (root, shot.text("local_path", ""), file) if part))
    return make_view(
        name,
        viewmat,
        (focal, focal),
        (float(center[0]), float(center[1])),
        (camera.size("width"), camera.size("height")),
        image if image.is_file() else find_picture(folder, file),
        (model, numbers),
    )
