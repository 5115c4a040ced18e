"""voge info: what is installed, and which code renders."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

from voge_cli.options import Report, option_groups

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


@option_groups
def info(report: Report) -> None:
    """Show versions, devices, and which backend renders and why."""
    console = report.console()
    with console.warnings_as_notes():
        document = describe()
    console.result("\n".join(_lines(document)), document)


def describe() -> dict[str, Any]:
    """Everything that a report of a problem should hold."""
    import torch

    from voge.rendering import ops

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    backends = ops.status()
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
            for name, state in backends.items()
        },
        "auto": {device: _auto(device) for device in devices},
        "ffmpeg": _ffmpeg(),
    }


def _auto(device: str) -> str:
    import torch

    from voge.rendering import ops
    from voge.rendering.settings import Backend

    return ops.implementation(Backend.auto, torch.device(device)).value


def package_version(package: str) -> str:
    """What is installed of a package, or that it is not."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_version()
    except (RuntimeError, OSError) as error:
        return f"none: {error}; videos as gif or webp only"


def _lines(document: Mapping[str, Any]) -> list[str]:
    lines = [f"{name:<12} {version}" for name, version in document["versions"].items()]
    lines += [f"{'ffmpeg':<12} {document['ffmpeg']}", f"{'platform':<12} {document['platform']}", ""]
    for device, name in document["devices"].items():
        threads = f", {document['threads']} threads" if device == "cpu" else ""
        lines.append(f"device {device}: {name}{threads}; backend auto takes {document['auto'][device]}")
    lines.append("")
    for name, state in document["backends"].items():
        lines.append(f"backend {name}: {'available' if state['available'] else 'not available'}; {state['reason']}")
        if state["remedy"]:
            lines.append(f"{'':<12} to change that: {state['remedy']}")
    return lines
