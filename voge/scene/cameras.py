"""Cameras and rays.

Conventions (docs/conventions.md): right-handed world; camera frame x right, y down, z forward
(OpenCV); `viewmats` map world to camera; `Ks` map camera to pixels; pixel (0, 0) covers
[0, 1) x [0, 1), so its center is (0.5, 0.5). Angles are degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from torch import Tensor

from voge import checks
from voge.scene import lenses


class CameraModel(str, Enum):
    """Map of a camera's frame to the image."""

    pinhole = "pinhole"  # pixel = K (x/z, y/z, 1)
    orthographic = "orthographic"  # pixel = K (x, y, 1)
    opencv = "opencv"  # pixel = K (distorted (x/z, y/z), 1), OpenCV's polynomial
    fisheye = "fisheye"  # OpenCV's equidistant fisheye: distance from the axis grows with the angle


# How many distortion coefficients a model has.
_COEFFICIENTS = {CameraModel.opencv: lenses.OPENCV_SIZES, CameraModel.fisheye: lenses.FISHEYE_SIZES}


@dataclass(frozen=True, slots=True, eq=False)
class Rays:
    """Viewing rays x(t) = origin + t direction in world space, any leading shape."""

    origins: Tensor  # (..., 3) world units
    directions: Tensor  # (..., 3) unit length, so that t is a distance

    def __post_init__(self) -> None:
        checks.same_kind(origins=self.origins, directions=self.directions)
        if self.origins.shape != self.directions.shape or self.origins.shape[-1:] != (3,):
            raise ValueError(
                "origins and directions must have one shape (..., 3); "
                f"got {tuple(self.origins.shape)} and {tuple(self.directions.shape)}"
            )

    @property
    def shape(self) -> torch.Size:
        """The leading shape, without the final 3."""
        return self.origins.shape[:-1]


@dataclass(frozen=True, slots=True, eq=False)
class Cameras:
    """V views of one image size; gradients flow from rays to poses, intrinsics and distortion."""

    viewmats: Tensor  # (V, 4, 4) world to camera
    Ks: Tensor  # (V, 3, 3) camera to pixels, upper triangular, last row (0, 0, 1)
    width: int  # pixels
    height: int  # pixels
    model: CameraModel = CameraModel.pinhole
    distortion: Tensor | None = None  # (V, 4, 5 or 8) k1, k2, p1, p2[, k3[, k4, k5, k6]]; fisheye (V, 4) k1 to k4

    def __post_init__(self) -> None:
        checks.shapes(viewmats=(self.viewmats, "V 4 4"), Ks=(self.Ks, "V 3 3"))
        checks.same_kind(viewmats=self.viewmats, Ks=self.Ks)
        object.__setattr__(self, "model", CameraModel(self.model))
        for name in ("width", "height"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1 pixel, got {getattr(self, name)}")
        self._check_distortion()

    def _check_distortion(self) -> None:
        sizes = _COEFFICIENTS.get(self.model)
        if (self.distortion is None) != (sizes is None):
            rule = "must be None" if sizes is None else f"must have {' or '.join(map(str, sizes))} numbers a view"
            found = None if self.distortion is None else tuple(self.distortion.shape)
            raise ValueError(f"distortion {rule} with model {self.model.value}; got {found}")
        if self.distortion is None or sizes is None:
            return
        checks.shapes({"V": len(self)}, distortion=(self.distortion, "V D"))
        checks.same_kind(viewmats=self.viewmats, distortion=self.distortion)
        if self.distortion.shape[1] not in sizes:
            rule = f"(V, {' or '.join(map(str, sizes))}) with model {self.model.value}"
            raise ValueError(f"distortion must have shape {rule}; got {tuple(self.distortion.shape)}")

    def __len__(self) -> int:
        return len(self.viewmats)

    def __getitem__(self, views: int | slice | Tensor | Sequence[int]) -> Cameras:
        """The chosen views; a single number gives a batch of one."""
        views = [views] if isinstance(views, int) else views
        distortion = None if self.distortion is None else self.distortion[views]
        return replace(self, viewmats=self.viewmats[views], Ks=self.Ks[views], distortion=distortion)

    def to(self, target: torch.device | torch.dtype | str) -> Cameras:
        """The same cameras on another device or in another float dtype."""
        distortion = None if self.distortion is None else self.distortion.to(target)
        return replace(self, viewmats=self.viewmats.to(target), Ks=self.Ks.to(target), distortion=distortion)

    @property
    def centers(self) -> Tensor:
        """(V, 3) camera centers in world space."""
        return -(self.viewmats[:, :3, :3].mT @ self.viewmats[:, :3, 3:]).squeeze(-1)

    @property
    def forwards(self) -> Tensor:
        """(V, 3) unit viewing directions of the cameras in world space."""
        return self.viewmats[:, 2, :3]

    def rays(self) -> Rays:
        """One ray through every pixel center, (V, H, W, 3)."""
        dtype, device = self.Ks.dtype, self.Ks.device
        v = torch.arange(0.5, self.height, dtype=dtype, device=device)[:, None]
        u = torch.arange(0.5, self.width, dtype=dtype, device=device)
        return self._rays(*self._plane(u, v))

    def rays_through(self, pixels: Tensor) -> Rays:
        """Rays (V, P, 3) through image points (V, P, 2); (0, 0) is the corner of the first pixel."""
        checks.shapes({"V": len(self)}, pixels=(pixels, "V P 2"))
        x, y = self._plane(pixels[:, None, :, 0], pixels[:, None, :, 1])
        rays = self._rays(x, y)
        return Rays(rays.origins[:, 0], rays.directions[:, 0])

    def invertible(self, pixels: Tensor) -> Tensor:
        """(V, P) whether a direction leads to each image point (V, P, 2); false where a lens' polynomial has turned."""
        checks.shapes({"V": len(self)}, pixels=(pixels, "V P 2"))
        plane = torch.stack(self._plane(pixels[:, None, :, 0], pixels[:, None, :, 1]), -1)
        if self.distortion is None:
            return torch.ones_like(plane[:, 0, :, 0], dtype=torch.bool)
        invert = lenses.undistort if self.model is CameraModel.opencv else lenses.fisheye_unproject
        return invert(plane, self.distortion)[1][:, 0]

    def _plane(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """K^-1 of pixel coordinates that broadcast to (V, H, W)."""
        (fx, skew, cx), (_, fy, cy) = (row.unbind(1) for row in self.Ks[:, :2, :, None, None].unbind(1))
        y = (v - cy) / fy
        x = (u - cx - skew * y) / fx
        x, y = torch.broadcast_tensors(x, y)
        return x, y

    def _rays(self, x: Tensor, y: Tensor) -> Rays:
        """Rays (V, H, W, 3) through points (V, H, W) of the plane that K maps to pixels."""
        z: Tensor | None = None  # 1
        if self.distortion is not None:
            plane = torch.stack([x, y], -1)
            if self.model is CameraModel.fisheye:
                x, y, z = lenses.fisheye_unproject(plane, self.distortion)[0].unbind(-1)
            else:
                x, y = lenses.undistort(plane, self.distortion)[0].unbind(-1)
        rights, downs, forwards = self.viewmats[:, None, None, :3, :3].unbind(-2)  # the camera axes in world space
        across = x[..., None] * rights + y[..., None] * downs
        centers = self.centers[:, None, None]
        if self.model is CameraModel.orthographic:
            return Rays(centers + across, forwards.expand_as(across))
        along = forwards if z is None else z[..., None] * forwards
        return Rays(centers.expand_as(across), torch.nn.functional.normalize(across + along, dim=-1))

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (V, P, 2) and camera depths z (V, P) of world points (P, 3).

        Points behind a camera get pixels too: look at z. So do points beyond a lens' range.
        """
        checks.shapes(points=(points, "P 3"))
        local = points @ self.viewmats[:, :3, :3].mT + self.viewmats[:, None, :3, 3]
        if self.model is CameraModel.orthographic:
            plane = local[..., :2]
        elif self.model is CameraModel.fisheye and self.distortion is not None:
            plane = lenses.fisheye_project(local, self.distortion)
        else:
            plane = local[..., :2] / local[..., 2:]
            plane = plane if self.distortion is None else lenses.distort(plane, self.distortion)
        return plane @ self.Ks[:, :2, :2].mT + self.Ks[:, None, :2, 2], local[..., 2]


def cat(cameras: Sequence[Cameras]) -> Cameras:
    """One batch from several; image size, model and number of distortion coefficients must agree."""
    kinds = {(c.width, c.height, c.model.value, 0 if c.distortion is None else c.distortion.shape[1]) for c in cameras}
    if len(kinds) != 1:
        raise ValueError(f"cameras must share width, height and model; got {sorted(kinds)}")
    bent = [c.distortion for c in cameras if c.distortion is not None]
    return replace(
        cameras[0],
        viewmats=torch.cat([c.viewmats for c in cameras]),
        Ks=torch.cat([c.Ks for c in cameras]),
        distortion=torch.cat(bent) if bent else None,
    )


def intrinsics(width: int, height: int, *, focal: float | None = None, fov: float | None = None) -> Tensor:
    """K (3, 3), float32, with square pixels and the principal point in the image's middle.

    Args:
        width, height: image size in pixels.
        focal: focal length in pixels (orthographic: pixels per world unit). Give this or `fov`.
        fov: vertical field of view in degrees.
    """
    if (focal is None) == (fov is None):
        raise ValueError(f"give focal or fov, one of them; got focal={focal}, fov={fov}")
    if fov is not None:
        if not 0 < fov < 180:
            raise ValueError(f"fov must lie between 0 and 180 degrees, got {fov}")
        focal = height / 2 / math.tan(math.radians(fov) / 2)
    assert focal is not None
    if focal <= 0:
        raise ValueError(f"focal must be positive, got {focal}")
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def intrinsic_matrix(fx: float, fy: float, cx: float, cy: float, skew: float = 0.0) -> Tensor:
    """K (3, 3), float64, of focal lengths, a principal point and a skew in pixels."""
    return torch.tensor([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def look_at(eye: Tensor, at: Tensor, up: Tensor) -> Tensor:
    """Viewmats (..., 4, 4) of cameras at `eye` that look at `at` with `up` upwards in the image.

    Args:
        eye, at, up: (..., 3) world space, broadcast against each other. Differentiable.

    Where the line of sight is parallel to `up`, the world axis least parallel to it serves instead.
    """
    eye, at, up = torch.broadcast_tensors(eye, at, up)
    forward = torch.nn.functional.normalize(at - eye, dim=-1)
    right = torch.linalg.cross(forward, up)
    parallel = right.norm(dim=-1, keepdim=True) < 1e-6 * up.norm(dim=-1, keepdim=True)
    spare = torch.nn.functional.one_hot(forward.abs().argmin(-1), 3).to(forward)
    right = torch.nn.functional.normalize(torch.where(parallel, torch.linalg.cross(forward, spare), right), dim=-1)
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward], -2)
    top = torch.cat([rotation, -(rotation @ eye[..., None])], -1)
    bottom = eye.new_tensor([0, 0, 0, 1]).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, bottom], -2)


def orbit(
    azimuth: Tensor | float,
    elevation: Tensor | float,
    distance: Tensor | float,
    theta: Tensor | float = 0.0,
    *,
    at: Sequence[float] = (0.0, 0.0, 0.0),
    up: str = "y",
) -> Tensor:
    """Viewmats (..., 4, 4) of cameras on a sphere around `at`; angles in degrees, differentiable.

    With up "y", azimuth 0 and elevation 0 look along -z from +z; azimuth turns the camera towards
    +x, elevation lifts it towards +y. With up "z" the same picture is turned upright for worlds with
    z up: azimuth 0 looks along +y from -y (the convention of PASCAL3D+). `theta` turns the picture's
    content counter-clockwise about the optical axis.
    """
    given = (azimuth, elevation, distance, theta)
    like = next((v for v in given if isinstance(v, Tensor)), torch.empty(0))
    a, e, away, t = torch.broadcast_tensors(*(torch.as_tensor(v, dtype=like.dtype, device=like.device) for v in given))
    if up not in ("y", "z"):
        raise ValueError(f"up must be 'y' or 'z', got {up!r}")
    a, e, t = torch.deg2rad(a), torch.deg2rad(e), torch.deg2rad(t)
    sin_a, cos_a, sin_e, cos_e = a.sin(), a.cos(), e.sin(), e.cos()
    zero = torch.zeros_like(sin_a)
    # Camera axes written out rather than by cross products: exact at the poles as well.
    back = torch.stack([cos_e * sin_a, sin_e, cos_e * cos_a], -1)
    right = torch.stack([cos_a, zero, -sin_a], -1)
    down = torch.stack([sin_e * sin_a, -cos_e, sin_e * cos_a], -1)
    cos_t, sin_t = t.cos()[..., None], t.sin()[..., None]
    # Content turned by +theta: a point at `right` moves towards up = -down.
    rows = torch.stack([cos_t * right + sin_t * down, cos_t * down - sin_t * right, -back], -2)
    if up == "z":
        rows = torch.stack([rows[..., 0], -rows[..., 2], rows[..., 1]], -1)
    target = torch.as_tensor(at, dtype=rows.dtype, device=rows.device)
    shift = -(rows @ target) + away[..., None] * rows.new_tensor([0, 0, 1])
    bottom = rows.new_tensor([0, 0, 0, 1]).expand(*rows.shape[:-2], 1, 4)
    return torch.cat([torch.cat([rows, shift[..., None]], -1), bottom], -2)
