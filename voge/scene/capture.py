"""Pictures and the cameras that took them: what ellipsoids are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from voge import checks
from voge.scene.cameras import Cameras
from voge.scene.disk import Pictures, each, floats, put, room
from voge.scene.viewpoints import resized


class Capture:
    """V pictures of one size, kept as floats or in 8 bits, the latter also on disk.

    Args:
        cameras: V views.
        images: (V, H, W, 3) in [0, 1], or of 8 bits; where there are masks, multiplied by them, as `Rendered.image` is
            by alpha.
        masks: (V, H, W) share of the pixel that the object covers; None where that is unknown.
        names: of the views; their numbers without.

    Raises:
        ValueError: shapes or types do not belong together; names which.
    """

    __slots__ = ("cameras", "kept_images", "kept_masks", "names")

    def __init__(
        self, cameras: Cameras, images: Pictures, masks: Pictures | None = None, names: Sequence[str] = ()
    ) -> None:
        sizes = (len(cameras), cameras.height, cameras.width)
        _check("images", images, (*sizes, 3), cameras)
        if masks is not None:
            _check("masks", masks, sizes, cameras)
        self.cameras, self.kept_images, self.kept_masks = cameras, images, masks
        self.names = tuple(names) or tuple(f"{i:04d}" for i in range(len(images)))
        if len(self.names) != len(images):
            raise ValueError(f"names must be one a view, {len(images)}; got {len(self.names)}")

    def __len__(self) -> int:
        return len(self.kept_images)

    def __getitem__(self, views: Sequence[int]) -> Capture:
        """The chosen views."""
        views = list(views)
        masks = None if self.kept_masks is None else self.kept_masks[views]
        return Capture(self.cameras[views], self.kept_images[views], masks, [self.names[view] for view in views])

    @property
    def images(self) -> Tensor:
        """All pictures (V, H, W, 3) as floats; `take` gives some of them."""
        return self.take(range(len(self)))[0]

    @property
    def masks(self) -> Tensor | None:
        """All masks (V, H, W) as floats, or None."""
        return None if self.kept_masks is None else floats(self.kept_masks, range(len(self)), self.device)

    @property
    def device(self) -> torch.device:
        """The device of the cameras, where pictures come out."""
        return self.cameras.viewmats.device

    def to(self, device: torch.device | str) -> Capture:
        """The same on another device; pictures on disk go there when they are taken."""
        kept = self.kept_images, self.kept_masks
        images, masks = (pictures.to(device) if isinstance(pictures, Tensor) else pictures for pictures in kept)
        assert images is not None
        return Capture(self.cameras.to(device), images, masks, self.names)

    def seen_from(self, cameras: Cameras) -> Capture:
        """The same pictures with other cameras, such as refined ones."""
        return Capture(cameras, self.kept_images, self.kept_masks, self.names)

    def take(self, views: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Chosen pictures (B, H, W, 3) and masks (B, H, W) as floats, on the device of the cameras."""
        masks = None if self.kept_masks is None else floats(self.kept_masks, views, self.device)
        return floats(self.kept_images, views, self.device), masks

    def over(self, background: Tensor) -> Tensor:
        """The pictures (V, H, W, 3) over a background that broadcasts to them; without masks, as they are."""
        images, masks = self.take(range(len(self)))
        return images if masks is None else images + (1 - masks)[..., None] * background

    def shrunk(self, factor: float) -> Capture:
        """The pictures with sides divided by a factor of at least 1, each pixel a mean of what it covers.

        Sides are rounded, and intrinsics follow the rounded sides, so that pixels and rays stay together.
        """
        if factor < 1:
            raise ValueError(f"factor must be at least 1, got {factor}")
        width, height = shrunk_size(self.cameras.width, self.cameras.height, factor)
        if (width, height) == (self.cameras.width, self.cameras.height):
            return self
        masks = None if self.kept_masks is None else _shrunk(self.kept_masks, width, height)
        images = _shrunk(self.kept_images, width, height)
        return Capture(resized(self.cameras, width, height), images, masks, self.names)


def shrunk_size(width: int, height: int, factor: float) -> tuple[int, int]:
    """Width and height divided by a factor and rounded, at least 1."""
    return max(round(width / factor), 1), max(round(height / factor), 1)


def shrink(picture: Tensor, width: int, height: int) -> Tensor:
    """A picture (H, W[, C]) of floats in another size, each pixel a mean of what it covers."""
    if picture.shape[:2] == (height, width):
        return picture
    channels = picture.movedim(-1, 0)[None] if picture.ndim == 3 else picture[None, None]
    small = torch.nn.functional.interpolate(
        channels, (height, width), mode="bilinear", antialias=True, align_corners=False
    ).clamp(0, 1)
    return small[0].movedim(0, -1).contiguous() if picture.ndim == 3 else small[0, 0]


def _shrunk(pictures: Pictures, width: int, height: int) -> Pictures:
    if isinstance(pictures, Tensor) and pictures.is_floating_point():
        return torch.stack([shrink(picture, width, height) for picture in pictures])
    made = room(len(pictures), (height, width, *pictures.shape[3:]), not isinstance(pictures, Tensor))
    for row, picture in enumerate(each(pictures)):
        put(made, row, (shrink(picture, width, height) * 255).round().to(torch.uint8).cpu())
    return made.to(pictures.device) if isinstance(made, Tensor) else made


def _check(name: str, pictures: Pictures, shape: tuple[int, ...], cameras: Cameras) -> None:
    if tuple(pictures.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}; got {tuple(pictures.shape)}")
    if isinstance(pictures, Tensor) and pictures.dtype != torch.uint8:
        checks.same_kind(viewmats=cameras.viewmats, **{name: pictures})


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
