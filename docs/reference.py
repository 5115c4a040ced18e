"""Write docs/settings.md, the page of all settings: python docs/reference.py

The settings come from their declarations (`voge.option`). `tests/test_settings_page.py` fails where the page is not
what this script writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from omegaconf import OmegaConf

from voge.option import Row, bare, options_of, rows
from voge_cli import config
from voge_cli.main import COMMANDS, Table
from voge_cli.options import Given, written

ROOT = Path(__file__).resolve().parents[1]
HEAD = """# Settings

Every setting of every command. `python docs/reference.py` writes this page from the declarations in the code, and a
test holds it. A setting is given as `key=value` after the options, or in a YAML file by `--config`. Those with an
option can be given by that option too. The complete file below each table is what `--config` takes; a file of your own
needs only the keys that differ.
"""


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


def settings_page() -> str:
    """Text of docs/settings.md."""
    return "\n".join([HEAD, *(section(each) for each in commands() if each.settings)])


def section(command: Described) -> str:
    """Table and complete YAML file of one command."""
    assert command.settings is not None
    file = f"```yaml\n{complete(command.config, command.settings)}```\n"
    return f"## voge {command.words}\n\n{table(command.settings)}\nThe complete file:\n\n{file}"


def table(settings: type) -> str:
    """Markdown table of the settings of a class, one row a setting that has a value of its own."""
    lines = ["| key | type | default | rule | option | meaning |", "|---|---|---|---|---|---|"]
    for row in rows(settings):
        if is_group(row):
            continue
        flag = row.option.flag if row.promoted else ""
        facts = (f"`{row.key}`", kind(row.type), default(row), row.option.words())
        cells = [*facts, f"`{flag}`" if flag else "", sense(row)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def complete(name: str, settings: type) -> str:
    """YAML file of all settings with their defaults and meanings, as `--config` takes it."""
    values = config.load(name, settings).resolved
    lines = []
    for row in rows(settings):
        indent, key = "  " * row.key.count("."), row.key.rpartition(".")[2]
        if is_group(row):
            lines.append(f"{indent}{key}:" + (f"  # {row.option.help}" if row.option.help else ""))
            continue
        value = OmegaConf.select(values, row.key)
        plain = OmegaConf.to_container(value, enum_to_str=True) if OmegaConf.is_config(value) else value
        plain = plain.value if isinstance(plain, Enum) else plain
        text = yaml.safe_dump(plain, default_flow_style=True, width=10**6).removesuffix("...\n").strip()
        lines.append(f"{indent}{key}: {text}  # {sense(row)}")
    return "\n".join(lines) + "\n"


def is_group(row: Row) -> bool:
    """True of settings that hold further settings."""
    return any(True for _ in options_of(type(row.default))) if hasattr(row.default, "__dataclass_fields__") else False


def kind(annotation: Any) -> str:
    """Type of a setting in words, such as "one of auto, hat" or "list of float"."""
    inner = bare(annotation)
    if isinstance(inner, type) and issubclass(inner, Enum):
        text = "one of " + ", ".join(f"`{member.value}`" for member in inner)
    elif get_origin(inner) in (list, tuple):
        text = f"list of {kind(get_args(inner)[0])}"
    else:
        text = getattr(inner, "__name__", str(inner))
    return text if inner is annotation else f"{text} or null"


def default(row: Row) -> str:
    """Default of a setting, in words where the value alone does not tell."""
    if row.default is None or row.default == []:
        return row.option.default_text or ""
    return f"`{written(row.default)}`"


def sense(row: Row) -> str:
    """Meaning of a setting with its unit."""
    unit = row.option.unit
    return f"{row.option.help} ({unit})" if unit and unit not in row.option.help else row.option.help


if __name__ == "__main__":
    (ROOT / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
