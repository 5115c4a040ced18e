"""Poses of a whole data set: estimated in shards, kept in files, resumed, summed up in the field's table.

evaluation = evaluate("PASCAL3D+", "pose_run", folder="predictions", device="cuda")
print(evaluation.table())
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TextIO

import torch

from voge.errors import DataError, SettingsError
from voge.pose.data.datasets import DataSet, Item, open_data
from voge.pose.estimation.estimator import Estimator
from voge.pose.estimation.evaluation import Prediction, predict, summarize
from voge.pose.estimation.metrics import table
from voge.pose.network.model import PoseModel, load_model
from voge.pose.settings import SetEstimation
from voge.pose.shards import Shard

FOLDER = "predictions"  # of files with one line an image


class Evaluation:
    """The images of a data set's lists, or of a shard of them, and what is known of their poses."""

    def __init__(
        self,
        data: DataSet,
        model: PoseModel,
        settings: SetEstimation,
        shard: Shard | None = None,
    ) -> None:
        """List the images.

        Args:
            data: the set.
            model: on its device.
            settings: how, and which images.
            shard: estimate only this part of the images.

        Raises:
            DataError: a list is missing.
            SettingsError: the model was not trained for the categories.
        """
        self.model, self.settings, self.shard = model, settings, shard or Shard()
        self.items = _items(data, model, settings)
        self.work = self.shard.of(self.items)
        self.known: dict[str, Prediction] = {}
        self.folder: Path | None = None
        self.seconds = 0.0  # that `run` took

    def keep(self, folder: str | Path) -> None:
        """Keep predictions in a folder; images that have one there, whoever made it, are not estimated again.

        Raises:
            DataError: a line of the folder's files is no prediction.
        """
        self.folder = Path(folder)
        self.known = {made.key: made for made in read_predictions(self.folder)}
        self.work = [item for item in self.work if item.key not in self.known]

    @property
    def notes(self) -> tuple[str, ...]:
        """The number of images and how many are left, as a line for the user."""
        images, work = len(self.items), len(self.work)
        return (f"{images} images, shard {self.shard}: {work} to estimate, {images - work} not",)

    def run(self) -> Iterator[Prediction]:
        """Estimate the images that have no prediction; each prediction is kept at once, then yielded."""
        started = time.perf_counter()
        keeping = nullcontext() if self.folder is None else _appended(self.folder, self.shard)
        with keeping as file:
            for name, category in self.model.categories.items():
                estimator = Estimator(self.model.network, category, self.settings)
                items = [item for item in self.work if item.category == name]
                for made in predict(estimator, items, self.settings.batch, self.settings.workers):
                    if file is not None:
                        file.write(json.dumps(made.document()) + "\n")
                        file.flush()
                    self.known[made.key] = made
                    yield made
        self.seconds = time.perf_counter() - started

    @property
    def predictions(self) -> list[Prediction]:
        """The predictions of the images, in order; images without a prediction are left out."""
        return [self.known[item.key] for item in self.items if item.key in self.known]

    def document(self) -> dict[str, Any]:
        """Return the figures, plain values for a JSON file."""
        made = self.predictions
        return {
            "images": len(self.items),
            "predictions": len(made),
            "failures": sum(one.failure is not None for one in made),
            "levels": {
                level: {name: _finite(figures.document()) for name, figures in rows.items()}
                for level, rows in summarize(made).items()
            },
            "estimated_now": len(self.work),
            "seconds": round(self.seconds, 3),
        }

    def table(self) -> str:
        """Return the field's table of each level, as text."""
        levels = summarize(self.predictions)
        return "\n\n".join(f"{level}\n{table(rows)}" for level, rows in levels.items() if rows)


def evaluate(
    data: str | Path,
    model: PoseModel | str | Path,
    settings: SetEstimation | None = None,
    *,
    folder: str | Path | None = None,
    shard: Shard | None = None,
    device: str | torch.device = "cpu",
) -> Evaluation:
    """Estimate the poses of a data set's objects, as `voge pose estimate` does.

    Args:
        data: folder of PASCAL3D+ or ObjectNet3D.
        model: of `train`, or its run or file.
        settings: how, and which images.
        folder: where predictions are kept: another call estimates only what is missing. None: nowhere.
        shard: estimate only this part of the images.
        device: where.

    Raises:
        DataError: the data set or the model cannot be used.
        SettingsError: the model was not trained for the categories.
    """
    settings = settings or SetEstimation()
    trained = model if isinstance(model, PoseModel) else load_model(model)
    opened = open_data(Path(data), None if settings.occluded is None else Path(settings.occluded))
    evaluation = Evaluation(opened, trained.to(torch.device(device)), settings, shard)
    if folder is not None:
        evaluation.keep(folder)
    for _ in evaluation.run():
        pass
    return evaluation


def read_predictions(folder: Path) -> Iterator[Prediction]:
    """All predictions in a folder, whoever made them; a line that was cut off while it was written counts for nothing.

    Raises:
        DataError: a line is no prediction.
    """
    for path in sorted((folder / FOLDER).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield Prediction.read(json.loads(line))
            except json.JSONDecodeError:
                continue
            except (KeyError, TypeError) as error:
                raise DataError(
                    path, "has a line that is no prediction", "delete the file to estimate again"
                ) from error


def forget_predictions(folder: Path) -> None:
    """Delete the files of predictions in a folder."""
    for path in (folder / FOLDER).glob("*.jsonl"):
        path.unlink()


@contextmanager
def _appended(folder: Path, shard: Shard) -> Iterator[TextIO]:
    """The file that a shard's predictions are added to."""
    path = folder / FOLDER / f"{shard.number}of{shard.count}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        file.seek(0)
        if (text := file.read()) and not text.endswith("\n"):  # cut off: keep it apart from what follows
            file.write("\n")
        yield file


def _items(data: DataSet, model: PoseModel, settings: SetEstimation) -> list[Item]:
    """The images, all of a category and level together."""
    trained = ", ".join(model.categories)
    missing = sorted(set(settings.categories or []) - set(model.categories))
    if missing:
        raise SettingsError(f"the model knows no {', '.join(missing)}; it was trained for {trained}")
    chosen = settings.categories or [name for name in model.categories if name in data.categories]
    if not chosen:
        raise SettingsError(f"{data.root} has none of the model's categories, {trained}")
    return [
        item
        for category in chosen
        for level in settings.levels
        for item in data.items(category, settings.split, level)[: settings.limit]
    ]


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: a median of failures is null."""
    return {name: value if value != float("inf") else None for name, value in figures.items()}
