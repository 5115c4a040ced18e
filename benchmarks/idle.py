"""CUDA's way without a GPU: its calls, for tensors on the CPU, to a library that does nothing. The host remains."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from torch import Tensor

from voge.rendering import compiled_fragments, compiled_pictures, compiled_rays, drivers, native, ops, products
from voge.rendering.settings import Backend

HEADER = (Path(__file__).parents[1] / "csrc" / "abi.h").read_text()
ARGUMENTS = {name: given.count(",") + 1 for name, given in re.findall(r"\b(voge_cuda_\w+)\(([^)]*)\);", HEADER)}


class IdleLibrary:
    """voge_cuda that does nothing but count its arguments: no ellipsoid is in any list, pictures hold anything."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        expected, size = ARGUMENTS[name], 64 if name.endswith(("_bytes", "_partials")) else 0

        def function(*arguments: object) -> int:
            assert len(arguments) == expected, name
            return size

        setattr(self, name, function)
        return function

    def voge_cuda_tile_offsets(self, scene: Any, offsets: Any, longest: Any, counted: Any) -> int:
        ctypes.memset(offsets, 0, longest - offsets + 8)
        return 0

    def voge_cuda_trace_counts(self, scene: Any, counts: Any, truncated: Any) -> int:
        rays = scene._obj.views * scene._obj.height * scene._obj.width
        ctypes.memset(counts, 0, 8 * rays)
        ctypes.memset(truncated, 0, 8 * rays)
        return 0


LIBRARY = native.Library(IdleLibrary(), "idle")  # type: ignore[arg-type]


class IdleCuda(drivers.Cuda):
    """The calls of CUDA to the idle library, for tensors on the CPU."""

    def __init__(self, like: Tensor) -> None:
        self.like, self.device, self.stream, self.library, self.packed = like, 0, 0, LIBRARY, None


@contextmanager
def idle_cuda() -> Iterator[None]:
    """Renders take the way of CUDA, and nothing is computed."""
    with ExitStack() as stack:
        for module, name in (
            *((compiled_pictures, "driver"), (compiled_fragments, "driver"), (products, "driver")),
            *((compiled_fragments, "Cuda"), (compiled_rays, "Cuda")),
        ):
            stack.enter_context(patch.object(module, name, IdleCuda))
        stack.enter_context(patch.object(ops, "implementation", lambda backend, device: Backend.cuda))
        yield
