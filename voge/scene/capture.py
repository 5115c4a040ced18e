"""Pictures and the cameras that took them: what ellipsoids are fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from voge import checks
from voge.scene.cameras import Cameras
from voge.scene.viewpoints import resized


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """V pictures of one size."""

    cameras: Cameras  # V views
    images: Tensor  # (V, H, W, 3) in [0, 1]; where there are masks, multiplied by them, as `Rendered.image` is by alpha
    masks: Tensor | None = None  # (V, H, W) share of the pixel that the object covers; None where that is unknown
    names: tuple[str, ...] = ()  # of the views; their numbers without

    def __post_init__(self) -> None:
        sizes = {"V": len(self.cameras), "H": self.cameras.height, "W": self.cameras.width}
        checks.shapes(sizes, images=(self.images, "V H W 3"))
        checks.same_kind(viewmats=self.cameras.viewmats, images=self.images)
        if self.masks is not None:
            checks.shapes(sizes, masks=(self.masks, "V H W"))
            checks.same_kind(images=self.images, masks=self.masks)
        if not self.names:
            object.__setattr__(self, "names", tuple(f"{i:04d}" for i in range(len(self.images))))
        if len(self.names) != len(self.images):
            raise ValueError(f"names must be one a view, {len(self.images)}; got {len(self.names)}")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, views: Sequence[int]) -> Capture:
        """The chosen views."""
        views = list(views)
        masks = None if self.masks is None else self.masks[views]
        names = tuple(self.names[view] for view in views)
        return Capture(self.cameras[views], self.images[views], masks, names)

    def to(self, device: torch.device | str) -> Capture:
        """The same on another device."""
        masks = None if self.masks is None else self.masks.to(device)
        return replace(self, cameras=self.cameras.to(device), images=self.images.to(device), masks=masks)

    def over(self, background: Tensor) -> Tensor:
        """The pictures (V, H, W, 3) over a background that broadcasts to them; without masks, as they are."""
        return self.images if self.masks is None else self.images + (1 - self.masks)[..., None] * background

    def shrunk(self, factor: float) -> Capture:
        """The pictures with sides divided by a factor of at least 1, each pixel a mean of what it covers.

        Sides are rounded, and intrinsics follow the rounded sides, so that pixels and rays stay together.
        """
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        width, height = (max(round(side / factor), 1) for side in (self.cameras.width, self.cameras.height))
        if (width, height) == (self.cameras.width, self.cameras.height):
            return self
        cameras = resized(self.cameras, width, height)
        masks = None if self.masks is None else _shrink(self.masks[:, None], width, height)[:, 0].contiguous()
        images = _shrink(self.images.movedim(-1, 1), width, height).movedim(1, -1).contiguous()
        return replace(self, cameras=cameras, images=images, masks=masks)


def _shrink(pictures: Tensor, width: int, height: int) -> Tensor:
    small = torch.nn.functional.interpolate(
        pictures, (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return small.clamp(0, 1)


def split(captures: Sequence[Capture], held_out: Sequence[str]) -> tuple[list[Capture], list[Capture]]:
    """Captures without the views of these names, and captures of these views alone.

    Raises:
        ValueError: a name that no view has, or no view is left to fit to.
    """
    known = {name for capture in captures for name in capture.names}
    missing = [name for name in held_out if name not in known]
    if missing:
        raise ValueError(f"no view is called {missing[0]}; there are {', '.join(sorted(known)[:6])} ...")
    chosen = set(held_out)
    kept, out = [], []
    for capture in captures:
        rows = [i for i, name in enumerate(capture.names) if name not in chosen]
        rest = [i for i, name in enumerate(capture.names) if name in chosen]
        kept += [capture[rows]] if rows else []
        out += [capture[rest]] if rest else []
    if not kept:
        raise ValueError("all views are held out; none is left to fit to")
    return kept, out
