"""Converters: triangle meshes and point clouds to ellipsoids (docs/mathematics.md, section 5).

A piece of surface of area m becomes a flat ellipsoid with the piece's second moments and density X m / (2 pi s1 s2).
A Gaussian of in-plane deviations s1, s2 then spreads X m over its plane. So the surface has the mean optical depth X
seen head on, whatever the mesh. Float64 inside, float32 out; no gradients.

Defaults were chosen on the cow, the bunny and 8,000 random points of the bunny by `benchmarks/fidelity.py`.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from voge import checks
from voge.convert.settings import COVERAGE, FLATNESS, KAPPA, NEIGHBORS, OPTICAL_DEPTH, SLIMMEST, MeshMethod, PointMethod
from voge.geometry.rotations import matrices_to_quats
from voge.meshes import surfaces
from voge.meshes.surfaces import Surface
from voge.scene.ellipsoids import Ellipsoids

# Smaller kappa leaves holes, larger blurs and fattens the silhouette; more X does the second as well.


def from_mesh(
    vertices: Tensor,
    faces: Tensor,
    *,
    method: MeshMethod | str = MeshMethod.hat,
    colors: Tensor | None = None,
    kappa: float | None = None,
    optical_depth: float | None = None,
    flatness: float = FLATNESS,
    coverage: float = COVERAGE,
) -> Ellipsoids:
    """Ellipsoids that look like a triangle mesh, in the order of its vertices (`triangle`: faces).

    Faces without area are left out, and so are vertices that no other face has.

    Args:
        vertices: (V, 3) float, world units.
        faces: (F, 3) integer rows of `vertices`, counter-clockwise from outside.
        method: see MeshMethod.
        colors: (V, C) float, become features (N, C): the vertices' own (1 dB better in pictures of the cow than
            means over the hats), for `triangle` the means of the corners.
        kappa: in-plane deviations over those of the piece of surface. Default: see KAPPA.
        optical_depth: X, of the surface seen head on. Default: see OPTICAL_DEPTH.
        flatness: thickness over the geometric mean of the in-plane deviations.
        coverage: zeta, for `vertex` only: the density half-way along an edge, as in the released code
            (eq. 30 with eq. 2 would give its square root). It needs neither kappa, X nor flatness.

    Returns:
        N ellipsoids, float32, with extra["normals"] (N, 3); metadata record the method and its settings.

    Raises:
        ValueError: a shape, an index or a setting is wrong, a coordinate is not finite, or no face has an area.
    """
    method = MeshMethod(method)
    checks.shapes(vertices=(vertices, "V 3"), faces=(faces, "F 3"))
    vertices, colors = _real("vertices", vertices), _attribute(len(vertices), "colors", colors, "C")
    faces = faces.long()
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < len(vertices):
        found = f"{int(faces.min())} to {int(faces.max())}"
        raise ValueError(f"faces must name vertices from 0 to {len(vertices) - 1}; got {found}")
    faces = faces[surfaces.face_areas(vertices, faces) > 0]
    if not len(faces):
        raise ValueError("faces must include one of positive area; got none")
    if method is MeshMethod.triangle:
        features = None if colors is None else colors[faces].mean(1)
        return _flat(surfaces.triangles(vertices, faces), method.value, kappa, optical_depth, flatness, features)
    used, faces = torch.unique(faces, return_inverse=True)
    vertices, features = vertices[used], None if colors is None else colors[used]
    if method is MeshMethod.vertex:
        spacing, normals = surfaces.mean_edge_lengths(vertices, faces), surfaces.vertex_normals(vertices, faces)
        return _spheres(vertices, spacing, method.value, coverage, features, normals)
    return _flat(surfaces.hats(vertices, faces), method.value, kappa, optical_depth, flatness, features)


def from_points(
    points: Tensor,
    *,
    method: PointMethod | str = PointMethod.points,
    neighbors: int | None = None,
    colors: Tensor | None = None,
    normals: Tensor | None = None,
    kappa: float | None = None,
    optical_depth: float | None = None,
    flatness: float = FLATNESS,
    coverage: float = COVERAGE,
) -> Ellipsoids:
    """Ellipsoids that look like the surface that points were taken from, one a point.

    Args:
        points: (P, 3) float, world units; P >= 4.
        method: see PointMethod.
        neighbors: k, how many nearest others tell spacing and plane; P - 1 where there are fewer. Default: see
            NEIGHBORS.
        colors: (P, C) float, become features.
        normals: (P, 3) float, any length, become extra["normals"]. They do not set the planes: on samples of the
            bunny, exact or noisy, the neighbors' planes gave the better silhouettes even against true normals.
        kappa, optical_depth, flatness: as in `from_mesh`, for `points`.
        coverage: zeta, for `isotropic`: the density half-way to a neighbor at the mean distance.

    Returns:
        P ellipsoids, float32. Method `points` has extra["normals"] in any case: without given ones those of the
        neighbors' planes, turned to agree with each other and outwards (99.8 % right on the bunny).

    Raises:
        ValueError: a shape or a setting is wrong, a coordinate is not finite, or the points are too few or all one.
    """
    method = PointMethod(method)
    checks.shapes(points=(points, "P 3"))
    points, colors = _real("points", points), _attribute(len(points), "colors", colors, "C")
    normals = _attribute(len(points), "normals", normals, "3")
    if len(points) < 4:
        raise ValueError(f"points must number at least 4, got {len(points)}")
    neighbors = NEIGHBORS[method.value] if neighbors is None else neighbors
    if neighbors < 3:
        raise ValueError(f"neighbors must be at least 3, got {neighbors}")
    distance, index = surfaces.nearest(points, min(neighbors, len(points) - 1))
    if not distance[:, -1].max() > 0:
        raise ValueError(f"points must differ; got the same {len(points)} times")
    if normals is not None:
        normals = torch.nn.functional.normalize(normals, dim=-1)
    if method is PointMethod.isotropic:
        spacing = distance[:, 1:].mean(1)
        spacing = spacing.clamp_min(1e-6 * spacing.max())  # points that coincide need some size
        made = _spheres(points, spacing, method.value, coverage, colors, normals)
    else:
        made = _flat(surfaces.patches(points, distance, index), method.value, kappa, optical_depth, flatness, colors)
    extra = made.extra if normals is None else {"normals": normals.float()}
    return replace(made, extra=extra, metadata={**made.metadata, "neighbors": str(neighbors)})


def _flat(
    surface: Surface,
    method: str,
    kappa: float | None,
    optical_depth: float | None,
    flatness: float,
    features: Tensor | None,
) -> Ellipsoids:
    """Flat ellipsoids in the planes of pieces of surface."""
    settings = {
        "kappa": KAPPA[method] if kappa is None else kappa,
        "optical_depth": OPTICAL_DEPTH[method] if optical_depth is None else optical_depth,
        "flatness": flatness,
    }
    for name, value in settings.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")
    axes, variances = surfaces.in_plane(surface.spread, surface.normals)
    deviations = settings["kappa"] * variances.sqrt()
    deviations = torch.maximum(deviations, SLIMMEST * deviations[:, :1])
    product = deviations.prod(1)
    scales = torch.cat([deviations, flatness * product.sqrt()[:, None]], 1)
    density = settings["optical_depth"] * surface.area / (2 * math.pi * product)
    metadata = {"method": method} | {name: f"{value:g}" for name, value in settings.items()}
    made = Ellipsoids(
        surface.centers, scales, matrices_to_quats(axes), density, features, {"normals": surface.normals}, metadata
    )
    return made.to(torch.float32)


def _spheres(
    centers: Tensor, spacing: Tensor, method: str, coverage: float, features: Tensor | None, normals: Tensor | None
) -> Ellipsoids:
    """The paper's isotropic kernels: density 1 in the center, zeta at half the spacing (N,)."""
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must lie between 0 and 1, got {coverage}")
    scales = (spacing / math.sqrt(8 * math.log(1 / coverage)))[:, None].repeat(1, 3)
    quats = centers.new_tensor([1, 0, 0, 0]).repeat(len(centers), 1)
    extra = {} if normals is None else {"normals": normals}
    metadata = {"method": method, "coverage": f"{coverage:g}"}
    return Ellipsoids(centers, scales, quats, torch.ones_like(spacing), features, extra, metadata).to(torch.float32)


def _real(name: str, values: Tensor) -> Tensor:
    """Values in float64, all finite, without gradient history."""
    if not values.is_floating_point():
        raise TypeError(f"{name} must be float32 or float64, got {values.dtype}")
    broken = int((~values.isfinite()).sum())
    if broken:
        raise ValueError(f"{name} must be finite; got {broken} numbers that are not")
    return values.detach().double()


def _attribute(count: int, name: str, values: Tensor | None, width: str) -> Tensor | None:
    """Values of the vertices or points (count, width) in float64, or None."""
    if values is None:
        return None
    checks.shapes(**{name: (values, f"{count} {width}")})
    return _real(name, values)
