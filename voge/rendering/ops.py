"""The operators and the switch that decides which backend runs them."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from voge.errors import BackendError
from voge.rendering import compiled, native, products, reference
from voge.rendering.settings import Backend, RenderSettings
from voge.scene.cameras import CameraModel, Cameras, Rays
from voge.scene.ellipsoids import Ellipsoids


@dataclass(frozen=True)
class Status:
    """State of a backend on this machine."""

    available: bool
    reason: str  # why not, or what it runs on
    remedy: str = ""


def status() -> dict[str, Status]:
    """The state of every backend, by name."""
    cpu, cuda = native.cpu(), native.cuda()
    return {
        "cuda": Status(cuda.handle is not None, cuda.reason, cuda.remedy),
        "cpp": Status(cpu.handle is not None, cpu.reason, cpu.remedy),
        "torch": Status(True, f"plain torch {torch.__version__}: the definition, slow"),
    }


def implementation(backend: Backend, device: torch.device) -> Backend:
    """The backend that runs tensors of this device; never `auto`.

    Raises:
        BackendError: `backend` is named but not available, or does not run on `device`.
    """
    if backend is Backend.auto:
        library = _library(device)
        if library is not None and library.handle is not None:
            return Backend.cuda if device.type == "cuda" else Backend.cpp
        if library is not None:
            _warn_slow(f"{library.reason}; {library.remedy}")
        return Backend.torch
    state = status()[backend.value]
    if not state.available:
        raise BackendError("; ".join(filter(None, (f"backend {backend.value}: {state.reason}", state.remedy))))
    wanted = {Backend.cpp: "cpu", Backend.cuda: "cuda"}.get(backend, device.type)
    if device.type != wanted:
        raise BackendError(
            f"backend {backend.value} runs on {wanted}; the tensors are on {device}: move them, or use backend auto"
        )
    return backend


# What torch.compiler.assume_constant_result does, which imports the compiler: loading libraries cannot be traced.
implementation._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _library(device: torch.device) -> native.Library | None:
    """The compiled library for a device; None where there could be none."""
    if device.type == "cuda":
        return native.cuda(device.index or 0)
    return native.cpu() if device.type == "cpu" else None


@functools.cache
def _warn_slow(why: str) -> None:
    warnings.warn(f"rendering with plain torch, which is slow: {why}", stacklevel=4)


def camera_rays(cameras: Cameras, backend: Backend) -> Rays:
    """One ray through every pixel center, (V, H, W, 3), as `Cameras.rays` defines them."""
    simple = cameras.model in (CameraModel.pinhole, CameraModel.orthographic)
    if simple and implementation(backend, cameras.viewmats.device) is Backend.cuda:
        return compiled.pixel_rays(cameras)
    return cameras.rays()


def render_rays(
    ellipsoids: Ellipsoids, features: Tensor, rays: Rays, cameras: Cameras, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor]:
    """Image (V, H, W, C), alpha (V, H, W) and depth (V, H, W) of the cameras' rays, without tables of hits."""
    if implementation(settings.backend, ellipsoids.device) is Backend.torch:
        return reference.render_rays(ellipsoids, features, rays, settings)
    return compiled.render_rays(ellipsoids, features, rays, cameras, settings)


def trace_rays(
    ellipsoids: Ellipsoids, rays: Rays, cameras: Cameras | None, settings: RenderSettings
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """W in compressed rows: weight, depth (E,), transmittance (P,), index (E,), offsets (P + 1,), truncated ().

    `cameras` are those that the rays come from, or None for any other rays.
    """
    if implementation(settings.backend, ellipsoids.device) is Backend.torch:
        return reference.trace_rays(ellipsoids, rays, settings)
    return compiled.trace_rays(ellipsoids, rays, cameras, settings)


def gather(weight: Tensor, attributes: Tensor, index: Tensor, offsets: Tensor) -> Tensor:
    """W A: (P, C) from attributes (N, C). Differentiable in weight and attributes."""
    if not _has_products(weight.device):
        return reference.gather(weight, attributes, index, offsets)
    return products.gather(products.Gather(weight.contiguous(), attributes.contiguous(), index, offsets))


def scatter(weight: Tensor, image: Tensor, index: Tensor, offsets: Tensor, count: int) -> Tensor:
    """W^T I: (N, C) from an image (P, C), N = count. Differentiable in weight and image."""
    if not _has_products(weight.device):
        return reference.scatter(weight, image, index, offsets, count)
    return products.scatter(products.Scatter(weight.contiguous(), image.contiguous(), index, offsets, count))


def _has_products(device: torch.device) -> bool:
    """True where W's products run compiled. No warning here: one was given when W was traced."""
    library = _library(device)
    return library is not None and library.handle is not None
