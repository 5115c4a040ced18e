"""Options of commands: those of settings, made from their declarations, and those that every command has.

    @option_groups
    def convert(given: Given[ConvertConfig], configuring: Configuring, report: Report, arguments: ...) -> None: ...

Typer sees one option for each setting of `ConvertConfig` that has a flag, and one for each field of the other groups.
The command gets what the user wrote of the settings as `given.values`, by dotted key.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, get_args, get_origin

from typer import BadParameter
from typer import Option as TyperOption

from voge.option import Row, Settings, bare, option, rows
from voge_cli.console import Console
from voge_cli.errors import UsageError

if TYPE_CHECKING:
    from voge_cli.config import Loaded

T = TypeVar("T")


@dataclass(frozen=True)
class Given(Generic[T]):
    """The values that the user wrote of a command's settings."""

    values: Mapping[str, Any]  # by dotted key; None where the user wrote nothing


@dataclass(frozen=True, kw_only=True)
class Configuring:
    """Options of every command with settings."""

    overwrite: Annotated[bool, TyperOption("--overwrite", help="Replace what is there.")] = False
    config: Annotated[
        str | None, TyperOption("--config", metavar="FILE|NAME", help="A YAML file, or the name of a packaged config.")
    ] = None
    print_config: Annotated[bool, TyperOption("--print-config", help="Print the resolved configuration and stop.")] = (
        False
    )


@dataclass(frozen=True, kw_only=True)
class Device(Settings):
    """Place where a command computes; the configuration of every command that renders derives from it."""

    device: str = option("auto", "device that renders", flag="--device", metavar="auto|cpu|cuda[:i]")


@dataclass(frozen=True, kw_only=True)
class Deterministic(Settings):
    """Part of the configuration of every command that optimizes."""

    deterministic: bool = option(
        False, "equal runs give equal bits: only operations that promise it", flag="--deterministic"
    )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Option that says how progress is told; with the settings of a device, of every command that renders."""

    progress: Annotated[
        Literal["auto", "rich", "plain", "none"], TyperOption("--progress", help="How to show progress on stderr.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class Report:
    """Options that say how a command reports; every command has these."""

    json: Annotated[bool, TyperOption("--json", help="Print the result as one JSON document.")] = False
    quiet: Annotated[bool, TyperOption("--quiet", "-q", help="Print the result and errors only.")] = False
    verbose: Annotated[bool, TyperOption("--verbose", "-v", help="Print details on stderr.")] = False
    # Read from the arguments by main.py, since errors of parsing must know it too.
    traceback: Annotated[bool, TyperOption("--traceback", help="Print the full traceback of an error.")] = False

    def console(self, progress: str = "none") -> Console:
        """The console that these options describe."""
        return Console(json=self.json, verbosity=-1 if self.quiet else int(self.verbose), progress=progress)


def perform(
    loaded: Loaded[Any],
    configuring: Configuring,
    report: Report,
    work: Callable[[Console], tuple[object, Mapping[str, Any]]],
    progress: str = "none",
) -> None:
    """Print the configuration where that was asked for; else do the work and print its result, as text or JSON."""
    if configuring.print_config:
        print(loaded.text(report.json))
        return
    console = report.console(progress)
    with console.warnings_as_notes():
        result, document = work(console)
    console.result(str(result), document)


def one_input(command: str, kind: str, inputs: list[str]) -> str | None:
    """The only input of a command that takes one, or None.

    Raises:
        UsageError: there are more; `kind` says of what, such as "one file".
    """
    if len(inputs) > 1:
        raise UsageError(f"voge {command} takes {kind}, got {len(inputs)}: {' '.join(inputs)}")
    return inputs[0] if inputs else None


def option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose type is `Given` or a dataclass by keyword options, one a setting or field."""
    signature = inspect.signature(command, eval_str=True)
    types: dict[str, Any] = {name: p.annotation for name, p in signature.parameters.items()}
    settings = {name: _flagged(get_args(kind)[0]) for name, kind in types.items() if get_origin(kind) is Given}
    groups: dict[str, Any] = {name: kind for name, kind in types.items() if dataclasses.is_dataclass(kind)}
    own = [p for name, p in signature.parameters.items() if name not in groups and name not in settings]
    made = [_parameter(name, row) for table in settings.values() for name, row in table.items()]
    shared = [parameter for group in groups.values() for parameter in _field_options(group)]

    @wraps(command)
    def with_groups(**options: Any) -> None:
        built: dict[str, Any] = {
            name: group(**{field.name: options.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        for name, table in settings.items():
            built[name] = Given({row.key: _value(row, options.pop(option)) for option, row in table.items()})
        command(**options, **built)

    merged = signature.replace(parameters=[p.replace(kind=p.KEYWORD_ONLY) for p in [*own, *made, *shared]])
    with_groups.__signature__ = merged  # type: ignore[attr-defined]
    with_groups.__annotations__ = {p.name: p.annotation for p in merged.parameters.values()}
    return with_groups


def _flagged(settings: type) -> dict[str, Row]:
    """The settings with a flag, by the name of a parameter."""
    return {row.key.replace(".", "__"): row for row in rows(settings) if row.promoted and row.option.flag}


def _parameter(name: str, row: Row) -> inspect.Parameter:
    kind = bare(row.type)
    flags = [row.option.flag] + ([row.option.short] if row.option.short else [])
    many = get_origin(kind) in (list, tuple) or row.option.parse is not None
    if many:
        kind = str
    elif isinstance(kind, type) and issubclass(kind, Enum):
        kind = Literal[tuple(str(member.value) for member in kind)]
    metavar = row.option.metavar or ("A,..." if many else None)
    if kind is int:  # whole numbers may be written as in YAML, such as 1e3
        made = TyperOption(*flags, metavar=metavar or "<int>", help=_help(row), parser=_whole)
    else:
        made = TyperOption(*flags, metavar=metavar, help=_help(row))
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, made]
    )


def whole_number(text: object) -> int | None:
    """The whole number that a text or a float stands for, however it is written; None where it is none."""
    try:
        number = float(str(text))
    except ValueError:
        return None
    return int(number) if math.isfinite(number) and number == int(number) else None


def _whole(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise BadParameter(f"'{text}' is no whole number.")
    return number


def _help(row: Row) -> str:
    """The help of a flag: what it is, and the default."""
    known = row.option
    default = known.default_text
    if default is None and row.default is not None and row.default is not False:
        default = written(row.default)
    text = f"{known.help[:1].upper()}{known.help[1:]}."
    return f"{text} Default: {default}." if default else text


def written(value: Any) -> str:
    """A value as the command line writes it."""
    if isinstance(value, (list, tuple)):
        return ",".join(written(each) for each in value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, float):
        return f"{value:g}"
    return "true" if value is True else "false" if value is False else str(value)


def _value(row: Row, text: Any) -> Any:
    """The value of a flag; of a list the members, which stand with commas between."""
    if not isinstance(text, str):
        return text
    if row.option.parse is not None:
        return row.option.parse(text)
    kind = bare(row.type)
    if get_origin(kind) not in (list, tuple):
        return text
    inner = get_args(kind)[0]
    parts = text.split(",")
    if inner not in (float, int):
        return parts
    try:
        return [inner(part) for part in parts]
    except ValueError:
        example = "numbers with commas between, such as 0,90,180"
        if inner is int:
            example = "whole numbers with commas between, such as 1,2,4"
        wanted = row.option.rule.removeprefix("must be ") if row.option.rule.startswith("must be ") else example
        raise UsageError(f"{row.option.flag} takes {wanted}; got '{text}'") from None


def _field_options(group: Any) -> list[inspect.Parameter]:
    hints = inspect.get_annotations(group.__init__, eval_str=True)
    return [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in dataclasses.fields(group)
    ]
