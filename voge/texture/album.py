"""Pictures of textured ellipsoids beside the photos that their colors are from, and how far the re-renders are off."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.imaging.album import Track, untracked
from voge.imaging.color import linear_to_srgb, srgb_to_linear
from voge.imaging.pictures import take_pictures
from voge.imaging.previews import FeaturePalette, show_share
from voge.imaging.settings import ColorSpace
from voge.io import images
from voge.scene.cameras import Cameras
from voge.scene.extent import bounding_box
from voge.scene.viewpoints import around, resized, turned, upright_axis
from voge.texture.extraction import shrunk, silhouette_weight
from voge.texture.pipeline import Textured
from voge.texture.posed_images import PosedImage
from voge.texture.settings import TextureAlbumSettings, parse_novel

Frame = NDArray[np.uint8]

CONTOUR = (1.0, 0.1, 0.6)  # of the silhouette: a color that few objects have
STRONGER = 2  # times that differences are shown brighter


class TextureAlbum:
    """Pictures of textured ellipsoids.

    Args:
        textured: the ellipsoids and the photos that they are from.
        settings: which pictures.
    """

    def __init__(self, textured: Textured, settings: TextureAlbumSettings | None = None) -> None:
        self.textured, self.settings = textured, settings or TextureAlbumSettings()
        self.ellipsoids, self.posed = textured.ellipsoids, textured.posed.images
        self.trust = replace(
            self.ellipsoids, features=show_share(textured.extracted.confidence).to(self.ellipsoids.means)
        )

    @property
    def video(self) -> str | None:
        """The name of the turntable's file; None without one."""
        return f"turntable.{self.settings.video.value}" if self.settings.turntable else None

    def write(self, folder: str | Path, track: Track = untracked) -> dict[str, Any]:
        """Write images/KIND/VIEW.png and the turntable.

        Args:
            folder: where to.
            track: passes the frames of the turntable on, and shows how far they are.

        Returns:
            The errors of the re-renders: "psnr" in dB of photos or "relative_error" of feature maps, of the first
            image, and "views" with those of all.

        Raises:
            SettingsError: an mp4 without ffmpeg (see `voge.io.images.check_video`).
        """
        folder = Path(folder)
        views = [self._write_input(folder / "images", each) for each in self.posed]
        for label in self.settings.novel:
            camera = self._moved(self._small(self.posed[0].camera), *parse_novel(label))
            self._write(folder / "images" / "novel" / f"{label}.png", self._picture(camera)[0])
            self._write(folder / "images" / "novel_confidence" / f"{label}.png", self._confidence(camera))
        if self.video is not None:
            frames = track(self.frames(), self.settings.turntable, "turntable")
            images.write_video(folder / self.video, iter(frames), fps=self.settings.fps)
        kind = "psnr" if self.textured.posed.colors else "relative_error"
        first = {kind: views[0][kind]} if kind in views[0] else {}
        return {**first, "views": views}

    def frames(self) -> Iterator[Frame]:
        """The frames (H, W, 3) of the turntable, once around from the first photo's camera."""
        camera = self._small(self.posed[0].camera, self.settings.turntable_size)
        for azimuth in around(self.settings.turntable):
            yield images.to_bytes(self._picture(self._moved(camera, azimuth, 0))[0].cpu())

    # ---- The photos --------------------------------------------------------------------------

    def _write_input(self, folder: Path, image: PosedImage) -> dict[str, Any]:
        """Photo, overlay, re-render, difference and confidence of an image; returns how far the re-render is off."""
        picture, alpha, straight = self._picture(image.camera)
        photo = image.photo.image
        target = (photo.float() / 255 if photo.dtype == torch.uint8 else photo).to(straight)
        margin = self.textured.settings.solving.margin
        share = silhouette_weight(alpha, margin) if image.photo.alpha is None else image.photo.alpha.to(alpha)
        share = share if image.mask is None else share * image.mask.to(alpha)
        counts = (share > 0.5) & (alpha > 0.5)
        off = (straight - target)[counts]
        shown = self._shown(target)
        if image.photo.alpha is not None:
            shown = shown * image.photo.alpha.to(shown)[..., None] + (1 - image.photo.alpha.to(shown)[..., None])
        error = (self._shown(straight) - self._shown(target)).abs() * counts[..., None] * STRONGER
        rim = self._rim(alpha, max(alpha.shape) / self.settings.size)
        named = {
            "photo": shown,
            "overlay": torch.where(rim[..., None], shown.new_tensor(CONTOUR), shown),
            "render": picture,
            "difference": error,
            "confidence": self._confidence(self._small(image.camera)),
        }
        for kind, each in named.items():
            self._write(folder / kind / f"{image.name}.png", each, shrink=kind != "render")
        found: dict[str, Any] = {"name": image.name, "pixels": int(counts.sum())}
        if not len(off):  # no figure of nothing
            return found
        square = float(off.double().square().mean())
        if image.photo.colors:
            found["psnr"] = round(min(-10 * math.log10(max(square, 1e-10)), 100.0), 2)
        elif (size := float(target[counts].double().square().mean())) > 0:
            found["relative_error"] = round(math.sqrt(square / size), 4)
        return found

    @staticmethod
    def _rim(alpha: Tensor, width: float) -> Tensor:
        """The outline (H, W) of what is more than half opaque, some pixels wide."""
        inside, reach = (alpha > 0.5).to(alpha), max(round(width), 1)
        outside = 1 - shrunk(1 - inside, reach)
        return (outside > 0.5) & (shrunk(inside, reach) < 0.5)

    # ---- Any view ----------------------------------------------------------------------------

    def _picture(self, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
        """Over white (H, W, 3), alpha (H, W), and the attributes (H, W, C), not multiplied by alpha."""
        ellipsoids, settings, space = (
            self.ellipsoids,
            self.textured.settings.settings,
            self.textured.settings.color_space,
        )
        view = camera.to(ellipsoids.dtype).to(ellipsoids.device)
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
        return take_pictures(self.trust, view, self.textured.settings.settings)["rgb"]

    @cached_property
    def palette(self) -> FeaturePalette | None:
        """The map of features to colors; None where features are colors."""
        features = self.ellipsoids.features
        assert features is not None
        return None if self.textured.posed.colors else FeaturePalette.of(features)

    def _shown(self, attributes: Tensor) -> Tensor:
        """Attributes (H, W, C) as colors (H, W, 3)."""
        if self.palette is None:
            return attributes
        return self.palette.show(attributes, torch.ones_like(attributes[..., 0])).clamp(0, 1)

    def _small(self, camera: Cameras, longest: int = 0) -> Cameras:
        """The camera with its longer side as given, `size` by default; never larger."""
        scale = min((longest or self.settings.size) / max(camera.width, camera.height), 1.0)
        return resized(camera, max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))

    def _moved(self, camera: Cameras, azimuth: float, elevation: float) -> Cameras:
        """Around the middle of the object."""
        up = self.settings.up.value if self.settings.up else upright_axis(camera.viewmats[0])
        return turned(camera, bounding_box(self.ellipsoids).center, azimuth, elevation, up=up)

    def _write(self, path: Path, picture: Tensor, *, shrink: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = images.to_bytes(picture.detach().cpu())
        images.write_png(path, images.thumbnail(values, self.settings.size) if shrink else values)
