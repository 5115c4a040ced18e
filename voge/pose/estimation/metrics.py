"""Errors of estimated rotations: the field's three figures, for each category and over all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one category, or of all."""

    count: int  # images
    accuracy_30: float  # Acc pi/6, percent
    accuracy_10: float  # Acc pi/18, percent
    median: float  # degrees

    def document(self) -> dict[str, float]:
        """Return plain values for a JSON file."""
        return {
            "images": self.count,
            "acc_pi_6": self.accuracy_30,
            "acc_pi_18": self.accuracy_10,
            "median_deg": self.median,
        }


def figures(errors: Sequence[float]) -> Figures:
    """Figures of rotation errors in degrees; an estimate that failed counts as infinitely wrong.

    Raises:
        ValueError: there are none.
    """
    if not len(errors):
        raise ValueError("figures need at least one error; got none")
    values = torch.as_tensor(errors, dtype=torch.float64)
    count = len(values)
    middle = values.sort().values[[(count - 1) // 2, count // 2]].mean()
    return Figures(
        count,
        100 * float((values < 30).double().mean()),
        100 * float((values < 10).double().mean()),
        float(middle),
    )


def by_category(errors: Mapping[str, Sequence[float]]) -> dict[str, Figures]:
    """Figures of each category with images, and under "mean" their mean over categories, as in the paper's tables."""
    rows = {category: figures(values) for category, values in errors.items() if len(values)}
    if not rows:
        return {}
    n = len(rows)
    mean = Figures(
        sum(row.count for row in rows.values()),
        sum(row.accuracy_30 for row in rows.values()) / n,
        sum(row.accuracy_10 for row in rows.values()) / n,
        sum(row.median for row in rows.values()) / n,
    )
    return {**rows, "mean": mean}


def table(rows: Mapping[str, Figures]) -> str:
    """Figures as text: a column a category, a row a figure."""
    heads = ["", *rows]
    lines = [
        ["ACC pi/6 (%)", *(f"{row.accuracy_30:.1f}" for row in rows.values())],
        ["ACC pi/18 (%)", *(f"{row.accuracy_10:.1f}" for row in rows.values())],
        ["Median error (deg)", *(f"{row.median:.2f}" if math.isfinite(row.median) else "-" for row in rows.values())],
        ["images", *(str(row.count) for row in rows.values())],
    ]
    widths = [max(len(line[i]) for line in [heads, *lines]) for i in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in [heads, *lines]
    )
