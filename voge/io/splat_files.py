"""Gaussians in the small formats of viewers: `.splat`, `.spz` (Niantic) and SOG (PlayCanvas).

Positions are as stored: the formats agree on no frame. SOG is a ZIP file, or a folder of which `meta.json` is named.
"""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from voge.errors import DataError
from voge.io.splat_ply import smallest_three
from voge.io.splats import Array, Gaussians, logit, origin
from voge.scene import harmonics

SUFFIXES = (".splat", ".spz", ".sog")
MOST = 2**31  # bytes that a compressed file may grow to
_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("colors", "u1", 4), ("quats", "u1", 4)])
_COEFFICIENTS = (0, 3, 8, 15)
_SPZ_COLOR = 0.15  # an eighth bit of f_dc


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name (float32) and metadata.

    Raises:
        DataError: the file is of another format, is cut off, or no row can be used.
    """
    readers = {".splat": _splat, ".spz": _spz}
    return readers.get(path.suffix.lower(), _sog)(path).tensors(path), origin(path, path.suffix.lower().lstrip("."))


def is_sog_folder(path: Path) -> bool:
    """True where a file is the meta.json of an unpacked SOG."""
    if path.name != "meta.json" or not path.is_file():
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(document, dict) and {"means", "quats", "scales", "sh0"} <= set(document)


def _splat(path: Path) -> Gaussians:
    """32 bytes a Gaussian: center, standard deviations, color and opacity, quaternion."""
    data = path.read_bytes()
    if len(data) % _ROW.itemsize:
        raise DataError(path, f"has {len(data)} bytes, no multiple of 32", "is it complete, and a .splat?")
    rows = np.frombuffer(data, _ROW)
    with np.errstate(divide="ignore", invalid="ignore"):
        log_scales = np.log(rows["scales"].astype(np.float64))
    return Gaussians(
        means=rows["means"].astype(np.float64),
        log_scales=log_scales,
        quats=(rows["quats"].astype(np.float64) - 128) / 128,
        logits=logit(rows["colors"][:, 3] / 255.0),
        colors=rows["colors"][:, :3] / 255.0,
    )


def _spz(path: Path) -> Gaussians:
    """Versions 1 to 3: one gzip stream of a header and the attributes, one after the other."""
    data = path.read_bytes()
    if data[:4] == b"NGSP":
        version = int.from_bytes(data[4:8], "little")
        raise DataError(path, f"is SPZ {version}, and versions up to 3 are read", "write it as version 3, or as .ply")
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            raw = stream.read(MOST)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"cannot be unpacked as SPZ ({error})", "is it complete?") from error
    if len(raw) < 16 or raw[:4] != b"NGSP":
        raise DataError(path, "is not SPZ: its content does not begin with NGSP", "check what kind of file it is")
    version, count, degree, bits, _flags = struct.unpack("<IIBBB", raw[4:15])
    if version not in (1, 2, 3) or degree > 3:
        raise DataError(path, f"is SPZ {version} of degree {degree}; versions 1 to 3 are read", "write it as version 3")
    point, turn, coefficients = 6 if version == 1 else 9, 4 if version == 3 else 3, _COEFFICIENTS[degree]
    sizes = [point, 1, 3, 3, turn, 3 * coefficients]
    if len(raw) < 16 + count * sum(sizes):
        found = (len(raw) - 16) // sum(sizes)
        raise DataError(path, f"announces {count} ellipsoids but has {found}", "is it complete?")
    columns, start = [], 16
    for size in sizes:
        columns.append(np.frombuffer(raw, np.uint8, count * size, start).reshape(count, size))
        start += count * size
    means, alphas, colors, scales, quats, rest = columns
    if version == 1:
        places = means.copy().view("<f2").astype(np.float64)
    else:
        parts = means.reshape(count, 3, 3).astype(np.int64)
        whole = parts[..., 0] | parts[..., 1] << 8 | parts[..., 2] << 16
        places = (whole - ((whole & 0x800000) << 1)) / 2.0**bits
    return Gaussians(
        means=places,
        log_scales=scales / 16.0 - 10,
        quats=_spz_quats(quats),
        logits=logit(alphas[:, 0] / 255.0),
        colors=0.5 + harmonics.Y00 * (colors / 255.0 - 0.5) / _SPZ_COLOR,
        sh=(rest.reshape(count, coefficients, 3) - 128.0) / 128 if coefficients else None,
    )


def _spz_quats(stored: Array) -> Array:
    """(N, 4) as (w, x, y, z)."""
    if stored.shape[1] == 3:
        vector = stored / 127.5 - 1
        real = np.sqrt(np.maximum(1 - (vector**2).sum(1, keepdims=True), 0))
        return np.concatenate([real, vector], 1)
    word = stored.copy().view("<u4")[:, 0].astype(np.int64)
    largest, three = word >> 30, []
    for _ in range(3):  # from the last component down: nine bits of size, then the sign
        size, negative = word & 511, word >> 9 & 1
        three.append(np.where(negative, -size, size) / 511 * np.sqrt(0.5))
        word = word >> 10
    fractions = np.stack(three[::-1], 1) / np.sqrt(2) + 0.5
    return smallest_three(largest, fractions)[:, [3, 0, 1, 2]]


def _sog(path: Path) -> Gaussians:
    """Pictures whose pixels are the numbers of the Gaussians, row by row."""
    if path.suffix.lower() == ".sog":
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MOST:
                    raise DataError(path, f"would unpack to more than {MOST} bytes", "write it again")
                files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        except FileNotFoundError:
            raise
        except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError) as error:
            raise DataError(path, f"is no SOG ({error})", "is it complete?") from error
        return _sog_of(path, files.__getitem__)
    return _sog_of(path, lambda name: (path.parent / Path(name).name).read_bytes())


def _sog_of(path: Path, file: Callable[[str], bytes]) -> Gaussians:
    try:
        meta = json.loads(file("meta.json"))
        if meta.get("version") != 2:
            raise DataError(
                path, f"is SOG {meta.get('version', 1)}, and version 2 is read", "write it again as version 2"
            )
        count = int(meta["count"])

        def pixels(group: str, number: int = 0) -> Array:
            return _pixels(file(meta[group]["files"][number])).reshape(-1, 4)[:count].astype(np.int64)

        low, high = pixels("means", 0), pixels("means", 1)
        least, most = np.array(meta["means"]["mins"]), np.array(meta["means"]["maxs"])
        logs = least + (high[:, :3] << 8 | low[:, :3]) / 65535 * (most - least)
        quats, scales, base = pixels("quats"), pixels("scales"), pixels("sh0")
        if len(base) < count:
            raise DataError(path, f"announces {count} ellipsoids but has {len(base)}", "is it complete?")
        sh = _palette(meta, file, pixels) if "shN" in meta else None
        return Gaussians(
            means=np.sign(logs) * np.expm1(np.abs(logs)),
            log_scales=np.array(meta["scales"]["codebook"])[scales[:, :3]],
            quats=smallest_three((quats[:, 3] - 252).clip(0, 3), quats[:, :3] / 255.0),
            logits=logit(base[:, 3] / 255.0),
            colors=0.5 + harmonics.Y00 * np.array(meta["sh0"]["codebook"])[base[:, :3]],
            sh=sh,
        )
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(path, f"{Path(str(error.filename)).name} is not beside it", "copy it there") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            path, f"its meta.json is no SOG ({type(error).__name__}: {error})"[:160], "write it again"
        ) from error


def _palette(meta: Any, file: Callable[[str], bytes], pixels: Callable[[str, int], Array]) -> Array:
    """(N, K, 3) coefficients by number of a palette, of which each row of the picture holds 64."""
    coefficients = _COEFFICIENTS[int(meta["shN"]["bands"])]
    centers = _pixels(file(meta["shN"]["files"][0]))[..., :3].reshape(-1, coefficients, 3)
    labels = pixels("shN", 1)
    number = labels[:, 0] | labels[:, 1] << 8
    return np.asarray(np.array(meta["shN"]["codebook"])[centers[number].astype(np.int64)])


def _pixels(data: bytes) -> Array:
    """(H, W, 4) uint8 of a picture."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGBA"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"a picture cannot be read: {error}") from error
