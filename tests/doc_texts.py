"""The docs as text: blocks of Python, dotted names, command lines, paths; of README, docs, changelog and docstrings."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(?<![\w/.@-])voge(?:\.[A-Za-z_]\w*)+(?!\.\w)")
_LINE = re.compile(r"^ {4,}(?:.*&& )?voge .*$", re.MULTILINE)
_QUOTED = re.compile(r"`(voge\s[^`]+)`")
_FOLDERS = "voge|voge_cli|tests|benchmarks|docs|csrc|configs"
_PATH = re.compile(rf"(?<=`)(?:{_FOLDERS})/[\w/.-]*(?=`)|(?<=\]\()(?!https?:|#)[^)#\s]+")
_NO_COMMAND = {"COMMAND", "X"}  # words that stand for any command


class Place(NamedTuple):
    """A piece of a text, and where it begins."""

    where: str  # file:line
    text: str


def name_of(path: Path) -> str:
    """The path of a file, from the root of the repository."""
    return str(path.relative_to(ROOT))


def python_blocks(page: Path) -> list[Place]:
    """Blocks of Python code of a page, in order."""
    text = page.read_text()
    return [_place(page, text, m.start(3), m[3]) for m in _FENCED.finditer(text) if m[2] in ("python", "py")]


def dotted_names() -> dict[str, str]:
    """Names such as voge.io.images, in pages and docstrings, and the first place of each."""
    found: dict[str, str] = {}
    for path in TEXTS:
        for place in _matches(path, path.read_text(), _NAME):
            found.setdefault(place.text, place.where)
    for path in sorted((ROOT / "voge").rglob("*.py")):
        for text in docstrings(path):
            for name in _NAME.findall(text):
                found.setdefault(name, name_of(path))
    return {name: where for name, where in found.items() if not name.endswith((".py", ".md", ".toml"))}


def missing_paths() -> list[str]:
    """Files that pages name between backticks or link to, and that are not there."""
    return [
        f"{place.where}: {place.text}"
        for page in TEXTS
        for place in _matches(page, page.read_text(), _PATH)
        if not (ROOT / place.text).exists() and not (page.parent / place.text).exists()
    ]


def openings(*packages: str) -> Iterator[Place]:
    """First lines of all docstrings of packages."""
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            for text in docstrings(path):
                yield Place(name_of(path), text.partition("\n")[0])


def docstrings(path: Path) -> Iterator[str]:
    """All docstrings of a file of Python."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""


def command_lines() -> Iterator[Place]:
    """Indented lines that call voge, one command each, without their comments."""
    for page in PAGES:
        for place in _matches(page, page.read_text(), _LINE):
            for part in place.text.split("&&"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["voge"]:
                    yield Place(place.where, shlex.join(words[1:]))


def quoted_commands() -> Iterator[Place]:
    """Commands in running text, between backticks; options may stand there without their values."""
    for page in TEXTS:
        for place in _matches(page, _FENCED.sub(lambda m: "\n" * m[0].count("\n"), page.read_text()), _QUOTED):
            words = place.text.strip("`").split()[1:]
            if words[0] not in _NO_COMMAND:
                yield Place(place.where, " ".join(words))


def _matches(path: Path, text: str, pattern: re.Pattern[str]) -> Iterator[Place]:
    for match in pattern.finditer(text):
        yield _place(path, text, match.start(), match[0])


def _place(path: Path, text: str, start: int, piece: str) -> Place:
    return Place(f"{name_of(path)}:{text.count(chr(10), 0, start) + 1}", piece)
