"""The page of `voge texture`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voge.texture.album import STRONGER, TextureAlbum
from voge_cli import report

CAPTIONS = {
    "overlay": "silhouette of the model on it",
    "render": "re-render",
    "difference": f"difference, {STRONGER} times as bright",
    "confidence": "what was seen",
}


def write_page(folder: Path, album: TextureAlbum, figures: Mapping[str, Any]) -> None:
    """Write report.html beside the pictures of an album that was written to the same folder."""
    images = folder / "images"
    shown = [
        report.figure(images / kind / f"{image.name}.png", caption)
        for image in album.posed
        for kind, caption in {"photo": image.path.name, **CAPTIONS}.items()
    ]
    novel = [
        report.figure(images / kind / f"{label}.png", caption)
        for label in album.settings.novel
        for kind, caption in (("novel", label), ("novel_confidence", f"{label}: what was seen"))
    ]
    page = report.page(
        f"Texture of {album.posed[0].path.name}",
        report.text(
            "Colors of Gaussian ellipsoids from photos with known cameras. Confidence is yellow where the "
            "photos show an ellipsoid and dark blue where its color comes from others."
        ),
        *shown,
        *novel,
        *([report.figure(folder / album.video, "turntable")] if album.video else []),
        report.table({name: value for name, value in figures.items() if name not in ("views", "baked")}),
        report.text("To repeat it, where the inputs are:"),
        report.commands([f"voge texture --config {shlex.quote('config.yaml')} -o again"]),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
