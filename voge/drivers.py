"""Calls of the compiled libraries, one class a device: what each needs besides the outputs.

Both have the same methods. A scene is `voge_scene` of csrc/abi.h, filled by voge/compiled.py.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from voge import native
from voge.native import Scene

PACKED = 16  # scalars of a packed ellipsoid, kRow in csrc/cuda/rays.cuh
SUMS = 16  # scalars that an ellipsoid's gradient gathers, kSums in csrc/cuda/gradient.cuh


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

    def tile_lists(self, scene: Scene, tiles: int, capacity: int | None) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
        """Edges (1, E): nearest events; offsets, members; the longest list, which only CUDA needs; False."""
        offsets = self.like.new_empty(tiles + 1, dtype=torch.int64)
        self._call("voge_tile_offsets", ctypes.byref(scene), *_pointers(offsets))
        size = int(offsets[-1])
        members, nearest = self.like.new_empty(size, dtype=torch.int32), self.like.new_empty(size)
        scene.tile_offsets = offsets.data_ptr()
        self._call("voge_tile_members", ctypes.byref(scene), *_pointers(members, nearest))
        return nearest[None], offsets, members, 0, torch.tensor(False)

    def run(self, name: str, scene: Scene, *arrays: Tensor | None) -> None:
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

    def tile_lists(self, scene: Scene, tiles: int, capacity: int | None) -> tuple[Tensor, Tensor, Tensor, int, Tensor]:
        """Edges (2, E): nearest and farthest events; offsets, members, the longest list, whether E was too small.

        Waits for the device once, to know E, unless it is given as `capacity`.
        """
        handle = self.library.handle
        assert handle is not None
        scene.device, scene.stream = self.device, self.stream
        counts = self.like.new_empty(tiles + 2, dtype=torch.int64)  # offsets, then the longest list
        offsets, longest = counts[:-1], counts[-1:]
        counted = self._bytes(handle.voge_cuda_count_bytes(ctypes.byref(scene)))
        self.library.call("voge_cuda_tile_offsets", ctypes.byref(scene), *_pointers(offsets, longest, counted))
        if capacity is None:
            entries, most = counts[-2:].tolist()
            spilled = torch.tensor(False)
        else:
            entries, most = capacity, min(capacity, scene.count)
            spilled = offsets[-1] > capacity
            offsets.clamp_(max=capacity)
        scene.tile_offsets = offsets.data_ptr()
        members, edges = self.like.new_empty(entries, dtype=torch.int32), self.like.new_empty(2, entries)
        memory = self._bytes(handle.voge_cuda_sort_bytes(ctypes.c_int64(entries)))
        arrays = _pointers(members, *edges, counted, memory)
        self.library.call("voge_cuda_tile_members", ctypes.byref(scene), ctypes.c_int64(entries), *arrays)
        return edges, offsets, members, most, spilled

    def run(self, name: str, scene: Scene, *arrays: Tensor | None) -> None:
        """One of render, render_backward, trace_counts, trace, trace_backward."""
        handle = self.library.handle
        assert handle is not None
        arguments: list[object] = list(_pointers(*arrays))
        backward = name.endswith("_backward")
        if backward:
            sums = self._sums(scene)
            arguments.append(ctypes.byref(native.CudaSums(*(None if t is None else t.data_ptr() for t in sums))))
        if name != "trace_counts":
            overflow = self.like.new_empty(2 * (1 + scene.views * scene.height * scene.width), dtype=torch.int32)
            size = handle.voge_cuda_deep_bytes(ctypes.byref(scene), ctypes.c_int32(backward))
            deep = self._bytes(size) if size else None
            arguments += _pointers(overflow, deep)
        self.library.call(f"voge_cuda_{name}", ctypes.byref(scene), *arguments)

    def _sums(self, scene: Scene) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Where gradients are gathered: floats, or integers in two rounds where torch is to be deterministic."""
        if not torch.are_deterministic_algorithms_enabled():
            return self.like.new_empty(scene.count, SUMS), None, None
        size = scene.count * (SUMS + scene.channels)
        return None, *self.like.new_empty(2, size, dtype=torch.int64)

    def product(self, name: str, sizes: tuple[int, ...], *arrays: Tensor) -> None:
        """One of gather, scatter, dot_rows."""
        self._call(name, *(ctypes.c_int64(n) for n in sizes), *_pointers(*arrays))

    def rays(self, name: str, sizes: tuple[int, int, int], orthographic: bool, *arrays: Tensor) -> None:
        """One of rays, rays_backward, for (views, height, width)."""
        numbers = [ctypes.c_int64(n) for n in sizes]
        partials = []
        if name == "rays_backward":
            handle = self.library.handle
            assert handle is not None
            partials = [self.like.new_empty(handle.voge_cuda_rays_partials(*numbers), dtype=torch.float64)]
        self._call(name, *numbers, ctypes.c_int32(orthographic), *_pointers(*arrays, *partials))

    def _call(self, name: str, *arguments: object) -> None:
        size = ctypes.c_int32(self.like.element_size())
        self.library.call(f"voge_cuda_{name}", ctypes.c_int32(self.device), self.stream, size, *arguments)


def driver(like: Tensor) -> Cpu | Cuda:
    """The calls for a tensor's device."""
    return Cuda(like) if like.is_cuda else Cpu(like)
