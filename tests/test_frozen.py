"""The texts of the command line stay as frozen in tests/frozen, but for the changes listed there in changes.txt.

    python tests/test_frozen.py --write    # freeze the texts of today

help.txt has one line an option, whatever the terminal's width. errors.txt has the texts that the CLI tests assert.
"""

from __future__ import annotations

import ast
import difflib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from voge_cli.main import app

TESTS = Path(__file__).parent
FROZEN = TESTS / "frozen"
CONFIGS = TESTS.parent / "configs"
CONFIGURED = ["convert", "render", "fit", "texture", "cameras", "bench", "demo", "match", "occlusion"]
CONFIGURED += ["pose train", "pose estimate", "pose synth"]
COMMANDS = ["", *CONFIGURED, "info", "pose", "pose check-data"]
# A CLI test imports one of these modules; two files hold texts for CLI tests and import neither.
CLI_MODULES = ("program", "voge_cli", "launched")
CLI_TEXTS = ("malformed.py", "test_config.py", "test_outputs.py")
WIDE = 10_000  # characters of a line, so that no help is wrapped or cut
SHOWN = 40  # lines of a difference


# ---- the texts of today ----------------------------------------------------------------------


def ask(*arguments: str) -> str:
    """The heading line of a command and what it prints, in an empty folder and far from any terminal."""
    here = os.getcwd()
    plain = {"COLUMNS": str(WIDE), "TERM": "dumb", "NO_COLOR": "1"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            result = CliRunner().invoke(app, arguments, env=plain, prog_name="voge", terminal_width=WIDE)
        finally:
            os.chdir(here)
    assert result.exit_code == 0, result.output
    return f"$ voge {' '.join(arguments)}\n{result.stdout.rstrip()}\n"


def unwrapped(text: str) -> str:
    """One line for each paragraph, option, argument and command of a help; runs of blanks are one blank."""
    lines: list[str] = []
    listing = goes_on = False
    for line in text.splitlines():
        words = " ".join(line.split())
        if re.fullmatch(r"\S.*:", line):
            listing, goes_on = True, False
            lines.append(words)
        elif goes_on and words and not (listing and re.match(r" {2}\S", line)):
            lines[-1] += f" {words}"
        elif words:
            lines.append(words)
            goes_on = not line.startswith("$ ")
        else:
            goes_on = False
    return "\n".join(lines) + "\n"


def help_text() -> str:
    """What --help prints, for the program and every command."""
    return "\n".join(unwrapped(ask(*name.split(), "--help")) for name in COMMANDS)


def config_text() -> str:
    """What --print-config prints, for every command and each of its packaged configs."""
    asked = []
    for name in CONFIGURED:
        packaged = sorted(path.stem for path in (CONFIGS / name.replace(" ", "_")).glob("*.yaml"))
        asked += [[*name.split(), *option] for option in ([], *(["--config", one] for one in packaged))]
    asked += [["render", f"settings={path.stem}"] for path in sorted((CONFIGS / "settings").glob("*.yaml"))]
    return "\n".join(ask(*words, "--print-config") for words in asked)


def errors_text() -> str:
    """Every text with a blank in it that a CLI test holds, docstrings left out."""
    found: set[str] = set()
    for path in sorted(TESTS.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if path != Path(__file__) and (path.name in CLI_TEXTS or imports_cli(tree)):
            found |= {repr(text) for text in constants(tree)}
    return "".join(f"{line}\n" for line in sorted(found))


def imports_cli(tree: ast.AST) -> bool:
    """Whether a module imports the program, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
    return not names.isdisjoint(CLI_MODULES)


def constants(tree: ast.AST) -> Iterator[str]:
    """The texts of a module with a blank between two words; a text that is a statement is a docstring."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in bare else None
        if isinstance(text, str) and " " in text.strip():
            yield text


TEXTS = {"help": help_text, "config": config_text, "errors": errors_text}


# ---- the frozen texts, changed ---------------------------------------------------------------


def parse(line: str) -> tuple[list[str], str, str, str]:
    """The texts that a change is for, the command ("" for all), the old words and the new."""
    match = re.fullmatch(r"(help|config|errors|\*)(?: \[(.+?)\])? \| (.+?) =>(?: (.*))?", line)
    assert match, f"changes.txt: a line is 'where | old => new' or 'help [convert] | old => new', got: {line}"
    where, command, old, new = match.groups(default="")
    return list(TEXTS) if where == "*" else [where], command, unescaped(old), unescaped(new)


def unescaped(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda match: "\n" if match[1] == "n" else "\\", text)


def changed(texts: dict[str, str], changes: str) -> tuple[dict[str, str], list[str]]:
    """Texts after the changes, and the changes that matched nothing."""
    texts, stale = dict(texts), []
    for line in changes.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        names, command, old, new = parse(line)
        before = dict(texts)
        for name in names:
            parts = re.split(r"(?m)^(?=\$ )", texts[name])
            scope = re.compile(rf"\$ voge {re.escape(command)} --" if command else "")
            texts[name] = "".join(part.replace(old, new) if scope.match(part) else part for part in parts)
        if texts == before:
            stale.append(line)
    return texts, stale


def frozen() -> tuple[dict[str, str], list[str]]:
    texts = {name: (FROZEN / f"{name}.txt").read_text(encoding="utf-8") for name in TEXTS}
    return changed(texts, (FROZEN / "changes.txt").read_text(encoding="utf-8"))


def sections(text: str) -> dict[str, list[str]]:
    """The lines under each heading, those without words left out."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("$ "):
            lines = found.setdefault(line, [])
        elif line.strip():
            lines.append(line)
    return found


def ordered(heading: str, lines: list[str]) -> list[str]:
    """The lines in an order of their own, since that of options and keys says nothing; keys of YAML are dotted."""
    if "--print-config" not in heading:
        return sorted(lines)
    return sorted(f"{key}: {value}" for key, value in items(yaml.safe_load("\n".join(lines))) if value != {})


def items(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from items(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def difference(wanted: str, got: str) -> list[str]:
    """The lines that differ, under the headings of their commands: - is frozen, + is new."""
    old, new = sections(wanted), sections(got)
    report = []
    for heading in dict.fromkeys([*old, *new]):
        if heading not in old or heading not in new:
            report.append(f"{heading}: {'gone' if heading in old else 'new'}")
            continue
        before, after = (ordered(heading, lines) for lines in (old[heading], new[heading]))
        lines = list(difflib.unified_diff(before, after, n=0, lineterm=""))[2:]
        lines = [f"{line[0]} {line[1:]}" for line in lines if not line.startswith("@@")]
        report += [heading, *lines] if lines else []
    return report


def told(lines: list[str]) -> str:
    rest = [f"... and {len(lines) - SHOWN} lines more"] if len(lines) > SHOWN else []
    return "\n".join(["not as frozen, and not in tests/frozen/changes.txt:", *lines[:SHOWN], *rest])


# ---- tests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["help", "config"])
def test_the_program_prints_the_frozen_text(name):
    lines = difference(frozen()[0][name], TEXTS[name]())
    assert not lines, told(lines)


def test_every_frozen_error_text_stands_in_a_cli_test():
    held = set(errors_text().splitlines())
    lost = [f"- {line}" for line in frozen()[0]["errors"].splitlines() if line and line not in held]
    assert not lost, told(lost)


def test_every_listed_change_matches_a_frozen_text():
    stale = frozen()[1]
    assert not stale, "\n".join(["no frozen text holds the old words of:", *stale])


def test_changes_apply_in_order_and_a_stale_one_is_named():
    texts = {"help": "$ voge\n--colour C\n--size N\n", "config": "colour: 1\n", "errors": ""}
    lines = [
        "# a reason",
        "* | colour => color",
        r"help | --size N\n =>",
        "config | color: 1 => a: 2",
        "* | colour => x",
    ]
    after, stale = changed(texts, "\n".join(lines))
    assert after == {"help": "$ voge\n--color C\n", "config": "a: 2\n", "errors": ""}
    assert stale == ["* | colour => x"]


def test_wrapping_of_help_makes_no_difference():
    wide = "Usage: voge [OPTIONS]\n\n  Some words.\n\nOptions:\n  --a X  One two.\n  -b     Three.\n"
    narrow = "Usage: voge\n  [OPTIONS]\n\n  Some\n  words.\n\nOptions:\n  --a X\n    One\n    two.\n  -b   Three.\n"
    assert unwrapped(wide) == unwrapped(narrow)
    assert unwrapped(wide).splitlines()[-2:] == ["--a X One two.", "-b Three."]


def write() -> None:
    """Write the texts of today; those frozen before are kept unless --write is given twice."""
    if (FROZEN / "help.txt").exists() and sys.argv.count("--write") < 2:
        sys.exit(f"{FROZEN} has frozen texts: list a wanted change in changes.txt, or give --write twice to lose them")
    FROZEN.mkdir(exist_ok=True)
    for name, text in TEXTS.items():
        (FROZEN / f"{name}.txt").write_text(text(), encoding="utf-8")


if __name__ == "__main__" and "--write" in sys.argv:
    write()
