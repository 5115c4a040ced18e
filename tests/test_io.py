"""Files: what is written is read back, what is wrong is named in one line, nothing is left half-done."""

import json
import subprocess
from dataclasses import replace

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from voge.errors import DataError
from voge.io import images
from voge.io.ellipsoids import holds_ellipsoids, load_ellipsoids, save_ellipsoids
from voge.io.files import atomic_file, atomic_folder
from voge.scene.ellipsoids import Ellipsoids


def ellipsoids(count=5, dtype=torch.float32, **changes):
    random = torch.Generator().manual_seed(0)
    made = Ellipsoids(
        means=torch.randn(count, 3, generator=random, dtype=dtype),
        scales=torch.rand(count, 3, generator=random, dtype=dtype) + 0.1,
        quats=torch.randn(count, 4, generator=random, dtype=dtype),
        density=torch.rand(count, generator=random, dtype=dtype),
        features=torch.rand(count, 3, generator=random, dtype=dtype),
        extra={"normals": torch.randn(count, 3, generator=random, dtype=dtype), "label": torch.arange(count)},
        metadata={"units": "mm", "method": "hat", "source": "häuschen.obj"},
    )
    return replace(made, **changes)


def tensors_of(made):
    names = ("means", "scales", "quats", "density", "features")
    return {name: getattr(made, name) for name in names} | dict(made.extra)


# ---- Ellipsoids ------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".NPZ"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ellipsoids_come_back_bit_for_bit(tmp_path, suffix, dtype):
    made = ellipsoids(dtype=dtype)
    save_ellipsoids(tmp_path / f"a{suffix}", made)
    read = load_ellipsoids(tmp_path / f"a{suffix}")
    assert dict(read.metadata) == dict(made.metadata)
    assert set(read.extra) == set(made.extra)
    for name, tensor in tensors_of(made).items():
        assert tensors_of(read)[name].dtype == tensor.dtype
        assert torch.equal(tensors_of(read)[name], tensor)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_features_may_be_missing(tmp_path, suffix):
    save_ellipsoids(tmp_path / f"a{suffix}", ellipsoids(features=None, extra={}, metadata={}))
    assert load_ellipsoids(tmp_path / f"a{suffix}").features is None


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_equal_sets_make_equal_files(tmp_path, suffix):
    for name, metadata in (("a", {"units": "m", "method": "hat"}), ("b", {"method": "hat", "units": "m"})):
        save_ellipsoids(tmp_path / f"{name}{suffix}", ellipsoids(metadata=metadata))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_files_have_the_usual_permissions(tmp_path, suffix):
    save_ellipsoids(tmp_path / f"a{suffix}", ellipsoids())
    (tmp_path / "plain").write_text("")
    assert (tmp_path / f"a{suffix}").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_shared_memory_and_gradients_do_not_hinder_saving(tmp_path):
    means = torch.randn(4, 3).requires_grad_()
    save_ellipsoids(tmp_path / "a.safetensors", ellipsoids(4, means=means, features=means, extra={"normals": means}))
    assert torch.equal(load_ellipsoids(tmp_path / "a.safetensors").extra["normals"], means)


def test_a_file_of_another_program_needs_no_metadata(tmp_path):
    plain = {name: tensor for name, tensor in tensors_of(ellipsoids()).items() if name != "label"}
    save_file(plain, tmp_path / "a.safetensors")
    assert len(load_ellipsoids(tmp_path / "a.safetensors")) == 5


def write_changed(path, **changes):
    """A file of ellipsoids with some tensors changed, None for left out; the metadata under `voge`."""
    header = {"voge": changes.pop("voge", "{}")}
    tensors = {name: t.contiguous() for name, t in (tensors_of(ellipsoids()) | changes).items() if t is not None}
    save_file(tensors, path, metadata=header)


def with_value(name, row, value):
    tensor = tensors_of(ellipsoids())[name].clone()
    tensor[row] = value
    return {name: tensor}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            with_value("means", 3, float("nan")),
            "means must be finite; row 3 is [nan, nan, nan] (1 of 5 rows",
        ),
        (with_value("features", 0, float("inf")), "features must be finite; row 0"),
        (with_value("normals", 1, float("nan")), "normals must be finite; row 1"),
        (with_value("scales", 2, 0.0), "scales must be positive; row 2 is [0.0, 0.0, 0.0]"),
        (with_value("density", 4, -1.0), "density must be at least 0; row 4 is -1 (1 of 5 rows are wrong)"),
        (with_value("quats", 4, 0.0), "quats must not be zero; row 4"),
        ({"scales": torch.ones(4, 3)}, "scales must have shape (N, 3) with N=5; got (4, 3)"),
        ({"density": torch.ones(5, 1)}, "density must have shape (N,) with N=5; got (5, 1)"),
        ({"means": torch.ones(5, 3, dtype=torch.int64)}, "means must be float32 or float64"),
        ({"quats": torch.ones(5, 4, dtype=torch.float64)}, "quats must be torch.float32"),
        ({"label": torch.ones(4)}, "extra['label'] must have 5 rows"),
        ({"scales": None, "quats": None}, "has no scales and no quats, only density"),
        ({"voge": '{"format_version": "2"}'}, "has format version 2; this voge reads up to 1; update voge"),
        ({"voge": "["}, "metadata under 'voge' are not JSON"),
        ({"voge": "[]"}, "metadata under 'voge' must be one JSON object"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(tmp_path, changes, message):
    path = tmp_path / "bad.safetensors"
    write_changed(path, **changes)
    with pytest.raises(DataError) as caught:
        load_ellipsoids(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"hello, this is no such file", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_broken_file_is_named_in_one_line(tmp_path, suffix, content):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as .*; is it complete\?$"):
        load_ellipsoids(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_file_cut_off_is_named_in_one_line(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    save_ellipsoids(path, ellipsoids(500))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cannot be read as .*; is it complete\?$"):
        load_ellipsoids(path)


def test_pickled_arrays_are_not_unpacked(tmp_path):
    np.savez(tmp_path / "a.npz", means=np.array([{}], dtype=object), scales=np.ones(1))
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        load_ellipsoids(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.safetensors", "no such file"),
        ("", "is a folder"),
        ("a.txt", "ellipsoids are read from .safetensors, .npz, .ply"),
    ],
)
def test_what_is_no_file_of_ellipsoids_is_refused(tmp_path, name, message):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=message):
        load_ellipsoids(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.txt", r"written to \.safetensors, \.npz, \.ply, \.glb"), ("a.npz", "means must be finite")],
)
def test_saving_refuses_what_could_not_be_read(tmp_path, name, message):
    with pytest.raises(ValueError, match=message):
        save_ellipsoids(tmp_path / name, ellipsoids(**with_value("means", 0, float("nan"))))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no ellipsoids"):
        save_ellipsoids(tmp_path / "a.npz", ellipsoids()[:0])


def test_npz_of_points_is_not_taken_for_ellipsoids(tmp_path):
    np.savez(tmp_path / "points.npz", points=np.ones((4, 3)))
    save_ellipsoids(tmp_path / "set.npz", ellipsoids())
    (tmp_path / "broken.npz").write_bytes(b"x")
    assert [holds_ellipsoids(tmp_path / f"{name}.npz") for name in ("points", "set", "broken", "none")] == [
        False,
        True,
        False,
        False,
    ]
    assert holds_ellipsoids("any.safetensors")
    assert not holds_ellipsoids("cow.obj")


# ---- Complete or not at all ------------------------------------------------------------------


def write_half(path, error):
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_no_file_and_no_folder(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "a" / "b" / "c.txt", error)
    assert list(tmp_path.iterdir()) == []


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError):
        write_half(path, KeyError)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_a_file_is_replaced_and_has_the_usual_permissions(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["new"]
    (tmp_path / "plain").write_text("")
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("before", [None, [], ["old", "both"]])
def test_a_folder_appears_with_its_content_only(tmp_path, before):
    folder = tmp_path / "deep" / "out"
    if before is not None:
        folder.mkdir(parents=True)
        for name in before:
            (folder / name).mkdir()
    with atomic_folder(folder) as staging:
        (staging / "both").mkdir()
        (staging / "new").write_text("x")
    assert sorted(entry.name for entry in folder.iterdir()) == ["both", "new"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["out"]


def fill_half(folder):
    with atomic_folder(folder) as staging:
        (staging / "new").write_text("x")
        raise KeyboardInterrupt


@pytest.mark.parametrize("before", [None, [], ["old"]])
def test_an_error_leaves_a_folder_as_it_was(tmp_path, before):
    folder = tmp_path / "out"
    if before is not None:
        folder.mkdir()
        for name in before:
            (folder / name).write_text("x")
    with pytest.raises(KeyboardInterrupt):
        fill_half(folder)
    assert folder.exists() == (before is not None)
    assert [entry.name for entry in folder.iterdir()] == before if before is not None else True


# ---- Pictures --------------------------------------------------------------------------------


def test_8_bit_values_are_rounded_and_clipped():
    values = images.to_bytes(np.array([[-1.0, 0.4999 / 255, 0.5001 / 255, 0.5, 2.0]]))
    assert values.tolist() == [[0, 0, 1, 128, 255]]


@pytest.mark.parametrize(("channels", "mode"), [((), "L"), ((1,), "L"), ((3,), "RGB"), ((4,), "RGBA")])
def test_png_has_the_channels_of_the_picture(tmp_path, channels, mode):
    picture = torch.rand(5, 7, *channels)
    images.write_png(tmp_path / "a.png", picture, {"normal_frame": "world"})
    with Image.open(tmp_path / "a.png") as read:
        assert (read.size, read.mode) == ((7, 5), mode)
        assert read.text == {"normal_frame": "world"}
        assert (np.asarray(read) == images.to_bytes(picture)).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [(np.zeros((2, 2, 2)), r"must have shape .* got \(2, 2, 2\)"), (np.full((2, 2), np.nan), "4 of 4 values are not")],
)
def test_what_is_no_picture_is_refused(tmp_path, picture, message):
    with pytest.raises(ValueError, match=message):
        images.write_png(tmp_path / "a.png", picture)
    assert list(tmp_path.iterdir()) == []


def test_depth_png_says_its_scale_and_kind(tmp_path):
    depth = np.array([[0, 1e-9, 1.0, 3.0]])
    scale = 3.0 / images.DEPTH_STEPS
    images.write_depth_png(tmp_path / "a.png", depth, scale=scale, kind="ray distance")
    with Image.open(tmp_path / "a.png") as read:
        assert read.text["depth_kind"] == "ray distance"
        steps = np.asarray(read).astype(np.float64)
        assert steps.tolist() == [[0, 1, 21845, 65535]]
        assert steps[0, 2:] * float(read.text["depth_scale"]) == pytest.approx([1.0, 3.0], abs=scale / 2)


@pytest.mark.parametrize("depth", [[[-1.0]], [[np.inf]], [[1.0]], [1.0]])
def test_depth_that_does_not_fit_is_refused(tmp_path, depth):
    with pytest.raises(ValueError, match="depth"):
        images.write_depth_png(tmp_path / "a.png", depth, scale=1e-5, kind="ray distance")


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp"])
def test_video_has_all_frames_and_even_sides_where_needed(tmp_path, suffix):
    frames = [np.full((15, 17, 3), level, np.float32) for level in (0.1, 0.5, 0.9)]
    path = tmp_path / f"a{suffix}"
    images.write_video(path, frames, fps=10)
    size = (16, 18) if suffix == ".mp4" else (15, 17)
    read = decode_mp4(path, size) if suffix == ".mp4" else np.stack([np.asarray(f) for f in pillow_frames(path)])
    assert read.shape == (3, *size, 3)
    assert np.abs(read[:, 5, 5, 0] / 255 - [0.1, 0.5, 0.9]).max() < 0.03
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def decode_mp4(path, size):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, *size, 3)


def pillow_frames(path):
    with Image.open(path) as animation:
        for i in range(animation.n_frames):
            animation.seek(i)
            yield animation.convert("RGB")


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("a.avi", [(4, 4)], "videos are written to .mp4, .gif, .webp; got '.avi'"),
        ("a.gif", [(4, 4), (4, 5)], "frames of one size"),
        ("a.gif", [], "frames of one size"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, name, sizes, message):
    with pytest.raises(ValueError, match=message):
        images.write_video(tmp_path / name, [np.zeros((*size, 3)) for size in sizes])


def test_contact_sheet_keeps_rows_and_never_enlarges():
    red, clear = np.zeros((8, 6, 3)), np.zeros((20, 40, 4))
    red[..., 0] = 1
    sheet = images.contact_sheet([[red], [red, clear]], cell=20, gap=2)
    assert sheet.shape == (2 * (10 + 2) + 2, 2 * (20 + 2) + 2, 3)
    assert sheet[2, 2].tolist() == [255, 0, 0]
    assert sheet[14 + 5, 24 + 5].tolist() == [255, 255, 255]  # transparent shows white
    assert (sheet[:12, 24:] == 255).all()


def test_npz_of_arrays(tmp_path):
    images.write_npz(tmp_path / "a.npz", depth=torch.ones(2, 2), kind="ray distance")
    with np.load(tmp_path / "a.npz") as read:
        assert read["depth"].dtype == np.float32
        assert json.dumps(str(read["kind"])) == '"ray distance"'
