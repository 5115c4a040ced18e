"""The folder of an optimizing command: its files, going on with it, and the loop that fills it.

A run is visible while it lasts: `config.yaml` from the start, and a line of `metrics.jsonl` every few steps.
`checkpoint.safetensors` is replaced as a whole, so that `--resume` goes on whenever the program was killed.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from voge.errors import DataError
from voge.io.files import atomic_file
from voge.optim.optimizer import Optimizer, Step
from voge_cli import outputs
from voge_cli.console import Console
from voge_cli.errors import ExitCode, UsageError
from voge_cli.progress import progress

CHECKPOINT, LINES, METRICS = "checkpoint.safetensors", "metrics.jsonl", "metrics.json"
VERSION = 1  # of the checkpoint
_HEADER = "voge_run"  # key of the checkpoint's metadata


@dataclass(frozen=True)
class Checkpoint:
    """State that a run needs to go on."""

    state: dict[str, Tensor]  # as `Optimizer.state` has it, and what the command added
    facts: dict[str, Any]  # plain values: command, version, steps done, seconds spent


@dataclass(frozen=True)
class RunFolder:
    """A run's files."""

    path: Path
    command: str

    @classmethod
    def create(cls, path: Path, command: str, config: str, *, overwrite: bool) -> RunFolder:
        """A new run, its configuration written; call it when nothing of the input can be wrong any more.

        Raises:
            UsageError: something is there already (see `voge_cli.outputs.check_folder`).
        """
        outputs.check_folder(path, overwrite)
        if path.exists():
            import shutil

            for entry in path.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        path.mkdir(parents=True, exist_ok=True)
        outputs.write_record(path, command, config)
        return cls(path, command)

    @classmethod
    def reopen(cls, path: Path, command: str) -> RunFolder:
        """A run to go on with.

        Raises:
            UsageError: there is no run of this command.
        """
        record = path / outputs.RECORD
        if not outputs.is_record(record, command):
            raise UsageError(f"{path} is no run of voge {command}: it has no {outputs.RECORD} of one")
        return cls(path, command)

    @property
    def record(self) -> Path:
        """The configuration, to give to --config."""
        return self.path / outputs.RECORD

    def save(self, state: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Replace the checkpoint."""
        from safetensors.torch import save

        header = json.dumps({"version": VERSION, "command": self.command, **facts}, sort_keys=True)
        data = save({name: tensor.contiguous() for name, tensor in state.items()}, metadata={_HEADER: header})
        with atomic_file(self.path / CHECKPOINT) as temporary:
            temporary.write_bytes(data)

    def load(self) -> Checkpoint | None:
        """The checkpoint; None where the run was ended before its first.

        Raises:
            DataError: the file is no checkpoint of this command.
        """
        from safetensors import SafetensorError, safe_open

        path = self.path / CHECKPOINT
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads((file.metadata() or {}).get(_HEADER, "{}"))
                state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        except (SafetensorError, OSError, ValueError) as error:
            raise DataError(path, f"cannot be read as a checkpoint ({error})", "start the run again") from error
        if facts.get("command") != self.command or facts.get("version") != VERSION:
            found = f"voge {facts.get('command')}, version {facts.get('version')}"
            raise DataError(path, f"is of {found}, not of voge {self.command}, version {VERSION}", "start again")
        return Checkpoint(state, facts)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / LINES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl; one that was cut off while it was written counts for nothing."""
        path = self.path / LINES
        found = []
        for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                found.append(json.loads(text))
            except ValueError:
                break
        return found

    def rewind(self, step: int) -> None:
        """Forget the lines after a step, which are about to be written again."""
        kept = [line for line in self.lines() if line["step"] <= step]
        with atomic_file(self.path / LINES) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Write metrics.json."""
        with atomic_file(self.path / METRICS) as temporary:
            temporary.write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def resumed(command: str, folder: str, given: Mapping[str, object]) -> str:
    """The configuration of a run to go on with, to give to --config.

    Args:
        command: whose run it is.
        folder: of the run.
        given: what else the user gave that --resume refuses, by its name.

    Raises:
        UsageError: something else is given, or there is no run of this command.
    """
    if wrong := [name for name, value in given.items() if value]:
        raise UsageError(f"--resume goes on with what its folder says; leave {' and '.join(wrong)} out")
    return str(RunFolder.reopen(Path(folder), command).record)


def drive(
    steps: Iterator[Step],
    optimizer: Optimizer,
    run: RunFolder,
    console: Console,
    *,
    label: str,
    log_every: int,
    save_every: int,
    seconds: float = 0.0,
    state: Callable[[], Mapping[str, Tensor]] | None = None,
    watch: Callable[[Step], None] | None = None,
) -> float:
    """Take the steps, log and save them; returns the seconds spent, `seconds` of earlier runs included.

    Ctrl-C and SIGTERM are answered after the present step: a checkpoint is written, then the program ends with their
    exit code. A second one ends it at once.

    Args:
        steps: the generator of the work.
        optimizer: whose state is saved.
        run: where to.
        console: shows progress.
        label: of the progress.
        log_every, save_every: steps between lines of metrics.jsonl and between checkpoints.
        state: what the checkpoint must hold; default `optimizer.state`.
        watch: called after every step, such as to render a frame of a video.

    Raises:
        voge.errors.DivergedError: the last checkpoint is kept: it is of a step that was finite.
    """
    began = time.monotonic()

    def spent() -> float:
        return seconds + time.monotonic() - began

    def save() -> None:
        optimizer.check()
        run.save((state or optimizer.state)(), {"done": optimizer.done, "seconds": round(spent(), 3)})

    with signals_wait() as caught, progress(console, optimizer.steps, label, optimizer.done) as advance:
        for step in steps:
            last = step.number == optimizer.steps
            numbers = step.values() if step.number % log_every == 0 or last or step.number == 1 else {}
            if numbers:
                run.append({"step": step.number, "seconds": round(spent(), 3), **numbers})
            if watch is not None:
                watch(step)
            advance(step.number, numbers)
            if step.number % save_every == 0 or last or caught:
                save()
            if caught and not last:
                leave(caught[0], step.number, run, console)
    return spent()


@contextmanager
def signals_wait() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM only leave their number in the list, once; the second acts as before."""
    caught: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: object) -> None:
        caught.append(number)
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        restore()


def leave(number: int, step: int, run: RunFolder, console: Console) -> None:
    """Say how to go on, and end the program with the signal's exit code."""
    console.note(f"stopped after step {step}; to go on: voge {run.command} --resume {run.path}")
    if number == signal.SIGTERM:
        raise SystemExit(ExitCode.terminated)
    raise KeyboardInterrupt
