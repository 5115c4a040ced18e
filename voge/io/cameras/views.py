"""Views: every reader of cameras gives them, and every writer takes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import torch
from torch import Tensor

from voge.scene.cameras import CameraModel, Cameras


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class View:
    """One camera of a file, in this package's convention (docs/conventions.md), on the CPU."""

    name: str  # the frame's file stem; unique among the views of a file
    viewmat: Tensor  # (4, 4) float64, world to camera, OpenCV axes
    K: Tensor  # (3, 3) float64, pixels
    width: int  # pixels
    height: int  # pixels
    model: CameraModel = CameraModel.pinhole
    distortion: Tensor | None = None  # (4, 5 or 8) float64 as in voge.Cameras
    image: Path | None = None  # the picture taken; may not be there
    mask: Path | None = None  # its foreground; may not be there

    @classmethod
    def of(cls, camera: Cameras, name: str, *, image: Path | None = None, mask: Path | None = None) -> View:
        """The view of a batch of one camera, under a name, with the files of its picture and its mask."""
        one = camera.to(torch.float64).to("cpu")
        return cls(
            name=name,
            viewmat=one.viewmats[0],
            K=one.Ks[0],
            width=one.width,
            height=one.height,
            model=CameraModel(one.model),
            distortion=None if one.distortion is None else one.distortion[0],
            image=image,
            mask=mask,
        )

    def cameras(self) -> Cameras:
        """A batch of this one view, float64."""
        distortion = None if self.distortion is None else self.distortion[None]
        return Cameras(self.viewmat[None], self.K[None], self.width, self.height, self.model, distortion)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Views that one call renders."""

    indices: tuple[int, ...]  # where they stand among all views
    cameras: Cameras  # V of them, float64


@dataclass(frozen=True, slots=True, eq=False)
class Views(Sequence[View]):
    """The views of a file, in its order."""

    views: tuple[View, ...]
    units: str = "unknown"  # of the poses: mm, cm, m or unknown
    format: str = ""  # the format they were read from
    object_id: int | None = None  # BOP: the object whose frame the world is
    model_path: Path | None = None  # the model that a pose.json names
    notes: tuple[str, ...] = ()  # what the user should know of the file, a line each

    @property
    def stored(self) -> bool:
        """True where the cameras are of their pictures' stored pixels; those of a single pose are of upright photos."""
        return self.format != "pose"

    def __len__(self) -> int:
        return len(self.views)

    @overload
    def __getitem__(self, index: int) -> View: ...

    @overload
    def __getitem__(self, index: slice) -> Views: ...

    def __getitem__(self, index: int | slice) -> View | Views:
        """A view, or the Views of a slice."""
        return replace(self, views=self.views[index]) if isinstance(index, slice) else self.views[index]

    def __iter__(self) -> Iterator[View]:
        return iter(self.views)

    def batches(self, size: int | None = None) -> list[Batch]:
        """Views of equal image size and model together, in the order of their first ones.

        Args:
            size: views a batch at most.
        """
        groups: dict[tuple[int, int, str, int], list[int]] = {}
        for index, view in enumerate(self.views):
            coefficients = 0 if view.distortion is None else len(view.distortion)
            groups.setdefault((view.width, view.height, view.model.value, coefficients), []).append(index)
        step = size or len(self.views) or 1
        return [self._batch(group[i : i + step]) for group in groups.values() for i in range(0, len(group), step)]

    def _batch(self, indices: list[int]) -> Batch:
        views = [self.views[index] for index in indices]
        bent = [view.distortion for view in views if view.distortion is not None]
        first = views[0]
        cameras = Cameras(
            torch.stack([view.viewmat for view in views]),
            torch.stack([view.K for view in views]),
            first.width,
            first.height,
            first.model,
            torch.stack(bent) if bent else None,
        )
        return Batch(tuple(indices), cameras)


def unique_names(files: Sequence[Path | None]) -> list[str]:
    """A name a frame: its file's stem; with the folders before it where stems repeat; its number without a file."""
    # A stem of dots alone would be no name of a file.
    names = [file.stem if file is not None and file.stem.strip(".") else f"{i:04d}" for i, file in enumerate(files)]
    for depth in range(1, 4):
        counts = Counter(names)
        if max(counts.values(), default=1) == 1:
            return names
        names = [
            "_".join([*file.parts[-1 - depth : -1], file.stem]).strip("/.")
            if file is not None and counts[name] > 1
            else name
            for name, file in zip(names, files, strict=True)
        ]
    counts = Counter(names)
    return [f"{name}_{i:04d}" if counts[name] > 1 else name for i, name in enumerate(names)]
