"""Pages of the site that are made as it is built: the API, the start page, the changelog. `make docs` builds the site.

MkDocs calls `on_config` and `on_files` as its hook, griffe the extension `Docstrings`. The public names come from the
stubs (`voge/**/__init__.pyi`): those that a package offers itself, then those of its modules. Each is described once.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe
from mkdocs.structure.files import File

from voge.option import Row, rows

sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference import ROOT, sense

# Modules between `voge.render` and compiled code; docs/architecture.md tells the way through them.
INTERNAL = {f"voge.rendering.{name}" for name in ("compiled", "devices", "drivers", "native", "operators", "products")}
HEAD = "# {0}\n\n::: {0}\n    options: {{members: false, show_root_heading: false}}\n"


def pages() -> Iterator[tuple[str, str]]:
    """Path in the site and text of the page of each package, the package voge first."""
    described: dict[str, str] = {}
    for stub in sorted((ROOT / "voge").rglob("__init__.pyi")):
        package = ".".join(stub.parent.relative_to(ROOT).parts)
        path, parts = f"api/{package}.md", [HEAD.format(package)]
        for place, name in re.findall(r"^from (\.\S*) import (\w+) as \w+$", stub.read_text(), re.MULTILINE):
            if place != ".":
                parts.append(_entry(f"{package}.{name}", path, described, f"{package}{place}.{name}"))
        for module in re.findall(r"^from \. import (\w+) as \w+$", stub.read_text(), re.MULTILINE):
            source = stub.parent / f"{module}.py"
            if source.is_file() and f"{package}.{module}" not in INTERNAL:
                names = [f"{package}.{module}.{name}" for name in _public(source)]
                new = [name for name in names if name not in described]
                if new:
                    parts.append(f"## Module {package}.{module}\n\n{_summary(source)}\n")
                    parts += [_entry(name, path, described) for name in new]
        yield path, "\n".join(parts)


def _entry(name: str, path: str, described: dict[str, str], defined: str = "") -> str:
    """The description of a name at its public address, or a link to it where it has one.

    `described` has the place of each description, such as "voge.md#voge.fit", by the name that its module gives it.
    """
    defined = _origin(defined or name)
    if defined in described:
        return f"- [`{name}`]({described[defined]})\n"
    described[defined] = f"{path.removeprefix('api/')}#{name}"
    return f"::: {name}\n    options: {{heading_level: 3}}\n"


def _origin(name: str) -> str:
    """The address where a function or class is written."""
    module, _, last = name.rpartition(".")
    thing = getattr(import_module(module), last)
    return f"{thing.__module__}.{last}" if hasattr(thing, "__qualname__") else name


def _public(source: Path) -> list[str]:
    """Names of the functions and classes of a module that are no private ones."""
    things = [n for n in ast.parse(source.read_text()).body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    return [thing.name for thing in things if not thing.name.startswith("_")]


def _summary(source: Path) -> str:
    """First line of a module's docstring."""
    return (ast.get_docstring(ast.parse(source.read_text())) or "").partition("\n")[0]


def on_config(config: Any) -> Any:
    """Hook of MkDocs: list the pages of the API under Reference."""
    reference = next(entry["Reference"] for entry in config.nav if "Reference" in entry)
    reference.append({"API": [path for path, _ in pages()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Hook of MkDocs: add the start page, the changelog, the guide for contributors and the API."""
    for target, source in (("index", "README"), ("changelog", "CHANGELOG"), ("contributing", "CONTRIBUTING")):
        text = (ROOT / f"{source}.md").read_text(encoding="utf-8").replace("(docs/", "(")
        for name in ("CONTRIBUTING", "CHANGELOG"):
            text = text.replace(f"({name}.md)", f"({name.lower()}.md)")
        files.append(File.generated(config, f"{target}.md", content=text))
    for path, text in pages():
        files.append(File.generated(config, path, content=text))
    return files


class Docstrings(griffe.Extension):
    """Read declarations of settings as their documentation, and arguments that are described together."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Give the settings of a class their help, rule and default, in place of `option(...)`."""
        if not any(str(base).split(".")[-1].endswith("Settings") for base in cls.bases):
            return
        for row in rows(getattr(import_module(cls.module.path), cls.name)):
            attribute = cls.members.get(row.key)
            if isinstance(attribute, griffe.Attribute):
                attribute.value = _code(row.default)
                attribute.docstring = griffe.Docstring(_sentences(row), parent=attribute)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Write `a, b: text` of arguments as two entries, which griffe understands."""
        if obj.docstring is not None:
            together = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)
            obj.docstring.value = together.sub(_apart, obj.docstring.value)


def _code(value: Any) -> str:
    """A default as Python writes it."""
    if is_dataclass(value):
        return f"{type(value).__name__}()"
    if isinstance(value, list | tuple):
        text = ", ".join(map(_code, value))
        return f"[{text}]" if isinstance(value, list) else f"({text},)" if len(value) == 1 else f"({text})"
    return str(value) if isinstance(value, Enum) else repr(value)


def _sentences(row: Row) -> str:
    """Meaning and rule of a setting."""
    texts = [sense(row), row.option.words(), f"None: {words}" if (words := row.option.default_text) else ""]
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in texts if text)


def _apart(match: re.Match[str]) -> str:
    return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))
