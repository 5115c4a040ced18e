"""Facts that a file of cameras may leave open, given by the caller."""

from __future__ import annotations

from dataclasses import dataclass

CONVENTIONS = ("opencv", "opengl")  # camera axes: x right, y down, z forward; x right, y up, z backward
DIRECTIONS = ("world_to_camera", "camera_to_world")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Each is used only where the file does not say it itself."""

    size: tuple[int, int] | None = None  # width and height of the pictures, pixels
    convention: str | None = None  # of matrices, one of CONVENTIONS
    direction: str | None = None  # of matrices, one of DIRECTIONS
    object_id: int | None = None  # BOP: see the cameras from this object's frame
