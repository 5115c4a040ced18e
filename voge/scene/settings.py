"""Settings of a world."""

from __future__ import annotations

from enum import Enum

MAX_DEGREE = 3  # of the harmonics of colors


class Up(str, Enum):
    """The upright axis of a world."""

    y = "y"
    z = "z"
