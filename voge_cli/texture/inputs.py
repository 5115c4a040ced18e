"""What `voge texture` is given: images with their cameras and masks, and the model that they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from voge.errors import DataError
from voge.imaging.scale_check import sanity
from voge.io.cameras import View, Views
from voge.io.cameras.views import unique_names
from voge.io.photos import MAP_SUFFIXES, Photo, read_mask, read_photo
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box
from voge.scene.viewpoints import resized
from voge.texture import shrunk
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.scenes import load_views
from voge_cli.texture.config import TextureConfig

_CHECKED = 160  # pixels along the longer side, to see whether a camera sees the object at all
_ANYTHING = 0.05  # alpha of a pixel that sees the object
_APART = 3.0  # times that the areas of silhouette and transparent photo may differ before it is told


@dataclass(frozen=True, eq=False)
class Taken:
    """An image and the camera that took it."""

    name: str  # of its files
    path: Path
    photo: Photo
    camera: Cameras  # one view, float32
    pose: Path  # the camera's file
    mask: Tensor | None  # (H, W) how much each pixel counts; None for all


def load_taken(config: TextureConfig, console: Console) -> tuple[list[Taken], Path]:
    """The images with their cameras, and the model's file.

    Raises:
        UsageError: something is missing, or images and poses do not pair up.
        voge.errors.DataError: a file cannot be used, or image and camera differ in size.
    """
    pairs, named = _pairs(config, console)
    model = (config.model and Path(config.model)) or named
    if model is None:
        raise UsageError("give the model that the image shows: --model car.safetensors, or 'model' in the pose file")
    files = {"mask": config.mask, "occluder": config.occluder}
    for name, given in files.items():
        if given and len(given) != len(pairs):
            raise UsageError(f"--{name} must name a file for each of the {len(pairs)} images, got {len(given)}")
    names = unique_names([path for path, _, _ in pairs])
    taken = []
    for number, ((path, view, pose), name) in enumerate(zip(pairs, names, strict=True)):
        photo = read_photo(path)
        for note in photo.notes:
            console.note(f"{path}: {note}")
        camera = _fitting(path, photo, view, pose, console)
        mask = Path(config.mask[number]) if config.mask else view.mask
        occluder = Path(config.occluder[number]) if config.occluder else None
        share = _share(photo, mask, occluder, config.solving.margin)
        taken.append(Taken(name, path, photo, camera.to(torch.float32), pose, share))
    channels = {each.photo.image.shape[2] for each in taken}
    if len(channels) > 1 or len({each.photo.colors for each in taken}) > 1:
        kinds = ", ".join(f"{each.path} has {each.photo.image.shape[2]}" for each in taken[:4])
        raise DataError(taken[0].path, f"images differ in their channels: {kinds}", "give photos, or maps of one kind")
    return taken, model


def check_seen(taken: Sequence[Taken], ellipsoids: Ellipsoids, settings: RenderSettings, console: Console) -> float:
    """Refuse a pose that does not see the object, and masks that leave nothing of it; warn of odd proportions.

    Returns:
        How many pixels the object covers in the image where it is largest.

    Raises:
        voge.errors.DataError: names the pose or the image.
    """
    shape = replace(ellipsoids, features=None, extra={})
    largest = 0.0
    for each in taken:
        warnings = sanity(ellipsoids, each.camera)
        scale = min(1.0, _CHECKED / max(each.photo.size))
        size = max(round(each.camera.width * scale), 1), max(round(each.camera.height * scale), 1)
        small = resized(each.camera, *size).to(shape.dtype).to(shape.device)
        alpha = render(shape, small, settings).alpha[0].cpu()
        if alpha.max() < _ANYTHING:
            middle = ", ".join(f"{x:.4g}" for x in bounding_box(ellipsoids).center)
            reason = warnings[0] if warnings else f"nothing of it, around ({middle}), is in the picture"
            raise DataError(each.pose, f"does not see the object: {reason}", "check pose, units and model")
        for line in warnings:
            console.note(f"warning: {each.path}: {line}")
        _check_masks(each, alpha, console)
        largest = max(largest, float(alpha.mean()) * each.camera.width * each.camera.height)
    return largest


def _check_masks(taken: Taken, alpha: Tensor, console: Console) -> None:
    """Compare alpha and mask with the silhouette (h, w) of the model, coarsely."""
    for share in (taken.photo.alpha, taken.mask):
        if share is None:
            continue
        shown = torch.nn.functional.interpolate(share[None, None], tuple(alpha.shape), mode="area")[0, 0]
        if float((shown * alpha).sum()) < 1e-3 * float(alpha.sum()):
            problem = "its mask or alpha leaves nothing of the object where the pose puts it"
            raise DataError(taken.path, problem, f"check the mask and {taken.pose}")
    if taken.photo.alpha is not None:
        ratio = float(taken.photo.alpha.mean() / alpha.mean())
        if not 1 / _APART <= ratio <= _APART:
            console.note(
                f"warning: {taken.path}: the object covers {ratio:.2g} times the area that pose and model give it; "
                "check units and focal length"
            )


def _pairs(config: TextureConfig, console: Console) -> tuple[list[tuple[Path, View, Path]], Path | None]:
    """Image, view and pose file of each image; and the model that a pose names."""
    images = [Path(image) for image in config.images]
    poses = [Path(pose) for pose in config.pose]
    if not poses:
        raise UsageError("give the camera that took the image: --pose pose.json")
    if len(poses) > 1 and images and len(poses) != len(images):
        raise UsageError(f"--pose must name one file, or one for each of the {len(images)} images; got {len(poses)}")
    size = read_photo(images[0]).size if images else None
    sets = [load_views(pose, config.cameras, size, console) for pose in poses]
    model = next((views.model_path for views in sets if views.model_path is not None), None)
    if len(poses) == 1 and len(sets[0]) != 1:
        return _matched(images, sets[0], poses[0]), model
    for pose, views in zip(poses, sets, strict=True):
        if len(views) != 1:
            raise UsageError(f"{pose} has {len(views)} views; of several pose files each must have one")
    if len(poses) == 1 and len(images) > 1:
        raise UsageError(f"{poses[0]} has one view, for {len(images)} images; name a pose file for each")
    found = images or [_own_image(views[0], pose) for views, pose in zip(sets, poses, strict=True)]
    return [(image, views[0], pose) for image, views, pose in zip(found, sets, poses, strict=True)], model


def _matched(images: Sequence[Path], views: Views, pose: Path) -> list[tuple[Path, View, Path]]:
    """Images with the views of one file: by the names of the files, else in order where the numbers agree."""
    if not images:
        return [(_own_image(view, pose), view, pose) for view in views]
    by_name = {view.image.name if view.image else view.name: view for view in views}
    by_stem = {view.name: view for view in views}
    found = [by_name.get(image.name, by_stem.get(image.stem)) for image in images]
    if all(view is None for view in found) and len(images) == len(views):
        found = list(views)
    for image, view in zip(images, found, strict=True):
        if view is None:
            known = ", ".join(list(by_stem)[:6])
            raise UsageError(f"{pose} has no view of {image.name}; it has {known}")
    return [(image, view, pose) for image, view in zip(images, found, strict=True) if view is not None]


def _own_image(view: View, pose: Path) -> Path:
    if view.image is None:
        raise UsageError(f"give the image: {pose} names none")
    return view.image


def _fitting(path: Path, photo: Photo, view: View, pose: Path, console: Console) -> Cameras:
    """The camera in the image's size, which must be its own; a feature map may be smaller by one whole factor."""
    (width, height), camera = photo.size, view.cameras()
    if (width, height) == (view.width, view.height):
        return camera
    factor = view.width / width
    if path.suffix.lower() in MAP_SUFFIXES and factor == view.height / height and factor == int(factor):
        console.note(f"{path}: a map of one value to {factor:.0f} x {factor:.0f} pixels of the camera in {pose}")
        return resized(camera, width, height)
    turned = " (on its side: is the photo turned?)" if (height, width) == (view.width, view.height) else ""
    raise DataError(
        path,
        f"is {width}x{height} pixels, and the camera in {pose} {view.width}x{view.height}{turned}",
        "the intrinsics must be those of this image: scale both alike",
    )


def _share(photo: Photo, mask: Path | None, occluder: Path | None, margin: int) -> Tensor | None:
    """How much pixels count by mask and occluder; their rims show both sides and are left out."""
    shares = []
    for path, inside in ((mask, True), (occluder, False)):
        if path is None:
            continue
        share = read_mask(path)
        if tuple(share.shape) != tuple(photo.image.shape[:2]):
            found = f"{share.shape[1]}x{share.shape[0]}"
            raise DataError(path, f"is {found} pixels, and its image {photo.size[0]}x{photo.size[1]}", "scale it")
        shares.append(shrunk(share if inside else 1 - share, margin))
    return None if not shares else torch.stack(shares).prod(0)
