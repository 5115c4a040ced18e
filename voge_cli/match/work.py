"""What voge match does with a data set, and with an anchor and a gallery."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from voge.convert.files import load_model as load_object
from voge.errors import DataError, ExtractorError
from voge.io.cameras import load_cameras
from voge.io.files import atomic_folder
from voge.io.images import contact_sheet, cover, read_bytes, read_picture, write_png
from voge.io.settings import IMAGE_SUFFIXES
from voge.pose import matching
from voge.pose.data.crops import Framing, find_framing
from voge.pose.data.datasets import DataSet, Item, open_data
from voge.pose.data.frames import Frame, annotated_frame, stack
from voge.pose.estimation.instance import instance_frame
from voge.pose.network.features import STRIDE, fixed
from voge.pose.network.model import PoseModel, category_ellipsoids, holds_model, load_model
from voge.rendering.pixel_filter import on_cells, widened
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge_cli import outputs
from voge_cli.devices import choose_device
from voge_cli.errors import UsageError

if TYPE_CHECKING:
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.pose.schemas import MatchConfig


@dataclass(frozen=True, eq=False)
class _Looks:
    """What pictures are compared by."""

    network: nn.Module
    config: MatchConfig
    device: torch.device

    @torch.no_grad()
    def maps(self, images: Tensor) -> Tensor:
        """(B, h, w, C) on the device."""
        parts = [self.network(part.to(self.device)).float() for part in images.split(self.config.batch)]
        return torch.cat(parts).permute(0, 2, 3, 1).contiguous()

    def widened(self, ellipsoids: Ellipsoids, cells: Cameras) -> Ellipsoids:
        """The ellipsoids for cells of these cameras."""
        cell = float(cells.viewmats[:, 2, 3].mean() / cells.Ks[:, 0, 0].mean())
        return widened(ellipsoids.to(self.device), cell, self.config.filter)


def match_views(loaded: Loaded[MatchConfig], console: Console, *, overwrite: bool) -> tuple[object, dict[str, Any]]:
    """Match, and write; returns what to print and the figures."""
    config = loaded.value
    first = Path(config.inputs[0])
    folder = Path(config.out or f"{first.resolve().stem}_match")
    outputs.check_folder(folder, overwrite)
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    trained = None
    if config.model is not None and (first.is_dir() or holds_model(Path(config.model))):
        trained = load_model(Path(config.model)).to(chosen.device)
    try:
        network = fixed(config.features).to(chosen.device) if trained is None else trained.network
    except ExtractorError as error:
        raise UsageError(str(error)) from error
    looks = _Looks(network.eval(), config, chosen.device)
    if first.is_dir():
        text, document, sheet = _match_set(open_data(first), trained, looks, console)
    else:
        text, document, sheet = _match_anchor(first, looks, console)
    with atomic_folder(folder) as staging:
        (staging / "matches.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        write_png(staging / "sheet.png", contact_sheet(sheet))
        outputs.write_record(staging, "match", loaded.text())
    return f"{folder}\n{text}", {"out": str(folder), "device": str(chosen.device), **document}


def _match_set(
    data: DataSet, trained: PoseModel | None, looks: _Looks, console: Console
) -> tuple[str, dict[str, Any], list[list[Any]]]:
    """The table of a data set, and a sheet: an anchor a row, with its best match for each delta."""
    config = looks.config
    known = list(trained.categories) if trained is not None else data.categories
    texts, document, sheet = [], {}, []
    for name in config.categories or [c for c in known if c in data.categories]:
        items = data.items(name, config.split)[: config.limit]
        if trained is None:
            framing = find_framing([item.annotation() for item in items], config.size)
            ellipsoids = category_ellipsoids(data, name, config.shape, config.count)
        elif name in trained.categories:
            framing, ellipsoids = trained.categories[name].framing, trained.categories[name].ellipsoids
        else:
            raise UsageError(f"the model knows no {name}; it was trained for {', '.join(trained.categories)}")
        rows, best = _match_items(items, framing, ellipsoids, looks, console)
        texts.append(f"{name}\n{matching.match_table(rows, config.top)}")
        document[name] = [asdict(row) for row in rows]
        sheet += best
    return "\n\n".join(texts), {"categories": document}, sheet


def _match_items(
    items: Sequence[Item], framing: Framing, ellipsoids: Ellipsoids, looks: _Looks, console: Console
) -> tuple[list[matching.MatchFigures], list[list[Any]]]:
    config = looks.config
    with ThreadPoolExecutor(config.workers) as pool:
        made = pool.map(lambda item: annotated_frame(item, framing)[0], items)
        frames: list[Frame] = list(console.track(made, len(items), "pictures"))
    if len(frames) < 2:
        raise DataError(items[0].image if items else "the gallery", "a gallery needs at least two pictures")
    images, cameras = stack(frames)
    maps, cells = looks.maps(images), on_cells(cameras.to(looks.device), STRIDE)
    rotations = cells.viewmats[:, :3, :3].double()
    count = min(config.anchors, len(frames))
    shape = looks.widened(ellipsoids, cells)
    anchors = matching.sample_anchors(shape, maps[:count], cells[slice(count)], config.settings)
    rows, picked = [], []
    for delta in console.track(config.delta, len(config.delta), "deltas"):
        scores = matching.match_scores(shape, anchors, delta, maps, config.settings)
        scores.fill_diagonal_(-torch.inf)  # not the anchor itself
        wanted = anchors.turned(delta).viewmats[:, :3, :3].double()
        rows.append(matching.match_figures(scores, delta, wanted, rotations, config.top))
        picked.append(scores.argmax(1).tolist())
    sheet = [[_shown(images[i]), *(_shown(images[best[i]]) for best in picked)] for i in range(min(count, 4))]
    return rows, sheet


def _match_anchor(path: Path, looks: _Looks, console: Console) -> tuple[str, dict[str, Any], list[list[Any]]]:
    """The best matches of one anchor for every delta, and a sheet: a delta a row."""
    config = looks.config
    views = load_cameras(path, "pose")
    (view,) = views
    given = None if config.model is None or holds_model(Path(config.model)) else Path(config.model)
    model = given or views.model_path
    if view.image is None or model is None:
        missing = "image" if view.image is None else "model"
        raise DataError(path, f"names no {missing}", 'add "image" and "model", or give --model FILE')
    gallery = list(_pictures(config.inputs[1:]))
    if not gallery:
        raise UsageError("give a gallery after the anchor: pictures, or a folder of them")
    image = read_bytes(view.image)
    ellipsoids = console.told(load_object(model)).ellipsoids.to(torch.float32)
    try:
        frame, framing = instance_frame(image, ellipsoids, view.K, view.viewmat)
    except ValueError as error:
        raise DataError(path, str(error)) from error
    images, cameras = stack([frame])
    covered = [
        cover(read_picture(p), framing.width, framing.height) for p in console.track(gallery, len(gallery), "gallery")
    ]
    pictures = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in covered])
    cells = on_cells(cameras.to(looks.device), STRIDE)
    shape = looks.widened(ellipsoids, cells)
    anchors = matching.sample_anchors(shape, looks.maps(images), cells, config.settings)
    maps = looks.maps(pictures)
    found: list[dict[str, Any]] = []
    sheet = []
    for delta in config.delta:
        scores = matching.match_scores(shape, anchors, delta, maps, config.settings)[0]
        best = scores.topk(min(config.top, len(scores)))
        chosen, values = best.indices.tolist(), best.values.tolist()
        ranked = [{"picture": str(gallery[i]), "score": s} for i, s in zip(chosen, values, strict=True)]
        found.append({"delta": delta, "matches": ranked})
        sheet.append([_shown(images[0]), *(_shown(pictures[i]) for i in chosen)])
    lines = [
        f"{row['delta']:g}: " + ", ".join(f"{m['picture']} ({m['score']:.3f})" for m in row["matches"]) for row in found
    ]
    return "\n".join(lines), {"anchor": str(path), "deltas": found}, sheet


def _pictures(inputs: Sequence[str]) -> Iterator[Path]:
    for path in map(Path, inputs):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        else:
            yield path


def _shown(image: Tensor) -> Any:
    return image.permute(1, 2, 0).numpy()
