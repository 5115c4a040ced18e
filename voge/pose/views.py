"""Training and test pictures of one category after the other, from a data set's lists."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from voge.cameras import Cameras
from voge.io.images import read_bytes
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
    mirror: bool = False  # half of them mirrored, for categories that are their own mirror image in x
    hide: float = 0.0  # patches over up to this share of the crop, whose features are then background's

    def __post_init__(self) -> None:
        for name in ("zoom", "shift", "color", "hide"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One crop with its camera."""

    image: Tensor  # (3, H, W) uint8
    viewmat: Tensor  # (4, 4) float32, the model's frame to the camera's
    K: Tensor  # (3, 3) float32, of the crop
    visible: Tensor  # (H, W) bool: not behind a patch


# Category, images (V, 3, H, W) uint8, viewmats (V, 4, 4), Ks (V, 3, 3), visible (V, H, W)
Batch = tuple[str, Tensor, Tensor, Tensor, Tensor]


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
        image = read_bytes(item.image)
        framing = self.framings[item.category]
        if self.augmentation is None:
            return item.category, view_of(crop_annotated(image, note, framing), note)
        random = np.random.default_rng([self.seed, epoch, number])
        a = self.augmentation
        zoom = float(np.exp(random.uniform(-a.zoom, a.zoom)))
        shift = tuple(random.uniform(-a.shift, a.shift, 2) * (framing.width, framing.height))
        view = view_of(crop_annotated(image, note, framing, zoom=zoom, shift=shift), note)
        if a.mirror and random.random() < 0.5:
            view = mirrored(view)
        image_, visible = _hide(_vary(view.image, a.color, random), a.hide, random)
        return item.category, replace(view, image=image_, visible=visible)


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
    everything = torch.ones(crop.image.shape[1:], dtype=torch.bool)
    return View((crop.image * 255).round().to(torch.uint8), note.viewmat.float(), K.float(), everything)


def mirrored(view: View) -> View:
    """The view of an object that is its own mirror image in x, as a mirror shows it."""
    flip = torch.diag(view.viewmat.new_tensor([-1, 1, 1, 1]))
    K = view.K.clone()
    K[0, 2] = view.image.shape[-1] - K[0, 2]
    return View(view.image.flip(-1), flip @ view.viewmat @ flip, K, view.visible.flip(-1))


def collate(samples: Sequence[tuple[str, View]]) -> Batch:
    """Samples of one category as a batch."""
    views = [view for _, view in samples]
    parts = zip(*((v.image, v.viewmat, v.K, v.visible) for v in views), strict=True)
    images, viewmats, Ks, visible = (torch.stack(part) for part in parts)
    return samples[0][0], images, viewmats, Ks, visible


def cameras_of(batch: Batch, device: torch.device) -> Cameras:
    """The cameras of a batch's crops."""
    _, images, viewmats, Ks, _ = batch
    return Cameras(viewmats.to(device), Ks.to(device), images.shape[-1], images.shape[-2])


def _hide(image: Tensor, most: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A picture (3, H, W) with ellipses and boxes over it, of its own pixels from elsewhere in other colours."""
    _, height, width = image.shape
    pixels, visible = image.numpy().copy(), np.ones((height, width), bool)
    wanted = random.uniform(0, most)
    while most and 1 - visible.mean() < wanted:
        cy, cx = random.uniform(0.1, 0.9, 2) * (height, width)
        ry, rx = random.uniform(0.08, 0.3, 2) * min(height, width)
        # Only what the patch can cover is looked at.
        y = np.arange(max(math.floor(cy - ry), 0), min(math.ceil(cy + ry) + 1, height))
        x = np.arange(max(math.floor(cx - rx), 0), min(math.ceil(cx + rx) + 1, width))
        v, u = np.abs(y - cy)[:, None] / ry, np.abs(x - cx) / rx
        patch = (np.maximum(u, v) if random.random() < 0.5 else np.hypot(u, v)) < 1
        down, right = random.integers(0, (height, width))
        other = pixels[random.permutation(3)][:, (y - down)[:, None] % height, (x - right) % width]
        other = other if random.random() < 0.5 else 255 - other
        part = np.s_[y[0] : y[-1] + 1, x[0] : x[-1] + 1]
        np.copyto(pixels[(slice(None), *part)], other, where=patch)
        visible[part] &= ~patch
    return torch.from_numpy(pixels), torch.from_numpy(visible)


def _vary(image: Tensor, amount: float, random: np.random.Generator) -> Tensor:
    """Other brightness, contrast and saturation."""
    brightness, contrast, saturation = np.exp(random.uniform(-amount, amount, 3)).tolist()
    pixels = image.float() / 255
    grey = pixels.mean(0, keepdim=True)
    pixels.sub_(grey).mul_(saturation).add_(grey).mul_(brightness)
    mean = pixels.mean()
    return pixels.sub_(mean).mul_(contrast).add_(mean).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
