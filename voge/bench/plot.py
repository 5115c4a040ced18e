"""Time against the number of ellipsoids and of pixels, as in fig. 6 of the paper. Needs matplotlib (extra `plot`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voge.bench.measure import Row
from voge.io.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colors, which color-blind people tell apart too.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
TICKS = 8  # so many sizes are written under the axis, more would overlap
QUANTITIES: dict[str, Callable[[Row], int]] = {
    "ellipsoids": lambda row: row["ellipsoids"],
    "pixels": lambda row: row["width"] * row["height"] * row["views"],
}


@dataclass(frozen=True)
class Series:
    """One contender as a scene grows."""

    name: str  # of the contender
    fixed: str  # what does not grow
    ours: bool
    x: list[int]  # ascending
    middle: list[float]  # ms
    low: list[float]
    high: list[float]


def missing() -> str | None:
    """The reason why nothing can be drawn, with the remedy, or None."""
    return None if importlib.util.find_spec("matplotlib") else "matplotlib is not installed; pip install 'voge[plot]'"


def grows(rows: Sequence[Row]) -> list[str]:
    """Those of QUANTITIES that take two values or more while all else is the same."""
    return [quantity for quantity in QUANTITIES if any(len(set(x)) > 1 for x in _groups(rows, quantity).values())]


def clock(rows: Sequence[Row]) -> str:
    """The time that can be compared over all rows: that of kernels on GPUs, wall time otherwise."""
    return "kernel_ms" if all(row["device"].startswith("cuda") for row in rows) else "wall_ms"


def series(rows: Sequence[Row], quantity: str, which: str = "both") -> list[Series]:
    """The lines of a plot of time against `quantity`; rows without figures are left out."""
    measured = [row for row in rows if not row["error"]]
    time, value = clock(measured), QUANTITIES[quantity]
    lines: dict[tuple[Any, ...], list[Row]] = {}
    for row in measured:
        lines.setdefault((row["name"], *_fixed(row, quantity)), []).append(row)
    found = []
    for (name, *_), members in lines.items():
        members = sorted(members, key=value)
        if len({value(row) for row in members}) > 1:
            times = [row[which][time] for row in members]
            middle, low, high = ([t[key] for t in times] for key in ("median", "low", "high"))
            fixed, ours = _words(members[0], quantity), members[0]["peer"] is None
            found.append(Series(name, fixed, ours, [value(row) for row in members], middle, low, high))
    return found


def draw(rows: Sequence[Row], path: str | Path, title: str = "") -> None:
    """Write a figure: a panel for each quantity that grows, a line for each contender.

    Args:
        rows: results of `measure`, of any number of scenes.
        path: .png, .svg or .pdf.
        title: above all, such as the machine's name.

    Raises:
        ValueError: nothing grows among the rows that have figures.
    """
    from matplotlib.figure import Figure

    measured = [row for row in rows if not row["error"]]
    panels = grows(measured)
    if not panels:
        raise ValueError("a plot needs two numbers of ellipsoids or two sizes of one scene that could be measured")
    colors = {name: COLORS[i % len(COLORS)] for i, name in enumerate(dict.fromkeys(row["name"] for row in measured))}
    figure = Figure(figsize=(5.6 * len(panels), 4.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, quantity in zip(axes, panels, strict=True):
        _draw_panel(axis, series(measured, quantity), quantity, colors)
        what = "GPU kernel" if clock(measured) == "kernel_ms" else "wall"
        axis.set_ylabel(f"{what} time, forward + backward, ms")
    if title:
        figure.suptitle(title, fontsize=10)
    path = Path(path)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix.removeprefix("."), dpi=160)


def _draw_panel(axis: Axes, lines: Sequence[Series], quantity: str, colors: dict[str, str]) -> None:
    from matplotlib.ticker import LogLocator

    held = list(dict.fromkeys(line.fixed for line in lines))
    for line in lines:
        marker = MARKERS[held.index(line.fixed) % len(MARKERS)]
        label = line.name if len(held) == 1 else f"{line.name}, {line.fixed}"
        style: dict[str, Any] = {"color": colors[line.name], "linestyle": "-" if line.ours else "--"}
        axis.plot(line.x, line.middle, marker=marker, markersize=5, linewidth=1.6, label=label, **style)
        axis.fill_between(line.x, line.low, line.high, color=colors[line.name], alpha=0.15, linewidth=0)
    longest = max(lines, key=lambda line: line.x[-1])
    ends = longest.x[0], longest.x[-1]
    linear = [longest.middle[-1] * x / ends[1] for x in ends]
    axis.plot(ends, linear, color="0.6", linestyle=":", linewidth=1, label="linear growth", zorder=0)
    axis.set(xscale="log", yscale="log", xlabel=f"number of {quantity}")
    marks = sorted({x for line in lines for x in line.x})
    if len(marks) <= TICKS:
        axis.set_xticks(marks, [f"{x:,}" for x in marks], rotation=30, fontsize=8)
        axis.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axis.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:g}")
    if len(held) == 1:
        axis.set_title(held[0], fontsize=10)
    axis.grid(which="major", color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)


def _groups(rows: Sequence[Row], quantity: str) -> dict[tuple[Any, ...], list[int]]:
    groups: dict[tuple[Any, ...], list[int]] = {}
    for row in rows:
        groups.setdefault((row.get("name"), *_fixed(row, quantity)), []).append(QUANTITIES[quantity](row))
    return groups


def _fixed(row: Row, quantity: str) -> tuple[Any, ...]:
    """All that is the same along a line."""
    other = (row["width"], row["height"], row["views"]) if quantity == "ellipsoids" else (row["ellipsoids"],)
    return (row["scene"], row["channels"], *other)


def _words(row: Row, quantity: str) -> str:
    """All that is the same along a line, in words."""
    size = f"{row['width']}x{row['height']}" + (f", {row['views']} views" if row["views"] > 1 else "")
    held = size if quantity == "ellipsoids" else f"{row['ellipsoids']:,} ellipsoids"
    return f"{row['scene']}, {held}" + (f", {row['channels']} channels" if row["channels"] != 3 else "")
