"""Loading the compiled library: what happens where it is missing, and whose threads it runs on."""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from scenes import cameras, random_ellipsoids

import voge
from voge.rendering import native, ops

PROBE = """
import json, sys, warnings, torch, voge
from voge.rendering import ops
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    e = voge.Ellipsoids(torch.zeros(1, 3), torch.ones(1, 3), torch.ones(1, 4), torch.ones(1))
    c = voge.Cameras(voge.orbit(0.0, 0.0, 3.0)[None], voge.intrinsics(2, 2, fov=40.0)[None], 2, 2)
    alpha = [voge.render(e, c).alpha.mean().item() for _ in range(2)]
try:
    voge.render(e, c, voge.RenderSettings(backend="cpp"))
    error = None
except voge.BackendError as caught_error:
    error = str(caught_error)
print(json.dumps({"status": ops.status()["cpp"].available, "warnings": [str(w.message) for w in caught],
                  "alpha": alpha, "error": error}))
"""


def probe(folder: Path) -> dict:
    environment = {**os.environ, "VOGE_LIB_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_without_the_library_torch_renders_and_one_warning_says_why(tmp_path):
    found = probe(tmp_path)
    assert not found["status"]
    assert found["alpha"][0] > 0.5
    assert len(found["warnings"]) == 1
    assert "was not found" in found["warnings"][0]
    assert "install a C++17 compiler" in found["warnings"][0]


def test_a_backend_asked_for_by_name_is_never_replaced(tmp_path):
    assert "backend cpp: the library voge_cpu was not found" in probe(tmp_path)["error"]


def test_the_reason_of_the_build_is_passed_on(tmp_path):
    (tmp_path / "build_info.json").write_text('{"cpu": "no working C++ compiler was found when voge was built"}')
    assert "no working C++ compiler was found when voge was built" in probe(tmp_path)["warnings"][0]


def test_a_file_that_is_no_library_is_named(tmp_path):
    (tmp_path / native._file_name("voge_cpu")).write_text("not a library")
    assert "cannot be loaded" in probe(tmp_path)["error"]


@pytest.mark.skipif(not ops.status()["cpp"].available, reason="no C++ renderer here")
def test_own_threads_give_the_same_picture_as_torchs():
    e, c = random_ellipsoids(100), cameras(33, 20)
    s = voge.RenderSettings(backend=voge.Backend.cpp)
    handle, threads = native.cpu().handle, torch.get_num_threads()
    assert handle is not None
    try:
        torch.set_num_threads(3)
        expected = voge.render(e, c, s)
        handle.voge_set_parallel_for(None)
        assert torch.equal(voge.render(e, c, s).image, expected.image)
    finally:
        torch.set_num_threads(threads)
        native._use_torch_threads(handle)


def test_the_cuda_library_has_every_entry_point_of_the_interface():
    """Compiled without a GPU; that it runs is for `make test-gpu`."""
    path = native._find("voge_cuda")
    if path is None:
        pytest.skip(f"not built: {native.build_info().get('cuda')}")
    header = (Path(__file__).parents[1] / "csrc" / "abi.h").read_text()
    handle = ctypes.CDLL(str(path))
    names = [*re.findall(r"\b(voge_cuda_\w+)\(", header), "voge_abi_version"]
    assert len(names) == 20
    assert [name for name in names if not hasattr(handle, name)] == []
