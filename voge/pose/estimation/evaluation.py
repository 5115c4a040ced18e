"""Poses of many images, and how far they are from the truth; one image that cannot be used costs itself alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from voge.errors import DataError
from voge.geometry.rigid import rotation_error
from voge.pose.data.angles import from_rotation
from voge.pose.data.datasets import Item
from voge.pose.data.frames import Frame, annotated_frame, stack
from voge.pose.data.records import Annotation
from voge.pose.estimation.estimator import Estimate, Estimator
from voge.pose.estimation.metrics import Figures, by_category


@dataclass(frozen=True, slots=True)
class Prediction:
    """The estimate of one image, as files keep it."""

    category: str
    level: str
    name: str
    viewmat: list[list[float]] | None = None  # rows; None: see `failure`
    score: float = 0.0
    margin: float = 0.0
    error: float | None = None  # degrees from the truth
    failure: str | None = None  # one line

    @property
    def key(self) -> str:
        """The key of the image, as `Item.key`."""
        return f"{self.category}/{self.level}/{self.name}"

    def document(self) -> dict[str, Any]:
        """Return plain values for a JSON file, with the angles of the viewpoint."""
        made: dict[str, Any] = {"category": self.category, "level": self.level, "name": self.name}
        if self.viewmat is None:
            return {**made, "failure": self.failure}
        rotation = torch.tensor(self.viewmat, dtype=torch.float64)[:3, :3]
        angles = {name: round(float(angle), 4) for name, angle in from_rotation(rotation)._asdict().items()}
        return {**made, **angles, "viewmat": self.viewmat, "score": self.score, "margin": self.margin,
                "error_deg": self.error}  # fmt: skip

    @classmethod
    def read(cls, made: dict[str, Any]) -> Prediction:
        """Undo `document`.

        Raises:
            KeyError: something is missing.
        """
        head = (made["category"], made["level"], made["name"])
        if "failure" in made:
            return cls(*head, failure=made["failure"])
        return cls(*head, made["viewmat"], made["score"], made["margin"], made["error_deg"])


def predict(estimator: Estimator, items: Sequence[Item], batch: int, workers: int = 4) -> Iterator[Prediction]:
    """Estimate the poses of images of the estimator's category; yields one prediction an image, in order.

    Args:
        estimator: of one category.
        items: of that category.
        batch: images that are estimated together.
        workers: threads that read ahead.
    """
    framing = estimator.category.framing

    def read(item: Item) -> tuple[Item, Frame, Annotation] | Prediction:
        try:
            return item, *annotated_frame(item, framing)
        except DataError as error:
            return Prediction(item.category, item.level, item.name, failure=str(error))

    with ThreadPoolExecutor(workers) as pool:
        waiting = pool.map(read, items[:batch])
        for start in range(batch, len(items) + batch, batch):
            read_ones = list(waiting)
            waiting = pool.map(read, items[start : start + batch])  # while these are estimated
            frames = [one for one in read_ones if not isinstance(one, Prediction)]
            found = iter(estimator(*stack([frame for _, frame, _ in frames])) if frames else [])
            for one in read_ones:
                yield one if isinstance(one, Prediction) else _prediction(one[0], one[2], next(found))


def summarize(predictions: Iterable[Prediction]) -> dict[str, dict[str, Figures]]:
    """Figures of each category and their mean, by level; failures count as wrong."""
    levels: dict[str, dict[str, list[float]]] = {}
    for made in predictions:
        error = math.inf if made.error is None else made.error
        levels.setdefault(made.level, {}).setdefault(made.category, []).append(error)
    return {level: by_category(errors) for level, errors in sorted(levels.items())}


def _prediction(item: Item, note: Annotation, found: Estimate) -> Prediction:
    error = rotation_error(found.viewmat[:3, :3], note.viewmat[:3, :3])
    return Prediction(
        item.category, item.level, item.name, found.viewmat.tolist(), found.score, found.margin, float(error)
    )
