"""Pictures of a data set for training: their order, decoded by threads ahead of use, and kept where there is room."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch

from voge.io.images import read_bytes
from voge.pose.data.crops import Framing
from voge.pose.data.datasets import Item
from voge.pose.data.records import Annotation
from voge.pose.data.views import Part, Views, crop_cameras, make_views, part_of, variation
from voge.pose.settings import Augmentation
from voge.scene.cameras import Cameras

AHEAD = 6  # batches that are read before they are needed


class CategoryBatches:
    """Batches of one category each, all images once an epoch, in an order that depends on seed and epoch alone.

    Args:
        categories: of each image.
        size: of a batch.
        seed: of the order.
        steps: how many batches to give in all.
        start: how many of them to leave out: those that an interrupted training took.
        rank, ranks: of several processes each takes its share of every batch.
    """

    def __init__(
        self,
        categories: Sequence[str],
        size: int,
        seed: int,
        steps: int,
        *,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.names = np.array(categories)
        self.size, self.seed, self.steps, self.start, self.rank, self.ranks = size, seed, steps, start, rank, ranks

    @property
    def per_epoch(self) -> int:
        """Batches that show every image once."""
        return len(self._epoch(0))

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        done, epoch = 0, 0
        while done < self.steps:
            for batch in self._epoch(epoch):
                if self.start <= done < self.steps:
                    yield [(number, epoch) for number in batch[self.rank :: self.ranks].tolist()]
                done += 1
            epoch += 1

    def __len__(self) -> int:
        return self.steps - self.start

    def _epoch(self, epoch: int) -> list[np.ndarray]:
        random = np.random.default_rng([self.seed, epoch])
        batches: list[np.ndarray] = []
        for name in sorted(set(self.names.tolist())):
            order = random.permutation(np.flatnonzero(self.names == name))
            # Batches of equal size as far as possible: normalization by batch wants no tiny ones.
            batches += np.array_split(order, max(round(len(order) / self.size), 1))
        return [batches[i] for i in random.permutation(len(batches))]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Training pictures of one category."""

    category: str
    views: Views  # on the device
    cameras: Cameras  # of the crops, on the CPU


class Reader:
    """Makes batches of training pictures (number, epoch).

    Args:
        items, notes: the images and their labels, by number.
        framings: by category.
        augmentation: how pictures are varied.
        seed: of that.
        device: where batches are made.
        threads: that read.
        memory: bytes of the device for decoded pictures; what does not fit is read again in every epoch.
    """

    def __init__(
        self, items: Sequence[Item], notes: Sequence[Annotation], framings: Mapping[str, Framing],
        augmentation: Augmentation, seed: int, device: torch.device, *, threads: int, memory: float,
    ) -> None:  # fmt: skip
        self.items, self.notes, self.framings, self.augmentation, self.seed = items, notes, framings, augmentation, seed
        self.device, self.threads, self._left = device, threads, memory
        self._viewmats = torch.stack([note.viewmat for note in notes])
        self._intrinsics = torch.stack([note.intrinsics for note in notes])
        self._kept: dict[int, Part] = {}

    def batches(self, numbers: Iterable[list[tuple[int, int]]]) -> Iterator[Batch]:
        """The batches of numbers, in order.

        Raises:
            DataError: an image cannot be read.
        """
        waiting: deque[tuple[list[tuple[int, int]], list[Part | Future[Part]]]] = deque()
        with ThreadPoolExecutor(self.threads, initializer=self._begin_thread) as pool:
            for batch in numbers:
                waiting.append((batch, [self._kept.get(n) or pool.submit(self._read, n) for n, _ in batch]))
                if len(waiting) > AHEAD:
                    yield self._made(*waiting.popleft())
            while waiting:
                yield self._made(*waiting.popleft())

    def _begin_thread(self) -> None:
        if self.device.type == "cuda":  # whose page-locked memory it is
            torch.cuda.set_device(self.device.index or 0)

    def _scale(self, number: int) -> float:
        """Pixels of an unvaried crop a pixel of the image."""
        note, framing = self.notes[number], self.framings[self.items[number].category]
        return note.distance / framing.distance * framing.focal / note.focal

    def _read(self, number: int) -> Part:
        item, note = self.items[number], self.notes[number]
        part = part_of(
            read_bytes(item.image), (note.px, note.py), self._scale(number), self.framings[item.category],
            self.augmentation,
        )  # fmt: skip
        return replace(part, pixels=part.pixels.pin_memory()) if self.device.type == "cuda" else part

    def _made(self, batch: list[tuple[int, int]], found: Sequence[Part | Future[Part]]) -> Batch:
        numbers = [number for number, _ in batch]
        category = self.items[numbers[0]].category
        framing, varied = self.framings[category], variation(self.augmentation, self.seed, batch)
        scales = torch.tensor([self._scale(number) for number in numbers], dtype=torch.float64)
        cameras, windows = crop_cameras(self._viewmats[numbers], self._intrinsics[numbers], scales, framing, varied)
        parts = [self._here(number, part) for number, part in zip(numbers, found, strict=True)]
        return Batch(category, make_views(parts, windows, framing, varied), cameras)

    def _here(self, number: int, found: Part | Future[Part]) -> Part:
        """A part on the device, kept if there is room."""
        if isinstance(found, Part):
            return found
        if number in self._kept:  # read twice, for two batches that were not far apart
            return self._kept[number]
        part = found.result()
        part = replace(part, pixels=part.pixels.to(self.device, non_blocking=True))
        size = part.pixels.numel()
        if size <= self._left:
            self._left -= size
            self._kept[number] = part
        return part
