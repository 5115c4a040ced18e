"""Finding and loading the compiled libraries; their C interface (csrc/abi.h) in ctypes."""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

ABI_VERSION = 4
OUT_OF_MEMORY = 1
CUDA_ERRORS = 100  # codes above are this plus CUDA's
VECTORS = {"AVX512": "_avx512", "AVX2": "_avx2"}  # torch's name for what the processor has: the library built for it


class Scene(ctypes.Structure):
    """`voge_scene` of csrc/abi.h, field by field."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("scalar_size", "aggregation", "boxes", "limit")),
        *((name, ctypes.c_int64) for name in ("count", "channels", "views", "height", "width")),
        *((name, ctypes.c_int32) for name in ("tile_height", "tile_width", "orthographic", "padding")),
        *((name, ctypes.c_double) for name in ("eta", "near_distance", "far_distance", "stop_transmittance")),
        *(
            (name, ctypes.c_void_p)
            for name in (
                *("means", "scales", "quats", "density", "features", "origins", "directions"),
                *("viewmats", "intrinsics", "tile_offsets", "tile_members", "tile_nearest"),
                *("packed", "stream"),
            )
        ),
        *((name, ctypes.c_int32) for name in ("device", "longest_list")),
        *((name, ctypes.c_void_p) for name in ("tile_farthest", "transmittance")),
    )


class CudaSums(ctypes.Structure):
    """`voge_cuda_sums` of csrc/abi.h."""

    _fields_ = tuple((name, ctypes.c_void_p) for name in ("plain", "largest", "multiples"))


# Arguments of each call of csrc/abi.h: s a scene or sums, p an array or none, i 32-bit and l 64-bit integers.
CPU_CALLS = {
    "voge_set_parallel_for": "p", "voge_set_threads": "i",
    "voge_tile_offsets": "sp", "voge_tile_members": "spp",
    "voge_render": "sppp", "voge_render_backward": "spppppppppp",
    "voge_trace_counts": "spp", "voge_trace": "sppppp", "voge_trace_backward": "spppppppppp",
    "voge_gather": "illppppp", "voge_scatter": "illlppppp", "voge_dot_rows": "illppppp",
}  # fmt: skip
CUDA_CALLS = {
    "voge_cuda_probe": "i", "voge_cuda_error": "i", "voge_cuda_pack": "sp",
    "voge_cuda_count_bytes": "s", "voge_cuda_sort_bytes": "l", "voge_cuda_deep_bytes": "si",
    "voge_cuda_tile_offsets": "sppp", "voge_cuda_tile_members": "slppppp",
    "voge_cuda_render": "sppppp", "voge_cuda_render_backward": "sppppppppppspp",
    "voge_cuda_trace_counts": "spp", "voge_cuda_trace": "sppppppp", "voge_cuda_trace_backward": "spppppppppppspp",
    "voge_cuda_rays": "ipilllipppp", "voge_cuda_rays_partials": "lll", "voge_cuda_rays_backward": "ipilllippppppp",
    "voge_cuda_gather": "ipillppppp", "voge_cuda_scatter": "ipilllppppp", "voge_cuda_dot_rows": "ipillppppp",
}  # fmt: skip
RESULTS = {
    "voge_cuda_error": ctypes.c_char_p,
    **{f"voge_cuda_{name}": ctypes.c_int64 for name in ("count_bytes", "sort_bytes", "deep_bytes", "rays_partials")},
}
# `byref` passes as a pointer to anything; numbers pass as addresses.
ARGUMENTS = {"s": ctypes.c_void_p, "p": ctypes.c_void_p, "i": ctypes.c_int32, "l": ctypes.c_int64}


@dataclass(frozen=True)
class Library:
    """A loaded library, or the reason why there is none and what to do about it."""

    handle: ctypes.CDLL | None
    reason: str
    remedy: str = ""

    def call(self, name: str, *arguments: object) -> None:
        """Call an entry point that returns an error code.

        Raises:
            MemoryError: the library could not allocate its working memory.
            RuntimeError: any other failure inside.
        """
        assert self.handle is not None
        code = getattr(self.handle, name)(*arguments)
        if code == OUT_OF_MEMORY:
            raise MemoryError(f"{name}: not enough memory; render fewer views or pixels at a time")
        if code > CUDA_ERRORS:
            raise RuntimeError(f"{name}: {self.handle.voge_cuda_error(code).decode()}")
        if code != 0:
            raise RuntimeError(f"{name}: internal failure")


def _folders() -> Iterator[Path]:
    """Folders in which libraries may lie: set by hand, beside the package, or where an editable install put them."""
    if chosen := os.environ.get("VOGE_LIB_DIR"):
        yield Path(chosen)
        return
    yield Path(__file__).parent / "lib"
    try:
        files = importlib.metadata.files("voge") or []
    except importlib.metadata.PackageNotFoundError:
        return
    yield from {Path(str(f.locate())).parent for f in files if f.parent.name == "lib"}


def _file_name(stem: str) -> str:
    return f"lib{stem}.dylib" if sys.platform == "darwin" else f"lib{stem}.so"


def _find(*stems: str) -> Path | None:
    folders = list(_folders())
    return next((path for s in stems for folder in folders if (path := folder / _file_name(s)).is_file()), None)


def build_info() -> dict[str, str]:
    """Reasons why the build left a library out, by name; empty where it was built or nothing is known."""
    for folder in _folders():
        path = folder / "build_info.json"
        if path.is_file():
            reasons: dict[str, str] = json.loads(path.read_text())
            return reasons
    return {}


@functools.cache
def cpu() -> Library:
    """The C++ renderer, in the variant for this processor's vectors."""
    capability = torch.backends.cpu.get_cpu_capability()
    library = _load("cpu", f"voge_cpu{VECTORS.get(capability, '')}", "voge_cpu")
    if library.handle is None:
        return library
    shared_pool = _use_torch_threads(library.handle)
    found = library.handle._name.rsplit(".", 1)[0]
    vectors = capability if found.endswith(VECTORS.get(capability, "?")) else "no vector extensions"
    threads = f"{torch.get_num_threads()} threads of {'torch' if shared_pool else 'its own'}"
    return Library(library.handle, f"{vectors}, {threads}")


@functools.cache
def cuda(device: int = 0) -> Library:
    """The CUDA renderer, if a small kernel of it has run on the device."""
    if not torch.cuda.is_available():
        reason = "torch finds no CUDA device" if torch.version.cuda else "this torch is built without CUDA"
        return Library(None, reason, "use a machine with a GPU and its driver, and a torch built for it")
    library = _load("cuda", "voge_cuda")
    if library.handle is None:
        return library
    if code := library.handle.voge_cuda_probe(device):
        reason = library.handle.voge_cuda_error(code).decode()
        return Library(None, f"cuda:{device}: {reason}", "update the driver, or reinstall voge for this GPU")
    return Library(library.handle, torch.cuda.get_device_name(device))


def _load(kind: str, *stems: str) -> Library:
    """The first library of these names that is there, if it is of this package's interface."""
    path = _find(*stems)
    if path is None:
        searched = ", ".join(map(str, _folders()))
        reason = build_info().get(kind) or f"the library voge_{kind} was not found in {searched}"
        compiler = "a C++17 compiler" if kind == "cpu" else "nvcc"
        return Library(None, reason, f"install {compiler} and reinstall voge, or set VOGE_LIB_DIR")
    try:
        handle = ctypes.CDLL(str(path))
    except OSError as error:
        return Library(None, f"{path} cannot be loaded: {error}", "reinstall voge")
    if (found := handle.voge_abi_version()) != ABI_VERSION:
        return Library(None, f"{path} has interface {found}, this package needs {ABI_VERSION}", "reinstall voge")
    for name, arguments in (CPU_CALLS if kind == "cpu" else CUDA_CALLS).items():
        function = getattr(handle, name)
        function.argtypes, function.restype = [ARGUMENTS[a] for a in arguments], RESULTS.get(name, ctypes.c_int32)
    return Library(handle, str(path))


def _use_torch_threads(handle: ctypes.CDLL) -> bool:
    """Hand torch's thread pool to the library, so that the two never compete for cores."""
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / _file_name("torch_cpu")))
        parallel_for = library.torch_parallel_for
    except (OSError, AttributeError):  # torch before 2.10 does not export it
        return False
    handle.voge_set_parallel_for(ctypes.cast(parallel_for, ctypes.c_void_p))
    return True
