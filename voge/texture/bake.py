"""The colors of ellipsoids on the mesh that they were made of: a texture with padded seams, or colors at vertices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.convert.placement import MOVED
from voge.errors import DataError
from voge.rendering.renderer import trace
from voge.rendering.settings import RenderSettings
from voge.scene.cameras import Rays
from voge.scene.ellipsoids import Ellipsoids
from voge.texture.unseen import Sources

Array = NDArray[Any]

_TRACED = 2**17  # places traced at once
_CANDIDATES = 2**22  # texels tested at once
_THIN = 0.05  # a ray that stops less light than this meets no surface
_LEAST = 1e-3  # weight, over that of a face that is well seen, of one that is not seen at all


@dataclass(frozen=True, slots=True, eq=False)
class Baked:
    """The files of a baked mesh."""

    files: tuple[Path, ...]
    textured: bool  # a texture, or else colors at the vertices
    notes: tuple[str, ...]  # what the user should know, a line each


def bake(
    path: str | Path,
    ellipsoids: Ellipsoids,
    folder: str | Path,
    *,
    size: int = 1024,
    formats: tuple[str, ...] = ("obj", "glb"),
    settings: RenderSettings | None = None,
) -> Baked:
    """Write a mesh with the ellipsoids' colors into a folder.

    A mesh with texture coordinates keeps its vertices, faces and coordinates and gets new pictures: model.obj with
    model.mtl and texture.png, model.glb. One without gets colors at its vertices: model.ply, model.glb. Numbers are
    sRGB in all of them.

    Args:
        path: the mesh, in the coordinates of the file that the ellipsoids were made of.
        ellipsoids: with colors (N, 3) as features; extra["confidence"], if it is there, decides between faces that
            share a piece of the texture.
        folder: where to; must exist.
        size: pixels along the side of a texture.
        formats: of a textured mesh, of "obj" and "glb".
        settings: of tracing.

    Raises:
        DataError: the mesh cannot be read.
    """
    path, folder = Path(path), Path(folder)
    parts = _load(path)
    field = _Field(ellipsoids, settings)
    notes: list[str] = []
    textured = [_has_coordinates(part) for part in parts]
    if any(textured):
        if not all(textured):
            notes.append(f"{textured.count(False)} of {len(parts)} parts have no texture coordinates; left out")
        parts = [part for part, has in zip(parts, textured, strict=True) if has]
        pictures = [_texture(part, field, size, notes) for part in parts]
        files = _write_textured(folder, parts, pictures, formats)
    else:
        files = _write_colored(folder, parts, field)
    return Baked(tuple(files), any(textured), tuple(dict.fromkeys(notes)))


# ---- The color of a place -------------------------------------------------------------------


class _Field:
    """Colors of places on the surface: what a ray along the normal sees, which may start on either side."""

    def __init__(self, ellipsoids: Ellipsoids, settings: RenderSettings | None) -> None:
        features, confidence = ellipsoids.features, ellipsoids.extra.get("confidence")
        if features is None or features.shape[1] != 3:
            raise ValueError("ellipsoids must have colors (N, 3) to be baked")
        share = torch.ones_like(features[:, :1]) if confidence is None else confidence.to(features)[:, None]
        self.values = torch.cat([features, share], 1)
        self.ellipsoids = ellipsoids
        # Not beyond the ellipsoids at the place: behind may be another surface.
        self.reach = 2 * float(ellipsoids.scales.amax(1).median())
        self.settings = replace(settings or RenderSettings(), near=0.0, far=2 * self.reach)
        moved = ellipsoids.metadata.get(MOVED)
        self.matrix = torch.eye(4).double() if moved is None else torch.tensor(json.loads(moved)).double()

    def __call__(self, places: Array, normals: Array) -> tuple[Array, Array]:
        """Colors (P, 3) in [0, 1] and how well they are known (P,), 0 to 1, of places (P, 3) in the mesh's frame."""
        made = [
            self._chunk(torch.from_numpy(places[i : i + _TRACED]), torch.from_numpy(normals[i : i + _TRACED]))
            for i in range(0, len(places), _TRACED)
        ]
        values = torch.cat(made).cpu().numpy() if made else np.zeros((0, 4), np.float32)
        return values[:, :3].clip(0, 1), values[:, 3].clip(0, 1)

    def _chunk(self, places: Tensor, normals: Tensor) -> Tensor:
        points = (places @ self.matrix[:3, :3].mT + self.matrix[:3, 3]).to(self.values)
        ways = torch.nn.functional.normalize(normals @ self.matrix[:3, :3].mT, dim=1).to(self.values)
        with torch.no_grad():
            fragments = trace(self.ellipsoids, Rays(points + self.reach * ways, -ways), self.settings)
            values = fragments.interpolate(self.values) / fragments.alpha.clamp_min(_THIN)[:, None]
        missed = fragments.alpha < _THIN
        if missed.any():
            every = missed.new_ones(len(self.ellipsoids))
            values[missed] = Sources.around(points[missed], self.ellipsoids.means, every).of(self.values)
        return values


# ---- Textures --------------------------------------------------------------------------------


def _texture(part: Any, field: _Field, size: int, notes: list[str]) -> Array:
    """The picture (size, size, 3) uint8 of a part."""
    uv = np.asarray(part.visual.uv, np.float64)[part.faces]
    corners = np.asarray(part.vertices, np.float64)[part.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    sums, weights = np.zeros((size * size, 3)), np.zeros(size * size)
    hits = np.zeros(size * size, np.int32)
    for face, texel, at in rasterize(uv, size):
        places = np.einsum("tc,tck->tk", at, corners[face])
        colors, known = field(places, normals[face])
        weight = known.astype(np.float64) + _LEAST
        np.add.at(sums, texel, weight[:, None] * colors)
        np.add.at(weights, texel, weight)
        np.add.at(hits, texel, 1)
    covered = hits > 0
    # Faces that meet share the texels of their edge; more than a tenth is another matter.
    if (hits > 1).sum() > 0.1 * covered.sum():
        share = (hits > 1).sum() / covered.sum()
        notes.append(
            f"{share:.0%} of the texture is shared by several faces, so it holds the mean of what was seen of them"
        )
    picture = np.zeros((size * size, 3))
    picture[covered] = sums[covered] / weights[covered, None]
    return padded(np.rint(255 * picture).astype(np.uint8).reshape(size, size, 3), covered.reshape(size, size))


def rasterize(uv: Array, size: int) -> Iterator[tuple[Array, Array, Array]]:
    """The texels of a square picture whose centers lie on faces with texture coordinates (F, 3, 2), v upwards.

    A face that has none gets the texel around its middle. Beyond 0 to 1 pictures repeat.

    Yields:
        Face (T,), texel (T,) in rows from the top, barycentric coordinates (T, 3); memory is bounded.
    """
    ends = np.stack([uv[..., 0] * size, (1 - uv[..., 1]) * size], -1)  # in pixels, from the top left corner
    first = np.ceil(ends.min(1) - 0.5).astype(np.int64)  # the first and last centers in the box around a face
    count = np.floor(ends.max(1) - 0.5).astype(np.int64) - first + 1
    boxes = np.prod(np.maximum(count, 0), axis=1)
    found = np.zeros(len(ends), bool)
    order = np.argsort(boxes, kind="stable")
    order = order[boxes[order] > 0]
    start = 0
    while start < len(order):
        stop = start + max(int(np.searchsorted(np.cumsum(boxes[order[start:]]), _CANDIDATES)), 1)
        rows = order[start:stop]
        face = np.repeat(rows, boxes[rows])
        rank = np.arange(len(face)) - np.repeat(np.cumsum(boxes[rows]) - boxes[rows], boxes[rows])
        pixel = first[face] + np.stack([rank % count[face, 0], rank // count[face, 0]], 1)
        at = _barycentric(ends[face], pixel + 0.5)
        inside = (at >= -1e-9).all(1)
        found[face[inside]] = True
        yield face[inside], _texel(pixel[inside], size), at[inside]
        start = stop
    missed = np.flatnonzero(~found)
    middle = ends[missed].mean(1)
    yield missed, _texel(np.floor(middle).astype(np.int64), size), np.full((len(missed), 3), 1 / 3)


def padded(picture: Array, covered: Array) -> Array:
    """A picture (H, W, 3) in which all that is not covered (H, W) has the nearest covered color.

    So neither interpolation nor smaller levels of it show a seam.
    """
    from scipy.ndimage import distance_transform_edt

    if not covered.any() or covered.all():
        return picture
    rows, columns = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    return np.asarray(picture[rows, columns])


def _texel(pixel: Array, size: int) -> Array:
    return np.asarray(pixel[:, 1] % size * size + pixel[:, 0] % size)


def _barycentric(ends: Array, points: Array) -> Array:
    """Coordinates (T, 3) of points (T, 2) in triangles (T, 3, 2); none are inside one without area."""

    def cross(p: Array, q: Array) -> Array:
        product: Array = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
        return product

    a, b, c = ends[:, 0], ends[:, 1], ends[:, 2]
    area = cross(b - a, c - a)
    with np.errstate(divide="ignore", invalid="ignore"):
        second, third = cross(points - a, c - a) / area, cross(b - a, points - a) / area
    at = np.stack([1 - second - third, second, third], 1)
    return np.where(np.isfinite(at), at, -1)


# ---- Files -----------------------------------------------------------------------------------


def _load(path: Path) -> list[Any]:
    """The meshes of a file in one frame, as trimesh has them: vertices apart along seams."""
    import trimesh

    from voge.io.meshes import load_geometry

    load_geometry(path)  # complains in one line of what cannot be read
    scene = trimesh.load_scene(path, process=False)
    parts = []
    for node in sorted(scene.graph.nodes_geometry):
        transform, name = scene.graph[node]
        part = scene.geometry[name].copy()
        if isinstance(part, trimesh.Trimesh) and len(part.faces):
            part.apply_transform(transform)
            parts.append(part)
    if not parts:
        raise DataError(path, "has no faces to bake colors on", "name the mesh with bake.mesh=car.obj")
    return parts


def _has_coordinates(part: Any) -> bool:
    uv = getattr(part.visual, "uv", None)
    return uv is not None and len(uv) == len(part.vertices)


def _write_textured(folder: Path, parts: list[Any], pictures: list[Array], formats: tuple[str, ...]) -> list[Path]:
    import trimesh
    from PIL import Image
    from trimesh.visual.material import PBRMaterial, SimpleMaterial

    files = []
    images = [Image.fromarray(picture) for picture in pictures]
    names = ["texture" if len(parts) == 1 else f"texture_{i}" for i in range(len(parts))]
    white = [255, 255, 255, 255]
    for kind in formats:
        scene = trimesh.Scene()
        for part, image, name in zip(parts, images, names, strict=True):
            material: Any
            if kind == "glb":
                material = PBRMaterial(
                    name=name, baseColorTexture=image, baseColorFactor=white, metallicFactor=0.0, roughnessFactor=1.0
                )
            else:
                material = SimpleMaterial(image=image, diffuse=white, ambient=white, specular=[0, 0, 0, 255])
                material.name = name
            made = part.copy()
            made.visual = trimesh.visual.TextureVisuals(uv=part.visual.uv, material=material)
            scene.add_geometry(made, geom_name=name)
        if kind == "glb":
            (folder / "model.glb").write_bytes(scene.export(file_type="glb"))
            files.append(folder / "model.glb")
            continue
        text, others = trimesh.exchange.obj.export_obj(
            scene, return_texture=True, write_texture=False, mtl_name="model.mtl", header="voge texture"
        )
        (folder / "model.obj").write_text(text, encoding="utf-8")
        for name, content in others.items():
            (folder / name).write_bytes(content)
        files += [folder / "model.obj", *(folder / name for name in others)]
    return files


def _write_colored(folder: Path, parts: list[Any], field: _Field) -> list[Path]:
    import trimesh

    for part in parts:
        colors, _ = field(np.array(part.vertices, np.float64), np.array(part.vertex_normals, np.float64))
        part.visual = trimesh.visual.ColorVisuals(part, vertex_colors=np.rint(255 * colors).astype(np.uint8))
    whole = trimesh.util.concatenate(parts)
    files = [folder / "model.ply", folder / "model.glb"]
    for file in files:
        whole.export(file)
    return files
