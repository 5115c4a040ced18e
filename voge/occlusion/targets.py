"""The target pictures of a scene file: read, or rendered of the objects where they really stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.io.chosen_views import load_views
from voge.io.masks import read_mask
from voge.io.photos import Pixels, read_pixels
from voge.io.scenes import SceneFile
from voge.occlusion.problem import Bodies, Target
from voge.occlusion.settings import Loss, SceneSettings
from voge.rendering.renderer import render
from voge.scene.cameras import Cameras, intrinsics, orbit


def load_targets(
    path: Path, scene: SceneFile, images: Sequence[Path], bodies: Bodies, settings: SceneSettings
) -> list[Target]:
    """The targets on the objects' device, float32.

    Args:
        path: the scene file, which errors name.
        scene: its content.
        images: pictures in place of the scene's targets; with neither, the scene is rendered with its true poses.
        bodies: the objects.
        settings: what is compared.

    Raises:
        DataError: a file cannot be used, or does not suit the others.
    """
    cameras, stored = _cameras(path, scene, settings)
    views = {name: view.to(torch.float32).to(bodies.ellipsoids.device) for name, view in cameras.items()}
    wanted: Sequence[Mapping[str, Any]] = [{"image": image} for image in images] or scene.targets
    if not wanted:
        return _rendered(path, scene, views, bodies, settings)
    names, targets = list(views), []
    for number, entry in enumerate(wanted):
        frame = entry.get("frame", names[number] if number < len(names) else None)
        if frame not in views:
            raise DataError(path, f"targets[{number}] has no view '{frame}'", f"views are {', '.join(names)}")
        targets.append(_read(entry, views[frame], stored, bodies, settings))
    return targets


def _cameras(path: Path, scene: SceneFile, settings: SceneSettings) -> tuple[dict[str, Cameras], bool]:
    """Views by name, and whether they are of their pictures' stored pixels."""
    if scene.orbit is not None:
        given = scene.orbit
        width, height = given["size"]
        angles = [float(given.get(name, 0.0)) for name in ("azimuth", "elevation", "distance", "theta")]
        viewmat = orbit(*angles, at=given["at"], up=str(given.get("up", "y")))
        K = intrinsics(width, height, focal=given.get("focal"), fov=given.get("fov"))
        return {"view": Cameras(viewmat[None], K[None], width, height)}, False
    if scene.cameras is None:
        raise DataError(path, "names no cameras", 'write "cameras": FILE, or angles; or give --cameras')
    views = load_views(scene.cameras, settings.cameras)
    return {view.name: view.cameras() for view in views}, views.stored


@torch.no_grad()
def _rendered(
    path: Path, scene: SceneFile, views: Mapping[str, Cameras], bodies: Bodies, settings: SceneSettings
) -> list[Target]:
    """Pictures of the scene with every object where it really stands, where the file says so."""
    poses = [entry.truth for entry in scene.objects if entry.truth is not None]
    if len(poses) < len(scene.objects):
        remedy = 'name pictures on the command line, write "targets", or give each a truth'
        raise DataError(path, "has no targets", remedy)
    targets = []
    for camera in views.values():
        seen = render(bodies.place(torch.stack(poses)), camera, settings.settings)
        background = seen.image.new_tensor(settings.solve.background)
        image = seen.over(background)[0] if {Loss.color, Loss.features} & set(settings.losses) else None
        targets.append(Target(camera, image, seen.alpha[0] if Loss.silhouette in settings.losses else None))
    return targets


def _read(entry: Mapping[str, Any], camera: Cameras, stored: bool, bodies: Bodies, settings: SceneSettings) -> Target:
    """A target's files; a picture's alpha is its silhouette where none is named."""
    like, losses = camera.Ks, set(settings.losses)
    named = entry.get("image", "scene")
    image = silhouette = mask = read = None
    if "image" in entry:
        read = read_pixels(Path(entry["image"]), stored=stored, size=(camera.width, camera.height))
        values = like.new_tensor(read.values / np.float32(np.iinfo(read.values.dtype).max))
        picture = _fitting(entry["image"], values, camera)
        alpha = picture[..., 3:] if picture.shape[-1] == 4 else torch.ones_like(picture[..., :1])
        background = like.new_tensor(settings.solve.background)
        image = picture[..., :3] * alpha + (1 - alpha) * background if Loss.color in losses else None
        silhouette = alpha[..., 0] if picture.shape[-1] == 4 else None
    if Loss.features in losses:
        if "features" not in entry:
            raise DataError(named, "has no features beside it", 'write "features": FILE.npz')
        image = _fitting(entry["features"], like.new_tensor(_read_features(entry["features"])), camera)
    if "silhouette" in entry:
        silhouette = _mask(entry["silhouette"], read, camera, settings.mask_id)
    if "mask" in entry:
        mask = _mask(entry["mask"], read, camera)
    silhouette = silhouette if Loss.silhouette in losses else None
    if image is None and silhouette is None:
        raise DataError(named, "has nothing that the losses compare", "change losses")
    features = bodies.ellipsoids.features
    channels = 0 if features is None else features.shape[1]
    if image is not None and image.shape[-1] != channels:
        source = str(entry.get("features", entry.get("image")))
        raise DataError(source, f"has {image.shape[-1]} channels, the objects {channels}")
    return Target(camera, image, silhouette, mask)


def _mask(path: Path, picture: Pixels | None, camera: Cameras, mask_id: int | None = None) -> Tensor:
    """A mask (H, W) of a picture."""
    return _fitting(path, read_mask(path, picture, mask_id=mask_id).share.to(camera.Ks), camera)


def _read_features(path: Path) -> Any:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[file.files[0]].astype(np.float32)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(path, f"cannot be read as .npz ({error})") from error


def _fitting(path: Path, picture: Tensor, camera: Cameras) -> Tensor:
    """The picture (H, W, ...), whose size is the camera's."""
    height, width = picture.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise DataError(path, f"is {width}x{height}, its camera {camera.width}x{camera.height}", "make them one size")
    return picture
