"""Installed versions and the code that renders, as the report of a problem should hold them."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from voge.rendering import ops
from voge.rendering.settings import Backend

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "trimesh",
    "safetensors",
    "hydra-core",
    "omegaconf",
    "typer",
    "pillow",
    "imageio",
)


def describe() -> dict[str, Any]:
    """Give versions, devices, backends with reason and remedy, and ffmpeg, as `voge info --json` prints them."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    devices = ["cpu", *(f"cuda:{i}" for i in range(count))]
    return {
        "versions": {"voge": package_version("voge"), "python": platform.python_version()}
        | {p: package_version(p) for p in PACKAGES},
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "devices": {"cpu": platform.processor() or platform.machine()}
        | {f"cuda:{i}": torch.cuda.get_device_name(i) for i in range(count)},
        "backends": {
            name: {"available": state.available, "reason": state.reason, "remedy": state.remedy}
            for name, state in ops.status().items()
        },
        "auto": {device: ops.implementation(Backend.auto, torch.device(device)).value for device in devices},
        "ffmpeg": _ffmpeg(),
    }


def package_version(package: str) -> str:
    """Give the version of a package, or say that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        version: str = imageio_ffmpeg.get_ffmpeg_version()
        return version
    except (RuntimeError, OSError) as error:
        return f"none: {error}; videos as gif or webp only"
