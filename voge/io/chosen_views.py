"""The views of a camera file that a user chose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from voge.errors import DataError, SettingsError
from voge.io.cameras import Views, load_cameras
from voge.io.settings import CameraFile


def load_views(path: str | Path, given: CameraFile | None = None, *, size: tuple[int, int] | None = None) -> Views:
    """Read a camera file and return the views that were chosen of it.

    Args:
        path: the file, whatever `given.file` says.
        given: how the file is read, and which views; default: as the file says, and all.
        size: width and height of the pictures, for files that do not say it.

    Raises:
        DataError: the file cannot be used.
        SettingsError: the file has no such view, or is not read in that way.
    """
    given = given or CameraFile()
    try:
        views = load_cameras(
            path,
            given.format,
            size=size,
            convention=given.convention and given.convention.value,
            direction=given.direction and given.direction.value,
            object_id=given.object_id,
        )
    except DataError:
        raise
    except ValueError as error:  # of the arguments
        raise SettingsError(f"cameras.{error}") from error
    if given.frames is None:
        return views
    names = [view.name for view in views]
    chosen = dict.fromkeys(_frame(path, frame, names) for frame in given.frames)
    return replace(views, views=tuple(views[number] for number in chosen))


def _frame(path: str | Path, frame: str, names: Sequence[str]) -> int:
    """The number of a view that is named, or numbered from 0."""
    if frame in names:
        return names.index(frame)
    if frame.isdigit() and int(frame) < len(names):
        return int(frame)
    near = get_close_matches(frame, names, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {names[0]} to {names[-1]}, or 0 to {len(names) - 1}"
    raise SettingsError(f"{path} has no view '{frame}'; {hint}")
