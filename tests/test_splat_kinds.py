"""Gaussians as other tools write them: every layout gives the same set."""

from __future__ import annotations

import gzip
import io
import json
import struct
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from voge.errors import DataError
from voge.io import ply
from voge.io.ellipsoids import holds_ellipsoids, load_ellipsoids, save_ellipsoids
from voge.io.splats import narrowing

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import splats as benchmark

COUNT = 300
Y00 = 0.28209479177387814
HALF = 0.5**0.5


@pytest.fixture
def numbers():
    """What a trained file holds, by name: moderate, so that every format has room for it."""
    random = np.random.default_rng(3)
    quats = random.normal(size=(COUNT, 4))
    return {
        "means": random.uniform(-2, 2, (COUNT, 3)),
        "log_scales": random.uniform(-4, -1, (COUNT, 3)),
        "quats": quats / np.linalg.norm(quats, axis=1, keepdims=True),
        "opacity": random.uniform(0.05, 0.95, COUNT),
        "dc": random.uniform(-1, 1, (COUNT, 3)),
        "sh": random.uniform(-0.5, 0.5, (COUNT, 3, 3)),  # of degree 1: (N, K, 3)
    }


def logit(opacity):
    return np.log(opacity / (1 - opacity))


def columns_of(numbers, sh=True):
    named = {name: numbers["means"][:, i] for i, name in enumerate("xyz")}
    named |= {f"f_dc_{i}": numbers["dc"][:, i] for i in range(3)}
    if sh:
        rest = numbers["sh"].transpose(0, 2, 1).reshape(COUNT, -1)
        named |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    named |= {"opacity": logit(numbers["opacity"])}
    named |= {f"scale_{i}": numbers["log_scales"][:, i] for i in range(3)}
    return named | {f"rot_{i}": numbers["quats"][:, i] for i in range(4)}


def check(path, numbers, means=1e-5, scales=1e-4, turns=1e-4, opacity=1e-5, color=1e-5, sh=None):
    """The set that a file gives against the numbers; turns by the matrices, of which q and -q have one."""
    assert holds_ellipsoids(path)
    made = load_ellipsoids(path).to(torch.float64)
    assert made.means.numpy() == pytest.approx(numbers["means"], abs=means)
    width = made.scales.numpy() / narrowing(made.density.numpy())[:, None]
    assert np.log(width) == pytest.approx(numbers["log_scales"], abs=scales)
    quats = torch.nn.functional.normalize(made.quats, dim=1).numpy()
    assert np.abs((quats * numbers["quats"]).sum(1)) == pytest.approx(np.ones(COUNT), abs=turns)
    assert -np.expm1(-made.density.numpy()) == pytest.approx(numbers["opacity"], abs=opacity)
    colors = 0.5 + Y00 * numbers["dc"]
    assert made.features.numpy() == pytest.approx(colors.clip(0) if sh is None else colors, abs=color)
    if sh is None:
        assert "sh" not in made.extra
    else:
        assert made.extra["sh"].numpy() == pytest.approx(numbers["sh"], abs=sh)


# ---- PLY -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "scalar_"])
def test_names_may_have_the_prefix_of_cloudcompare(tmp_path, numbers, prefix):
    columns = {n if n in "xyz" else prefix + n: c for n, c in columns_of(numbers).items()}
    ply.write_columns(tmp_path / "a.ply", "vertex", columns)
    check(tmp_path / "a.ply", numbers, sh=1e-6)


@pytest.mark.parametrize("before", [1, 3])
def test_elements_may_stand_before_the_vertices(tmp_path, numbers, before):
    ply.write_columns(tmp_path / "a.ply", "vertex", columns_of(numbers))
    head, _, body = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    extra = b"element camera %d\nproperty float f\nproperty list uchar int ids\nelement vertex" % before
    rows = b"".join(struct.pack(f"<fB{k}i", 1.0, k, *range(k)) for k in range(before))
    (tmp_path / "b.ply").write_bytes(head.replace(b"element vertex", extra) + b"end_header\n" + rows + body)
    check(tmp_path / "b.ply", numbers, sh=1e-6)


@pytest.mark.parametrize("rotate", [False, True])
def test_disks_of_two_widths_are_thin(tmp_path, numbers, rotate):
    columns = columns_of(numbers, sh=False)
    del columns["scale_2"]
    if rotate:  # columns in another order
        columns = dict(reversed(columns.items()))
    ply.write_columns(tmp_path / "a.ply", "vertex", columns)
    with pytest.warns(UserWarning, match=r"its disks \(2DGS\) have a thickness of 0.01 of their width here"):
        made = load_ellipsoids(tmp_path / "a.ply")
    assert (made.scales[:, 2] / made.scales[:, :2].amin(1)).numpy() == pytest.approx(np.full(COUNT, 0.01), rel=1e-4)


@pytest.mark.parametrize("size", [0.0, 0.05, 1.0])
def test_the_filter_of_mip_splatting_is_applied(tmp_path, numbers, size):
    filters = np.linspace(0, size, COUNT)
    ply.write_columns(tmp_path / "a.ply", "vertex", columns_of(numbers) | {"filter_3D": filters})
    wide = np.sqrt(np.exp(2 * numbers["log_scales"]) + filters[:, None] ** 2)
    share = np.exp(numbers["log_scales"]).prod(1) / wide.prod(1)
    smooth = numbers | {"log_scales": np.log(wide), "opacity": numbers["opacity"] * share}
    check(tmp_path / "a.ply", smooth, sh=1e-6)


@pytest.mark.parametrize("kind", ["uchar", "float"])
def test_colors_may_be_plain_instead_of_harmonics(tmp_path, numbers, kind):
    columns = {n: c for n, c in columns_of(numbers, sh=False).items() if not n.startswith("f_dc")}
    colors = (0.5 + Y00 * numbers["dc"]).clip(0, 1)
    stored = np.round(colors * 255).astype("u1") if kind == "uchar" else colors.astype("<f4")
    rows = np.zeros(
        COUNT, [*((name, "<f4") for name in columns), *((c, stored.dtype) for c in ("red", "green", "blue"))]
    )
    for name, column in columns.items():
        rows[name] = column
    for i, name in enumerate(("red", "green", "blue")):
        rows[name] = stored[:, i]
    head = "".join(f"property {kind if n in ('red', 'green', 'blue') else 'float'} {n}\n" for n in rows.dtype.names)
    text = f"ply\nformat binary_little_endian 1.0\nelement vertex {COUNT}\n{head}end_header\n"
    (tmp_path / "a.ply").write_bytes(text.encode() + rows.tobytes())
    check(tmp_path / "a.ply", numbers, color=0.003)


def test_columns_that_are_not_read_are_named(tmp_path, numbers):
    ply.write_columns(tmp_path / "a.ply", "vertex", columns_of(numbers) | {"semantic_0": np.zeros(COUNT)})
    with pytest.warns(UserWarning, match="its columns semantic_0 are left out"):
        load_ellipsoids(tmp_path / "a.ply")


# ---- Compressed PLY --------------------------------------------------------------------------


def smallest_three(quats, bits):
    """The row of the largest component and the others as whole numbers."""
    largest = np.abs(quats).argmax(1)
    signed = quats * np.sign(np.take_along_axis(quats, largest[:, None], 1))
    others = np.stack([np.delete(row, k) for row, k in zip(signed, largest, strict=True)])
    return largest, np.round((others / (2 * HALF) + 0.5) * (2**bits - 1)).astype(np.int64)


def pack(fractions, widths):
    """One 32-bit word of fractions, from the highest bits down."""
    word = np.zeros(len(fractions), np.int64)
    for column, width in enumerate(widths):
        word = word << width | np.round(fractions[:, column] * (2**width - 1)).astype(np.int64)
    return word.astype("<u4")


def compressed(numbers, ranges=True, sh=True):
    """The layout of PlayCanvas, chunk by chunk."""
    colors = 0.5 + Y00 * numbers["dc"]
    groups = {"": numbers["means"], "scale_": numbers["log_scales"]} | ({"rgb": colors} if ranges else {})
    chunks, words = [], []
    for start in range(0, COUNT, 256):
        rows = slice(start, start + 256)
        low = {name: values[rows].min(0) for name, values in groups.items()}
        high = {name: values[rows].max(0) for name, values in groups.items()}
        unit = {n: (v[rows] - low[n]) / (high[n] - low[n]) for n, v in groups.items()}
        largest, three = smallest_three(numbers["quats"][rows], 10)
        turn = (largest << 30 | three[:, 0] << 20 | three[:, 1] << 10 | three[:, 2]).astype("<u4")
        shade = unit["rgb"] if ranges else colors[rows].clip(0, 1)
        color = pack(np.concatenate([shade, numbers["opacity"][rows, None]], 1), [8] * 4)
        words.append(np.stack([pack(unit[""], [11, 10, 11]), turn, pack(unit["scale_"], [11, 10, 11]), color], 1))
        chunks.append(np.concatenate([end[name] for name in groups for end in (low, high)]))
    names = [f"{end}_{prefix}{axis}" for prefix in ("", "scale_") for end in ("min", "max") for axis in "xyz"]
    names += [f"{end}_{c}" for end in ("min", "max") for c in "rgb"] if ranges else []
    head = f"ply\nformat binary_little_endian 1.0\nelement chunk {len(chunks)}\n"
    head += "".join(f"property float {name}\n" for name in names) + f"element vertex {COUNT}\n"
    head += "".join(f"property uint packed_{name}\n" for name in ("position", "rotation", "scale", "color"))
    rest = b""
    if sh:
        stored = np.round((numbers["sh"].transpose(0, 2, 1).reshape(COUNT, -1) / 8 + 0.5) * 256 - 0.5).astype("u1")
        head += f"element sh {COUNT}\n" + "".join(f"property uchar f_rest_{i}\n" for i in range(stored.shape[1]))
        rest = stored.tobytes()
    return (
        (head + "end_header\n").encode()
        + np.stack(chunks).astype("<f4").tobytes()
        + np.concatenate(words).tobytes()
        + rest
    )


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("sh", [True, False])
def test_compressed_ply_is_read_with_and_without_ranges_of_colors(tmp_path, numbers, ranges, sh):
    (tmp_path / "a.ply").write_bytes(compressed(numbers, ranges, sh))
    loose = {"means": 3e-3, "scales": 2e-3, "turns": 1e-5, "opacity": 3e-3, "color": 5e-3}
    check(tmp_path / "a.ply", numbers, **loose, sh=0.017 if sh else None)


def test_a_compressed_ply_with_too_few_chunks_is_refused(tmp_path, numbers):
    data = compressed(numbers)
    (tmp_path / "a.ply").write_bytes(data.replace(b"element chunk 2", b"element chunk 1"))
    with pytest.raises(DataError, match=r"announces|not whole"):
        load_ellipsoids(tmp_path / "a.ply")


# ---- glTF ------------------------------------------------------------------------------------


@pytest.mark.parametrize("degree", [0, 3])
def test_gaussians_in_glb_come_back(tmp_path, degree):
    made = benchmark.random_set(50)
    if not degree:
        made = replace(made, extra={}, features=made.features.clip(0, 1))
    save_ellipsoids(tmp_path / "a.glb", made)
    again = load_ellipsoids(tmp_path / "a.glb")
    for name in ("means", "scales", "density", "features"):
        torch.testing.assert_close(getattr(again, name), getattr(made, name), rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(again.quats, torch.nn.functional.normalize(made.quats, dim=1))
    if degree:
        torch.testing.assert_close(again.extra["sh"], made.extra["sh"])


def test_a_node_places_its_gaussians(tmp_path):
    made = benchmark.random_set(20)
    save_ellipsoids(tmp_path / "a.glb", made)
    data = (tmp_path / "a.glb").read_bytes()
    size = int.from_bytes(data[12:16], "little")
    document = json.loads(data[20 : 20 + size])
    document["nodes"][0] |= {"translation": [1, 2, 3], "scale": [2, 2, 2], "rotation": [HALF, 0, 0, HALF]}
    document["buffers"][0]["uri"] = "a.bin"
    (tmp_path / "a.bin").write_bytes(data[20 + size + 8 :])
    (tmp_path / "a.gltf").write_text(json.dumps(document))
    moved = load_ellipsoids(tmp_path / "a.gltf")
    turn = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    torch.testing.assert_close(moved.means, 2 * made.means @ turn.T + torch.tensor([1.0, 2, 3]), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moved.scales, 2 * made.scales, rtol=2e-5, atol=1e-6)


def test_gaussians_outside_the_default_scene_are_refused(tmp_path):
    save_ellipsoids(tmp_path / "a.glb", benchmark.random_set(20))
    data = (tmp_path / "a.glb").read_bytes()
    (tmp_path / "a.glb").write_bytes(data.replace(b'"nodes": [0]', b'"nodes": [ ]', 1))
    with pytest.raises(DataError, match="holds no ellipsoids in its default scene"):
        load_ellipsoids(tmp_path / "a.glb")


def test_a_glb_of_meshes_holds_no_gaussians(tmp_path):
    import trimesh

    trimesh.creation.box().export(tmp_path / "a.glb")
    assert not holds_ellipsoids(tmp_path / "a.glb")


# ---- .splat, .spz, SOG -----------------------------------------------------------------------


def test_splat_files_are_read(tmp_path, numbers):
    rows = np.zeros(COUNT, [("p", "<f4", 3), ("s", "<f4", 3), ("c", "u1", 4), ("q", "u1", 4)])
    rows["p"], rows["s"] = numbers["means"], np.exp(numbers["log_scales"])
    colors = np.concatenate([0.5 + Y00 * numbers["dc"], numbers["opacity"][:, None]], 1)
    rows["c"], rows["q"] = np.round(colors.clip(0, 1) * 255), np.round(numbers["quats"] * 127 + 128)
    (tmp_path / "a.splat").write_bytes(rows.tobytes())
    check(tmp_path / "a.splat", numbers, turns=1e-3, opacity=3e-3, color=3e-3)


def spz(numbers, version, degree=1):
    bits = 12
    whole = np.round(numbers["means"] * 2**bits).astype("<i4")
    places = (
        whole.view("u1").reshape(COUNT, 3, 4)[..., :3] if version > 1 else numbers["means"].astype("<f2").view("u1")
    )
    if version == 3:
        quats = numbers["quats"][:, [1, 2, 3, 0]]  # x y z w
        largest = np.abs(quats).argmax(1)
        word = largest.astype(np.int64)
        signed = quats * np.sign(np.take_along_axis(quats, largest[:, None], 1))
        for column in range(4):
            size = np.round(np.abs(signed[:, column]) / HALF * 511).astype(np.int64).clip(0, 511)
            part = (signed[:, column] < 0).astype(np.int64) << 9 | size
            word = np.where(largest == column, word, word << 10 | part)
        turns = word.astype("<u4").view("u1").reshape(COUNT, 4)
    else:
        positive = numbers["quats"] * np.sign(numbers["quats"][:, :1])
        turns = np.round((positive[:, 1:] + 1) * 127.5).astype("u1")
    body = [
        places,
        np.round(numbers["opacity"] * 255).astype("u1"),
        np.round((numbers["dc"] * 0.15 + 0.5) * 255).astype("u1"),
        np.round((numbers["log_scales"] + 10) * 16).astype("u1"),
        turns,
        np.round(numbers["sh"] * 128 + 128).astype("u1") if degree else np.zeros(0, "u1"),
    ]
    head = struct.pack("<4sIIBBBB", b"NGSP", version, COUNT, degree, bits, 0, 0)
    return gzip.compress(head + b"".join(np.ascontiguousarray(part).tobytes() for part in body))


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("degree", [0, 1])
def test_spz_is_read_in_all_gzipped_versions(tmp_path, numbers, version, degree):
    (tmp_path / "a.spz").write_bytes(spz(numbers, version, degree))
    loose = {"means": 2e-3 if version == 1 else 2e-4, "scales": 0.032, "opacity": 3e-3, "color": 5e-3}
    turns = 1e-5 if version == 3 else 6e-3  # a real part near 0 is lost in 8 bits
    check(tmp_path / "a.spz", numbers, **loose, turns=turns, sh=5e-3 if degree else None)


def sog(numbers, version=2, palette=True):
    """The files of a SOG by name."""
    width, height = 20, 16
    pad = lambda a: np.concatenate([a, np.zeros((width * height - COUNT, a.shape[1]))])  # noqa: E731

    def picture(values, shape=(height, width)):
        pixels = np.full((*shape, 4), 255, np.uint8)
        pixels[..., : values.shape[-1]] = values.reshape(*shape, -1)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "WEBP", lossless=True, exact=True)
        return stream.getvalue()

    logs = np.sign(numbers["means"]) * np.log1p(np.abs(numbers["means"]))
    low, high = logs.min(0), logs.max(0)
    whole = np.round((logs - low) / (high - low) * 65535).astype(np.int64)
    book = np.linspace(-4, -1, 256)
    scales = np.abs(numbers["log_scales"][..., None] - book).argmin(-1)
    shades = np.linspace(-1, 1, 256)
    dc = np.abs(numbers["dc"][..., None] - shades).argmin(-1)
    largest, three = smallest_three(numbers["quats"], 8)
    base = np.concatenate([dc, np.round(numbers["opacity"] * 255)[:, None]], 1)
    files = {
        "means_l.webp": picture(pad(whole & 255)),
        "means_u.webp": picture(pad(whole >> 8)),
        "scales.webp": picture(pad(scales)),
        "quats.webp": picture(pad(np.concatenate([three, largest[:, None] + 252], 1))),
        "sh0.webp": picture(pad(base)),
    }
    meta = {
        "version": version,
        "count": COUNT,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": book.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": shades.tolist(), "files": ["sh0.webp"]},
    }
    if palette:
        levels = np.linspace(-0.5, 0.5, 256)
        centers = np.zeros((-(-COUNT // 64) * 64, 3, 3))
        centers[:COUNT] = np.abs(numbers["sh"][..., None] - levels).argmin(-1)
        files["c.webp"] = picture(centers.reshape(-1, 64 * 3, 3), (len(centers) // 64, 192))
        numbers_of = np.arange(COUNT)
        files["l.webp"] = picture(pad(np.stack([numbers_of & 255, numbers_of >> 8], 1)))
        meta["shN"] = {"count": COUNT, "bands": 1, "codebook": levels.tolist(), "files": ["c.webp", "l.webp"]}
    return files | {"meta.json": json.dumps(meta).encode()}


@pytest.mark.parametrize("bundled", [True, False])
@pytest.mark.parametrize("palette", [True, False])
def test_sog_is_read_as_a_file_and_as_a_folder(tmp_path, numbers, bundled, palette):
    files = sog(numbers, palette=palette)
    if bundled:
        path = tmp_path / "a.sog"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        path = tmp_path / "meta.json"
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
    loose = {"means": 1e-3, "scales": 0.007, "turns": 1e-4, "opacity": 3e-3, "color": 2e-3}
    check(path, numbers, **loose, sh=0.003 if palette else None)


@pytest.mark.parametrize(
    ("name", "data", "line"),
    [
        ("a.splat", b"0" * 33, "has 33 bytes, no multiple of 32; is it complete"),
        ("a.spz", b"NGSP\x04\0\0\0" + b"0" * 40, "is SPZ 4, and versions up to 3 are read; write it as version 3"),
        ("a.spz", b"no gzip", "cannot be unpacked as SPZ"),
        (
            "a.spz",
            gzip.compress(struct.pack("<4sIIBBBB", b"NGSP", 2, 9, 0, 12, 0, 0), mtime=0),
            "announces 9 ellipsoids but has 0",
        ),
        ("a.sog", b"PK no zip", "is no SOG"),
    ],
)
def test_what_is_no_such_file_is_said_in_one_line(tmp_path, name, data, line):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=line):
        load_ellipsoids(tmp_path / name)


def test_an_older_sog_and_one_without_its_pictures_are_refused(tmp_path, numbers):
    for name, data in sog(numbers, version=1).items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match="is SOG 1, and version 2 is read; write it again as version 2"):
        load_ellipsoids(tmp_path / "meta.json")
    (tmp_path / "meta.json").write_bytes(sog(numbers)["meta.json"])
    (tmp_path / "quats.webp").unlink()
    with pytest.raises(DataError, match=r"quats.webp is not beside it"):
        load_ellipsoids(tmp_path / "meta.json")


def test_a_sog_with_a_damaged_directory_is_said_in_one_line(tmp_path, numbers):
    with zipfile.ZipFile(tmp_path / "a.sog", "w") as archive:
        for name, data in sog(numbers).items():
            archive.writestr(name, data)
    whole = (tmp_path / "a.sog").read_bytes()
    end = whole.rindex(b"PK\x05\x06")
    (tmp_path / "a.sog").write_bytes(whole[: end + 16] + b"\xff\xff\xff\x7f" + whole[end + 20 :])  # its place
    with pytest.raises(DataError, match="is no SOG"):
        load_ellipsoids(tmp_path / "a.sog")


@pytest.mark.parametrize("name", ["max_z", "min_scale_x", "max_r"])
def test_a_compressed_ply_without_a_range_is_refused(tmp_path, numbers, name):
    data = compressed(numbers)
    assert name.encode() in data
    (tmp_path / "a.ply").write_bytes(data.replace(name.encode(), b"other", 1))
    with pytest.raises(DataError, match="is not whole"):
        load_ellipsoids(tmp_path / "a.ply")
