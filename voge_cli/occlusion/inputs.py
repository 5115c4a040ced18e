"""What `voge occlusion` is given: objects, cameras and target pictures of a scene file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge.errors import DataError
from voge.imaging.pictures import GRAY
from voge.io.cameras import load_cameras
from voge.io.images import read_picture
from voge.io.scenes import SceneFile, SceneObject, load_scene
from voge.occlusion import Bodies, Body, Freedom, Target
from voge.rendering.renderer import render
from voge.scene.cameras import Cameras, intrinsics, orbit
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.occlusion.schema import Loss, OcclusionConfig
from voge_cli.scenes import Placed, load_one

PACKAGED = ("cuboids",)


@dataclass(frozen=True, eq=False)
class Inputs:
    """An occlusion problem as files tell it."""

    path: Path
    scene: SceneFile
    bodies: Bodies
    targets: list[Target]

    @property
    def truth(self) -> Tensor | None:
        """(O, 4, 4) float64 where the scene says where its objects really stand."""
        poses = [entry.truth for entry in self.scene.objects]
        return None if any(pose is None for pose in poses) else torch.stack([p for p in poses if p is not None])


def load_inputs(config: OcclusionConfig, console: Console, device: torch.device) -> Inputs:
    """Everything on its device, float32.

    Raises:
        voge.errors.DataError: a file cannot be used, or does not suit the others.
    """
    if config.scene is None:
        raise UsageError("give a scene file, or --config cuboids for the paper's")
    packaged = config.scene in PACKAGED and not Path(config.scene).exists()
    path = Path(str(files("voge.assets") / f"{config.scene}.json")) if packaged else Path(config.scene)
    scene = load_scene(path)
    if config.cameras.file is not None:
        scene = replace(scene, cameras=Path(config.cameras.file), orbit=None)
    bodies = Bodies([_body(path, entry, config, console, device) for entry in scene.objects])
    channels = {0 if b.ellipsoids.features is None else b.ellipsoids.features.shape[1] for b in bodies.bodies}
    if len(channels) > 1:
        raise DataError(path, f"has objects with {sorted(channels)} features", "give all the same number")
    views = _cameras(path, scene, config)
    return Inputs(path, scene, bodies, _targets(path, scene, views, bodies, config, device))


def _body(path: Path, entry: SceneObject, config: OcclusionConfig, console: Console, device: torch.device) -> Body:
    made = load_one(Placed(entry.model or path, entry.name, primitive=entry.primitive), config.convert, console)
    if made.features is None and Loss.color in config.losses:
        made = replace(made, features=torch.full_like(made.means, GRAY))
    made = made.to(torch.float32).to(device)
    try:
        return Body(entry.name, made, entry.pose, _freedom(entry.free), entry.center)
    except (ValueError, TypeError) as error:
        raise DataError(path, f"{entry.name}: free.{error}") from error


def _freedom(free: Any) -> Freedom:
    """A Freedom of a scene file's `free`; a single true or false stands for all three axes."""
    values = dict(free)
    for name in ("translation", "rotation"):
        if isinstance(values.get(name), bool):
            values[name] = (values[name],) * 3
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return Freedom(**given)


def _cameras(path: Path, scene: SceneFile, config: OcclusionConfig) -> dict[str, Cameras]:
    """Views by name."""
    if scene.orbit is not None:
        given = scene.orbit
        width, height = given["size"]
        viewmat = orbit(
            float(given["azimuth"]),
            float(given["elevation"]),
            float(given["distance"]),
            float(given.get("theta", 0.0)),
            at=given["at"],
            up=str(given.get("up", "y")),
        )
        K = intrinsics(width, height, focal=given.get("focal"), fov=given.get("fov"))
        return {"view": Cameras(viewmat[None], K[None], width, height)}
    if scene.cameras is None:
        raise DataError(path, "names no cameras", 'write "cameras": FILE, or angles; or give --cameras')
    chosen = config.cameras
    views = load_cameras(
        scene.cameras,
        chosen.format,
        convention=chosen.convention and chosen.convention.value,
        direction=chosen.direction and chosen.direction.value,
        object_id=chosen.object_id,
    )
    return {view.name: view.cameras() for view in views}


def _targets(
    path: Path,
    scene: SceneFile,
    views: dict[str, Cameras],
    bodies: Bodies,
    config: OcclusionConfig,
    device: torch.device,
) -> list[Target]:
    wanted: list[dict[str, Any]] = [dict(target) for target in scene.targets]
    if config.images:
        wanted = [{"image": Path(image)} for image in config.images]
    if not wanted:
        return _targets_of_truth(path, scene, views, bodies, config, device)
    names = list(views)
    made = []
    for number, entry in enumerate(wanted):
        frame = entry.get("frame", names[number] if number < len(names) else None)
        if frame not in views:
            raise DataError(path, f"targets[{number}] has no view '{frame}'", f"views are {', '.join(names)}")
        made.append(_read_target(entry, views[frame].to(torch.float32).to(device), bodies, config))
    return made


def _targets_of_truth(
    path: Path,
    scene: SceneFile,
    views: dict[str, Cameras],
    bodies: Bodies,
    config: OcclusionConfig,
    device: torch.device,
) -> list[Target]:
    """Pictures of the scene with every object where it really stands, where the file says so."""
    if any(entry.truth is None for entry in scene.objects):
        raise DataError(
            path, "has no targets", 'name pictures on the command line, write "targets", or give each a truth'
        )
    truth = torch.stack([entry.truth for entry in scene.objects if entry.truth is not None])
    made = []
    with torch.no_grad():
        for view in views.values():
            camera = view.to(torch.float32).to(device)
            seen = render(bodies.place(truth), camera, config.settings)
            background = seen.image.new_tensor(config.solve.background)
            silhouette = seen.alpha[0] if Loss.silhouette in config.losses else None
            colored = {Loss.color, Loss.features} & set(config.losses)
            made.append(Target(camera, seen.over(background)[0] if colored else None, silhouette))
    return made


def _read_target(entry: dict[str, Any], camera: Cameras, bodies: Bodies, config: OcclusionConfig) -> Target:
    """A target's files; a picture's alpha is its silhouette where none is named."""
    like = camera.Ks
    image = silhouette = mask = None
    losses = set(config.losses)
    if "image" in entry:
        picture = like.new_tensor(read_picture(entry["image"]))
        _check_size(entry["image"], picture, camera)
        alpha = picture[..., 3:] if picture.shape[-1] == 4 else torch.ones_like(picture[..., :1])
        background = like.new_tensor(config.solve.background)
        image = picture[..., :3] * alpha + (1 - alpha) * background if Loss.color in losses else None
        silhouette = alpha[..., 0] if picture.shape[-1] == 4 else None
    if Loss.features in losses:
        if "features" not in entry:
            raise DataError(entry.get("image", "scene"), "has no features beside it", 'write "features": FILE.npz')
        image = like.new_tensor(_read_features(entry["features"]))
        _check_size(entry["features"], image, camera)
    for name in ("silhouette", "mask"):
        if name in entry:
            picture = like.new_tensor(read_picture(entry[name]))[..., 0]
            _check_size(entry[name], picture, camera)
            silhouette, mask = (picture, mask) if name == "silhouette" else (silhouette, picture)
    silhouette = silhouette if Loss.silhouette in losses else None
    if image is None and silhouette is None:
        raise DataError(entry.get("image", "scene"), "has nothing that the losses compare", "change losses")
    features = bodies.ellipsoids.features
    if image is not None and (features is None or features.shape[1] != image.shape[-1]):
        found = 0 if features is None else features.shape[1]
        raise DataError(
            str(entry.get("features", entry.get("image"))), f"has {image.shape[-1]} channels, the objects {found}"
        )
    return Target(camera, image, silhouette, mask)


def _read_features(path: Path) -> Any:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[file.files[0]].astype(np.float32)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(path, f"cannot be read as .npz ({error})") from error


def _check_size(path: Path, picture: Tensor, camera: Cameras) -> None:
    height, width = picture.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise DataError(path, f"is {width}x{height}, its camera {camera.width}x{camera.height}", "make them one size")
