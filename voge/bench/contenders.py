"""Contenders: this package's backends, and renderers of others on the same scene.

What every contender differentiates: means, scales, quats, density (peers: opacity) and features.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from voge.bench.scenes import Scene
from voge.bench.settings import Peer
from voge.errors import BackendError
from voge.rendering.renderer import render
from voge.rendering.settings import Backend, RenderSettings


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A scene in the form that a contender takes."""

    leaves: tuple[Tensor, ...]  # require gradients
    draw: Callable[[], Tensor]  # the picture (V, H, W, C)


class Contender(Protocol):
    """Renderer to be measured: a backend of voge, or a peer."""

    @property
    def name(self) -> str:
        """Name of the renderer in tables."""

    @property
    def device(self) -> torch.device:
        """The device that it renders on."""

    @property
    def peer(self) -> Peer | None:
        """The user's name of it, where it is to be compared with."""

    @property
    def about(self) -> dict[str, Any]:
        """Facts that a reader of the results must know, as JSON."""

    def prepare(self, scene: Scene) -> Work:
        """Move a scene to the device, outside of what is timed."""


@dataclass(frozen=True)
class Own:
    """One backend of this package with one aggregation."""

    settings: RenderSettings  # its backend is never auto
    device: torch.device
    peer: Peer | None = None

    @property
    def name(self) -> str:
        """Backend and aggregation."""
        return f"{self.settings.backend.value} {self.settings.aggregation.value}"

    @property
    def about(self) -> dict[str, Any]:
        """Backend and the settings that decide how much there is to do, resolved."""
        s = self.settings
        return {
            "renderer": "voge",
            "backend": s.backend.value,
            "aggregation": s.aggregation.value,
            "boxes": s.boxes,
            "min_density": s.eta,
            "max_per_ray": s.limit,
        }

    def prepare(self, scene: Scene) -> Work:
        """Ellipsoids and cameras on the device."""
        ellipsoids = scene.ellipsoids.to(self.device).map(_leaf)
        cameras = scene.cameras.to(self.device)
        assert ellipsoids.features is not None
        leaves = (ellipsoids.means, ellipsoids.scales, ellipsoids.quats, ellipsoids.density, ellipsoids.features)
        return Work(leaves, lambda: render(ellipsoids, cameras, self.settings).image)


UT_CHANNELS = 32  # 64 fail an assertion of gsplat 1.5.3 that no caller can catch


@dataclass(frozen=True)
class Gsplat:
    """The package gsplat, with its defaults (cut at opacity 1/255, 0.3 pixels of blur, tiles of 16)."""

    device: torch.device
    peer: Peer = Peer.gsplat

    @property
    def name(self) -> str:
        """The one of its two ways that is measured."""
        return "gsplat 3DGUT" if self.peer is Peer.gsplat_ut else "gsplat 3DGS"

    @property
    def about(self) -> dict[str, Any]:
        """Version of the peer."""
        missing = missing_gsplat()
        return {"renderer": "gsplat", "version": None if missing else importlib.metadata.version("gsplat")}

    def prepare(self, scene: Scene) -> Work:
        """Densities as the opacities through the centers; compiles gsplat's code on first use.

        Raises:
            BackendError: it is not installed, cannot be compiled, or the device is no GPU.
        """
        if reason := missing_gsplat():
            raise BackendError(reason)
        if self.device.type != "cuda":
            raise BackendError(f"gsplat renders on CUDA devices only, not on {self.device}")
        with redirect_stdout(sys.stderr):  # it says that it compiles, and stdout is for results
            from gsplat import rasterization
            from gsplat.cuda._backend import _C

        if _C is None:
            raise BackendError("gsplat found no CUDA compiler (nvcc) for its code; install the CUDA toolkit")
        e, c = scene.ellipsoids.to(self.device), scene.cameras.to(self.device)
        assert e.features is not None
        given = (e.means, e.quats, e.scales, -torch.expm1(-e.density), e.features)
        leaves = tuple(_leaf(tensor) for tensor in given)
        ray = self.peer is Peer.gsplat_ut
        if ray and e.features.shape[1] > UT_CHANNELS:
            raise BackendError(f"gsplat 3DGUT ends the process above {UT_CHANNELS} channels")
        # packed=False: quicker where a view sees most of the set, and the ray path has no other.
        run = partial(
            rasterization, *leaves, c.viewmats, c.Ks, c.width, c.height, packed=False, with_ut=ray, with_eval3d=ray
        )
        return Work(leaves, lambda: run()[0])


def missing_gsplat() -> str | None:
    """The reason why gsplat cannot be imported, with the remedy, or None."""
    if importlib.util.find_spec("gsplat") is None:
        return "gsplat is not installed; pip install 'voge[peers]'"
    return None


def peer_of(peer: Peer, base: Own) -> Contender:
    """The peer to measure beside one of our own contenders."""
    if peer is Peer.torch:
        return Own(replace(base.settings, backend=Backend.torch), base.device, peer)
    return Gsplat(base.device, peer)


def failure(error: Exception, contender: Contender) -> str | None:
    """The reason why a contender has no figures, in one line; None for a defect of ours, which must be seen."""
    text = " ".join(str(error).split()) or type(error).__name__
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "DefaultCPUAllocator" in text
    if memory:
        return "out of memory"
    if isinstance(error, BackendError):
        return text
    # Whatever a package of others raises, assertions included, is its answer.
    return f"{type(error).__name__}: {text[:200]}" if isinstance(contender, Gsplat) else None


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().contiguous().requires_grad_()
