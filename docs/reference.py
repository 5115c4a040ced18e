"""Commands and their settings, as the pages of the docs show them: python docs/reference.py writes docs/settings.md."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple, get_args, get_origin

from voge_cli.main import COMMANDS, Table
from voge_cli.options import Given


class Described(NamedTuple):
    """One command of the command line."""

    words: str  # what is written after "voge", such as "pose train"
    config: str  # name of its configuration, such as "pose_train"
    settings: type | None  # its settings class; None where it has no settings


def commands(table: Table = COMMANDS, group: str = "") -> Iterator[Described]:
    """All commands of a table, those of its groups included."""
    for name, (place, _) in table.items():
        if not isinstance(place, str):
            yield from commands(place, f"{group}{name} ")
            continue
        module = import_module(f"voge_cli.{place}")
        function = inspect.unwrap(getattr(module, name.replace("-", "_")))
        yield Described(f"{group}{name}", place.removeprefix("commands."), _settings(function))


def _settings(function: Any) -> type | None:
    """The class in the annotation `Given[...]` of a command's parameter."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    found = [get_args(p.annotation)[0] for p in parameters if get_origin(p.annotation) is Given]
    return found[0] if found else None
