"""What the user says of a world."""

from __future__ import annotations

from enum import Enum


class Up(str, Enum):
    """The upright axis of a world."""

    y = "y"
    z = "z"
