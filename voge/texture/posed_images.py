"""Photos with the cameras that took them and their masks, and the model that they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from voge.errors import DataError, SettingsError
from voge.io.cameras import View, Views
from voge.io.cameras.views import unique_names
from voge.io.chosen_views import load_views
from voge.io.masks import Facts, mask_notes, read_mask
from voge.io.photos import MAP_SUFFIXES, Photo, read_photo
from voge.io.settings import CameraFile
from voge.scene.cameras import Cameras
from voge.scene.viewpoints import resized
from voge.texture.extraction import shrunk
from voge.texture.settings import Solving

Files = Sequence[str | Path]
# An image, the view that it was taken from, the file of its pose, and whether that is of the stored pixels.
Pair = tuple[Path, View, Path, bool]


@dataclass(frozen=True, eq=False)
class PosedImage:
    """An image and the camera that took it."""

    name: str  # of the files made of it
    path: Path
    photo: Photo
    camera: Cameras  # one view, float32
    pose: Path  # the camera's file
    mask: Tensor | None  # (H, W) how much each pixel counts; None for all


@dataclass(frozen=True, eq=False)
class PosedImages:
    """Images of one object, with one kind of channels, and the object's model."""

    images: tuple[PosedImage, ...]
    model: Path
    notes: tuple[str, ...] = ()  # what the user should know of the files, a line each

    @property
    def colors(self) -> bool:
        """True for photos, False for feature maps."""
        return self.images[0].photo.colors


def load_posed_images(
    images: Files,
    poses: Files,
    model: str | Path | None = None,
    *,
    masks: Files = (),
    occluders: Files = (),
    cameras: CameraFile | None = None,
    margin: int = Solving.margin,
    mask_id: int | None = None,
) -> PosedImages:
    """Read images with their cameras, and find the model's file.

    Args:
        images: photos (PNG, JPEG, WebP) or feature maps (.npz, .safetensors) of one object; none: those that the poses
            name.
        poses: a file of cameras for all images, or one for each in their order.
        model: ellipsoids, a mesh or points; None: the model that a pose names.
        masks: for each image a picture that is white on the object, or a map of ids.
        occluders: for each image a picture that is white where something hides the object.
        cameras: how the files of cameras are read.
        margin: pixels along the rims of masks that are left out.
        mask_id: id of the object in masks that are maps of ids; any above 0 by default.

    Raises:
        SettingsError: something is missing, or images and poses do not pair up.
        DataError: a file cannot be used, or image and camera differ in size.
    """
    notes: list[str] = []
    pairs, named = _pairs([Path(image) for image in images], [Path(pose) for pose in poses], cameras, notes)
    found = Path(model) if model else named
    if found is None:
        raise SettingsError("give the model that the image shows: --model car.safetensors, or 'model' in the pose file")
    for name, given in (("mask", masks), ("occluder", occluders)):
        if given and len(given) != len(pairs):
            raise SettingsError(f"--{name} must name a file for each of the {len(pairs)} images, got {len(given)}")
    names = unique_names([pair[0] for pair in pairs])
    posed = []
    read: list[Facts] = []
    for number, ((path, view, pose, stored), name) in enumerate(zip(pairs, names, strict=True)):
        photo = read_photo(path, stored=stored, size=(view.width, view.height))
        notes += [f"{path}: {note}" for note in photo.notes]
        camera = _fitting(path, photo, view, pose, notes)
        mask = Path(masks[number]) if masks else view.mask
        occluder = Path(occluders[number]) if occluders else None
        share = _share(photo, mask, occluder, margin, mask_id, read)
        posed.append(PosedImage(name, path, photo, camera.to(torch.float32), pose, share))
    notes += mask_notes(read, mask_id)
    channels = {each.photo.image.shape[2] for each in posed}
    if len(channels) > 1 or len({each.photo.colors for each in posed}) > 1:
        kinds = ", ".join(f"{each.path} has {each.photo.image.shape[2]}" for each in posed[:4])
        raise DataError(posed[0].path, f"images differ in their channels: {kinds}", "give photos, or maps of one kind")
    return PosedImages(tuple(posed), found, tuple(notes))


def _pairs(
    images: list[Path], poses: list[Path], cameras: CameraFile | None, notes: list[str]
) -> tuple[list[Pair], Path | None]:
    """Image, view and pose file of each image; and the model that a pose names."""
    if not poses:
        raise SettingsError("give the camera that took the image: --pose pose.json")
    if len(poses) > 1 and images and len(poses) != len(images):
        raise SettingsError(f"--pose must name one file, or one for each of the {len(images)} images; got {len(poses)}")
    size = read_photo(images[0], stored=True).size if images else None
    sets = [load_views(pose, cameras, size=size) for pose in poses]
    notes += [f"{pose}: {note}" for pose, views in zip(poses, sets, strict=True) for note in views.notes]
    model = next((views.model_path for views in sets if views.model_path is not None), None)
    if len(poses) == 1 and len(sets[0]) != 1:
        return _matched(images, sets[0], poses[0]), model
    for pose, views in zip(poses, sets, strict=True):
        if len(views) != 1:
            raise SettingsError(f"{pose} has {len(views)} views; of several pose files each must have one")
    if len(poses) == 1 and len(images) > 1:
        raise SettingsError(f"{poses[0]} has one view, for {len(images)} images; name a pose file for each")
    found = images or [_own_image(views[0], pose) for views, pose in zip(sets, poses, strict=True)]
    return [(image, v[0], pose, v.stored) for image, v, pose in zip(found, sets, poses, strict=True)], model


def _matched(images: Sequence[Path], views: Views, pose: Path) -> list[Pair]:
    """Images with the views of one file: by the names of the files, else in order where the numbers agree."""
    if not images:
        return [(_own_image(view, pose), view, pose, views.stored) for view in views]
    by_name = {view.image.name if view.image else view.name: view for view in views}
    by_stem = {view.name: view for view in views}
    found = [by_name.get(image.name, by_stem.get(image.stem)) for image in images]
    if all(view is None for view in found) and len(images) == len(views):
        found = list(views)
    for image, view in zip(images, found, strict=True):
        if view is None:
            known = ", ".join(list(by_stem)[:6])
            raise SettingsError(f"{pose} has no view of {image.name}; it has {known}")
    return [(image, view, pose, views.stored) for image, view in zip(images, found, strict=True) if view is not None]


def _own_image(view: View, pose: Path) -> Path:
    if view.image is None:
        raise SettingsError(f"give the image: {pose} names none")
    return view.image


def _fitting(path: Path, photo: Photo, view: View, pose: Path, notes: list[str]) -> Cameras:
    """The camera in the image's size, which must be its own; a feature map may be smaller by one whole factor."""
    (width, height), camera = photo.size, view.cameras()
    if (width, height) == (view.width, view.height):
        return camera
    factor = view.width / width
    if path.suffix.lower() in MAP_SUFFIXES and factor == view.height / height and factor == int(factor):
        notes.append(f"{path}: a map of one value to {factor:.0f} x {factor:.0f} pixels of the camera in {pose}")
        return resized(camera, width, height)
    sides = (height, width) == (view.width, view.height)
    turned = " (on its side, and no EXIF orientation turns it: is the photo turned?)" if sides else ""
    raise DataError(
        path,
        f"is {width}x{height} pixels, and the camera in {pose} {view.width}x{view.height}{turned}",
        "the intrinsics must be those of this image: scale both alike",
    )


def _share(
    photo: Photo, mask: Path | None, occluder: Path | None, margin: int, mask_id: int | None, read: list[Facts]
) -> Tensor | None:
    """The weight (H, W) of pixels by mask and occluder, without their rims; masks go to `read`."""
    shares = []
    for path, inside in ((mask, True), (occluder, False)):
        if path is None:
            continue
        found_mask = read_mask(path, photo, mask_id=mask_id if inside else None)
        if inside:
            read.append(found_mask.facts)
        share = found_mask.share
        if tuple(share.shape) != tuple(photo.image.shape[:2]):
            found = f"{share.shape[1]}x{share.shape[0]}"
            raise DataError(path, f"is {found} pixels, and its image {photo.size[0]}x{photo.size[1]}", "scale it")
        shares.append(shrunk(share if inside else 1 - share, margin))
    return None if not shares else torch.stack(shares).prod(0)
