"""Ellipsoids: the scene as a set of 3D Gaussian densities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from torch import Tensor

from voge import checks
from voge.geometry.rotations import matrices_to_quats, multiply_quats, quats_to_matrices
from voge.scene import harmonics


@dataclass(frozen=True, slots=True, eq=False)
class Ellipsoids:
    """N Gaussian ellipsoids in world space (paper, section 3.1).

    All tensors are float32 or float64, of one dtype and on one device. Shapes are checked on
    construction; values are not, since that would wait for the device.
    """

    means: Tensor  # (N, 3) centers, world units
    scales: Tensor  # (N, 3) standard deviations along the local axes, world units, > 0
    quats: Tensor  # (N, 4) rotations local to world, (w, x, y, z), normalized on use
    density: Tensor  # (N,) optical depth straight through the center, >= 0; the paper's kernels have 1
    features: Tensor | None = None  # (N, C) what is rendered: colors in [0, 1], or any features
    extra: Mapping[str, Tensor] = field(default_factory=dict)  # named attributes, each (N, ...); "normals" (N, 3) and
    # "sh" (N, K, 3), coefficients of view-dependent color (voge.scene.harmonics), turn with the set
    metadata: Mapping[str, str] = field(default_factory=dict)  # units, frame, how the set was made

    def __post_init__(self) -> None:
        sizes = checks.shapes(
            means=(self.means, "N 3"),
            scales=(self.scales, "N 3"),
            quats=(self.quats, "N 4"),
            density=(self.density, "N"),
        )
        checks.same_kind(means=self.means, scales=self.scales, quats=self.quats, density=self.density)
        if self.features is not None:
            checks.shapes(sizes, features=(self.features, "N C"))
            checks.same_kind(means=self.means, features=self.features)
        for name, tensor in self.extra.items():
            if tensor.ndim == 0 or len(tensor) != len(self.means):
                raise ValueError(f"extra[{name!r}] must have {len(self.means)} rows; got shape {tuple(tensor.shape)}")
        object.__setattr__(self, "extra", MappingProxyType(dict(self.extra)))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    def __len__(self) -> int:
        return len(self.means)

    @property
    def device(self) -> torch.device:
        """Device of all tensors."""
        return self.means.device

    @property
    def dtype(self) -> torch.dtype:
        """The float dtype of all but integer extras."""
        return self.means.dtype

    @property
    def rotations(self) -> Tensor:
        """(N, 3, 3) rotation matrices, local to world."""
        return quats_to_matrices(self.quats)

    @property
    def covariances(self) -> Tensor:
        """(N, 3, 3) covariance matrices in world space, world units squared."""
        factor = self.rotations * self.scales[:, None, :]
        return factor @ factor.mT

    def map(self, function: Callable[[Tensor], Tensor]) -> Ellipsoids:
        """Apply a function that keeps the rows' meaning (indexing, moving, detaching) to every tensor."""
        return replace(
            self,
            means=function(self.means),
            scales=function(self.scales),
            quats=function(self.quats),
            density=function(self.density),
            features=None if self.features is None else function(self.features),
            extra={name: function(tensor) for name, tensor in self.extra.items()},
        )

    def __getitem__(self, rows: slice | Tensor) -> Ellipsoids:
        """The ellipsoids chosen by a slice, a boolean mask (N,) or indices."""
        return self.map(lambda tensor: tensor[rows])

    def to(self, target: torch.device | torch.dtype | str) -> Ellipsoids:
        """The same ellipsoids on another device or in another float dtype; integer extras keep their dtype."""
        if isinstance(target, torch.dtype):
            return self.map(lambda tensor: tensor.to(target) if tensor.is_floating_point() else tensor)
        return self.map(lambda tensor: tensor.to(target))

    def detach(self) -> Ellipsoids:
        """The same values without gradient history."""
        return self.map(Tensor.detach)

    def transform(self, matrix: Tensor) -> Ellipsoids:
        """Move the set by a similarity: rotation, uniform scale, translation.

        Args:
            matrix: (4, 4), acting on column vectors, of this set's dtype and device. Differentiable.

        Raises:
            ValueError: the upper left block is not a rotation times one positive scale.
        """
        checks.shapes(matrix=(matrix, "4 4"))
        linear, shift = matrix[:3, :3], matrix[:3, 3]
        scale = torch.linalg.det(linear).abs().pow(1 / 3)
        rotation = linear / scale
        eye = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        if torch.linalg.det(linear) <= 0 or not torch.allclose(rotation @ rotation.mT, eye, atol=1e-4):
            raise ValueError(
                "matrix must be a similarity (rotation, one positive scale, translation); "
                f"got the linear part {linear.detach().tolist()}"
            )
        extra = dict(self.extra)
        if "normals" in extra:
            extra["normals"] = extra["normals"] @ rotation.mT
        if "sh" in extra:
            extra["sh"] = harmonics.rotate(extra["sh"], rotation)
        return replace(
            self,
            means=self.means @ linear.mT + shift,
            scales=self.scales * scale,
            quats=multiply_quats(matrices_to_quats(rotation), self.quats),
            extra=extra,
        )

    def split(self, counts: Sequence[int]) -> list[Ellipsoids]:
        """Undo `cat`: consecutive sets of the given sizes, which must add up to N."""
        if sum(counts) != len(self):
            raise ValueError(f"counts must add up to {len(self)} ellipsoids; got {list(counts)}")
        starts = [sum(counts[:i]) for i in range(len(counts))]
        return [self[start : start + count] for start, count in zip(starts, counts, strict=True)]


def cat(sets: Sequence[Ellipsoids]) -> Ellipsoids:
    """One set from several objects, in order.

    Features must be present in all or in none and have one number of channels; of the extra
    attributes those are kept that every set has, and "sh", whose missing coefficients are 0. Metadata are the
    first set's.
    """
    if not sets:
        raise ValueError("cat needs at least one set of ellipsoids; got none")
    channels = {None if s.features is None else s.features.shape[1] for s in sets}
    if len(channels) > 1:
        found = sorted(map(str, channels))
        raise ValueError(f"features must have the same number of channels in every set; got {found}")
    shared = set.intersection(*(set(s.extra) for s in sets)) - {"sh"}
    extra = {name: torch.cat([s.extra[name] for s in sets]) for name in sorted(shared)}
    if any("sh" in s.extra for s in sets):
        extra["sh"] = harmonics.cat([s.extra.get("sh", s.means.new_zeros(len(s), 0, 3)) for s in sets])
    return replace(
        sets[0],
        means=torch.cat([s.means for s in sets]),
        scales=torch.cat([s.scales for s in sets]),
        quats=torch.cat([s.quats for s in sets]),
        density=torch.cat([s.density for s in sets]),
        features=None if None in channels else torch.cat([s.features for s in sets if s.features is not None]),
        extra=extra,
    )
