"""Every public error of the package, by kind; wrong arguments raise ValueError besides."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """A file or its content cannot be used: names the file, what is wrong and what to do, in one line."""

    def __init__(self, path: str | Path, problem: str, remedy: str = "") -> None:
        lines = [str(path) + ": " + problem, remedy]
        super().__init__("; ".join(" ".join(line.split()) for line in lines if line))


class SettingsError(ValueError):
    """Settings ask of an input what cannot be had of it: one line that names both."""


class BackendError(RuntimeError):
    """A backend was asked for that is not there."""


class DivergedError(ArithmeticError):
    """A loss or a gradient is not finite: names it and the step."""

    def __init__(self, name: str, step: int) -> None:
        super().__init__(f"{name} is not finite at step {step}")
        self.name, self.step = name, step


class ExtractorError(ValueError):
    """An extractor cannot be made: names it, and what to install or write."""
