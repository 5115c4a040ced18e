"""Files and folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from voge.errors import DataError


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, with its suffix; what was written there becomes `path` at the end.

    An existing file is replaced. After an error or an interruption nothing is left, not even the
    folders that had to be made.
    """
    path = Path(path)
    with _parents_made(path):
        temporary = path.with_name(f".{_token()}{path.suffix}")
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """An empty folder to fill, which becomes `path` at the end; an existing folder's content is replaced.

    After an error or an interruption `path` is as it was.
    """
    path = Path(path).resolve()
    with _parents_made(path):
        # Staged inside an existing folder, which may be a mount point or someone's current directory.
        staging = path / f".{_token()}" if path.is_dir() else path.with_name(f".{_token()}")
        staging.mkdir()
        try:
            yield staging
            if path.is_dir():
                _replace_content(path, staging)
            else:
                os.replace(staging, path)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _replace_content(path: Path, staging: Path) -> None:
    """Put the entries of `staging` in the place of all others in `path`."""
    old = staging / f".{_token()}"
    new = list(staging.iterdir())
    old.mkdir()
    for entry in path.iterdir():
        if entry != staging:
            os.replace(entry, old / entry.name)
    for entry in new:
        os.replace(entry, path / entry.name)


@contextmanager
def _parents_made(path: Path) -> Iterator[None]:
    missing = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for parent in missing:
            with suppress(OSError):  # something else was put there meanwhile
                parent.rmdir()
        raise


def _token() -> str:
    return f"voge-{uuid.uuid4().hex[:8]}"


def check_not_empty(path: Path) -> None:
    """Refuse a file without content, whatever its format."""
    if path.stat().st_size == 0:
        raise DataError(path, "is empty", "write or copy it again")
