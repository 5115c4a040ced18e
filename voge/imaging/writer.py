"""Rendered outputs of a view in files, under names that do not depend on what made them.

rgb/VIEW.png       8-bit sRGB; with straight alpha when transparent
alpha/VIEW.png     8-bit
depth/VIEW.npz     depth (H, W) float32, kind, K, viewmat; .png 16-bit with its scale
normal/VIEW.npz    normal (H, W, 3) float32, frame; .png (n + 1) / 2
id/VIEW.npz        ellipsoid, object (H, W) int32, -1 for nothing; objects, their names; .png in colors
object/VIEW.png    with several objects: 8-bit indices into a palette, 0 for nothing, else object + 1
features/VIEW.npz  features (H, W, C), not divided by alpha (H, W); also .safetensors; .png a preview
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.imaging.previews import FeaturePalette, id_colors, show_depth, show_ids, show_normals
from voge.imaging.settings import DepthKind, Frame
from voge.io import images
from voge.io.files import atomic_file
from voge.scene.cameras import Cameras
from voge.scene.objects import Scene

PALETTE = 255  # objects that fit into an 8-bit PNG beside "nothing"
FEATURE_FILES = ("npz", "safetensors")


@dataclass(frozen=True, kw_only=True, eq=False)
class RenderWriter:
    """Writes pictures, as `take_pictures` makes them, into a folder."""

    folder: Path
    scene: Scene
    depth_kind: DepthKind = DepthKind.ray
    normal_frame: Frame = Frame.world
    feature_files: Collection[str] = FEATURE_FILES
    palette: FeaturePalette | None = None  # for previews of features

    def write(
        self, view: str, pictures: Mapping[str, Tensor], camera: Cameras, outputs: Collection[str]
    ) -> dict[str, Tensor]:
        """Write the outputs of a view; depth's PNGs come last, by `finish`.

        Args:
            view: the files' stem.
            pictures: on the CPU, by output; "features" need "alpha" among them.
            camera: that took them.
            outputs: which to write.

        Returns:
            By output, what a person can look at; with "id" of several objects also "object".
        """
        shown: dict[str, Tensor] = {}
        for output in outputs:
            stem, picture = self.folder / output / view, pictures[output]
            stem.parent.mkdir(exist_ok=True)
            if output == "depth":
                shown[output] = self._depth(stem, picture, camera)
            elif output == "normal":
                shown[output] = self._normal(stem, picture)
            elif output == "id":
                shown |= self._id(stem, view, picture)
            elif output == "features":
                shown[output] = self._features(stem, picture, pictures["alpha"])
            else:
                images.write_png(_named(stem, ".png"), picture)
                shown[output] = picture
        return shown

    def finish(self) -> None:
        """Depth as PNG: one scale for all views, so that they compare; it is known only when all are written."""
        paths = sorted((self.folder / "depth").glob("*.npz"))
        if not paths:
            return
        farthest = max(float(_read_depth(path).max()) for path in paths)
        scale = farthest / images.DEPTH_STEPS or 1.0
        for path in paths:
            images.write_depth_png(path.with_suffix(".png"), _read_depth(path), scale=scale, kind=self.depth_kind.value)

    def _depth(self, stem: Path, depth: Tensor, camera: Cameras) -> Tensor:
        facts: dict[str, Any] = {"K": camera.Ks[0].cpu(), "viewmat": camera.viewmats[0].cpu()}
        facts |= {"model": camera.model.value, "kind": self.depth_kind.value, "divided_by_alpha": True}
        if camera.distortion is not None:
            facts["distortion"] = camera.distortion[0].cpu()
        images.write_npz(_named(stem, ".npz"), depth=depth, **facts)
        return show_depth(depth)

    def _normal(self, stem: Path, normal: Tensor) -> Tensor:
        frame = self.normal_frame.value
        images.write_npz(_named(stem, ".npz"), normal=normal, frame=frame)
        shown = show_normals(normal)
        images.write_png(_named(stem, ".png"), shown, {"normal_frame": frame, "normal_code": "(n + 1) / 2"})
        return shown

    def _id(self, stem: Path, view: str, ids: Tensor) -> dict[str, Tensor]:
        owner = torch.cat([self.scene.object_index.cpu(), torch.tensor([-1], dtype=torch.int32)])
        objects = owner[ids.long()]  # row -1 is nothing
        images.write_npz(_named(stem, ".npz"), ellipsoid=ids, object=objects, objects=np.array(self.scene.names))
        shown = show_ids(ids)
        images.write_png(_named(stem, ".png"), shown)
        if len(self.scene.names) == 1:
            return {"id": shown}
        self._objects(view, objects)
        return {"id": shown, "object": show_ids(objects)}

    def _objects(self, view: str, objects: Tensor) -> None:
        path = _named(self.folder / "object" / view, ".png")
        path.parent.mkdir(exist_ok=True)
        text = {"objects": json.dumps(self.scene.names), "object_code": "0 is nothing, else object + 1"}
        count = len(self.scene.names)
        if count > PALETTE:  # numbers alone, in 16 bits
            images.write_labels_png(path, objects + 1, None, text)
            return
        colors = torch.cat([torch.zeros(1, 3), id_colors(torch.arange(count))])
        images.write_labels_png(path, objects + 1, colors, text)

    def _features(self, stem: Path, features: Tensor, alpha: Tensor) -> Tensor:
        tensors = {"features": features, "alpha": alpha}
        if "npz" in self.feature_files:
            images.write_npz(_named(stem, ".npz"), **tensors, divided_by_alpha=False)
        if "safetensors" in self.feature_files:
            from safetensors.torch import save

            facts = {"voge": json.dumps({"divided_by_alpha": False})}
            with atomic_file(_named(stem, ".safetensors")) as temporary:
                temporary.write_bytes(save({name: t.contiguous() for name, t in tensors.items()}, metadata=facts))
        palette = self.palette or FeaturePalette.of(features.reshape(-1, features.shape[-1]))
        shown = palette.show(features, alpha)
        images.write_png(_named(stem, ".png"), shown)
        return shown


def _named(stem: Path, suffix: str) -> Path:
    """Not with_suffix: a view may be named frame.0001."""
    return stem.with_name(stem.name + suffix)


def _read_depth(path: Path) -> NDArray[np.float32]:
    with np.load(path) as arrays:
        depth: NDArray[np.float32] = arrays["depth"]
        return depth
