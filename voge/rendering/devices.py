"""The device and backend that render: what was asked for, or an error that says why not."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch

from voge.errors import BackendError, SettingsError
from voge.rendering import ops
from voge.rendering.settings import Backend


class Chosen(NamedTuple):
    """The device and the code that render."""

    device: torch.device
    backend: Backend  # never auto

    def __str__(self) -> str:
        return f"rendering on {self.device} with backend {self.backend.value}"


def choose_device(device: str, backend: Backend) -> Chosen:
    """The device to render on, and the backend that this means.

    Args:
        device: auto, cpu, cuda or cuda:i. `auto` is a GPU where the compiled code runs on it, else the CPU.
        backend: as asked for.

    Raises:
        SettingsError: `device` is no such name.
        BackendError: the device or the backend is not there; names the reason.
    """
    chosen = _device(device, backend)
    return Chosen(chosen, ops.implementation(backend, chosen))


def _device(name: str, backend: Backend) -> torch.device:
    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and (kind != "cuda" or not index.isdigit())):
        raise SettingsError(f"device must be auto, cpu, cuda or cuda:i; got '{name}'")
    if kind == "auto":
        compiled = backend in (Backend.auto, Backend.cuda) and ops.status()["cuda"].available
        return torch.device("cuda" if compiled else "cpu")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise BackendError(f"device {name}: torch {torch.__version__} sees no CUDA device; see voge info")
        if index and int(index) >= torch.cuda.device_count():
            raise BackendError(f"device {name}: there are {torch.cuda.device_count()} CUDA devices, from cuda:0")
    return torch.device(name)


def make_deterministic(device: torch.device) -> None:
    """Hold this process to operations on `device` whose results do not depend on how threads are scheduled.

    The compiled CPU renderer's never do; the CUDA one sums gradients in integers where torch is asked for this.
    """
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch refuses cuBLAS without
    torch.use_deterministic_algorithms(True)
