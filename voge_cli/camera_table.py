"""Views as a document and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from voge.imaging.scale_check import Proportions, proportions, sanity
from voge.io.cameras import View, Views
from voge.scene.ellipsoids import Ellipsoids

HEAD = ("view", "size", "focal", "principal point", "lens", "center", "looks along")


def describe(file: str, views: Views, model: Ellipsoids | None) -> dict[str, Any]:
    """What a user asks about cameras first, as plain numbers and strings."""
    found = None if model is None else proportions(model, views)
    items = [_view(view, found, index) for index, view in enumerate(views)]
    document = {"file": file, "format": views.format, "units": views.units, "views": items}
    if model is None or found is None:
        return document
    units = model.metadata.get("units", "unknown")
    return {
        **document,
        "model": {"diameter": _short(found.diameter), "units": units, "summary": str(found)},
        "warnings": sanity(model, views),
    }


def table(document: dict[str, Any]) -> list[str]:
    """Lines: what the file is, a row a view, and the object's size."""
    views = document["views"]
    kind = f"{document['format']}, {len(views)} {'view' if len(views) == 1 else 'views'}, units {document['units']}"
    with_model = "distance" in views[0]
    rows = [HEAD + (("distance", "object px") if with_model else ()), *(_row(view) for view in views)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [kind, *lines, *([document["model"]["summary"]] if with_model else [])]


def _view(view: View, found: Proportions | None, index: int) -> dict[str, Any]:
    (fx, skew, cx), (_, fy, cy), _ = view.K.tolist()
    cameras = view.cameras()
    item = {
        "name": view.name,
        "width": view.width,
        "height": view.height,
        "focal": [_short(fx), _short(fy)],
        "principal_point": [_short(cx), _short(cy)],
        "skew": _short(skew),
        "model": view.model.value,
        "distortion": None if view.distortion is None else [_short(k) for k in view.distortion.tolist()],
        "center": [_short(x) for x in cameras.centers[0].tolist()],
        "looks_along": [_short(x) for x in cameras.forwards[0].tolist()],
        "image": None if view.image is None else str(view.image),
        "mask": None if view.mask is None else str(view.mask),
    }
    if found is None:
        return item
    sight = found.sights[index]
    return {**item, "distance": _short(sight.distance), "object_pixels": _short(sight.size)}


def _row(view: dict[str, Any]) -> tuple[str, ...]:
    lens = view["model"] + (" skew" if view["skew"] else "")
    row = (
        view["name"],
        f"{view['width']}x{view['height']}",
        _numbers(view["focal"]),
        _numbers(view["principal_point"]),
        lens,
        _numbers(view["center"]),
        _numbers(view["looks_along"]),
    )
    return (*row, f"{view['distance']:.4g}", f"{view['object_pixels']:.0f}") if "distance" in view else row


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _short(number: float) -> float:
    # Noise of 1e-17 would fill the table.
    return float(f"{number:.6g}") if abs(number) > 1e-12 else 0.0
