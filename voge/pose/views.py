"""Training and test pictures of one category after the other, from a data set's lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from voge.cameras import Cameras
from voge.io.images import read_picture, to_bytes
from voge.pose.crops import Crop, Framing, crop_annotated
from voge.pose.data import Item
from voge.pose.records import Annotation


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training pictures are varied; the camera follows.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    zoom: float = 0.1  # scale by up to this share
    shift: float = 0.05  # move by up to this share of the crop's sides
    color: float = 0.3  # brightness, contrast and saturation by up to this share

    def __post_init__(self) -> None:
        for name in ("zoom", "shift", "color"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One crop with its camera."""

    image: Tensor  # (3, H, W) uint8
    viewmat: Tensor  # (4, 4) float32, the model's frame to the camera's
    K: Tensor  # (3, 3) float32, of the crop


Batch = tuple[str, Tensor, Tensor, Tensor]  # category, images (V, 3, H, W) uint8, viewmats (V, 4, 4), Ks (V, 3, 3)


class Views(Dataset[tuple[str, View]]):
    """The crops of lists of images. An index is (number, epoch): the epoch varies the picture."""

    def __init__(
        self, items: Sequence[Item], notes: Sequence[Annotation], framings: Mapping[str, Framing],
        augmentation: Augmentation | None, seed: int,
    ) -> None:  # fmt: skip
        self.items, self.notes, self.framings = items, notes, framings
        self.augmentation, self.seed = augmentation, seed

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: tuple[int, int]) -> tuple[str, View]:
        """A category and a crop.

        Raises:
            DataError: the image cannot be read.
        """
        number, epoch = index
        item, note = self.items[number], self.notes[number]
        image = to_bytes(read_picture(item.image))
        framing = self.framings[item.category]
        if self.augmentation is None:
            return item.category, view_of(crop_annotated(image, note, framing), note)
        random = np.random.default_rng([self.seed, epoch, number])
        a = self.augmentation
        zoom = float(np.exp(random.uniform(-a.zoom, a.zoom)))
        shift = tuple(random.uniform(-a.shift, a.shift, 2) * (framing.width, framing.height))
        view = view_of(crop_annotated(image, note, framing, zoom=zoom, shift=shift), note)
        return item.category, replace(view, image=_vary(view.image, a.color, random))


class CategoryBatches(Sampler[list[tuple[int, int]]]):
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
            # Batches of equal size as far as possible: normalisation by batch wants no tiny ones.
            batches += np.array_split(order, max(round(len(order) / self.size), 1))
        return [batches[i] for i in random.permutation(len(batches))]


def view_of(crop: Crop, note: Annotation) -> View:
    """A crop with the label's camera."""
    K = crop.matrix @ note.intrinsics
    return View((crop.image * 255).round().to(torch.uint8), note.viewmat.float(), K.float())


def collate(samples: Sequence[tuple[str, View]]) -> Batch:
    """Samples of one category as a batch."""
    views = [view for _, view in samples]
    images, viewmats, Ks = (
        torch.stack(parts) for parts in zip(*((v.image, v.viewmat, v.K) for v in views), strict=True)
    )
    return samples[0][0], images, viewmats, Ks


def cameras_of(batch: Batch, device: torch.device) -> Cameras:
    """The cameras of a batch's crops."""
    _, images, viewmats, Ks = batch
    return Cameras(viewmats.to(device), Ks.to(device), images.shape[-1], images.shape[-2])


def _vary(image: Tensor, amount: float, random: np.random.Generator) -> Tensor:
    """Other brightness, contrast and saturation."""
    brightness, contrast, saturation = np.exp(random.uniform(-amount, amount, 3)).tolist()
    pixels = image.float() / 255
    grey = pixels.mean(0, keepdim=True)
    pixels = (grey + saturation * (pixels - grey)) * brightness
    pixels = pixels.mean() + contrast * (pixels - pixels.mean())
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
