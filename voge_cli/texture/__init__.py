"""voge texture: from photos with poses to textured ellipsoids, seen from new sides."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, option_groups, perform

if TYPE_CHECKING:
    import torch

    from voge.scene.ellipsoids import Ellipsoids
    from voge.texture import Extracted
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.texture.config import TextureConfig
    from voge_cli.texture.inputs import Taken

ELLIPSOIDS = "ellipsoids.safetensors"


@option_groups
def texture(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="IMAGE... [KEY=VALUE]...",
            help="Photos (PNG, JPEG, WebP) or feature maps (NPZ, SAFETENSORS) of one object; then settings.",
        ),
    ] = None,
    pose: Annotated[
        str | None,
        Option("--pose", metavar="FILE,...", help="Cameras: one file for all images, or one each (pose.json, ...)."),
    ] = None,
    model: Annotated[
        str | None, Option("--model", metavar="FILE", help="What is seen, instead of the model that the pose names.")
    ] = None,
    mask: Annotated[
        str | None, Option("--mask", metavar="FILE,...", help="For each image a picture, white on the object.")
    ] = None,
    occluder: Annotated[
        str | None, Option("--occluder", metavar="FILE,...", help="For each image: white where something hides it.")
    ] = None,
    solver: Annotated[
        Literal["average", "lsq"] | None, Option("--solver", help="Weighted means, or least squares. Default: lsq.")
    ] = None,
    fill: Annotated[
        Literal["none", "nearest", "symmetry"] | None,
        Option("--fill", help="What unseen ellipsoids get. Default: nearest."),
    ] = None,
    plane: Annotated[
        str | None,
        Option("--plane", metavar="auto|x|y|z|A,B,C,D", help="Of symmetry, with --fill symmetry. Default: auto."),
    ] = None,
    count: Annotated[
        int | None, Option("--count", help="Ellipsoids of a mesh. Default: as many as the photo has detail for.")
    ] = None,
    novel: Annotated[
        str | None, Option("--novel", metavar="azim+30,...", help="Views beside the photo's. Default: azim+30,azim-30.")
    ] = None,
    turntable: Annotated[
        int | None, Option("--turntable", metavar="N", help="Frames of the video, 0 for none. Default: 48.")
    ] = None,
    video: Annotated[
        Literal["mp4", "gif", "webp"] | None, Option("--video", help="Format of the video. Default: mp4.")
    ] = None,
    bake: Annotated[
        bool | None, Option("--bake", help="Also the mesh with its texture (OBJ, GLB), or colors at its vertices.")
    ] = None,
) -> None:
    """Take the colors of an object from photos of it.

    Writes the folder --out (default: <stem>_texture): ellipsoids.safetensors with colors and a confidence for each,
    images/ (photo, overlay, re-render, difference, confidence, new views), a turntable and report.html. KEY=VALUE
    after the options changes any setting that --print-config shows.
    """
    from voge_cli import config as configs
    from voge_cli.texture.config import TextureConfig

    images, overrides = configs.split_arguments(arguments or [])
    options = {
        "images": images or None,
        "pose": pose and pose.split(","),
        "model": model,
        "mask": mask and mask.split(","),
        "occluder": occluder and occluder.split(","),
        "out": writing.out and str(writing.out),
        "solving.solver": solver,
        "fill": fill,
        "plane": plane,
        "convert.count": count,
        "novel": novel and novel.split(","),
        "turntable": turntable,
        "video": video,
        "bake.enabled": bake,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    loaded = configs.load("texture", TextureConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: run_texture(loaded, c, overwrite=writing.overwrite), compute.progress)


def run_texture(
    loaded: Loaded[TextureConfig], console: Console, *, overwrite: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Load, extract, write; returns the folder and what is in it."""
    from voge.convert.files import load_model
    from voge.io.ellipsoids import save_ellipsoids
    from voge.io.files import atomic_folder
    from voge_cli import outputs
    from voge_cli.devices import choose_device
    from voge_cli.texture.album import TextureAlbum, check_video
    from voge_cli.texture.inputs import check_seen, load_taken

    config = loaded.value
    started = time.perf_counter()
    chosen = choose_device(config.device, config.settings.backend)
    check_video(config)
    taken, model = load_taken(config, console)
    folder = Path(config.out or f"{taken[0].path.stem}_texture")
    outputs.check_folder(folder, overwrite)
    mesh = _mesh_to_bake(model, config) if config.bake.enabled else None
    console.note(str(chosen))
    bare = console.told(load_model(model, config.convert)).ellipsoids.to(chosen.device)
    covered = check_seen(taken, bare, config.settings, console)
    bare = _refined(bare, model, covered, config, console).to(chosen.device)
    extracted = _extract(bare, taken, config, console)
    textured, facts = _textured(bare, extracted, taken, config, console)
    figures = {"ellipsoids": len(textured), **facts, "seconds_extract": round(time.perf_counter() - started, 2)}
    with atomic_folder(folder) as staging:
        save_ellipsoids(staging / ELLIPSOIDS, textured.to("cpu"))
        album = TextureAlbum(textured, extracted, taken, config, console)
        figures |= album.write(staging)
        if mesh is not None:
            figures |= _bake(staging / "baked", mesh, textured, config, console)
        figures |= {"device": str(chosen.device), "backend": chosen.backend.value}
        figures["seconds"] = round(time.perf_counter() - started, 2)
        album.write_report(staging, figures)
        outputs.write_record(staging, "texture", loaded.text())
        files = sorted(str(path.relative_to(staging)) for path in staging.rglob("*") if path.is_file())
    return folder, {"out": str(folder), "model": str(model), "files": files, **figures}


def _refined(bare: Ellipsoids, model: Path, covered: float, config: TextureConfig, console: Console) -> Ellipsoids:
    """A coarse mesh with more ellipsoids, as many as the images have detail for."""
    from voge.convert.files import load_model
    from voge.io.ellipsoids import holds_ellipsoids
    from voge_cli.texture.config import MOST

    if config.refine is None or config.convert.count is not None or holds_ellipsoids(model):
        return bare
    count = min(round(2 * covered / config.refine), MOST)  # about half of the surface is seen
    if count < 1.5 * len(bare):  # not worth the change
        return bare
    console.note(
        f"{model}: refined from {len(bare)} to {count} ellipsoids for the detail of the image (refine=null: not)"
    )
    return load_model(model, replace(config.convert, count=count)).ellipsoids


def _extract(bare: Ellipsoids, taken: list[Taken], config: TextureConfig, console: Console) -> Extracted:
    """Attributes in the space of averaging."""
    from voge.errors import DataError
    from voge.texture import extract

    images = [_in_space(each.photo.image, config) for each in taken]
    console.detail(f"solving for {images[0].shape[2]} channels of {len(bare)} ellipsoids from {len(taken)} images")
    try:
        extracted = extract(
            bare,
            [each.camera.to(bare.dtype).to(bare.device) for each in taken],
            images,
            [each.photo.alpha for each in taken],
            [each.mask for each in taken],
            solving=config.solving,
            settings=config.settings,
        )
    except ValueError as error:  # shapes were checked
        raise DataError(taken[0].path, str(error), "check masks and pose") from error
    if extracted.residual > 10 * config.solving.tolerance:
        console.note(
            f"warning: the solver stopped after {extracted.iterations} iterations at a residual of "
            f"{extracted.residual:.2g}; raise solving.iterations or solving.damping"
        )
    return extracted


def _in_space(image: torch.Tensor, config: TextureConfig) -> torch.Tensor:
    """Colors as stored, or in linear light."""
    import torch

    from voge.imaging.color import srgb_to_linear
    from voge.imaging.settings import ColorSpace

    if config.color_space is ColorSpace.srgb:
        return image
    return srgb_to_linear(image.float() / 255 if image.dtype == torch.uint8 else image)


def _textured(
    bare: Ellipsoids, extracted: Extracted, taken: list[Taken], config: TextureConfig, console: Console
) -> tuple[Ellipsoids, dict[str, Any]]:
    """The ellipsoids with their attributes, and what there is to tell of them."""
    import torch

    from voge.imaging.color import linear_to_srgb, srgb_to_linear
    from voge.imaging.pictures import GRAY
    from voge.imaging.settings import ColorSpace
    from voge.texture import filled
    from voge.texture.unseen import Fill

    colors, linear = taken[0].photo.colors, config.color_space is ColorSpace.linear
    before = bare
    if linear and bare.features is not None:  # what `none` leaves
        before = replace(bare, features=srgb_to_linear(bare.features))
    plane = _plane(bare, config) if config.fill is Fill.symmetry else None
    gray = torch.tensor(GRAY)
    gray = srgb_to_linear(gray) if colors and linear else gray
    features = filled(before, extracted, config.fill, plane, gray=float(gray))
    if colors:
        features = (linear_to_srgb(features) if linear else features).clamp(0, 1)
    metadata = {
        **bare.metadata,
        "texture": f"solver {config.solving.solver.value}, fill {config.fill.value}, from "
        + ", ".join(each.path.name for each in taken),
    }
    extra = {name: value for name, value in bare.extra.items() if name != "sh"}  # of the colors before
    extra |= {"confidence": extracted.confidence.to(bare.dtype), "pixels": extracted.pixels.to(bare.dtype)}
    facts: dict[str, Any] = {
        "images": len(taken),
        "channels": features.shape[1],
        "solver": config.solving.solver.value,
        "iterations": extracted.iterations,
        "fill": config.fill.value,
        "seen": round(float(extracted.seen.float().mean()), 4),
    }
    if plane is not None:
        facts["plane"] = [round(number, 6) for number in (*plane.normal, plane.offset)]
        facts["plane_error"] = round(plane.error, 5)
        console.note(f"plane of symmetry {facts['plane']}, mirror images are off by {plane.error:.2%} of the extent")
    return replace(bare, features=features.to(bare.dtype), extra=extra, metadata=metadata), facts


def _plane(bare: Ellipsoids, config: TextureConfig) -> Any:
    from voge.texture.symmetry import plane_of
    from voge_cli.texture.config import parse_plane

    try:
        return plane_of(bare.means, parse_plane(config.plane))
    except ValueError as error:
        raise UsageError(f"{error}; give one with --plane x, y, z or a,b,c,d, or use --fill nearest") from error


def _mesh_to_bake(model: Path, config: TextureConfig) -> Path:
    """The mesh that gets the colors, before any work."""
    from voge.io.ellipsoids import holds_ellipsoids

    if config.bake.mesh is None and holds_ellipsoids(model):
        raise UsageError(f"--bake needs the mesh, and {model} holds ellipsoids; name it with bake.mesh=car.obj")
    return Path(config.bake.mesh) if config.bake.mesh else model


def _bake(folder: Path, mesh: Path, textured: Ellipsoids, config: TextureConfig, console: Console) -> dict[str, Any]:
    """The mesh with its colors."""
    from voge.texture.bake import bake

    folder.mkdir()
    formats = tuple(file.value for file in config.bake.files)
    baked = bake(mesh, textured, folder, size=config.bake.size, formats=formats, settings=config.settings)
    for note in baked.notes:
        console.note(f"{mesh}: {note}")
    return {"baked": "texture" if baked.textured else "vertex colors"}
