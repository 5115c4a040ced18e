"""Checks of what may be written where: made before any work, so that a refusal costs nothing."""

from __future__ import annotations

from pathlib import Path

from voge.io.settings import Video
from voge_cli.errors import UsageError

RECORD = "config.yaml"  # in every folder that a command wrote: how
_SIGN = "# voge "


def check_file(path: Path, overwrite: bool) -> None:
    """Refuse an existing file, and a folder in its place."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give --out the name of a file")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists; add --overwrite, or choose another with --out")


def check_folder(path: Path, overwrite: bool) -> None:
    """Refuse a folder with something in it; --overwrite replaces what voge wrote, never anything else."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file; give --out the name of a folder")
    if not path.exists() or not any(path.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{path} exists and is not empty; add --overwrite, or choose another with --out")
    if not is_record(path / RECORD):
        raise UsageError(f"{path} holds files that voge did not write; empty it yourself, or choose another with --out")


def check_video(video: Video) -> None:
    """Refuse before the work what could not be written after it."""
    from voge.io.images import check_video as check

    check(f"a.{video.value}")


def is_record(path: Path, command: str = "") -> bool:
    """True for a file that says how voge, or one of its commands, made its folder."""
    sign = f"{_SIGN}{command} " if command else _SIGN
    return path.is_file() and path.read_text(encoding="utf-8", errors="replace").startswith(sign)


def begin(
    folder: Path, command: str, config: str, overwrite: bool, *, refusal: str = "exists and is not empty"
) -> bool:
    """Begin a folder that several calls may fill; False where one was begun with the same configuration.

    Raises:
        UsageError: the folder is of another configuration, with `refusal` in the message, or of no voge command.
    """
    path = folder / RECORD
    if is_record(path, command) and not overwrite:
        if path.read_text(encoding="utf-8").split("\n", 1)[1].strip() == config.strip():
            return False
        raise UsageError(f"{folder} {refusal}; add --overwrite or choose --out")
    check_folder(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, command, config)
    return True


def write_record(folder: Path, command: str, config: str) -> None:
    """Write how a folder was made: YAML that repeats it."""
    header = f"{_SIGN}{command} --config {RECORD}\n"
    (folder / RECORD).write_text(header + config + "\n", encoding="utf-8")
