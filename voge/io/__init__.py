"""Files in and out. Every reader raises DataError, one line, for a file that cannot be used."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """A file or its content cannot be used: names the file, what is wrong and what to do, in one line."""

    def __init__(self, path: str | Path, problem: str, remedy: str = "") -> None:
        lines = [str(path) + ": " + problem, remedy]
        super().__init__("; ".join(" ".join(line.split()) for line in lines if line))


def check_not_empty(path: Path) -> None:
    """Refuse a file without content, whatever its format."""
    if path.stat().st_size == 0:
        raise DataError(path, "is empty", "write or copy it again")
