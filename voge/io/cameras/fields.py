"""Values out of documents that anyone may have written: every mistake is one line that names its place."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.errors import DataError
from voge.scene.cameras import CameraModel

MAX_SIDE = 65536  # pixels: more is a mistake
ROUNDED = 1e-3  # rotations off by less were rounded on the way, and are made rotations again


MAX_NAME = 255  # bytes of a file's or folder's name, in all systems


class Fields:
    """An object of a JSON document, or the arrays of an npz."""

    def __init__(self, path: Path, content: Any, where: str = "") -> None:
        self.path, self.where = path, where
        if not isinstance(content, Mapping):
            raise self.error(f"must be an object with keys, got {_kind(content)}", "is it the right file?")
        self.content = content

    def error(self, problem: str, remedy: str = "", key: str = "") -> DataError:
        """The error, with its place in the file."""
        place = f"{self.where}.{key}".strip(".")
        return DataError(self.path, f"{place}: {problem}" if place else problem, remedy)

    def __contains__(self, key: str) -> bool:
        return self.content.get(key) is not None

    def only(self, known: Collection[str]) -> None:
        """Refuse keys that nobody reads, naming the nearest one."""
        for key in self.content:
            if key not in known:
                near = get_close_matches(str(key), known, 1)
                raise self.error(
                    f"unknown key '{key}'", f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
                )

    def need(self, key: str, remedy: str = "") -> Any:
        """The value of a key that must be there."""
        if key not in self:
            raise self.error(
                f"has no '{key}'", remedy or f"add it; there are {', '.join(map(str, self.content))[:200]}"
            )
        return self.content[key]

    def inner(self, key: str, remedy: str = "") -> Fields:
        """The object under a key."""
        return Fields(self.path, self.need(key, remedy), f"{self.where}.{key}".strip("."))

    def items(self, key: str) -> list[Fields]:
        """The objects of a list that is not empty."""
        value = self.need(key)
        if not isinstance(value, list):
            raise self.error(f"must be a list, got {_kind(value)}", key=key)
        if not value:
            raise self.error("is empty", "there must be at least one view", key=key)
        place = f"{self.where}.{key}".strip(".")
        return [Fields(self.path, item, f"{place}[{i}]") for i, item in enumerate(value)]

    def text(self, key: str, default: str | None = None, choices: Collection[str] = ()) -> str:
        """Text, one of the choices if there are any."""
        value = default if key not in self and default is not None else self.need(key)
        value = _scalar(value)
        if not isinstance(value, str):
            raise self.error(f"must be text, got {_kind(value)}", key=key)
        if choices and value not in choices:
            near = get_close_matches(value, choices, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(choices)}"
            raise self.error(f"unknown {key} '{value}'", hint, key=key if self.where else "")
        return value

    def file(self, key: str) -> Path | None:
        """A path, relative to the document's folder; None without."""
        if key not in self:
            return None
        name = self.text(key)
        if "\0" in name or any(len(part.encode()) > MAX_NAME for part in name.replace("\\", "/").split("/")):
            raise self.error(f"is no name that a file can have ({name[:20]!a}...)", "export the cameras again", key)
        return located(self.path.parent, name)

    def number(self, key: str, default: float | None = None, *, positive: bool = False) -> float:
        """A finite number."""
        value = default if key not in self and default is not None else self.need(key)
        value = _scalar(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"must be a number, got {_kind(value)}", key=key)
        try:
            value = float(value)
        except OverflowError:  # JSON's integers may be of any length
            value = math.inf
        if not math.isfinite(value):
            raise self.error(f"is not finite ({value})", "export the cameras again", key=key)
        if positive and value <= 0:
            raise self.error(f"must be positive, got {value:g}", key=key)
        return value

    def size(self, key: str) -> int:
        """A number of pixels."""
        value = self.number(key)
        if value != int(value) or not 1 <= value <= MAX_SIDE:
            raise self.error(f"must be a whole number of pixels from 1 to {MAX_SIDE}, got {value:g}", key=key)
        return int(value)

    def flag(self, key: str, default: bool) -> bool:
        """Truth value under a key."""
        value = self.content.get(key, default)
        value = _scalar(value)
        if not isinstance(value, bool):
            raise self.error(f"must be true or false, got {_kind(value)}", key=key)
        return value

    def array(self, key: str, *shapes: tuple[int, ...], remedy: str = "") -> NDArray[np.float64]:
        """Finite numbers in one of the shapes; -1 fits any length."""
        value = self.need(key, remedy)
        try:
            array = np.asarray(value)
            if array.dtype.kind not in "iuf":
                raise ValueError
            array = array.astype(np.float64)
        except (ValueError, TypeError):
            raise self.error("must hold numbers only, as many in each row", key=key) from None
        if not any(len(s) == array.ndim and all(a in (-1, b) for a, b in zip(s, array.shape)) for s in shapes):  # noqa: B905
            wanted = " or ".join("x".join("N" if n == -1 else str(n) for n in shape) or "one" for shape in shapes)
            found = "x".join(map(str, array.shape)) or "one"
            raise self.error(f"must have {wanted} numbers, got {found}", key=key)
        if not np.isfinite(array).all():
            raise self.error("has numbers that are not finite", "export the cameras again", key=key)
        return array

    def rigid(self, matrix: NDArray[np.float64], key: str) -> Tensor:
        """(4, 4) float64 of a rigid motion (4, 4) or (3, 4)."""
        if matrix.shape == (4, 4) and not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
            raise self.error(f"must have the last row 0 0 0 1, got {_row(matrix[3])}", "is it transposed?", key)
        full = np.eye(4)
        full[:3] = matrix[:3]
        full[:3, :3] = self.rotation(full[:3, :3], key)
        return torch.from_numpy(full)

    def rotation(self, matrix: NDArray[np.float64], key: str) -> NDArray[np.float64]:
        """A rotation (3, 3); small roundings are mended, anything else is refused."""
        error = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
        determinant = float(np.linalg.det(matrix))
        if error > ROUNDED:
            scale = abs(determinant) ** (1 / 3)
            if scale > 0 and np.abs(matrix @ matrix.T / scale**2 - np.eye(3)).max() <= ROUNDED:
                raise self.error(f"has a rotation scaled by {scale:.4g}", f"divide the rotation by {scale:.4g}", key)
            raise self.error(
                f"has no rotation (R R^T is off by {error:.2g}, det R = {determinant:.3g})",
                "its rows must be unit and at right angles",
                key,
            )
        if determinant < 0:
            raise self.error("has a mirrored rotation (det R = -1)", "flip one axis: frames are right-handed", key)
        if error < 1e-9:
            return matrix
        left, _, right = np.linalg.svd(matrix)
        return np.asarray(left @ right)

    def intrinsics(self, matrix: NDArray[np.float64], key: str) -> Tensor:
        """K (3, 3) float64, upper triangular with positive focal lengths."""
        if not np.allclose(matrix[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
            raise self.error("must be fx s cx, 0 fy cy, 0 0 1", "is it transposed?", key)
        for name, value in (("fx", matrix[0, 0]), ("fy", matrix[1, 1])):
            if value <= 0:
                raise self.error(f"must have a positive focal length, got {name} = {value:g}", key=key)
        return torch.from_numpy(matrix.copy())

    def lens(self) -> tuple[CameraModel, Tensor | None]:
        """`model` and `distortion` in this package's own names."""
        model = CameraModel(self.text("model", "pinhole", [m.value for m in CameraModel]))
        sizes = {CameraModel.opencv: [(4,), (5,), (8,)], CameraModel.fisheye: [(4,)]}.get(model)
        if sizes is None:
            if "distortion" in self:
                raise self.error(f"is given with model {model.value}", "opencv and fisheye have it", key="distortion")
            return model, None
        return model, torch.from_numpy(self.array("distortion", *sizes))


def read_json(path: Path) -> Any:
    """The content of a JSON file, in UTF-8 or UTF-16, with or without a byte order mark."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DataError(path, "is no JSON (not text in UTF-8)", "is it the right file?") from error
    except json.JSONDecodeError as error:
        problem = "is empty" if error.doc.strip() == "" else f"is no JSON (line {error.lineno}: {error.msg})"
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated")
        raise DataError(path, problem, "is it complete?" if cut else "correct that line, or export it again") from error
    except ValueError as error:
        raise DataError(path, "has a number of too many digits", "is it the right file?") from error
    except RecursionError as error:
        raise DataError(path, "is no camera file (nested too deep)", "is it the right file?") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an npz."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # numpy and zipfile fail with whatever they met
        with path.open("rb") as stream:
            zipped = stream.read(2) == b"PK"
        if zipped and isinstance(error, ValueError) and "allow_pickle" in str(error):
            problem, remedy = "it holds objects of Python, not numbers", "save arrays of numbers and texts"
        else:
            problem = "it is a damaged zip file" if zipped else "it is no zip file, as .npz are"
            remedy = "is it complete?" if zipped else "is it the right file?"
        raise DataError(path, f"cannot be read as .npz ({problem})", remedy) from error


def located(folder: Path, name: str) -> Path:
    """The file that a document in `folder` names, on whatever system it was written.

    A `\\` of Windows parts folders. An absolute name that is not here is looked for below `folder`, by as many of its
    last parts as are there. The file may be missing.
    """
    plain = folder / name
    parts = PureWindowsPath(name).parts if "\\" in name or PureWindowsPath(name).drive else PurePosixPath(name).parts
    absolute = name.startswith(("/", "\\")) or bool(PureWindowsPath(name).drive)
    if plain.is_file() or ("\\" not in name and not absolute):
        return plain
    if not absolute:
        return folder.joinpath(*parts)
    tails = (folder.joinpath(*parts[start:]) for start in range(1, len(parts)))
    return next((tail for tail in tails if tail.is_file()), plain)


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture as it is stored, from its header; None where there is none."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _scalar(value: Any) -> Any:
    """Numbers and texts of an npz as Python's own."""
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.ndim == 0 else value


def _row(numbers: NDArray[np.float64]) -> str:
    return " ".join(f"{number:.4g}" for number in numbers)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else "a number")
