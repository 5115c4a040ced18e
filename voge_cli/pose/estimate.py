"""What voge pose estimate does with a data set: predictions kept in files, and the field's table."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from voge.errors import DataError, ExtractorError
from voge.io.files import atomic_file
from voge.pose.data.datasets import DataSet, Item, open_data
from voge.pose.estimation.estimator import Estimator
from voge.pose.estimation.evaluation import Prediction, predict, summarize
from voge.pose.estimation.metrics import table
from voge.pose.estimation.refinement import Free
from voge.pose.network.model import PoseModel, load_model
from voge_cli import outputs
from voge_cli.devices import Chosen, choose_device
from voge_cli.errors import UsageError
from voge_cli.shards import Shard, find_shard

if TYPE_CHECKING:
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.pose.schemas import PoseEstimateConfig

COMMAND = "pose estimate"
PREDICTIONS = "predictions"  # folder of files with one line an image


def estimate(loaded: Loaded[PoseEstimateConfig], console: Console, *, overwrite: bool) -> tuple[object, dict[str, Any]]:
    """A data set's folder, or pictures; returns what to print and the figures."""
    config = loaded.value
    if not config.inputs:
        raise UsageError("give the folder of a data set, or pictures: voge pose estimate INPUT --model RUN")
    if config.model is None:
        raise UsageError("give the model: --model RUN of voge pose train, or with --features the object's file")
    first = Path(config.inputs[0])
    if first.is_dir():
        if len(config.inputs) > 1 or config.features is not None:
            raise UsageError("a data set is estimated alone, with a trained model; give pictures for anything else")
        return estimate_set(loaded, first, console, overwrite=overwrite)
    from voge_cli.pose.pictures import estimate_pictures

    return estimate_pictures(loaded, console, overwrite=overwrite)


def estimate_set(
    loaded: Loaded[PoseEstimateConfig], root: Path, console: Console, *, overwrite: bool
) -> tuple[object, dict[str, Any]]:
    """All images of a data set's lists, or a shard of them; those that have a prediction already are passed over."""
    config = loaded.value
    shard = find_shard(config.shard)
    folder = Path(config.out or f"{root.resolve().name}_pose")
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    model = load_trained(config, chosen)
    data = open_data(root, None if config.occluded is None else Path(config.occluded))
    items = _items(data, model, config)
    record = loaded.filled({"out": None, "shard": None, "workers": 1, "device": "auto", "limit": None, "levels": ["L0"],
                            "categories": None}).text()  # fmt: skip
    _begin(folder, record, overwrite)
    known = {made.key: made for made in read_predictions(folder)}
    work = [item for item in shard.of(items) if item.key not in known]
    console.note(f"{len(items)} images, shard {shard}: {len(work)} to estimate, {len(items) - len(work)} not")
    started = time.perf_counter()
    with _Lines(folder, shard) as lines:
        for made in console.track(_predicted(work, model, config), len(work), "images"):
            lines.add(made)
            known[made.key] = made
            if made.failure is not None:
                console.note(f"failed: {made.failure}")
    seconds = time.perf_counter() - started
    wanted = [known[item.key] for item in items if item.key in known]
    document = _document(folder, wanted, len(items), len(work), seconds, chosen)
    with atomic_file(folder / "metrics.json") as temporary:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    figures = {level: rows for level, rows in summarize(wanted).items() if rows}
    text = "\n\n".join(f"{level}\n{table(rows)}" for level, rows in figures.items())
    return "\n".join(filter(None, [str(folder), text])), document


def load_trained(config: PoseEstimateConfig, chosen: Chosen) -> PoseModel:
    """The model of a run, on its device."""
    assert config.model is not None
    try:
        return load_model(Path(config.model)).to(chosen.device)
    except ExtractorError as error:
        raise UsageError(f"{config.model}: {error}") from error


def read_predictions(folder: Path) -> Iterator[Prediction]:
    """All predictions in a folder, whoever made them; a line that was cut off while it was written counts for nothing.

    Raises:
        DataError: a line is no prediction.
    """
    for path in sorted((folder / PREDICTIONS).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield Prediction.read(json.loads(line))
            except json.JSONDecodeError:
                continue
            except (KeyError, TypeError) as error:
                raise DataError(
                    path, "has a line that is no prediction", "delete the file to estimate again"
                ) from error


class _Lines:
    """The file that a shard's predictions are added to, a line each, at once."""

    def __init__(self, folder: Path, shard: Shard) -> None:
        path = folder / PREDICTIONS / f"{shard.number}of{shard.count}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a+", encoding="utf-8")

    def __enter__(self) -> _Lines:
        self.file.seek(0)
        if (text := self.file.read()) and not text.endswith("\n"):  # cut off: keep it apart from what follows
            self.file.write("\n")
        return self

    def add(self, made: Prediction) -> None:
        self.file.write(json.dumps(made.document()) + "\n")
        self.file.flush()

    def __exit__(self, *_error: object) -> None:
        self.file.close()


def _items(data: DataSet, model: PoseModel, config: PoseEstimateConfig) -> list[Item]:
    """The images, all of a category and level together."""
    missing = sorted(set(config.categories or []) - set(model.categories))
    if missing:
        raise UsageError(f"the model knows no {', '.join(missing)}; it was trained for {', '.join(model.categories)}")
    chosen = config.categories or [name for name in model.categories if name in data.categories]
    if not chosen:
        raise UsageError(f"{data.root} has none of the model's categories, {', '.join(model.categories)}")
    return [
        item
        for category in chosen
        for level in config.levels
        for item in data.items(category, config.split, level)[: config.limit]
    ]


def _predicted(work: list[Item], model: PoseModel, config: PoseEstimateConfig) -> Iterator[Prediction]:
    how = config.estimation(Free.rotation)
    for name, category in model.categories.items():
        estimator = Estimator(model.network, category, how)
        items = [item for item in work if item.category == name]
        yield from predict(estimator, items, config.batch, config.workers)


def _begin(folder: Path, record: str, overwrite: bool) -> None:
    """A fresh folder, or one whose predictions were made with the same configuration."""
    path = folder / outputs.RECORD
    if outputs.is_record(path, COMMAND) and not overwrite:
        if path.read_text(encoding="utf-8").split("\n", 1)[1].strip() == record.strip():
            return
        raise UsageError(f"{folder} has predictions of another model or configuration; add --overwrite or choose --out")
    outputs.check_folder(folder, overwrite)
    for old in (folder / PREDICTIONS).glob("*.jsonl"):
        old.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    outputs.write_record(folder, COMMAND, record)


def _document(
    folder: Path, made: list[Prediction], wanted: int, estimated: int, seconds: float, chosen: Chosen
) -> dict[str, Any]:
    return {
        "out": str(folder),
        "images": wanted,
        "predictions": len(made),
        "failures": sum(one.failure is not None for one in made),
        "levels": {
            level: {name: _finite(figures.document()) for name, figures in rows.items()}
            for level, rows in summarize(made).items()
        },
        "estimated_now": estimated,
        "seconds": round(seconds, 3),
        "device": str(chosen.device),
        "gpu": torch.cuda.get_device_name(chosen.device) if chosen.device.type == "cuda" else None,
    }


def _finite(figures: dict[str, float]) -> dict[str, float | None]:
    """JSON has no infinity: a median of failures is null."""
    return {name: value if value != float("inf") else None for name, value in figures.items()}
