"""Calls of the compiled libraries, one class a device: what each needs besides the outputs.

Both have the same methods. A scene is `voge_scene` of csrc/abi.h, filled by voge/rendering/arguments.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from voge.rendering import native
from voge.rendering.arguments import Lists
from voge.rendering.native import Scene

PACKED = 16  # scalars of a packed ellipsoid, kRow in csrc/cuda/rays.cuh
SUMS = 16  # scalars that an ellipsoid's gradient gathers, kSums in csrc/cuda/gradient.cuh


def _addresses(tensors: Iterable[Tensor | None]) -> list[int | None]:
    return [None if t is None else t.data_ptr() for t in tensors]


def _tile_count(scene: Scene) -> int:
    count: int = scene.views * -(-scene.height // scene.tile_height) * -(-scene.width // scene.tile_width)
    return count


def add_lists(scene: Scene, lists: Lists) -> None:
    """Tell a scene its lists."""
    entries, scene.longest_list = lists.sizes.tolist()
    scene.tile_offsets, scene.tile_members = lists.offsets.data_ptr(), lists.members.data_ptr()
    scene.tile_nearest = nearest = lists.edges.data_ptr()
    scene.tile_farthest = nearest + entries * scene.scalar_size  # the second row, which CUDA has


class Cpu:
    """Calls of voge_cpu: outputs are all that it needs."""

    def __init__(self, like: Tensor) -> None:
        self.like = like

    def _call(self, name: str, *arguments: object) -> None:
        library = native.cpu()
        assert library.handle is not None
        library.handle.voge_set_threads(torch.get_num_threads())
        library.call(name, *arguments)

    def count(self, scene: Scene) -> None:
        """Begin the tile lists with how long they are."""
        self.offsets = self.like.new_empty(_tile_count(scene) + 1, dtype=torch.int64)
        self._call("voge_tile_offsets", ctypes.byref(scene), self.offsets.data_ptr())

    def tile_lists(self, scene: Scene, capacity: int | None) -> tuple[Lists, Tensor | None]:
        """The lists after `count`, of which the scene is told, and None: their size is always counted."""
        offsets = self.offsets
        size = int(offsets[-1])
        members, edges = self.like.new_empty(size, dtype=torch.int32), self.like.new_empty(1, size)
        scene.tile_offsets = offsets.data_ptr()
        self._call("voge_tile_members", ctypes.byref(scene), members.data_ptr(), edges.data_ptr())
        lists = Lists(edges, offsets, members, torch.tensor([size, 0], device="cpu"))
        add_lists(scene, lists)
        return lists, None

    def run(self, name: str, scene: Scene, *arrays: Tensor | None) -> None:
        """One of render, render_backward, trace_counts, trace, trace_backward."""
        self._call(f"voge_{name}", ctypes.byref(scene), *_addresses(arrays))

    def product(self, name: str, sizes: tuple[int, ...], *arrays: Tensor) -> None:
        """One of gather, scatter, dot_rows."""
        self._call(f"voge_{name}", self.like.element_size(), *sizes, *_addresses(arrays))


class Cuda:
    """Calls of voge_cuda on the tensors' device and torch's current stream there."""

    def __init__(self, like: Tensor) -> None:
        self.like = like
        self.device = like.device.index
        self.stream = torch._C._cuda_getCurrentRawStream(self.device)  # current_stream makes an object around it
        self.library = native.cuda(self.device)
        self.packed: Tensor | None = None

    def _bytes(self, count: int) -> Tensor:
        return self.like.new_empty(count, dtype=torch.uint8)

    def _pack(self, scene: Scene) -> None:
        scene.device, scene.stream = self.device, self.stream
        self.packed = self.like.new_empty(scene.count, PACKED)
        scene.packed = self.packed.data_ptr()
        self.library.call("voge_cuda_pack", ctypes.byref(scene), scene.packed)

    def count(self, scene: Scene) -> None:
        """Begin the tile lists with how long they are. What the host does next, it does while the device counts."""
        handle = self.library.handle
        assert handle is not None
        scene.device, scene.stream = self.device, self.stream
        ends = _tile_count(scene) + 1
        self.counts = self.like.new_empty(ends + 1, dtype=torch.int64)  # offsets, then the longest list
        self.counted = self._bytes(handle.voge_cuda_count_bytes(ctypes.byref(scene)))
        offsets = self.counts.data_ptr()
        longest = offsets + 8 * ends
        self.library.call("voge_cuda_tile_offsets", ctypes.byref(scene), offsets, longest, self.counted.data_ptr())
        self._pack(scene)

    def tile_lists(self, scene: Scene, capacity: int | None) -> tuple[Lists, Tensor | None]:
        """The lists after `count`, of which the scene is told, and, with `capacity`, () whether they need more.

        Waits for the device once, to know E, unless it is given as `capacity`.
        """
        handle = self.library.handle
        assert handle is not None
        offsets = self.counts[:-1]
        if capacity is None:
            sizes, spilled = self.counts[-2:].cpu(), None
        else:
            sizes = torch.tensor([capacity, min(capacity, scene.count)], device="cpu")
            spilled = offsets[-1] > capacity
            offsets.clamp_(max=capacity)
        entries, _ = sizes.tolist()
        members, edges = self.like.new_empty(entries, dtype=torch.int32), self.like.new_empty(2, entries)
        lists = Lists(edges, offsets, members, sizes)
        add_lists(scene, lists)
        memory = self._bytes(handle.voge_cuda_sort_bytes(entries))
        arrays = scene.tile_members, scene.tile_nearest, scene.tile_farthest
        memories = self.counted.data_ptr(), memory.data_ptr()
        self.library.call("voge_cuda_tile_members", ctypes.byref(scene), entries, *arrays, *memories)
        del self.counted  # large, and read by now as the device sees it
        return lists, spilled

    def run(self, name: str, scene: Scene, *arrays: Tensor | None) -> None:
        """One of render, render_backward, trace_counts, trace, trace_backward."""
        handle = self.library.handle
        assert handle is not None
        if self.packed is None:
            self._pack(scene)
        arguments: list[Any] = _addresses(arrays)
        backward = name.endswith("_backward")
        if backward:
            sums = self._sums(scene)
            arguments.append(ctypes.byref(native.CudaSums(*_addresses(sums))))
        if name != "trace_counts":
            overflow = self.like.new_empty(4 + 2 * scene.views * scene.height * scene.width, dtype=torch.int32)
            size = handle.voge_cuda_deep_bytes(ctypes.byref(scene), backward)
            deep = self._bytes(size) if size else None
            arguments += _addresses((overflow, deep))
        self.library.call(f"voge_cuda_{name}", ctypes.byref(scene), *arguments)

    def _sums(self, scene: Scene) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Memory that gathers gradients: floats, or integers in two rounds where torch is to be deterministic."""
        if not torch.are_deterministic_algorithms_enabled():
            return self.like.new_empty(scene.count, SUMS), None, None
        size = scene.count * (SUMS + scene.channels)
        return None, *self.like.new_empty(2, size, dtype=torch.int64)

    def product(self, name: str, sizes: tuple[int, ...], *arrays: Tensor) -> None:
        """One of gather, scatter, dot_rows."""
        self._call(name, *sizes, *_addresses(arrays))

    def rays(self, name: str, sizes: tuple[int, int, int], orthographic: bool, *arrays: Tensor) -> None:
        """One of rays, rays_backward, for (views, height, width)."""
        partials = []
        if name == "rays_backward":
            handle = self.library.handle
            assert handle is not None
            partials = [self.like.new_empty(handle.voge_cuda_rays_partials(*sizes), dtype=torch.float64)]
        self._call(name, *sizes, orthographic, *_addresses((*arrays, *partials)))

    def _call(self, name: str, *arguments: object) -> None:
        self.library.call(f"voge_cuda_{name}", self.device, self.stream, self.like.element_size(), *arguments)


def driver(like: Tensor) -> Cpu | Cuda:
    """The calls for a tensor's device."""
    return Cuda(like) if like.is_cuda else Cpu(like)
