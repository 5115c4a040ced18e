"""Results of `voge bench` as a table, whose lines are Markdown too."""

from __future__ import annotations

from collections.abc import Sequence

from voge.bench.measure import Row

HEAD = (
    *("scene", "ellipsoids", "image", "renderer", "forward images/s", "both images/s"),
    *("forward kernel ms", "both kernel ms", "both wall ms", "peak MiB", "hits a ray"),
)
SCENE = 3  # columns that say what is rendered
REASON = "not measured"


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Head and rows as text; columns of ratios and of reasons only where there are any."""
    peers = list(dict.fromkeys(peer for row in rows for peer in row.get("ratios", {})))
    reasons = (REASON,) if any(row["error"] for row in rows) else ()
    head = (*HEAD, *(f"time / {peer}" for peer in peers), *reasons)
    return [head, *(_cells(row, peers, bool(reasons)) for row in rows)]


def _cells(row: Row, peers: Sequence[str], reasons: bool) -> tuple[str, ...]:
    image = f"{row['width']}x{row['height']}"
    image += f", {row['channels']} channels" if row["channels"] != 3 else ""
    image += f", {row['views']} views" if row["views"] > 1 else ""
    first = (row["scene"], f"{row['ellipsoids']:,}", image, row["name"])
    last = (row["error"] or "",) if reasons else ()
    if row["error"]:
        return (*first, *[""] * (len(HEAD) - len(first) + len(peers)), *last)
    forward, both = row["forward"], row["both"]
    ratios = (row.get("ratios", {}).get(peer) for peer in peers)
    return (
        *first,
        _number(forward["images_per_second"]),
        _number(both["images_per_second"]),
        _number(forward["kernel_ms"]["median"]),
        _spread(both["kernel_ms"]),
        _spread(both["wall_ms"]),
        "" if row["peak_bytes"] is None else _number(row["peak_bytes"] / 2**20),
        "" if row["hits_per_ray"] is None else _number(row["hits_per_ray"]),
        *("" if ratio is None else _number(ratio["both"]) for ratio in ratios),
        *last,
    )


def markdown(rows: Sequence[Row]) -> str:
    """A table of Markdown whose columns line up as plain text, too."""
    table = cells(rows)
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in table]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def _spread(times: dict[str, float]) -> str:
    """The median, and half the distance of the quartiles in percent."""
    share = (times["high"] - times["low"]) / 2 / times["median"] if times["median"] else 0.0
    return f"{_number(times['median'])} ±{100 * share:.0f}%"


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
