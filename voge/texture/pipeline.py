"""Photos to textured ellipsoids: what `voge texture` does, for Python.

textured = voge.texture.from_photos(["front.png"], ["pose.json"])
voge.save_ellipsoids("car.safetensors", textured.ellipsoids)
voge.texture.TextureAlbum(textured).write("images")
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voge.convert.files import load_model
from voge.errors import DataError, SettingsError
from voge.imaging.color import linear_to_srgb, srgb_to_linear
from voge.imaging.pictures import GRAY
from voge.imaging.scale_check import sanity
from voge.imaging.settings import ColorSpace
from voge.io.ellipsoids import holds_ellipsoids
from voge.rendering.renderer import render
from voge.rendering.settings import RenderSettings
from voge.scene.ellipsoids import Ellipsoids
from voge.scene.extent import bounding_box
from voge.scene.viewpoints import resized
from voge.texture.bake import Baked, bake
from voge.texture.extraction import Extracted, extract, filled
from voge.texture.posed_images import Files, PosedImage, PosedImages, load_posed_images
from voge.texture.settings import MOST, BakeSettings, Fill, TextureSettings, parse_plane
from voge.texture.symmetry import Plane, plane_of

_CHECKED = 160  # pixels along the longer side, to see whether a camera sees the object at all
_ANYTHING = 0.05  # alpha of a pixel that sees the object
_APART = 3.0  # times that the areas of silhouette and transparent photo may differ before it is told


@dataclass(frozen=True, eq=False)
class Textured:
    """Ellipsoids with the attributes that photos give them."""

    ellipsoids: Ellipsoids  # features (N, C); extra["confidence"] (N,), 0 to 1, and extra["pixels"] (N,)
    extracted: Extracted
    posed: PosedImages
    settings: TextureSettings
    plane: Plane | None = None  # of symmetry, where unseen ellipsoids got the color of their mirror image
    notes: tuple[str, ...] = ()  # what the user should know of the work, a line each

    def figures(self) -> dict[str, Any]:
        """Counts, solver, fill and plane of symmetry as plain numbers and texts."""
        features, plane = self.extracted.features, self.plane
        facts: dict[str, Any] = {
            "ellipsoids": len(self.ellipsoids),
            "images": len(self.posed.images),
            "channels": features.shape[1],
            "solver": self.settings.solving.solver.value,
            "iterations": self.extracted.iterations,
            "fill": self.settings.fill.value,
            "seen": round(float(self.extracted.seen.float().mean()), 4),
        }
        if plane is not None:
            facts["plane"] = [round(number, 6) for number in (*plane.normal, plane.offset)]
            facts["plane_error"] = round(plane.error, 5)
        return facts

    def bake(self, folder: str | Path, settings: BakeSettings | None = None) -> Baked:
        """Write the mesh with the colors into a folder that is there (see `voge.texture.bake`).

        Raises:
            SettingsError: the model holds ellipsoids, and `settings.mesh` names no mesh.
            DataError: the mesh cannot be read.
        """
        settings = settings or BakeSettings()
        mesh = mesh_to_bake(self.posed.model, settings)
        formats = tuple(file.value for file in settings.files)
        made = bake(mesh, self.ellipsoids, folder, size=settings.size, formats=formats, settings=self.settings.settings)
        return replace(made, notes=tuple(f"{mesh}: {note}" for note in made.notes))


def from_photos(
    images: Files,
    poses: Files,
    model: str | Path | None = None,
    settings: TextureSettings | None = None,
    *,
    masks: Files = (),
    occluders: Files = (),
    device: torch.device | str = "cpu",
) -> Textured:
    """Take the colors of an object from photos of it, as `voge texture` does.

    Args:
        images: photos or feature maps of one object; none: those that the poses name.
        poses: a file of cameras for all images, or one for each in their order.
        model: ellipsoids, a mesh or points; None: the model that a pose names.
        settings: how files are read and attributes are found.
        masks: for each image a picture that is white on the object.
        occluders: for each image a picture that is white where something hides the object.
        device: where to compute.

    Raises:
        SettingsError: something is missing, or files do not pair up, or no plane of symmetry was found.
        DataError: a file cannot be used, or a camera does not see the object.
    """
    settings = settings or TextureSettings()
    posed = load_posed_images(
        images,
        poses,
        model,
        masks=masks,
        occluders=occluders,
        cameras=settings.cameras,
        margin=settings.solving.margin,
        mask_id=settings.mask_id,
    )
    return texture_images(posed, settings, device=device)


def texture_images(
    posed: PosedImages, settings: TextureSettings | None = None, *, device: torch.device | str = "cpu"
) -> Textured:
    """Give the model of photos that were loaded its attributes. See `from_photos`."""
    settings = settings or TextureSettings()
    loaded = load_model(posed.model, settings.convert)
    bare = loaded.ellipsoids.to(torch.device(device))
    seen = [check_seen(each, bare, settings.settings) for each in posed.images]
    notes = [*loaded.notes, *(note for _, told in seen for note in told)]
    refined = _refined(bare, posed.model, max(covered for covered, _ in seen), settings)
    if refined is not bare:
        notes.append(
            f"{posed.model}: refined from {len(bare)} to {len(refined)} ellipsoids for the detail of the image "
            "(refine=null: not)"
        )
    extracted = _extract(refined, posed, settings)
    if extracted.residual > 10 * settings.solving.tolerance:
        notes.append(
            f"warning: the solver stopped after {extracted.iterations} iterations at a residual of "
            f"{extracted.residual:.2g}; raise solving.iterations or solving.damping"
        )
    plane = _plane(refined, settings) if settings.fill is Fill.symmetry else None
    ellipsoids = _with_attributes(refined, extracted, plane, posed, settings)
    made = Textured(ellipsoids, extracted, posed, settings, plane)
    if plane is not None:
        told = made.figures()["plane"]
        notes.append(f"plane of symmetry {told}, mirror images are off by {plane.error:.2%} of the extent")
    return replace(made, notes=tuple(notes))


def mesh_to_bake(model: Path, settings: BakeSettings) -> Path:
    """The mesh that gets the colors.

    Raises:
        SettingsError: the model holds ellipsoids, and the settings name no mesh.
    """
    if settings.mesh is None and holds_ellipsoids(model):
        raise SettingsError(f"--bake needs the mesh, and {model} holds ellipsoids; name it with bake.mesh=car.obj")
    return Path(settings.mesh) if settings.mesh else model


# ---- Checks ----------------------------------------------------------------------------------


def check_seen(
    image: PosedImage, ellipsoids: Ellipsoids, settings: RenderSettings | None = None
) -> tuple[float, list[str]]:
    """Refuse a pose that does not see the object, and masks that leave nothing of it.

    Returns:
        How many pixels of the image the object covers, and warnings of odd proportions.

    Raises:
        DataError: names the pose or the image.
    """
    warnings = sanity(ellipsoids, image.camera)
    scale = min(1.0, _CHECKED / max(image.photo.size))
    size = max(round(image.camera.width * scale), 1), max(round(image.camera.height * scale), 1)
    shape = replace(ellipsoids, features=None, extra={})
    small = resized(image.camera, *size).to(shape.dtype).to(shape.device)
    alpha = render(shape, small, settings).alpha[0].cpu()
    if alpha.max() < _ANYTHING:
        middle = ", ".join(f"{x:.4g}" for x in bounding_box(ellipsoids).center)
        reason = warnings[0] if warnings else f"nothing of it, around ({middle}), is in the picture"
        raise DataError(image.pose, f"does not see the object: {reason}", "check pose, units and model")
    notes = [f"warning: {image.path}: {line}" for line in [*warnings, *_odd_masks(image, alpha)]]
    return float(alpha.mean()) * image.camera.width * image.camera.height, notes


def _odd_masks(image: PosedImage, alpha: Tensor) -> Iterator[str]:
    """Compare alpha and mask with the silhouette (h, w) of the model, coarsely."""
    for share in (image.photo.alpha, image.mask):
        if share is None:
            continue
        shown = torch.nn.functional.interpolate(share[None, None], tuple(alpha.shape), mode="area")[0, 0]
        if float((shown * alpha).sum()) < 1e-3 * float(alpha.sum()):
            problem = "its mask or alpha leaves nothing of the object where the pose puts it"
            raise DataError(image.path, problem, f"check the mask and {image.pose}")
    if image.photo.alpha is not None:
        ratio = float(image.photo.alpha.mean() / alpha.mean())
        if not 1 / _APART <= ratio <= _APART:
            yield (
                f"the object covers {ratio:.2g} times the area that pose and model give it; "
                "check units and focal length"
            )


# ---- Steps -----------------------------------------------------------------------------------


def _refined(bare: Ellipsoids, model: Path, covered: float, settings: TextureSettings) -> Ellipsoids:
    """Give a coarse mesh as many ellipsoids as the images have detail for; returns `bare` where it has enough."""
    if settings.refine is None or settings.convert.count is not None or holds_ellipsoids(model):
        return bare
    count = min(round(2 * covered / settings.refine), MOST)  # about half of the surface is seen
    if count < 1.5 * len(bare):  # not worth the change
        return bare
    return load_model(model, replace(settings.convert, count=count)).ellipsoids.to(bare.device)


def _extract(bare: Ellipsoids, posed: PosedImages, settings: TextureSettings) -> Extracted:
    """Attributes in the space of averaging."""
    try:
        return extract(
            bare,
            [each.camera.to(bare.dtype).to(bare.device) for each in posed.images],
            [_in_space(each.photo.image, settings) for each in posed.images],
            [each.photo.alpha for each in posed.images],
            [each.mask for each in posed.images],
            solving=settings.solving,
            settings=settings.settings,
        )
    except ValueError as error:  # shapes were checked
        raise DataError(posed.images[0].path, str(error), "check masks and pose") from error


def _in_space(image: Tensor, settings: TextureSettings) -> Tensor:
    """Colors as stored, or in linear light."""
    if settings.color_space is ColorSpace.srgb:
        return image
    return srgb_to_linear(image.float() / 255 if image.dtype == torch.uint8 else image)


def _plane(bare: Ellipsoids, settings: TextureSettings) -> Plane:
    try:
        return plane_of(bare.means, parse_plane(settings.plane))
    except ValueError as error:
        raise SettingsError(f"{error}; give one with --plane x, y, z or a,b,c,d, or use --fill nearest") from error


def _with_attributes(
    bare: Ellipsoids, extracted: Extracted, plane: Plane | None, posed: PosedImages, settings: TextureSettings
) -> Ellipsoids:
    """The ellipsoids with features (N, C) for all, and how well each is known."""
    colors, linear = posed.colors, settings.color_space is ColorSpace.linear
    before = bare
    if linear and bare.features is not None:  # what `none` leaves
        before = replace(bare, features=srgb_to_linear(bare.features))
    gray = torch.tensor(GRAY)
    gray = srgb_to_linear(gray) if colors and linear else gray
    features = filled(before, extracted, settings.fill, plane, gray=float(gray))
    if colors:
        features = (linear_to_srgb(features) if linear else features).clamp(0, 1)
    names = ", ".join(each.path.name for each in posed.images)
    told = f"solver {settings.solving.solver.value}, fill {settings.fill.value}, from {names}"
    extra = {name: value for name, value in bare.extra.items() if name != "sh"}  # of the colors before
    extra |= {"confidence": extracted.confidence.to(bare.dtype), "pixels": extracted.pixels.to(bare.dtype)}
    metadata = {**bare.metadata, "texture": told}
    return replace(bare, features=features.to(bare.dtype), extra=extra, metadata=metadata)
