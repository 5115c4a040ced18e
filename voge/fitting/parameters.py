"""Unconstrained variables of what is optimized, and back: whatever an optimizer does to them, the result is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.scene.cameras import Cameras
from voge.scene.ellipsoids import Ellipsoids

LEAST_DENSITY = 1e-4  # where optimizing starts from a density of 0: softplus never reaches it
LOG_SCALES = (-30.0, 30.0)  # float32 has no exponential far beyond
LEAST_COLOR = 1e-3  # colors start at least this far from 0 and 1, where a logistic curve has no slope


def ellipsoid_variables(ellipsoids: Ellipsoids) -> dict[str, Tensor]:
    """Variables of a set: `means`, `log_scales`, `quats`, `raw_density`, `raw_colors` where it has features, and `sh`
    where its colors depend on the direction of view.

    Scales are the exponential of theirs, density is their softplus, colors their logistic function, so that they
    stay above 0, above 0 and between 0 and 1. Quaternions are normalized on use, coefficients of harmonics are free.
    """
    density = ellipsoids.density.detach().clamp_min(LEAST_DENSITY)
    variables = {
        "means": ellipsoids.means,
        "log_scales": ellipsoids.scales.detach().log(),
        "quats": torch.nn.functional.normalize(ellipsoids.quats.detach(), dim=-1),
        "raw_density": density + torch.log(-torch.expm1(-density)),  # the inverse of softplus
    }
    if ellipsoids.features is not None:
        variables["raw_colors"] = ellipsoids.features.detach().clamp(LEAST_COLOR, 1 - LEAST_COLOR).logit()
    if "sh" in ellipsoids.extra:
        variables["sh"] = ellipsoids.extra["sh"]
    return {name: tensor.detach().clone() for name, tensor in variables.items()}


def to_ellipsoids(variables: Mapping[str, Tensor], base: Ellipsoids) -> Ellipsoids:
    """The set of variables; what is not among them, metadata included, is `base`'s. Differentiable."""
    colors = variables.get("raw_colors")
    return replace(
        base,
        means=variables.get("means", base.means),
        scales=torch.nn.functional.hardtanh(variables["log_scales"], *LOG_SCALES).exp()
        if "log_scales" in variables
        else base.scales,
        quats=variables.get("quats", base.quats),
        density=torch.nn.functional.softplus(variables["raw_density"]) if "raw_density" in variables else base.density,
        features=base.features if colors is None else colors.sigmoid(),
        extra={**base.extra, "sh": variables["sh"]} if "sh" in variables else base.extra,
    )


def moved_cameras(
    cameras: Cameras,
    poses: Tensor | None = None,
    log_focals: Tensor | None = None,
    centers: Tensor | None = None,
    *,
    pivot: Tensor,
    unit: float = 1.0,
) -> Cameras:
    """Cameras after increments, all 0 for none; differentiable.

    Args:
        cameras: V views.
        poses: (V, 6) each shift of the world in front of a camera along its axes, in `unit`, and turn about `pivot`
            (radians, a rotation vector: `voge.geometry.rigid.move`).
        log_focals: (1,), (2,), (V, 1) or (V, 2) logarithms of factors of fx and fy.
        centers: (2,) or (V, 2) shifts of the principal points, as parts of the picture's width and height.
        pivot: (3,) such as the middle of the object, so that turning it does not move it in the picture.
        unit: world units of a shift by 1, such as the distance of the object, so that one rate suits both.
    """
    viewmats, Ks = cameras.viewmats, cameras.Ks
    if poses is not None:
        zoom = torch.zeros_like(poses[:, :1])  # a camera has no scale
        increments = torch.cat([poses[:, :3] * unit, poses[:, 3:], zoom], 1)
        viewmats = rigid.move(viewmats, increments, pivot.expand(len(cameras), 3))
    if log_focals is not None:
        zoom = log_focals.exp().expand(len(cameras), 2)[:, :, None]
        Ks = torch.cat([torch.cat([Ks[:, :2, :2] * zoom, Ks[:, :2, 2:]], -1), Ks[:, 2:]], 1)
    if centers is not None:
        across, down = centers.unbind(-1)
        shift = torch.stack([across * cameras.width, down * cameras.height], -1).expand(len(cameras), 2)
        Ks = Ks + torch.nn.functional.pad(shift[:, :, None], (2, 0, 0, 1))
    return replace(cameras, viewmats=viewmats, Ks=Ks)
