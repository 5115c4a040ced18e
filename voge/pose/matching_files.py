"""View matching from files: what `voge match` does with a data set, and with an anchor and a gallery.

matches = voge.pose.match("anchor.json", ["photos"], MatchSettings(delta=[0, 30]))
matches.document["deltas"][0]["matches"]
matches.save("folder")
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from voge.convert.files import load_model as load_object
from voge.errors import DataError, SettingsError
from voge.io.cameras import View, load_cameras
from voge.io.images import bytes_of, contact_sheet, cover, read_picture, write_png
from voge.io.photos import read_pixels
from voge.io.settings import IMAGE_SUFFIXES
from voge.pose import matching
from voge.pose.data.crops import Framing, find_framing
from voge.pose.data.datasets import DataSet, Item, open_data
from voge.pose.data.frames import Frame, annotated_frame, stack
from voge.pose.estimation.instance import instance_frame
from voge.pose.network.features import STRIDE, fixed
from voge.pose.network.model import PoseModel, category_ellipsoids, holds_model, load_model
from voge.pose.settings import MatchSettings
from voge.rendering.pixel_filter import on_cells, widened
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

SHOWN = 4  # anchors of a category that the sheet shows, at most

Track = Callable[[Iterable[Any], int, str], Iterator[Any]]
Sheet = list[list[NDArray[Any]]]


@dataclass(frozen=True, eq=False)
class Matches:
    """The matches of a data set or of an anchor."""

    document: dict[str, Any]  # plain numbers and texts: of a data set `categories`, of an anchor `anchor` and `deltas`
    text: str  # the same as lines to read
    sheet: Sheet  # rows of pictures (H, W, 3): an anchor and its matches
    notes: tuple[str, ...] = ()  # what the user should know of the files, a line each

    def save(self, folder: str | Path) -> None:
        """Write matches.json and sheet.png into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "matches.json").write_text(json.dumps(self.document, indent=2) + "\n", encoding="utf-8")
        write_png(folder / "sheet.png", contact_sheet(self.sheet))


def match(
    source: str | Path,
    gallery: Sequence[str | Path] = (),
    settings: MatchSettings | None = None,
    *,
    device: torch.device | str = "cpu",
    track: Track | None = None,
) -> Matches:
    """Find the pictures that show an object as it would look from elsewhere, as `voge match` does.

    Args:
        source: the folder of a data set, whose pictures are anchors and gallery; or pose.json of one anchor.
        gallery: of one anchor: pictures, and folders of them.
        settings: how pictures are compared.
        device: where to compute.
        track: hands on the items of an iterable while it tells progress; takes it, the number of items and a label.

    Raises:
        DataError: a file cannot be used.
        SettingsError: the settings do not suit the files.
        ExtractorError: there is no such extractor, or it needs a package that is missing.
    """
    source, settings = Path(source), settings or MatchSettings()
    trained = None
    if settings.model is not None and (source.is_dir() or holds_model(Path(settings.model))):
        trained = load_model(Path(settings.model)).to(torch.device(device))
    network = fixed(settings.features).to(device) if trained is None else trained.network
    matcher = _Matcher(
        network.eval(), settings, torch.device(device), track or (lambda items, _total, _label: iter(items))
    )
    if source.is_dir():
        return matcher.match_set(open_data(source), trained)
    return matcher.match_anchor(source, list(_pictures(gallery)))


@dataclass(frozen=True, eq=False)
class _Matcher:
    """An extractor, and how its features are compared."""

    network: nn.Module
    settings: MatchSettings
    device: torch.device
    track: Track

    def match_set(self, data: DataSet, trained: PoseModel | None) -> Matches:
        """The figures of a data set, and a sheet: an anchor a row, with its best match for each delta."""
        settings = self.settings
        known = list(trained.categories) if trained is not None else data.categories
        texts, document, sheet = [], {}, []
        for name in settings.categories or [c for c in known if c in data.categories]:
            items = data.items(name, settings.split)[: settings.limit]
            if trained is None:
                framing = find_framing([item.annotation() for item in items], settings.size)
                ellipsoids = category_ellipsoids(data, name, settings.shape, settings.count)
            elif name in trained.categories:
                framing, ellipsoids = trained.categories[name].framing, trained.categories[name].ellipsoids
            else:
                raise SettingsError(f"the model knows no {name}; it was trained for {', '.join(trained.categories)}")
            rows, best = self._match_items(items, framing, ellipsoids)
            texts.append(f"{name}\n{matching.match_table(rows, settings.top)}")
            document[name] = [asdict(row) for row in rows]
            sheet += best
        return Matches({"categories": document}, "\n\n".join(texts), sheet)

    def match_anchor(self, path: Path, gallery: Sequence[Path]) -> Matches:
        """The best matches of one anchor for every delta, and a sheet: a delta a row."""
        image, ellipsoids, view, notes = self._anchor(path)
        photo = read_pixels(image, size=(view.width, view.height))
        notes += photo.notes
        if not gallery:
            raise SettingsError("give a gallery after the anchor: pictures, or a folder of them")
        try:
            frame, framing = instance_frame(bytes_of(photo.values), ellipsoids, view.K, view.viewmat)
        except ValueError as error:
            raise DataError(path, str(error)) from error
        images, cameras = stack([frame])
        covered = [
            cover(read_picture(p), framing.width, framing.height) for p in self.track(gallery, len(gallery), "gallery")
        ]
        pictures = torch.stack([torch.from_numpy(picture).permute(2, 0, 1) for picture in covered])
        shape, anchors = self._sampled(ellipsoids, self._maps(images), on_cells(cameras.to(self.device), STRIDE))
        maps = self._maps(pictures)
        found: list[dict[str, Any]] = []
        sheet = []
        for delta in self.settings.delta:
            scores = matching.match_scores(shape, anchors, delta, maps, self.settings.settings)[0]
            best = scores.topk(min(self.settings.top, len(scores)))
            chosen, values = best.indices.tolist(), best.values.tolist()
            ranked = [{"picture": str(gallery[i]), "score": score} for i, score in zip(chosen, values, strict=True)]
            found.append({"delta": delta, "matches": ranked})
            sheet.append([_shown(images[0]), *(_shown(pictures[i]) for i in chosen)])
        lines = [
            f"{row['delta']:g}: " + ", ".join(f"{m['picture']} ({m['score']:.3f})" for m in row["matches"])
            for row in found
        ]
        return Matches({"anchor": str(path), "deltas": found}, "\n".join(lines), sheet, notes)

    def _match_items(
        self, items: Sequence[Item], framing: Framing, ellipsoids: Ellipsoids
    ) -> tuple[list[matching.MatchFigures], Sheet]:
        settings = self.settings
        with ThreadPoolExecutor(settings.workers) as pool:
            made = pool.map(lambda item: annotated_frame(item, framing)[0], items)
            frames: list[Frame] = list(self.track(made, len(items), "pictures"))
        if len(frames) < 2:
            raise DataError(items[0].image if items else "the gallery", "a gallery needs at least two pictures")
        images, cameras = stack(frames)
        maps, cells = self._maps(images), on_cells(cameras.to(self.device), STRIDE)
        count = min(settings.anchors, len(frames))
        shape, anchors = self._sampled(ellipsoids, maps[:count], cells, count)
        rotations = cells.viewmats[:, :3, :3].double()
        rows, picked = [], []
        for delta in self.track(settings.delta, len(settings.delta), "deltas"):
            scores = matching.match_scores(shape, anchors, delta, maps, settings.settings)
            scores.fill_diagonal_(-torch.inf)  # not the anchor itself
            wanted = anchors.turned(delta).viewmats[:, :3, :3].double()
            rows.append(matching.match_figures(scores, delta, wanted, rotations, settings.top))
            picked.append(scores.argmax(1).tolist())
        sheet = [[_shown(images[i]), *(_shown(images[best[i]]) for best in picked)] for i in range(min(count, SHOWN))]
        return rows, sheet

    def _anchor(self, path: Path) -> tuple[Path, Ellipsoids, View, tuple[str, ...]]:
        """An anchor's picture, its model and view, and the notes of the model's file."""
        views = load_cameras(path, "pose")
        (view,) = views
        model = self.settings.model
        shape = views.model_path if model is None or holds_model(Path(model)) else Path(model)
        if view.image is None or shape is None:
            missing = "image" if view.image is None else "model"
            raise DataError(path, f"names no {missing}", 'add "image" and "model", or give --model FILE')
        loaded = load_object(shape)
        return view.image, loaded.ellipsoids.to(torch.float32), view, loaded.notes

    @torch.no_grad()
    def _maps(self, images: Tensor) -> Tensor:
        """Feature maps (B, h, w, C) on the device."""
        parts = [self.network(part.to(self.device)).float() for part in images.split(self.settings.batch)]
        return torch.cat(parts).permute(0, 2, 3, 1).contiguous()

    def _sampled(
        self, ellipsoids: Ellipsoids, maps: Tensor, cells: Cameras, count: int = 1
    ) -> tuple[Ellipsoids, matching.Anchors]:
        """The ellipsoids widened for cells of all cameras, and what the first `count` of these show of them."""
        cell = float(cells.viewmats[:, 2, 3].mean() / cells.Ks[:, 0, 0].mean())
        shape = widened(ellipsoids.to(self.device), cell, self.settings.filter)
        return shape, matching.sample_anchors(shape, maps, cells[slice(count)], self.settings.settings)


def _pictures(paths: Sequence[str | Path]) -> Iterator[Path]:
    """The pictures named, and those in folders."""
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
        else:
            yield path


def _shown(image: Tensor) -> NDArray[Any]:
    return image.permute(1, 2, 0).numpy()
