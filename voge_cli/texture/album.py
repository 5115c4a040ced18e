"""The pictures that `voge texture` leaves, their figures, and the page that shows them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.imaging.color import linear_to_srgb, srgb_to_linear
from voge.imaging.pictures import take_pictures
from voge.imaging.previews import FeaturePalette, show_share
from voge.imaging.settings import ColorSpace
from voge.io import images
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box
from voge.scene.viewpoints import resized, turned, upright_axis
from voge.texture import Extracted, shrunk, silhouette_weight
from voge_cli import report
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.texture.config import TextureConfig, parse_novel
from voge_cli.texture.inputs import Taken

CONTOUR = (1.0, 0.1, 0.6)  # of the silhouette: a color that few objects have
STRONGER = 2  # times that differences are shown brighter


def check_video(config: TextureConfig) -> None:
    """Refuse before the work what could not be written after it."""
    if config.turntable:
        try:
            images.check_video(f"a.{config.video.value}")
        except RuntimeError as error:
            raise UsageError(f"{error} (video=gif)") from error


class TextureAlbum:
    """Textured ellipsoids beside the images that they are from."""

    def __init__(
        self, textured: Ellipsoids, extracted: Extracted, taken: list[Taken], config: TextureConfig, console: Console
    ) -> None:
        self.textured, self.taken, self.config, self.console = textured, taken, config, console
        self.trust = replace(textured, features=show_share(extracted.confidence).to(textured.means))

    def write(self, folder: Path) -> dict[str, Any]:
        """images/KIND/VIEW.png and the turntable; returns the errors of the re-renders."""
        views = [self._write_input(folder / "images", each) for each in self.taken]
        for label in self.config.novel:
            camera = self._moved(self._small(self.taken[0].camera), *parse_novel(label))
            self._write(folder / "images" / "novel" / f"{label}.png", self._picture(self.textured, camera)[0])
            self._write(folder / "images" / "novel_confidence" / f"{label}.png", self._confidence(camera))
        if self.config.turntable:
            images.write_video(folder / self._video, self._frames(), fps=self.config.fps)
        kind = "psnr" if self.taken[0].photo.colors else "relative_error"
        return {kind: views[0][kind], "views": views}

    def write_report(self, folder: Path, figures: Mapping[str, Any]) -> None:
        """report.html."""
        shown = [self._row(folder / "images", each) for each in self.taken]
        novel = [
            report.figure(folder / "images" / kind / f"{label}.png", caption)
            for label in self.config.novel
            for kind, caption in (("novel", label), ("novel_confidence", f"{label}: what was seen"))
        ]
        video = [report.figure(folder / self._video, "turntable")] if self.config.turntable else []
        rows = {name: value for name, value in figures.items() if name not in ("views", "baked")}
        page = report.page(
            f"Texture of {self.taken[0].path.name}",
            report.text(
                "Colors of Gaussian ellipsoids from photos with known cameras. Confidence is yellow where the "
                "photos show an ellipsoid and dark blue where its color comes from others."
            ),
            *(part for row in shown for part in row),
            *novel,
            *video,
            report.table(rows),
            report.text("To repeat it, where the inputs are:"),
            report.commands([f"voge texture --config {shlex.quote('config.yaml')} -o again"]),
        )
        (folder / "report.html").write_text(page, encoding="utf-8")

    # ---- The photos --------------------------------------------------------------------------

    def _write_input(self, folder: Path, taken: Taken) -> dict[str, Any]:
        """Photo, overlay, re-render, difference and confidence of an image; returns how far the re-render is off."""
        picture, alpha, straight = self._picture(self.textured, taken.camera)
        photo = taken.photo.image
        target = (photo.float() / 255 if photo.dtype == torch.uint8 else photo).to(straight)
        margin = self.config.solving.margin
        share = silhouette_weight(alpha, margin) if taken.photo.alpha is None else taken.photo.alpha.to(alpha)
        share = share if taken.mask is None else share * taken.mask.to(alpha)
        counts = (share > 0.5) & (alpha > 0.5)
        off = (straight - target)[counts]
        shown = self._shown(target)
        if taken.photo.alpha is not None:
            shown = shown * taken.photo.alpha.to(shown)[..., None] + (1 - taken.photo.alpha.to(shown)[..., None])
        error = (self._shown(straight) - self._shown(target)).abs() * counts[..., None] * STRONGER
        rim = self._rim(alpha, max(alpha.shape) / self.config.size)
        named = {
            "photo": shown,
            "overlay": torch.where(rim[..., None], shown.new_tensor(CONTOUR), shown),
            "render": picture,
            "difference": error,
            "confidence": self._confidence(self._small(taken.camera)),
        }
        for kind, each in named.items():
            self._write(folder / kind / f"{taken.name}.png", each, shrink=kind != "render")
        found: dict[str, Any] = {"name": taken.name, "pixels": int(counts.sum())}
        square = float(off.double().square().mean()) if len(off) else math.nan
        if taken.photo.colors:
            found["psnr"] = round(-10 * math.log10(square), 2) if square > 0 else None
        else:
            size = float(target[counts].double().square().mean()) if len(off) else math.nan
            found["relative_error"] = round(math.sqrt(square / size), 4) if size > 0 else None
        return found

    def _row(self, folder: Path, taken: Taken) -> list[str]:
        """The figures of an image."""
        captions = {
            "photo": taken.path.name,
            "overlay": "silhouette of the model on it",
            "render": "re-render",
            "difference": f"difference, {STRONGER} times as bright",
            "confidence": "what was seen",
        }
        return [report.figure(folder / kind / f"{taken.name}.png", caption) for kind, caption in captions.items()]

    @staticmethod
    def _rim(alpha: Tensor, width: float) -> Tensor:
        """The outline (H, W) of what is more than half opaque, some pixels wide."""
        inside, reach = (alpha > 0.5).to(alpha), max(round(width), 1)
        outside = 1 - shrunk(1 - inside, reach)
        return (outside > 0.5) & (shrunk(inside, reach) < 0.5)

    # ---- Any view ----------------------------------------------------------------------------

    def _picture(self, ellipsoids: Ellipsoids, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
        """Over white (H, W, 3), alpha (H, W), and the attributes (H, W, C), not multiplied by alpha."""
        view = camera.to(ellipsoids.dtype).to(ellipsoids.device)
        settings, space = self.config.settings, self.config.color_space
        if self.palette is None:
            made = take_pictures(ellipsoids, view, settings, background=None, color_space=space)["rgb"]
            straight, alpha = made[..., :3], made[..., 3]
            linear = space is ColorSpace.linear
            over = torch.lerp(
                torch.ones_like(straight), srgb_to_linear(straight) if linear else straight, alpha[..., None]
            )
            return linear_to_srgb(over) if linear else over, alpha, straight
        both = take_pictures(ellipsoids, view, settings, outputs=("features", "alpha"))
        features, alpha = both["features"], both["alpha"]
        shown = self.palette.show(features, alpha) + (1 - alpha)[..., None]
        return shown, alpha, features / alpha.clamp_min(1e-6)[..., None]

    def _confidence(self, camera: Cameras) -> Tensor:
        view = camera.to(self.trust.dtype).to(self.trust.device)
        return take_pictures(self.trust, view, self.config.settings)["rgb"]

    @cached_property
    def palette(self) -> FeaturePalette | None:
        """How features become colors; None where they are."""
        features = self.textured.features
        assert features is not None
        return None if self.taken[0].photo.colors else FeaturePalette.of(features)

    def _shown(self, attributes: Tensor) -> Tensor:
        """Attributes (H, W, C) as colors (H, W, 3)."""
        if self.palette is None:
            return attributes
        return self.palette.show(attributes, torch.ones_like(attributes[..., 0])).clamp(0, 1)

    def _small(self, camera: Cameras, longest: int = 0) -> Cameras:
        """The camera with its longer side as given, `size` by default; never larger."""
        scale = min((longest or self.config.size) / max(camera.width, camera.height), 1.0)
        return resized(camera, max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))

    def _moved(self, camera: Cameras, azimuth: float, elevation: float) -> Cameras:
        """Around the middle of the object."""
        up = self.config.up.value if self.config.up else upright_axis(camera.viewmats[0])
        return turned(camera, bounding_box(self.textured).center, azimuth, elevation, up=up)

    def _frames(self) -> Iterator[NDArray[np.uint8]]:
        count, camera = self.config.turntable, self._small(self.taken[0].camera, self.config.turntable_size)
        for number in self.console.track(range(count), count, "turntable"):
            view = self._moved(camera, 360 * number / count, 0)
            yield images.to_bytes(self._picture(self.textured, view)[0].cpu())

    @property
    def _video(self) -> str:
        return f"turntable.{self.config.video.value}"

    def _write(self, path: Path, picture: Tensor, *, shrink: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = images.to_bytes(picture.detach().cpu())
        images.write_png(path, images.thumbnail(values, self.config.size) if shrink else values)
