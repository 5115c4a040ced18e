"""XML of Agisoft Metashape: "Export Cameras", Agisoft XML.

A camera's `transform` is camera to chunk, x right, y down, z forward; the chunk's own turn, scale and shift lead to the
world. A pixel is at w/2 + cx + f x' + b1 x' + b2 y', h/2 + cy + f y', with Brown's distortion, whose p1 and p2 are
OpenCV's exchanged; fisheyes bend the angle instead (Metashape manual, "Camera models").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
import torch
from numpy.typing import NDArray

from voge.errors import DataError
from voge.io.cameras.fields import Fields
from voge.io.cameras.options import Options
from voge.io.cameras.plain_xml import read_xml
from voge.io.cameras.reconstructions import find_picture, left_out, make_view, names_of, posed
from voge.io.cameras.views import View, Views
from voge.scene.cameras import CameraModel

KINDS = {"frame": CameraModel.opencv, "fisheye": CameraModel.fisheye}
NUMBERS = ("f", "cx", "cy", "b1", "b2", "k1", "k2", "k3", "k4", "p1", "p2", "p3", "p4")


def read(path: Path, options: Options) -> Views:
    """Views of the cameras that are aligned."""
    root = read_xml(path)
    chunks = [root] if root.tag == "chunk" else root.findall("chunk")
    if len(chunks) != 1:
        raise DataError(path, f"has {len(chunks)} chunks, and one is read", "export the cameras of one chunk")
    chunk = chunks[0]
    sensors = {sensor.get("id", ""): sensor for sensor in chunk.iterfind("sensors/sensor")}
    cameras = [camera for camera in chunk.iter("camera") if "label" in camera.attrib]
    placed = [camera for camera in cameras if camera.find("transform") is not None]
    if not placed:
        raise DataError(path, "has no aligned camera", "align the photos, and export the cameras again")
    scale, turn, shift = _chunk(path, chunk.find("transform"))
    names = names_of([camera.get("label", "") for camera in placed])
    views = [
        _view(path, camera, sensors, name, (scale, turn, shift)) for camera, name in zip(placed, names, strict=True)
    ]
    notes = left_out(len(cameras) - len(placed), len(cameras), "are not aligned")
    if scale != 1 or shift.any() or not np.allclose(turn, np.eye(3)):
        notes += (f"the chunk's own transform is applied (scale {scale:.4g}): views are in the frame of its exports",)
    return Views(tuple(views), format="metashape", notes=notes)


def _view(
    path: Path,
    camera: Element,
    sensors: dict[str, Element],
    name: str,
    world: tuple[float, NDArray[np.float64], NDArray[np.float64]],
) -> View:
    label = camera.get("label", "")
    here = Fields(path, {"transform": _numbers(path, label, camera.findtext("transform", ""))}, f"camera {label}")
    matrix = here.array("transform", (16,)).reshape(4, 4)
    scale, turn, shift = world
    inner = here.rotation(matrix[:3, :3], "transform")
    viewmat = posed(here, (turn @ inner).T, "transform", center=scale * turn @ matrix[:3, 3] + shift)
    sensor = sensors.get(camera.get("sensor_id", ""))
    if sensor is None:
        raise here.error(f"names sensor {camera.get('sensor_id')}, which is not there", "export the cameras again")
    return replace(_lens(path, sensor, name, viewmat), image=find_picture(path.parent, label))


def _lens(path: Path, sensor: Element, name: str, viewmat: torch.Tensor) -> View:
    """The view of a sensor's adjusted calibration."""
    where = f"sensor {sensor.get('id')}"
    found = sensor.findall("calibration")
    if not found:
        raise DataError(path, f"{where} has no calibration", "align the photos, and export the cameras again")
    calibration = next((each for each in found if each.get("class") == "adjusted"), found[-1])
    kind = calibration.get("type", sensor.get("type", "frame"))
    words = {child.tag: child.text or "" for child in calibration}
    resolution = (
        calibration.find("resolution") if calibration.find("resolution") is not None else sensor.find("resolution")
    )
    sides = {} if resolution is None else {key: resolution.get(key, "") for key in ("width", "height")}
    texts = {**{key: words[key] for key in NUMBERS if key in words}, **sides}
    here = Fields(path, {key: _numbers(path, where, text)[0] for key, text in texts.items() if text.strip()}, where)
    if kind not in KINDS:
        raise here.error(f"is of type '{kind}', which is not supported", f"known are {', '.join(KINDS)}")
    value = {key: here.number(key, 0.0) for key in NUMBERS}
    odd = ["p3", "p4", *(["k4"] if kind == "frame" else ["p1", "p2"])]
    for key in odd:
        if value[key]:
            raise here.error("is not supported", "calibrate without it, or export undistorted photos", key)
    size, focal = (here.size("width"), here.size("height")), here.number("f", positive=True)
    center = size[0] / 2 + value["cx"], size[1] / 2 + value["cy"]
    numbers = [value[key] for key in ("k1", "k2", "p2", "p1", "k3")]
    numbers = numbers if kind == "frame" else [value[key] for key in ("k1", "k2", "k3", "k4")]
    view = make_view(name, viewmat, (focal + value["b1"], focal), center, size, None, (KINDS[kind], numbers))
    view.K[0, 1] = value["b2"]
    return view


def _chunk(path: Path, transform: Element | None) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotation (3, 3) and shift (3,) from the chunk to the world."""
    texts = {} if transform is None else {child.tag: child.text or "" for child in transform}
    values = {key: _numbers(path, "chunk transform", text) for key, text in texts.items() if text.strip()}
    here = Fields(path, values, "chunk transform")
    turn = here.array("rotation", (9,)).reshape(3, 3) if "rotation" in here else np.eye(3)
    shift = here.array("translation", (3,)) if "translation" in here else np.zeros(3)
    scale = float(here.array("scale", (1,))[0]) if "scale" in here else 1.0
    if scale <= 0:
        raise here.error(f"must be positive, got {scale:g}", key="scale")
    return scale, here.rotation(turn, "rotation"), shift


def _numbers(path: Path, where: str, text: str) -> list[float]:
    try:
        return [float(word) for word in text.split()]
    except ValueError as error:
        raise DataError(
            path, f"{where}: must hold numbers only, got '{text.strip()[:40]}'", "export it again"
        ) from error
