"""Calls of the compiled libraries, one class a device: what each needs besides the outputs.

Both have the same methods. A scene is `voge_scene` of csrc/abi.h, filled by voge/compiled.py.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from voge import native
from voge.native import Scene

PACKED = 16  # scalars of a packed ellipsoid, kRow in csrc/cuda/ray.cuh
SUMS = 12  # scalars that an ellipsoid's gradient gathers, kSums in csrc/cuda/render.cu


def _pointers(*tensors: Tensor | None) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(None if t is None else t.data_ptr()) for t in tensors]


class Cpu:
    """Calls of voge_cpu: outputs are all that it needs."""

    def __init__(self, like: Tensor) -> None:
        self.like = like

    def prepare(self, scene: Scene) -> None:
        """Nothing to do before a render."""

    def _call(self, name: str, *arguments: object) -> None:
        library = native.cpu()
        assert library.handle is not None
        library.handle.voge_set_threads(torch.get_num_threads())
        library.call(name, *arguments)

    def tile_lists(self, scene: Scene, tiles: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """nearest, offsets, members, and the longest list."""
        offsets = self.like.new_empty(tiles + 1, dtype=torch.int64)
        self._call("voge_tile_offsets", ctypes.byref(scene), *_pointers(offsets))
        size = int(offsets[-1])
        members, nearest = self.like.new_empty(size, dtype=torch.int32), self.like.new_empty(size)
        scene.tile_offsets = offsets.data_ptr()
        self._call("voge_tile_members", ctypes.byref(scene), *_pointers(members, nearest))
        return nearest, offsets, members, 0

    def run(self, name: str, scene: Scene, *arrays: Tensor | None, gathers: bool = False) -> None:
        """One of render, render_backward, trace_counts, trace, trace_backward."""
        self._call(f"voge_{name}", ctypes.byref(scene), *_pointers(*arrays))

    def product(self, name: str, sizes: tuple[int, ...], *arrays: Tensor) -> None:
        """One of gather, scatter, dot_rows."""
        counts = (ctypes.c_int64(n) for n in sizes)
        self._call(f"voge_{name}", ctypes.c_int32(self.like.element_size()), *counts, *_pointers(*arrays))


class Cuda:
    """Calls of voge_cuda on the tensors' device and torch's current stream there."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.device = like.device.index
        self.stream = ctypes.c_void_p(torch.cuda.current_stream(like.device).cuda_stream)
        self.library = native.cuda(self.device)

    def _bytes(self, count: int) -> Tensor:
        return self.like.new_empty(count, dtype=torch.uint8)

    def prepare(self, scene: Scene) -> None:
        """Set device and stream; pack the ellipsoids."""
        scene.device, scene.stream = self.device, self.stream
        self.packed = self.like.new_empty(scene.count, PACKED)
        scene.packed = self.packed.data_ptr()
        self.library.call("voge_cuda_pack", ctypes.byref(scene), *_pointers(self.packed))

    def tile_lists(self, scene: Scene, tiles: int) -> tuple[Tensor, Tensor, Tensor, int]:
        """nearest, offsets, members, and the longest list. Waits for the device once, to know the size."""
        handle = self.library.handle
        assert handle is not None
        scene.device, scene.stream = self.device, self.stream
        counts = self.like.new_empty(tiles + 2, dtype=torch.int64)  # offsets, then the longest list
        offsets, longest = counts[:-1], counts[-1:]
        scratch = self._bytes(handle.voge_cuda_scratch_bytes(ctypes.byref(scene), ctypes.c_int64(1)))
        size = ctypes.c_int64(len(scratch))
        arrays = _pointers(offsets, longest, scratch)
        self.library.call("voge_cuda_tile_offsets", ctypes.byref(scene), *arrays, size)
        entries, most = counts[-2:].tolist()
        scene.tile_offsets = offsets.data_ptr()
        members, nearest = self.like.new_empty(entries, dtype=torch.int32), self.like.new_empty(entries)
        keys, ids = self.like.new_empty(2, entries, dtype=torch.int64), torch.empty_like(members)
        scratch = self._bytes(handle.voge_cuda_scratch_bytes(ctypes.byref(scene), ctypes.c_int64(entries)))
        arrays = _pointers(members, nearest, keys[0], keys[1], ids, torch.empty_like(offsets), scratch)
        size, count = ctypes.c_int64(len(scratch)), ctypes.c_int64(entries)
        self.library.call("voge_cuda_tile_members", ctypes.byref(scene), count, *arrays, size)
        return nearest, offsets, members, most

    def run(self, name: str, scene: Scene, *arrays: Tensor | None, gathers: bool = False) -> None:
        """One of render, render_backward, trace_counts, trace, trace_backward."""
        handle = self.library.handle
        assert handle is not None
        pointers = _pointers(*arrays)
        if name != "trace_counts":
            rays = scene.views * scene.height * scene.width
            sums = [self.like.new_empty(scene.count, SUMS)] if gathers else []
            overflow = self.like.new_empty(2 * (rays + 1), dtype=torch.int32)
            deep = self._bytes(handle.voge_cuda_deep_bytes(ctypes.byref(scene)))
            pointers += _pointers(*sums, overflow, deep if len(deep) else None)
        self.library.call(f"voge_cuda_{name}", ctypes.byref(scene), *pointers)

    def product(self, name: str, sizes: tuple[int, ...], *arrays: Tensor) -> None:
        """One of gather, scatter, dot_rows."""
        size, counts = ctypes.c_int32(self.like.element_size()), (ctypes.c_int64(n) for n in sizes)
        self.library.call(
            f"voge_cuda_{name}", ctypes.c_int32(self.device), self.stream, size, *counts, *_pointers(*arrays)
        )


def driver(like: Tensor) -> Cpu | Cuda:
    """The calls for a tensor's device."""
    return Cuda(like) if like.is_cuda else Cpu(like)
