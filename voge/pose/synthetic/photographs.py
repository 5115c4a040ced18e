"""Photo-like pictures for the synthetic benchmark: ray-cast objects, lit and textured, over and under clutter.

Nothing here uses our renderer: rays are cast by Embree (`voge.meshes.raycast`), light and texture are worked
out a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voge.meshes.mesh import Mesh
from voge.meshes.raycast import render_mesh
from voge.pose.data.angles import to_viewmat
from voge.pose.synthetic.shapes import clutter
from voge.scene.cameras import Cameras

Array = NDArray[Any]

SAMPLES = 2  # rays along each side of a pixel
CUTOUT = 112  # pixels a side of an occluder's picture, before it is scaled
TRIES = 200  # to hide the wanted share of an object


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An object without its surroundings."""

    color: Array  # (H, W, 3) float32 in [0, 1], premultiplied by alpha
    alpha: Array  # (H, W)

    def over(self, background: Array) -> Array:
        """The object before a background (H, W, 3)."""
        return np.asarray(self.color + (1 - self.alpha[..., None]) * background, np.float32)


def draw_object(mesh: Mesh, camera: Cameras, random: np.random.Generator) -> Picture:
    """A mesh in its colors with a random pattern, under a random sun and sky."""
    height, width = camera.height, camera.width
    color, alpha = np.zeros((height, width, 3), np.float32), np.zeros((height, width), np.float32)
    pixels = camera.project(torch.from_numpy(mesh.vertices))[0][0]
    (left, top), (right, bottom) = (
        pixels.min(0).values.floor().int().tolist(),
        pixels.max(0).values.ceil().int().tolist(),
    )
    left, top, right, bottom = max(left - 1, 0), max(top - 1, 0), min(right + 1, width), min(bottom + 1, height)
    if right <= left or bottom <= top:
        return Picture(color, alpha)
    moved = camera.Ks.clone()  # only the part of the picture with the object is cast
    moved[:, 0, 2] -= left
    moved[:, 1, 2] -= top
    part = replace(camera, Ks=moved, width=right - left, height=bottom - top)
    cast = render_mesh(mesh, part, SAMPLES)
    share = cast.alpha[0].numpy()
    rays = part.rays()
    distance = cast.depth[0] / cast.alpha[0].clamp_min(1e-6)
    points = (rays.origins[0] + distance[..., None] * rays.directions[0]).numpy()
    paint = cast.image[0].numpy() / np.maximum(share, 1e-6)[..., None] * _pattern(points, random)
    lit = _light(paint, cast.normals[0].numpy(), -rays.directions[0].numpy(), random)
    color[top:bottom, left:right], alpha[top:bottom, left:right] = np.clip(lit, 0, 1) * share[..., None], share
    return Picture(color, alpha)


def draw_background(width: int, height: int, random: np.random.Generator) -> Array:
    """Ground and sky or a wall, of noise at many scales, with random shapes in it: (H, W, 3)."""
    picture = _tint(_noise(width, height, random), random)
    if random.random() < 0.6:  # a horizon
        line = int(height * random.uniform(0.2, 0.7))
        picture[:line] = _tint(_noise(width, line, random, rough=0.35), random)
    y, x = np.mgrid[:height, :width]
    for _ in range(int(random.integers(0, 14))):
        shape = _shape(x - random.uniform(0, width), y - random.uniform(0, height), random, random.uniform(8, 70))
        picture = np.where(shape[..., None], _tint(_noise(width, height, random), random), picture)
    return np.asarray(picture, np.float32)


def cutouts(random: np.random.Generator, count: int) -> list[Picture]:
    """Pictures of things that stand in the way, each filling its square."""
    made = []
    K = torch.tensor([[CUTOUT * 3.2, 0, CUTOUT / 2], [0, CUTOUT * 3.2, CUTOUT / 2], [0, 0, 1]], dtype=torch.float64)
    for _ in range(count):
        azimuth, elevation, theta = torch.from_numpy(random.uniform((0, -20, -180), (360, 60, 180))[:, None])
        camera = Cameras(to_viewmat(azimuth, elevation, theta, 3.5), K[None], CUTOUT, CUTOUT)
        made.append(draw_object(clutter(random), camera, random))
    return made


def occlude(
    picture: Array, visible: Array, share: tuple[float, float], things: Sequence[Picture], random: np.random.Generator
) -> tuple[Array, Array] | None:
    """Put things before an object until a share of it is hidden.

    Args:
        picture: (H, W, 3).
        visible: (H, W) bool, the object.
        share: least and most of the object to hide.
        things: to choose from.

    Returns:
        The picture and (H, W) bool, what the things cover; None where chance found no way.
    """
    whole = visible.sum()
    rows, columns = np.nonzero(visible)
    extent = math.sqrt(np.ptp(rows) * np.ptp(columns))  # of the box: legs and wings leave much of it empty
    for _ in range(TRIES):
        changed, hidden = picture, np.zeros_like(visible)
        for _ in range(4):
            thing = _fit(things[int(random.integers(len(things)))], int(extent * random.uniform(0.3, 1.3)), random)
            at = random.integers(len(rows))
            place = (int(rows[at]) - len(thing.alpha) // 2, int(columns[at]) - len(thing.alpha) // 2)
            changed, hidden = _paste(changed, hidden, thing, place)
            found = (hidden & visible).sum() / whole
            if share[0] <= found <= share[1]:
                return changed, hidden
            if found > share[1]:
                break
    return None


def finish(picture: Array, random: np.random.Generator) -> NDArray[np.uint8]:
    """Add what a camera adds: blur, exposure and noise; returns 8-bit colors."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(picture, (random.uniform(0.2, 0.7),) * 2 + (0,))
    exposed = np.clip(blurred, 0, 1) ** random.uniform(0.8, 1.25) * random.uniform(0.85, 1.1)
    noisy = exposed + random.normal(0, random.uniform(0.003, 0.02), picture.shape)
    return np.asarray(np.rint(np.clip(noisy, 0, 1) * 255), np.uint8)


def _light(paint: Array, normals: Array, towards: Array, random: np.random.Generator) -> Array:
    """Lambert's law under a sun and a sky, and Blinn's highlight."""
    azimuth, height = random.uniform(0, 2 * math.pi), random.uniform(0.3, 1.2)
    sun = np.array([math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)])
    sky, strength = random.uniform(0.35, 0.65), random.uniform(0.4, 0.9)
    diffuse = np.maximum(normals @ sun, 0)
    half = sun + towards
    half = half / np.linalg.norm(half, axis=-1, keepdims=True)
    gloss = random.uniform(0, 0.5) * np.maximum((normals * half).sum(-1), 0) ** random.uniform(10, 60)
    shade = sky * (0.75 + 0.25 * normals[..., 2]) + strength * diffuse
    warm = np.array([1, 1, 1]) + random.uniform(-0.06, 0.06) * np.array([1, 0, -1])
    return np.asarray(paint * shade[..., None] * warm + gloss[..., None])


def _pattern(points: Array, random: np.random.Generator) -> Array:
    """A factor of the paint at points (H, W, 3): waves of several lengths, sometimes stripes."""
    total = np.zeros(points.shape[:2])
    for _ in range(6):
        wave = random.normal(0, 1, 3) * random.uniform(5, 60)
        total += np.sin(points @ wave + random.uniform(0, 7)) / 6
    factor = 1 + random.uniform(0, 0.5) * total
    if random.random() < 0.3:
        stripes = np.sin(points @ (random.normal(0, 1, 3) * random.uniform(10, 40))) > random.uniform(-0.5, 0.8)
        factor = factor * np.where(stripes, 1, random.uniform(0.5, 0.9))
    return np.asarray(factor[..., None])


def _noise(width: int, height: int, random: np.random.Generator, rough: float | None = None) -> Array:
    """(H, W) around 0: octaves of smooth noise, those of half the size `rough` times as strong."""
    from PIL import Image

    rough = random.uniform(0.4, 0.9) if rough is None else rough
    total, strength, cells = np.zeros((height, width), np.float32), 1.0, 2
    while cells < max(width, height) / 2 and strength > 0.02:
        grid = random.normal(0, 1, (max(cells * height // max(width, 1), 1) + 1, cells + 1)).astype(np.float32)
        total += strength * np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
        strength, cells = strength * rough, cells * 2
    return total / max(float(total.std()), 1e-6)


def _tint(noise: Array, random: np.random.Generator) -> Array:
    """Noise as colors between two random ones."""
    first, second = random.uniform(0, 1, 3), random.uniform(0, 1, 3)
    second = first + (second - first) * random.uniform(0.2, 0.8)
    level = 1 / (1 + np.exp(-noise))[..., None]
    return np.asarray(first + (second - first) * level, np.float32)


def _shape(x: Array, y: Array, random: np.random.Generator, size: float) -> Array:
    """A superellipse from cross to box, of any direction and slimness: bool."""
    turn, slim, power = random.uniform(0, math.pi), random.uniform(0.2, 1), random.choice([0.7, 1, 2, 8])
    u = np.abs(math.cos(turn) * x + math.sin(turn) * y) / size
    v = np.abs(math.cos(turn) * y - math.sin(turn) * x) / (slim * size)
    return np.asarray(u**power + v**power < 1)


def _fit(thing: Picture, side: int, random: np.random.Generator) -> Picture:
    """A cut-out in another size, turned, mirrored or not."""
    from PIL import Image

    whole = np.concatenate([thing.color, thing.alpha[..., None]], 2)
    image = Image.fromarray(np.rint(np.clip(whole, 0, 1) * 255).astype(np.uint8))
    image = image.resize((max(side, 4), max(side, 4)), Image.Resampling.BILINEAR)
    turned = np.rot90(np.asarray(image, np.float32) / 255, int(random.integers(4)))
    if random.random() < 0.5:
        turned = turned[:, ::-1]
    return Picture(turned[..., :3], turned[..., 3])


def _paste(picture: Array, hidden: Array, thing: Picture, place: tuple[int, int]) -> tuple[Array, Array]:
    """A thing put with its corner at (row, column), and what it hides added."""
    height, width = hidden.shape
    top, left = max(place[0], 0), max(place[1], 0)
    bottom, right = min(place[0] + thing.alpha.shape[0], height), min(place[1] + thing.alpha.shape[1], width)
    if bottom <= top or right <= left:
        return picture, hidden
    inner = np.s_[top - place[0] : bottom - place[0], left - place[1] : right - place[1]]
    picture, hidden = picture.copy(), hidden.copy()
    part = Picture(thing.color[inner], thing.alpha[inner])
    picture[top:bottom, left:right] = part.over(picture[top:bottom, left:right])
    hidden[top:bottom, left:right] |= part.alpha > 0.5
    return picture, hidden
