"""Progress of a long piece of work: rate, time left and losses, as a bar on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from voge_cli.console import PLAIN_SECONDS, Console

Advance = Callable[[int, Mapping[str, float]], None]  # steps done in all, and the latest numbers worth showing
_SHOWN = 4  # numbers


@contextmanager
def progress(console: Console, total: int, label: str, done: int = 0) -> Iterator[Advance]:
    """Give what to call after each step; numbers are kept until others are given.

    Args:
        console: decides the style.
        total: steps in all.
        label: what is being done.
        done: steps that an earlier run has taken.
    """
    style = console.progress_style
    if style == "none":
        yield lambda _done, _numbers: None
    elif style == "rich":
        with _bar(total, label, done) as advance:
            yield advance
    else:
        yield _lines(total, label, done)


def _lines(total: int, label: str, done: int) -> Advance:
    started = last = time.monotonic()
    latest: dict[str, float] = {}

    def advance(now_done: int, numbers: Mapping[str, float]) -> None:
        nonlocal last
        latest.update(numbers)
        now = time.monotonic()
        if now - last < PLAIN_SECONDS or now_done >= total:
            return
        last = now
        rate = (now_done - done) / (now - started)
        left = _duration((total - now_done) / rate) if rate else "?"
        print(f"{label}: {now_done}/{total}, {rate:.3g} a second, {left} left{_text(latest)}", file=sys.stderr)

    return advance


@contextmanager
def _bar(total: int, label: str, done: int) -> Iterator[Advance]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    started = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[numbers]}", markup=False),
    )
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done, rate="", numbers="")

        def advance(now_done: int, numbers: Mapping[str, float]) -> None:
            rate = (now_done - done) / max(time.monotonic() - started, 1e-9)
            shown = _text(numbers).removeprefix(", ") if numbers else bar.tasks[0].fields["numbers"]
            bar.update(task, completed=now_done, rate=f"{rate:.3g}/s", numbers=shown)

        yield advance


def _text(numbers: Mapping[str, float]) -> str:
    return "".join(f", {name} {value:.3g}" for name, value in list(numbers.items())[:_SHOWN])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
