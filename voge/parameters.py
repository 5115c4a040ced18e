"""Unconstrained variables of what is optimised, and back: whatever an optimiser does to them, the result is valid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from voge.ellipsoids import Ellipsoids

LEAST_DENSITY = 1e-4  # where optimising starts from a density of 0: softplus never reaches it
LEAST_COLOR = 1e-3  # colours start at least this far from 0 and 1, where a logistic curve has no slope


def ellipsoid_variables(ellipsoids: Ellipsoids) -> dict[str, Tensor]:
    """Variables of a set: `means`, `log_scales`, `quats`, `raw_density`, and `raw_colors` where it has features.

    Scales are the exponential of theirs, density is their softplus, colours their logistic function, so that they
    stay above 0, above 0 and between 0 and 1. Quaternions are normalised on use.
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
    return {name: tensor.detach().clone() for name, tensor in variables.items()}


def to_ellipsoids(variables: Mapping[str, Tensor], base: Ellipsoids) -> Ellipsoids:
    """The set of variables; what is not among them, metadata included, is `base`'s. Differentiable."""
    colors = variables.get("raw_colors")
    return replace(
        base,
        means=variables.get("means", base.means),
        scales=variables["log_scales"].exp() if "log_scales" in variables else base.scales,
        quats=variables.get("quats", base.quats),
        density=torch.nn.functional.softplus(variables["raw_density"]) if "raw_density" in variables else base.density,
        features=base.features if colors is None else colors.sigmoid(),
    )
