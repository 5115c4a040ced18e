"""Exit codes, and the one place that turns an error into a line and a code."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum


class ExitCode(IntEnum):
    """Meaning of a command's exit code."""

    done = 0
    unexpected = 1
    usage = 2  # wrong usage or configuration
    data = 3  # bad input data
    diverged = 4  # an optimization met a value that is not finite
    device = 5  # device, backend or memory
    interrupted = 130  # Typer turns Ctrl-C into it
    terminated = 143  # SIGTERM, as from a batch system


class UsageError(ValueError):
    """The command line or a configuration asks for something that cannot be."""


# By class name, looked up along an error's bases, so that reporting an error imports nothing heavy.
_CODES = {
    "UsageError": ExitCode.usage,
    "SettingsError": ExitCode.usage,
    "ExtractorError": ExitCode.usage,
    "DataError": ExitCode.data,
    "DivergedError": ExitCode.diverged,
    "BackendError": ExitCode.device,
    "OutOfMemoryError": ExitCode.device,
    "MemoryError": ExitCode.device,
}
_ADVICE = {
    ExitCode.unexpected: "run again with --traceback to see where",
    ExitCode.diverged: "lower the learning rates or weights; the last good checkpoint is kept",
}


def exit_code(error: BaseException) -> ExitCode:
    """The exit code that an error stands for."""
    # On the CPU torch has no class for this.
    if isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error):
        return ExitCode.device
    for base in type(error).__mro__:
        if base.__name__ in _CODES:
            return _CODES[base.__name__]
    return ExitCode.unexpected


def report(error: BaseException, *, full: bool) -> ExitCode:
    """Print an error on stderr, as one line or with its traceback, and give its exit code."""
    code = exit_code(error)
    if full:
        traceback.print_exception(error)
    print(_line(error, code), file=sys.stderr)
    return code


def _line(error: BaseException, code: ExitCode) -> str:
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.filename:
        message = f"{error.filename}: {error.strerror}"
    elif code is ExitCode.unexpected:
        message = f"{type(error).__name__}: {message}"
    elif code is ExitCode.device and type(error).__name__ != "BackendError":
        message = f"out of memory ({message[:200]}); ask for less, such as a smaller --size"
    advice = _ADVICE.get(code)
    return f"error: {message}" + (f" ({advice})" if advice else "")
