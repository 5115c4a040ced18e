"""Pictures that wait on disk: more of them than memory has room for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor


class _Temporary:
    """A temporary file without a name, closed when nobody holds it any more."""

    def __init__(self, size: int) -> None:
        with tempfile.TemporaryFile(prefix="voge-") as file:
            file.truncate(size)
            self.number = os.dup(file.fileno())

    def __del__(self) -> None:
        os.close(self.number)


@dataclass(frozen=True, eq=False)
class DiskPictures:
    """V pictures of 8 bits in a temporary file, which the system removes with the process.

    They are read row by row when they are asked for, and nothing of them stays in memory.
    """

    file: _Temporary
    shape: tuple[int, ...]  # (V, H, W) or (V, H, W, C)
    rows: tuple[int, ...]  # of the V pictures, their places in the file

    @classmethod
    def create(cls, count: int, shape: tuple[int, ...]) -> DiskPictures:
        """Room for pictures of a shape (H, W) or (H, W, C), to be written by `write`."""
        return cls(_Temporary(count * int(np.prod(shape))), (count, *shape), tuple(range(count)))

    @property
    def device(self) -> torch.device:
        """The CPU: they go where they are needed when they are read."""
        return torch.device("cpu")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Sequence[int]) -> DiskPictures:
        return replace(self, shape=(len(rows), *self.shape[1:]), rows=tuple(self.rows[row] for row in rows))

    def write(self, row: int, picture: Tensor) -> None:
        """Put a picture (H, W[, C]) uint8 in its place."""
        data = picture.contiguous().numpy().tobytes()
        assert len(data) == self._size
        os.pwrite(self.file.number, data, self.rows[row] * self._size)

    def read(self, rows: Sequence[int], into: Tensor | None = None) -> Tensor:
        """Pictures (len(rows), H, W[, C]) uint8, in memory of their own or in that of `into`."""
        found = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8) if into is None else into
        for place, row in enumerate(rows):
            os.preadv(self.file.number, [found[place].numpy().data], self.rows[row] * self._size)
        return found

    @property
    def _size(self) -> int:
        return int(np.prod(self.shape[1:]))


Pictures = Tensor | DiskPictures


def room(count: int, shape: tuple[int, ...], on_disk: bool) -> Pictures:
    """Room for pictures of 8 bits: in memory, or on disk."""
    return DiskPictures.create(count, shape) if on_disk else torch.empty((count, *shape), dtype=torch.uint8)


def put(pictures: Pictures, row: int, picture: Tensor) -> None:
    """Write one picture (H, W[, C]) uint8 in its place."""
    if isinstance(pictures, DiskPictures):
        pictures.write(row, picture)
    else:
        pictures[row] = picture


def floats(pictures: Pictures, rows: Sequence[int], device: torch.device) -> Tensor:
    """Chosen pictures as float32 in [0, 1] on a device; pictures of floats keep their type."""
    if isinstance(pictures, Tensor) and pictures.is_floating_point() and rows == range(len(pictures)):
        return pictures.to(device)
    if isinstance(pictures, DiskPictures):
        found = pictures.read(rows).to(device, non_blocking=True)
    else:
        found = pictures.index_select(0, torch.tensor(rows).to(pictures.device, non_blocking=True)).to(device)
    return found.float() / 255 if found.dtype == torch.uint8 else found


def each(pictures: Pictures) -> Iterator[Tensor]:
    """The pictures one by one, as floats, where they are; the next takes the memory of the one before.

    Memory of its own for each would be freed in pieces that the next does not fit into, view after view.
    """
    if isinstance(pictures, Tensor) and pictures.is_floating_point():
        yield from pictures
        return
    stored = torch.empty((1, *pictures.shape[1:]), dtype=torch.uint8)
    picture = torch.empty(tuple(pictures.shape[1:]), device=pictures.device)
    for row in range(len(pictures)):
        eight = pictures.read([row], stored)[0] if isinstance(pictures, DiskPictures) else pictures[row]
        yield picture.copy_(eight).div_(255)
