"""Photos, masks and feature maps from files: numbers as they are meant."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms
from safetensors.torch import save_file

from voge.errors import DataError
from voge.io.masks import read_mask
from voge.io.photos import read_photo

BITS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


def _deep_png(path: Path, pixels: NDArray[np.uint16]) -> None:
    """A 16-bit PNG by the book, since Pillow writes none of more than one channel."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_colors_are_the_file_s(tmp_path: Path) -> None:
    Image.fromarray(BITS).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.colors
    assert photo.alpha is None
    assert photo.size == (6, 4)
    assert torch.equal(photo.image, torch.from_numpy(BITS))


def test_alpha_is_kept_apart_and_colors_are_not_multiplied(tmp_path: Path) -> None:
    alpha = np.arange(24, dtype=np.uint8).reshape(4, 6, 1) * 10
    Image.fromarray(np.concatenate([BITS, alpha], 2)).save(tmp_path / "a.png")
    photo = read_photo(tmp_path / "a.png")
    assert photo.alpha is not None
    assert torch.equal(photo.image, torch.from_numpy(BITS))
    torch.testing.assert_close(photo.alpha, torch.from_numpy(alpha[..., 0] / np.float32(255)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_stay_sixteen(tmp_path: Path, channels: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    _deep_png(tmp_path / "a.png", pixels)
    photo = read_photo(tmp_path / "a.png")
    colors = pixels[..., :3] if channels > 2 else np.repeat(pixels[..., :1], 3, 2)
    np.testing.assert_array_equal(photo.image.numpy(), colors / np.float32(65535))
    if channels in (2, 4):
        assert photo.alpha is not None
        np.testing.assert_array_equal(photo.alpha.numpy(), pixels[..., -1] / np.float32(65535))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(tmp_path: Path, orientation: int) -> None:
    """As Pillow turns them, in 8 bits (lossless WebP)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(BITS).save(tmp_path / "a.webp", lossless=True, exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "a.webp") as image:
        wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_photo(tmp_path / "a.webp").image.numpy(), wanted)


def test_a_color_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    """A profile whose primaries red and green changed places turns red into green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tEMP").replace(b"gXYZ", b"rXYZ").replace(b"tEMP", b"gXYZ")
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    Image.fromarray(red).save(tmp_path / "same.png", icc_profile=profile)
    Image.fromarray(red).save(tmp_path / "other.png", icc_profile=swapped)
    assert np.abs(read_photo(tmp_path / "same.png").image.numpy().astype(int) - red).max() <= 1
    turned = read_photo(tmp_path / "other.png").image.numpy()
    assert turned[0, 0, 1] > 200
    assert turned[0, 0, 0] < 50


def test_a_broken_profile_is_told(tmp_path: Path) -> None:
    Image.fromarray(BITS).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    photo = read_photo(tmp_path / "a.png")
    assert torch.equal(photo.image, torch.from_numpy(BITS))
    assert "color profile cannot be used" in photo.notes[0]


def test_masks_are_brightness_or_alpha(tmp_path: Path) -> None:
    gray = BITS[..., 0]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    torch.testing.assert_close(read_mask(tmp_path / "gray.png").share, torch.from_numpy(gray / np.float32(255)))
    Image.fromarray(np.concatenate([0 * BITS, gray[..., None]], 2)).save(tmp_path / "cut.png")
    torch.testing.assert_close(read_mask(tmp_path / "cut.png").share, torch.from_numpy(gray / np.float32(255)))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("divided", [True, False])
def test_feature_maps_are_divided_by_alpha_once(tmp_path: Path, suffix: str, divided: bool) -> None:
    features = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0))
    alpha = torch.linspace(0, 1, 15).reshape(3, 5)
    path = tmp_path / f"map{suffix}"
    if suffix == ".npz":
        np.savez(path, features=features.numpy(), alpha=alpha.numpy(), divided_by_alpha=divided)
    else:
        save_file(
            {"features": features, "alpha": alpha}, path, {"voge": f'{{"divided_by_alpha": {str(divided).lower()}}}'}
        )
    photo = read_photo(path)
    assert not photo.colors
    assert photo.alpha is not None
    solid = alpha > 0.1
    wanted = features if divided else features / alpha[..., None]
    torch.testing.assert_close(photo.image[solid], wanted[solid])
    assert photo.image.isfinite().all()


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.png", b"", "is empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n cut", "cannot be read as a picture"),
        ("a.jpg", b"text", "cannot be read as a picture"),
        ("a.npz", b"text", "cannot be read as .npz"),
        ("a.safetensors", b"text", "cannot be read as .safetensors"),
        ("a.bmp", b"BM", "pictures are read from .png"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=problem) as error:
        read_photo(tmp_path / name)
    assert "\n" not in str(error.value)


def test_a_cut_16_bit_file_is_refused(tmp_path: Path) -> None:
    _deep_png(tmp_path / "a.png", np.random.default_rng(1).integers(0, 65536, (64, 64, 3)).astype(np.uint16))
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_photo(tmp_path / "a.png")


def test_bad_maps_say_what_is_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match="has no array 'features', only other"):
        read_photo(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", features=np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"must be floats \(H, W, C\), got float64 of shape \(2, 2\)"):
        read_photo(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", features=np.zeros((2, 2, 3)), alpha=np.zeros((3, 3)))
    with pytest.raises(DataError, match="'alpha' must have shape"):
        read_photo(tmp_path / "a.npz")
    with pytest.raises(DataError, match="no such file"):
        read_photo(tmp_path / "none.png")
    buffer = io.BytesIO()
    np.save(buffer, np.array([object()]), allow_pickle=True)
    (tmp_path / "b.npz").write_bytes(buffer.getvalue())
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_photo(tmp_path / "b.npz")
