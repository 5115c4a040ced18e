"""voge texture: from photos with poses to textured ellipsoids, seen from new sides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from voge import option
from voge.texture.settings import BakeSettings, TextureAlbumSettings, TextureSettings
from voge_cli.console import Console
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded

ELLIPSOIDS = "ellipsoids.safetensors"


@dataclass(frozen=True, kw_only=True)
class TextureConfig(TextureAlbumSettings, TextureSettings, Device):
    """Settings of `voge texture`."""

    images: list[str] = option.option(
        [], "photos (PNG, JPEG, WebP) or feature maps (.npz, .safetensors)", default_text="those that the poses name"
    )
    pose: list[str] = option.option(
        [], "cameras: one file for all images, or one each (pose.json, ...)", flag="--pose", metavar="FILE,..."
    )
    model: str | None = option.option(
        None, "what is seen, instead of the model that the pose names", flag="--model", metavar="FILE"
    )
    mask: list[str] = option.option(
        [], "for each image a picture, white on the object", flag="--mask", metavar="FILE,..."
    )
    occluder: list[str] = option.option(
        [], "for each image: white where something hides it", flag="--occluder", metavar="FILE,..."
    )
    bake: BakeSettings = option.nested(BakeSettings, "the mesh with the colors", promote=True)
    out: str | None = option.out("where to write", "<stem>_texture")


@option_groups
def texture(
    given: Given[TextureConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="IMAGE... [KEY=VALUE]...",
            help="Photos (PNG, JPEG, WebP) or feature maps (NPZ, SAFETENSORS) of one object; then settings.",
        ),
    ] = None,
    count: Annotated[
        int | None, Option("--count", help="Ellipsoids of a mesh. Default: as many as the photo has detail for.")
    ] = None,
) -> None:
    """Take the colors of an object from photos of it.

    Writes the folder --out (default: <stem>_texture): ellipsoids.safetensors with colors and a confidence for each,
    images/ (photo, overlay, re-render, difference, confidence, new views), a turntable and report.html. KEY=VALUE
    after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs

    images, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "images": images or None, "convert.count": count}
    loaded = configs.load("texture", TextureConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        document = work(loaded.value.images, loaded, console, overwrite=configuring.overwrite)
        return document["out"], document

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: Sequence[str], loaded: Loaded[TextureConfig], console: Console, *, overwrite: bool = False
) -> dict[str, Any]:
    """Texture one object from its photos and write its folder; returns what is in it."""
    from voge.io.ellipsoids import save_ellipsoids
    from voge.io.files import atomic_folder
    from voge.rendering.devices import choose_device
    from voge.texture import TextureAlbum, load_posed_images, texture_images
    from voge.texture.pipeline import mesh_to_bake
    from voge_cli import outputs
    from voge_cli.texture_report import write_page

    config = loaded.value
    started = time.perf_counter()
    chosen = choose_device(config.device, config.settings.backend)
    if config.turntable:
        outputs.check_video(config.video)
    posed = load_posed_images(
        item,
        config.pose,
        config.model,
        masks=config.mask,
        occluders=config.occluder,
        cameras=config.cameras,
        margin=config.solving.margin,
        mask_id=config.mask_id,
    )
    console.told(posed)
    folder = Path(config.out or f"{posed.images[0].path.stem}_texture")
    outputs.check_folder(folder, overwrite)
    if config.bake.enabled:
        mesh_to_bake(posed.model, config.bake)
    console.note(str(chosen))
    textured = console.told(texture_images(posed, config, device=chosen.device))
    figures = {**textured.figures(), "seconds_extract": round(time.perf_counter() - started, 2)}
    console.detail("solved for {channels} channels of {ellipsoids} ellipsoids from {images} images".format(**figures))
    album = TextureAlbum(textured, config)
    with atomic_folder(folder) as staging:
        save_ellipsoids(staging / ELLIPSOIDS, textured.ellipsoids.to("cpu"))
        figures |= album.write(staging, console.track)
        if config.bake.enabled:
            (staging / "baked").mkdir()
            baked = console.told(textured.bake(staging / "baked", config.bake))
            figures["baked"] = "texture" if baked.textured else "vertex colors"
        figures |= {"device": str(chosen.device), "backend": chosen.backend.value}
        figures["seconds"] = round(time.perf_counter() - started, 2)
        write_page(staging, album, figures)
        outputs.write_record(staging, "texture", loaded.text())
        files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    return {"out": str(folder), "model": str(posed.model), "files": files, **figures}
