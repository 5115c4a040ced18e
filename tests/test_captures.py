"""Pictures of a capture: kept in 8 bits, shrunk as they are read, and on disk beyond a bound."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import voge
from voge.errors import SettingsError
from voge.io import captures as module
from voge.io.cameras import load_cameras
from voge.io.captures import load_captures
from voge.scene.capture import Capture
from voge.scene.disk import DiskPictures

VIEWS, WIDTH, HEIGHT = 6, 48, 32


@pytest.fixture
def source(tmp_path):
    """A transforms.json of noisy pictures, the last two with alpha."""
    random = np.random.default_rng(0)
    frames = []
    for number in range(VIEWS):
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
        if number < VIEWS - 2:
            pixels = pixels[..., :3]
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        matrix = np.linalg.inv(voge.orbit(60.0 * number, 10.0, 3.0).numpy()) @ np.diag([1, -1, -1, 1])
        frames.append({"file_path": f"{number}.png", "transform_matrix": matrix.tolist()})
    facts = {"w": WIDTH, "h": HEIGHT, "fl_x": 50, "fl_y": 50, "cx": WIDTH / 2, "cy": HEIGHT / 2, "frames": frames}
    (tmp_path / "transforms.json").write_text(json.dumps(facts))
    return tmp_path / "transforms.json"


def loaded(source, **options):
    return load_captures(load_cameras(source), source, **options)


@pytest.mark.parametrize("downscale", [1, 2, 3.7])
def test_pictures_on_disk_are_those_in_memory(source, downscale):
    kept, notes = loaded(source, downscale=downscale)
    waiting, told = loaded(source, downscale=downscale, memory=1000)
    assert [type(c.kept_images) for c in (*kept, *waiting)] == [torch.Tensor] * 2 + [DiskPictures] * 2
    assert notes == ()
    assert told == ("its pictures take more than 1e-06 GB and wait on disk (max_picture_memory)",)
    for one, other in zip(kept, waiting, strict=True):
        assert one.names == other.names
        rows = [len(one) - 1, 0]
        for mine, theirs in zip(one[rows].take([1, 0]), other[rows].take([1, 0]), strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or torch.equal(mine, theirs)
        coarse = [c.shrunk(2).take(range(len(c)))[0] for c in (one, other)]
        assert torch.equal(*coarse)


def test_eight_bits_are_within_half_a_step_of_floats(source):
    capture = loaded(source)[0][0]
    assert capture.kept_images.dtype == torch.uint8
    floats = Capture(capture.cameras, capture.take(range(len(capture)))[0])
    small = [c.shrunk(2.5).take(range(len(c)))[0] for c in (capture, floats)]
    assert (small[0] - small[1]).abs().max() <= 0.5 / 255 + 1e-6


def test_a_fit_is_the_same_with_pictures_on_disk(source):
    settings = voge.FitSettings(steps=4, views_per_step=2)
    fits = [voge.fit(loaded(source, downscale=2, memory=m)[0], settings=settings) for m in (2e9, 1000)]
    assert torch.equal(fits[0].ellipsoids.means, fits[1].ellipsoids.means)
    assert torch.equal(fits[0].ellipsoids.features, fits[1].ellipsoids.features)


def test_a_disk_without_room_is_said_before_anything_is_read(source, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _path: usage)
    monkeypatch.setattr(module, "_load", None)
    with pytest.raises(SettingsError, match=r"need .* GB on disk and .* has 1e-08; set TMPDIR to a larger disk"):
        loaded(source, memory=1000)


def test_wrong_shapes_are_named():
    cameras = voge.Cameras(voge.orbit(0.0, 0.0, 3.0)[None], voge.intrinsics(4, 2, fov=40.0)[None], 4, 2)
    with pytest.raises(ValueError, match=r"images must have shape \(1, 2, 4, 3\); got \(1, 4, 2, 3\)"):
        Capture(cameras, torch.zeros(1, 4, 2, 3, dtype=torch.uint8))
