"""Gaussians of 3D Gaussian Splatting (3DGS) and our ellipsoids: what the numbers of one are in the other.

Files of 3DGS hold logarithms of the standard deviations, quaternions (w, x, y, z), and an opacity o by its logit. Our
density is what gives the same opacity through the center, o = 1 - exp(-density), so density = softplus(logit). That is
exact both ways, and nothing is capped. Only an opacity of exactly 1 (an infinite logit) is read as the largest below 1
in float32, density 16.6. Density 0 is written as logit -20.

At a distance of r standard deviations 3DGS stops o exp(-r^2/2) of the light, a volume 1 - exp(-density exp(-r^2/2)),
which is wider. So ours are narrower than the file's by `narrowing`, and wider again when written: then each stops the
same light in all. That brings pictures 6 to 12 dB nearer to those of 3DGS (docs/formats.md).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voge.errors import DataError
from voge.scene.ellipsoids import Ellipsoids

Array = NDArray[Any]

LEAST_LOGIT = -20.0  # opacity 2e-9
MOST_DENSITY = 24 * math.log(2)  # of an opacity 1 - 2^-24
GRAY = 0.75  # written where a set has no features


@dataclass(frozen=True, eq=False)
class Gaussians:
    """N Gaussians as files of 3DGS have them."""

    means: Array  # (N, 3) centers
    log_scales: Array  # (N, 3) logarithms of the standard deviations
    quats: Array  # (N, 4) rotations (w, x, y, z), of any length
    logits: Array  # (N,) of the opacities
    colors: Array  # (N, 3) without direction: 0.5 + Y00 f_dc
    sh: Array | None = None  # (N, K, 3) coefficients of degree 1 to 3, K = 3, 8 or 15
    normals: Array | None = None  # (N, 3)

    def tensors(self, path: Path) -> dict[str, Tensor]:
        """Tensors (float32) by the names of `Ellipsoids`; rows that cannot be shown are left out with a warning.

        Raises:
            DataError: no row can be used.
        """
        if not len(self.means):
            raise DataError(path, "holds no ellipsoids", "export it again")
        logits = self.logits.astype(np.float64)
        with np.errstate(all="ignore"):  # rows that are not finite go at the end
            density = np.where(np.isposinf(logits), MOST_DENSITY, np.logaddexp(0, logits))
            arrays: dict[str, Array] = {
                "means": self.means,
                "scales": np.exp(self.log_scales.astype(np.float64)) * narrowing(density)[:, None],
                "quats": self.quats,
                "density": density,
                # Without harmonics as 3DGS shows them, which cuts below 0.
                "features": self.colors.clip(0) if self.sh is None else self.colors,
            }
            if self.sh is not None:
                arrays["sh"] = self.sh
            if self.normals is not None and self.normals.any():
                arrays["normals"] = self.normals
            made = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in arrays.items()}
        return _usable(path, made)

    @classmethod
    def of(cls, ellipsoids: Ellipsoids) -> Gaussians:
        """The Gaussians of a set, float64; extra attributes but sh and normals are not kept, and a warning names them.

        Raises:
            ValueError: features are not colors (N, 3) or grays (N, 1).
        """
        made = ellipsoids.detach().to("cpu").to(torch.float32)
        if lost := sorted(set(made.extra) - {"sh", "normals"}):
            warnings.warn(f"the 3DGS layout has no place for {', '.join(lost)}, left out", stacklevel=3)
        density = made.density.double()
        width = torch.from_numpy(narrowing(density.numpy())).log()[:, None]
        return cls(
            means=made.means.numpy(),
            log_scales=(made.scales.double().log() - width).numpy(),
            quats=torch.nn.functional.normalize(made.quats, dim=1).numpy(),
            logits=(density + torch.log(-torch.expm1(-density))).clamp_min(LEAST_LOGIT).numpy(),
            colors=set_colors(made).double().numpy(),
            sh=made.extra["sh"].numpy() if "sh" in made.extra else None,
            normals=made.extra["normals"].numpy() if "normals" in made.extra else None,
        )


def origin(path: Path, method: str = "3dgs") -> dict[str, str]:
    """The metadata of a set that another program wrote."""
    return {"source": path.name, "frame": "right-handed, as in the source", "units": "unknown", "method": method}


def logit(opacity: Array) -> Array:
    """The logits of opacities in [0, 1]; of 0 and 1 infinite."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(opacity) - np.log1p(-opacity))


def narrowing(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our standard deviations over those of a 3DGS Gaussian that stops the same light, from 1 down to 0.54 (N,).

    Over the plane that faces a ray, o exp(-r^2/2) integrates to 2 pi s^2 o, and 1 - exp(-density exp(-r^2/2)) to
    2 pi s^2 Ein(density), with the entire exponential integral Ein(d) = gamma + ln d + E1(d).
    """
    from scipy.special import exp1

    safe = np.maximum(density, 1e-3)  # below, the logarithms cancel
    ratio = -np.expm1(-safe) / (np.euler_gamma + np.log(safe) + exp1(safe))
    return np.sqrt(np.where(density < 1e-3, 1 - density / 4, ratio))


def set_colors(ellipsoids: Ellipsoids) -> Tensor:
    """The colors of a set (N, 3).

    Raises:
        ValueError: features are not colors (N, 3) or grays (N, 1).
    """
    colors = torch.full_like(ellipsoids.means, GRAY) if ellipsoids.features is None else ellipsoids.features
    if colors.shape[1] not in (1, 3):
        raise ValueError(f"it holds colors (N, 3) or grays (N, 1), and features are {tuple(colors.shape)}")
    return colors.expand(-1, 3)


def _usable(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The rows that are finite, with a size and a rotation: trained sets often hold a few that are not."""
    good = (tensors["quats"] != 0).any(1) & (tensors["scales"] > 0).all(1)
    for tensor in tensors.values():
        good &= tensor.isfinite().reshape(len(good), -1).all(1)
    bad = int((~good).sum())
    if bad == len(good):
        raise DataError(path, f"none of its {bad} ellipsoids is finite with a size and a rotation", "export it again")
    if bad:
        warnings.warn(f"{path}: left out {bad} ellipsoids not finite or without size or rotation", stacklevel=2)
    return {name: tensor[good] for name, tensor in tensors.items()} if bad else tensors
