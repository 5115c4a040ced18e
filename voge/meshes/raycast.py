"""Pictures of triangle meshes by ray casting with Embree: targets and truth that owe nothing to our renderer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from voge.meshes.mesh import Mesh
from voge.scene.cameras import Cameras

RAYS = 2**20  # rays cast together: bounds memory at some 200 MB


@dataclass(frozen=True, slots=True, eq=False)
class MeshPictures:
    """Pictures of V views of a mesh, float32 on the CPU; conventions as in `voge.rendering.renderer.Rendered`."""

    image: Tensor  # (V, H, W, C) mean color of the samples, misses black: premultiplied by alpha
    alpha: Tensor  # (V, H, W) share of the pixel's samples that hit the mesh
    depth: Tensor  # (V, H, W) mean distance along the ray, misses 0: not divided by alpha; world units
    normals: Tensor  # (V, H, W, 3) unit mean of the hit faces' normals, world space; 0 where nothing is hit

    def over(self, background: Tensor) -> Tensor:
        """The image (V, H, W, C) over a background that broadcasts to it."""
        return self.image + (1 - self.alpha)[..., None] * background


def render_mesh(
    mesh: Mesh,
    cameras: Cameras,
    samples: int = 3,
    *,
    colors: Callable[[Tensor], Tensor] | None = None,
    smooth: bool = False,
) -> MeshPictures:
    """Cast samples x samples rays a pixel, on a regular grid within it, at a mesh; unlit.

    Args:
        mesh: V vertices and F faces; without colors it is white.
        cameras: V views; only values are used.
        samples: rays along each side of a pixel.
        colors: maps points on the surface (P, 3) float64 to colors (P, C); else the mesh's texture is looked up at
            the hits, or its colors are interpolated.
        smooth: interpolate the vertices' normals instead of taking the faces'.

    Raises:
        ImportError: embreex is not installed.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    cast = _Caster(mesh)
    fine = cameras.to(torch.float64).to("cpu")
    zoom = torch.tensor([[samples], [samples], [1]], dtype=torch.float64)
    fine = replace(fine, Ks=fine.Ks.detach() * zoom, viewmats=fine.viewmats.detach(), width=cameras.width * samples)
    views = []
    for view in range(len(cameras)):
        bands = [_shade(cast, band, samples, colors, smooth) for band in _bands(fine[view], cameras.height, samples)]
        views.append([torch.cat(parts) for parts in zip(*bands, strict=True)])
    image, alpha, depth, normals = (torch.stack(parts).float() for parts in zip(*views, strict=True))
    return MeshPictures(image, alpha, depth, torch.nn.functional.normalize(normals, dim=-1))


def _bands(camera: Cameras, height: int, samples: int) -> Iterator[Cameras]:
    """The finely sampled picture in bands of whole pixel rows, few enough rays each."""
    step = max(RAYS // (camera.width * samples), 1)
    for start in range(0, height, step):
        shifted = camera.Ks.clone()
        shifted[:, 1, 2] -= start * samples
        yield replace(camera, Ks=shifted, height=min(step, height - start) * samples)


def _shade(
    cast: _Caster, band: Cameras, samples: int, colors: Callable[[Tensor], Tensor] | None, smooth: bool
) -> list[Tensor]:
    """Color, coverage, depth and normal sums of one band, averaged over each pixel's samples."""
    rays = band.rays()
    origins, directions = rays.origins.reshape(-1, 3), rays.directions.reshape(-1, 3)
    ray, face, corners, distance = cast(origins, directions)
    points = origins[ray] + distance[:, None] * directions[ray]
    if colors is not None:
        color = colors(points)
    elif cast.mesh.texture is not None:
        color = torch.from_numpy(cast.mesh.texture.lookup(face.numpy(), corners.numpy()))
    elif cast.mesh.colors is not None:
        color = cast.interpolate(cast.mesh.colors, face, corners)
    else:
        color = torch.ones_like(points)
    normal = cast.interpolate(cast.mesh.normals, face, corners) if smooth else cast.face_normals[face]
    values = torch.cat([color.double(), torch.ones_like(distance)[:, None], distance[:, None], normal], 1)
    grid = values.new_zeros(len(origins), values.shape[1]).index_copy(0, ray, values)
    grid = grid.unflatten(0, (-1, samples, band.width // samples, samples)).mean((1, 3))
    channels = color.shape[1]
    return [grid[..., :channels], grid[..., channels], grid[..., channels + 1], grid[..., channels + 2 :]]


class _Caster:
    """First hits of rays on a mesh, by Embree; where on the face is worked out here, in float64."""

    def __init__(self, mesh: Mesh) -> None:
        try:
            from embreex import mesh_construction, rtcore_scene
        except ImportError as error:
            raise ImportError("pictures of meshes are cast with Embree: pip install embreex") from error
        self.mesh = mesh
        self.vertices, self.faces = torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces)
        a, b, c = self.vertices[self.faces].unbind(1)
        self.face_normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=0)
        # Embree works in float32, which serves best around the origin and at size 1.
        self.middle = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
        self.size = np.linalg.norm(np.ptp(mesh.vertices, axis=0))
        self.scene = rtcore_scene.EmbreeScene()
        scaled = ((mesh.vertices - self.middle) / self.size).astype(np.float32)
        mesh_construction.TriangleMesh(self.scene, scaled, mesh.faces.astype(np.int32))

    def __call__(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows (P,) of rays (R, 3) that hit, their faces (P,), barycentric coordinates (P, 3) and distances (P,)."""
        place = (origins.numpy() - self.middle) / self.size
        # Rays from afar start just before the ball around the mesh, where float32 still resolves them.
        ahead = np.maximum(-(place * directions.numpy()).sum(1, keepdims=True) - 1, 0)
        place = place + ahead * directions.numpy()
        hits = self.scene.run(place.astype(np.float32), directions.numpy().astype(np.float32))
        found = torch.from_numpy(np.asarray(hits)).long()
        ray = (found >= 0).nonzero()[:, 0]
        face = found[ray]
        a, b, c = self.vertices[self.faces[face]].unbind(1)
        origin, direction = origins[ray], directions[ray]
        # Moeller and Trumbore 1997.
        across = torch.linalg.cross(direction, c - a)
        volume = ((b - a) * across).sum(1)
        beyond = torch.linalg.cross(origin - a, b - a)
        v = ((origin - a) * across).sum(1) / volume
        w = (direction * beyond).sum(1) / volume
        return ray, face, torch.stack([1 - v - w, v, w], 1), ((c - a) * beyond).sum(1) / volume

    def interpolate(self, values: np.ndarray[Any, Any], face: Tensor, corners: Tensor) -> Tensor:
        """Attributes (V, C) of the vertices at places on faces, (P, C)."""
        return (torch.from_numpy(values).double()[self.faces[face]] * corners[..., None]).sum(1)
