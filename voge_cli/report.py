"""Pages of one file: pictures and videos are inside, nothing is fetched."""

from __future__ import annotations

import base64
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
