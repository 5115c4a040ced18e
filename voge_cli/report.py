"""Pages of one file: pictures and videos are inside, nothing is fetched."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

_KINDS = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp", ".mp4": "video/mp4"}
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
figure { display: inline-block; margin: 0 1rem 1rem 0; vertical-align: top }
figcaption, td { font-size: 0.85rem; color: #555 }
img, video { max-width: 100%; border: 1px solid #ddd }
pre { background: #f5f5f5; padding: 0.7rem; overflow-x: auto }
td { padding-right: 1.5rem }
"""


def page(title: str, *parts: str) -> str:
    """An HTML page of the parts, in order."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def text(words: str) -> str:
    """A paragraph."""
    return f"<p>{escape(words)}</p>"


def commands(lines: Sequence[str]) -> str:
    """Commands to type."""
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def figure(path: Path, caption: str) -> str:
    """A picture or a video."""
    kind = _KINDS[path.suffix.lower()]
    source = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    shown = (
        f'<video src="{source}" autoplay loop muted controls playsinline></video>'
        if kind.startswith("video")
        else f'<img src="{source}" alt="{escape(caption)}">'
    )
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def table(rows: Mapping[str, object]) -> str:
    """Names and values."""
    named = {name.replace("_", " "): str(value) for name, value in rows.items()}
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in named.items())
    return f"<table>{cells}</table>"


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], caption: str) -> str:
    """Lines of (x, y) over one x axis; y is logarithmic, and what is not above 0 is left out."""
    points = {name: [(x, math.log10(y)) for x, y in line if y > 0] for name, line in lines.items()}
    points = {name: line for name, line in points.items() if len(line) > 1}
    if not points:
        return ""
    xs, ys = ([point[axis] for line in points.values() for point in line] for axis in (0, 1))
    left, right, low, high = min(xs), max(xs), math.floor(min(ys)), math.ceil(max(ys) + 1e-9)
    width, height, margin = 640, 320, 44

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            margin + (width - margin) * (x - left) / ((right - left) or 1),
            (height - margin) * (high - y) / ((high - low) or 1) + 8,
        )

    parts = []
    for power in range(low, high + 1):
        y = place(left, power)[1]
        parts.append(f'<line x1="{margin}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="0" y="{y + 4:.1f}">1e{power}</text>')
    for x, anchor in ((left, "start"), (right, "end")):
        parts.append(f'<text x="{place(x, low)[0]:.1f}" y="{height - 16}" text-anchor="{anchor}">{x:g}</text>')
    for i, (name, line) in enumerate(points.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        color = f"hsl({360 * i / len(points):.0f} 70% 40%)"
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}"/>')
        parts.append(f'<text x="{width + 8}" y="{20 + 16 * i}" fill="{color}">{escape(name)}</text>')
    drawing = f'<svg viewBox="0 0 {width + 160} {height}" width="{width + 160}" font-size="12">{"".join(parts)}</svg>'
    return f"<figure>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"
