"""Options that several commands share, declared once and merged into a command's signature.

A command names a group as one parameter:

    @option_groups
    def convert(..., writing: Writing, report: Report) -> None: ...

and gets an instance of the group, while Typer sees one option for each of its fields.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from voge_cli.console import Console
from voge_cli.errors import UsageError

if TYPE_CHECKING:
    from voge_cli.config import Loaded


@dataclass(frozen=True, kw_only=True)
class Writing:
    """What every command that writes something has."""

    out: Annotated[Path | None, Option("--out", "-o", metavar="PATH", help="Where to write.")] = None
    overwrite: Annotated[bool, Option("--overwrite", help="Replace what is there.")] = False
    config: Annotated[
        str | None, Option("--config", metavar="FILE|NAME", help="A YAML file, or the name of a packaged config.")
    ] = None
    print_config: Annotated[bool, Option("--print-config", help="Print the resolved configuration and stop.")] = False


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where rendering happens, and how it tells."""

    device: Annotated[str | None, Option("--device", metavar="auto|cpu|cuda[:i]", help="Default: auto.")] = None
    backend: Annotated[
        Literal["auto", "cuda", "cpp", "torch"] | None, Option("--backend", help="Code that renders. Default: auto.")
    ] = None
    progress: Annotated[
        Literal["auto", "rich", "plain", "none"], Option("--progress", help="How to show progress on stderr.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class Randomness:
    """Of every command that draws random numbers."""

    seed: Annotated[int | None, Option("--seed", metavar="N", help="Of all random numbers. Default: 0.")] = None
    deterministic: Annotated[
        bool | None, Option("--deterministic", help="Equal runs give equal bits: only operations that promise it.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a command reports; every command has these."""

    json: Annotated[bool, Option("--json", help="Print the result as one JSON document.")] = False
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print the result and errors only.")] = False
    verbose: Annotated[bool, Option("--verbose", "-v", help="Print details on stderr.")] = False
    # Read from the arguments by main.py, since errors of parsing must know it too.
    traceback: Annotated[bool, Option("--traceback", help="Print the full traceback of an error.")] = False

    def console(self, progress: str = "none") -> Console:
        """The console that these options describe."""
        return Console(json=self.json, verbosity=-1 if self.quiet else int(self.verbose), progress=progress)


def perform(
    loaded: Loaded[Any],
    writing: Writing,
    report: Report,
    work: Callable[[Console], tuple[object, Mapping[str, Any]]],
    progress: str = "none",
) -> None:
    """Print the configuration where that was asked for; else do the work and print its result, as text or JSON."""
    if writing.print_config:
        print(loaded.text(report.json))
        return
    console = report.console(progress)
    with console.warnings_as_notes():
        result, document = work(console)
    console.result(str(result), document)


def numbers(option: str, text: str | None) -> list[float] | None:
    """The numbers of a list such as 0,90,180."""
    if text is None:
        return None
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers with commas between, such as 0,90,180; got '{text}'") from None


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose type is a dataclass by keyword options, one a field."""
    signature = inspect.signature(command, eval_str=True)
    types: dict[str, Any] = {name: p.annotation for name, p in signature.parameters.items()}
    groups: dict[str, Any] = {name: kind for name, kind in types.items() if dataclasses.is_dataclass(kind)}
    own = [p for name, p in signature.parameters.items() if name not in groups]
    shared = [parameter for group in groups.values() for parameter in _field_options(group)]

    @wraps(command)
    def with_groups(**options: Any) -> None:
        built = {
            name: group(**{field.name: options.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        command(**options, **built)

    merged = signature.replace(parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in [*own, *shared]])
    with_groups.__signature__ = merged  # type: ignore[attr-defined]
    with_groups.__annotations__ = {p.name: p.annotation for p in merged.parameters.values()}
    return with_groups


def _field_options(group: Any) -> list[inspect.Parameter]:
    hints = inspect.get_annotations(group.__init__, eval_str=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(group)
    ]
