"""voge info: what is installed, and which code renders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from voge_cli.options import Report, option_groups


@option_groups
def info(report: Report) -> None:
    """Show versions, devices, and which backend renders and why."""
    console = report.console()
    with console.warnings_as_notes():
        document = work()
    console.result("\n".join(_lines(document)), document)


def work() -> dict[str, Any]:
    """Describe the one installation that there is."""
    from voge.rendering import installation

    return installation.describe()


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
