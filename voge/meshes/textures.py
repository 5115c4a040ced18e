"""Textures on triangle meshes: their color at a place of a face, and their mean over a piece of surface.

A mean over a footprint comes from a pyramid of pictures, each half as large as the one before. It lies between the two
levels whose pixels are about as large as the footprint. So no texel is skipped, however fine the texture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Wrap(str, Enum):
    """The color of a picture beyond its rim."""

    repeat = "repeat"
    clamp = "clamp"  # that of the rim
    mirror = "mirror"


REPEAT = (Wrap.repeat, Wrap.repeat)
REACH = 0.5  # a vertex's color is the mean over its hat shrunk by this factor (docs/formats.md)
MOST_CUTS = 8  # pieces along the side of a face that are looked up one by one
_ROWS = 2**18  # places looked up together: bounds memory


@dataclass(frozen=True, slots=True, eq=False)
class Texture:
    """Colors of the F faces of a mesh: pictures by texture coordinates, plain colors elsewhere."""

    uv: Array  # (F, 3, 2) float64 texture coordinates of the corners, v upwards
    image: Array  # (F,) int64 row of `images`; -1 for none
    images: tuple[tuple[Array, ...], ...]  # pyramids (see `pyramid`) of (H, W, 3) uint8, rows from the top
    tints: Array  # (images, 3) float32, multiply the pictures
    # (F, 3, 3) float32 colors of the corners, which multiply the picture of faces that have one; (0, 3, 3): all white
    plain: Array
    wraps: tuple[tuple[Wrap, Wrap], ...] = ()  # of the pictures, along u and v, beyond 0 to 1; (): all repeat

    def faces(self, rows: Array) -> Texture:
        """The texture of some of the faces: a mask or indices."""
        plain = self.plain[rows] if len(self.plain) else self.plain
        return replace(self, uv=self.uv[rows], image=self.image[rows], plain=plain)

    def lookup(self, face: Array, corners: Array, share: Array | float = 0.0) -> Array:
        """Colors (P, 3) float64 in [0, 1] of places on faces.

        Args:
            face: (P,) rows of the mesh's faces.
            corners: (P, 3) barycentric coordinates.
            share: (P,) or one number, the footprint's area as a part of the face's; 0 takes the picture itself.
        """
        colors = np.ones((len(face), 3))
        share = np.broadcast_to(np.asarray(share, np.float64), face.shape)
        if len(self.plain):
            colors = np.einsum("pc,pck->pk", corners, self.plain[face].astype(np.float64))
        for index, (levels, tint) in enumerate(zip(self.images, self.tints, strict=True)):
            for chunk in _chunks(np.flatnonzero(self.image[face] == index)):
                ends = self.uv[face[chunk]]
                uv = np.einsum("pc,pck->pk", corners[chunk], ends)
                level = 0.5 * np.log2(np.maximum(share[chunk] * _texels(ends, levels[0].shape), 1))
                clamp = np.all((ends >= 0) & (ends <= 1), axis=(1, 2))  # the face does not count on repetition
                wrap = self.wraps[index] if self.wraps else REPEAT
                colors[chunk] *= _sample_levels(levels, uv, level, clamp, wrap) * tint
        return colors

    def texels(self) -> Array:
        """(F,) area of each face in texels of its picture; 0 without one."""
        area = np.zeros(len(self.uv))
        for index, levels in enumerate(self.images):
            rows = self.image == index
            area[rows] = _texels(self.uv[rows], levels[0].shape)
        return area


def corner_colors(texture: Texture, reach: float = REACH) -> Array:
    """(F, 3, 3) float32 mean color of every face around each of its corners, weighted by the corner's hat function.

    Args:
        texture: of F faces.
        reach: the hat is shrunk towards the corner by this factor; 1 for the mean over the whole hat.
    """
    made = np.empty((len(texture.uv), 3, 3), np.float32)
    # As many pieces as a face has texels, for the mean must not leave the face where the texture's islands end.
    cuts = np.ceil(np.sqrt(reach**2 * texture.texels() / 4)).clip(1, MOST_CUTS).astype(np.int64)
    for count in np.unique(cuts):
        places, weights = _hat_places(int(count))
        for faces in _chunks(np.flatnonzero(cuts == count), len(places)):
            face = np.repeat(faces, len(places))
            for corner in range(3):
                tip = np.eye(3)[corner]
                shrunk = np.tile(tip + reach * (np.roll(places, corner, axis=1) - tip), (len(faces), 1))
                colors = texture.lookup(face, shrunk, reach**2 / count**2).reshape(len(faces), -1, 3)
                made[faces, corner] = np.einsum("q,fqk->fk", weights, colors)
    return made


def vertex_colors(texture: Texture, faces: Array, areas: Array, count: int, reach: float = REACH) -> Array:
    """(count, 3) float32 colors of the vertices: means of their faces' corners weighted by area.

    Args:
        texture: of F faces.
        faces: (F, 3) rows of the vertices.
        areas: (F,) > 0.
        count: of vertices.
        reach: see `corner_colors`.
    """
    corners, weights = corner_colors(texture, reach).reshape(-1, 3), np.repeat(areas, 3)
    total = np.bincount(faces.reshape(-1), weights, count)
    sums = [np.bincount(faces.reshape(-1), weights * corners[:, channel], count) for channel in range(3)]
    return (np.stack(sums, 1) / np.maximum(total, 1e-300)[:, None]).astype(np.float32)


def pyramid(image: Array) -> tuple[Array, ...]:
    """A picture (H, W, 3) uint8 and ever smaller ones, each half as large, down to one pixel."""
    from PIL import Image

    whole, (height, width) = Image.fromarray(image), image.shape[:2]
    sizes = [(max(width >> k, 1), max(height >> k, 1)) for k in range(1, max(height, width).bit_length())]
    return (image, *(np.asarray(whole.resize(size, Image.Resampling.BOX)) for size in sizes))


def sample_texture(image: Array, uv: Array, clamp: Array | bool = False, wrap: tuple[Wrap, Wrap] = REPEAT) -> Array:
    """Colors (P, C) of a picture (H, W, C) at texture coordinates (P, 2), v upwards, bilinear.

    Beyond 0 and 1 it goes on as `wrap` says, along u and v. Where `clamp` (P,) holds, its rim goes on instead: else
    opposite rims would mix.
    """
    height, width = image.shape[:2]
    x, y = np.nan_to_num(uv[:, 0]) * width - 0.5, (1 - np.nan_to_num(uv[:, 1])) * height - 0.5
    left, top = np.floor(x), np.floor(y)
    right_share, bottom_share = (x - left)[:, None], (y - top)[:, None]
    columns = [_within(left.astype(np.int64) + i, width, clamp, wrap[0]) for i in (0, 1)]
    rows = [_within(top.astype(np.int64) + i, height, clamp, wrap[1]) for i in (0, 1)]
    upper, lower = (image[row, columns[0]] * (1 - right_share) + image[row, columns[1]] * right_share for row in rows)
    return np.asarray(upper * (1 - bottom_share) + lower * bottom_share)


def _within(index: Array, count: int, clamp: Array | bool, wrap: Wrap) -> Array:
    rim = np.clip(index, 0, count - 1)
    if wrap is Wrap.clamp:
        return rim
    turned = index % (2 * count)
    beyond = np.minimum(turned, 2 * count - 1 - turned) if wrap is Wrap.mirror else index % count
    return np.where(clamp, rim, beyond)


def _sample_levels(levels: Sequence[Array], uv: Array, level: Array, clamp: Array, wrap: tuple[Wrap, Wrap]) -> Array:
    """Colors (P, 3) at fractional levels (P,) of a pyramid."""
    level = np.minimum(level, len(levels) - 1)
    lower = np.minimum(level.astype(np.int64), len(levels) - 2) if len(levels) > 1 else np.zeros(len(level), np.int64)
    colors = np.empty((len(uv), 3))
    for index in np.unique(lower):
        rows = np.flatnonzero(lower == index)
        part = (level[rows] - index)[:, None]
        colors[rows] = sample_texture(levels[index], uv[rows], clamp[rows], wrap)
        if part.any():
            colors[rows] += part * (sample_texture(levels[index + 1], uv[rows], clamp[rows], wrap) - colors[rows])
    return colors / 255


def _texels(uv: Array, shape: tuple[int, ...]) -> Array:
    """(P,) areas of triangles (P, 3, 2) in texels of a picture."""
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    return np.asarray(np.nan_to_num(area) * shape[0] * shape[1])


def _hat_places(cuts: int) -> tuple[Array, Array]:
    """Barycentric places (Q, 3) of cuts^2 pieces of a face, and the share (Q,) of the first corner's hat in each."""
    if cuts == 1:
        return np.array([[0.5, 0.25, 0.25]]), np.ones(1)  # exact where colors are linear
    steps = range(cuts)
    upright = [(i + 1 / 3, j + 1 / 3) for i in steps for j in range(cuts - i)]
    turned = [(i + 2 / 3, j + 2 / 3) for i in steps for j in range(cuts - i - 1)]
    first, second = np.array(upright + turned).T / cuts
    places = np.stack([first, second, 1 - first - second], 1)
    return places, places[:, 0] / places[:, 0].sum()


def _chunks(rows: Array, each: int = 1) -> Iterator[Array]:
    """Rows in pieces of bounded size, where each row stands for several places."""
    step = max(_ROWS // each, 1)
    yield from (rows[start : start + step] for start in range(0, len(rows), step))
