"""Words to the user: the result on stdout, everything else on stderr, plain lines off a terminal."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class _HasNotes(Protocol):
    """A result of the library with what the user should know of it, a line each."""

    @property
    def notes(self) -> tuple[str, ...]: ...


Noted = TypeVar("Noted", bound=_HasNotes)

PLAIN_SECONDS = 2.0  # plain progress prints no more often, and nothing at all for shorter work


@dataclass(frozen=True, kw_only=True)
class Console:
    """Destination of a command's words."""

    json: bool = False  # the result is one JSON document
    verbosity: int = 0  # below 0 only errors, above 0 details
    progress: str = "auto"  # auto, rich, plain or none

    def result(self, text: str, document: Mapping[str, Any]) -> None:
        """The one thing on stdout: the text, or with --json the document."""
        print(json.dumps(document, indent=2, allow_nan=False) if self.json else text)

    def told(self, result: Noted) -> Noted:
        """A result whose notes have been shown."""
        for note in result.notes:
            self.note(note)
        return result

    def note(self, text: str) -> None:
        """Show what a user wants to know once."""
        if self.verbosity >= 0:
            print(text, file=sys.stderr)

    def detail(self, text: str) -> None:
        """Show what a user asked for with -v."""
        if self.verbosity > 0:
            print(text, file=sys.stderr)

    def track(self, items: Iterable[T], total: int, label: str) -> Iterator[T]:
        """The items, while a bar or plain lines on stderr say how far it is."""
        style = self.progress_style
        if style == "rich":
            return _track_rich(items, total, label)
        return iter(items) if style == "none" else _track_plain(items, total, label)

    @contextmanager
    def warnings_as_notes(self) -> Iterator[None]:
        """Warnings to the user become single lines on stderr, each once."""
        with warnings.catch_warnings():
            warnings.filterwarnings("default", category=UserWarning)
            warnings.showwarning = lambda message, *_args, **_options: self.note(
                f"warning: {' '.join(str(message).split())}"
            )
            yield

    @property
    def progress_style(self) -> str:
        """rich, plain or none."""
        if self.verbosity < 0:
            return "none"
        if self.progress != "auto":
            return self.progress
        return "rich" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else "plain"


def _track_plain(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS and done < total:
            print(f"{label}: {done}/{total}", file=sys.stderr)
            last = now


def _track_rich(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console as RichConsole
    from rich.progress import track

    yield from track(items, label, total=total, console=RichConsole(stderr=True), transient=True)
