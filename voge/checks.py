"""Checks of arguments at the public boundary; every message gives name, rule and value."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def shapes(sizes: Mapping[str, int] | None = None, /, **tensors: tuple[Tensor, str]) -> dict[str, int]:
    """Check tensors against shape patterns and return the sizes of their named dimensions.

    A pattern such as ``"N 3"`` has one entry a dimension: a number must match, a name must be the
    same everywhere in the call. `sizes` fixes names beforehand.

    Raises:
        TypeError: a value is not a tensor.
        ValueError: a shape does not match; names the tensor, the rule and the shape found.
    """
    known = dict(sizes or {})
    for name, (tensor, pattern) in tensors.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
        expected, shape = pattern.split(), tensor.shape
        if len(shape) == len(expected):
            wrong = 0
            for dimension, size in zip(expected, shape, strict=True):
                wrong += size != (int(dimension) if dimension.isdigit() else known.setdefault(dimension, size))
            if not wrong:
                continue
        names = ", ".join(f"{d}={known[d]}" for d in expected if d in known)
        rule = f"({', '.join(expected)}{',' if len(expected) == 1 else ''})" + (f" with {names}" if names else "")
        raise ValueError(f"{name} must have shape {rule}; got {tuple(tensor.shape)}")
    return known


def same_kind(**tensors: Tensor) -> None:
    """Check that tensors are float32 or float64, all of one dtype and on one device."""
    (first, like), *others = tensors.items()
    dtype, device = like.dtype, like.device
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{first} must be float32 or float64, got {dtype}")
    for name, tensor in others:
        if tensor.dtype != dtype or tensor.device != device:
            raise TypeError(f"{name} must be {dtype} on {device} like {first}; got {tensor.dtype} on {tensor.device}")
