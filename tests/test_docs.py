"""The docs say what is true: their Python runs, their names are there, their command lines are understood."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys

import doc_stand_ins
import doc_texts
import pytest
import torch
import typer
from doc_texts import ROOT

from voge.option import Settings, rows
from voge_cli import config as configs
from voge_cli import options as cli_options
from voge_cli.main import app

sys.path.insert(0, str(ROOT / "docs"))
import reference

COMMANDS = {command.words: command for command in reference.commands()}
PAGES = [page for page in doc_texts.PAGES if doc_texts.python_blocks(page)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The files that the docs speak of."""
    folder = tmp_path_factory.mktemp("docs") / "files"
    folder.mkdir()
    doc_stand_ins.write_files(folder)
    return folder


@pytest.mark.parametrize("page", PAGES, ids=[doc_texts.name_of(page) for page in PAGES])
def test_python_of_a_page_runs(page, files, tmp_path, monkeypatch):
    """Its blocks one after the other, as a reader types them, beside files and names of `doc_stand_ins`."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Settings, "__post_init__", doc_stand_ins.small(Settings.__post_init__))
    torch.manual_seed(0)
    names = doc_stand_ins.names(tmp_path)
    for where, block in doc_texts.python_blocks(page):
        exec(compile(doc_stand_ins.small_words(block), where, "exec"), names)


def test_every_stand_in_is_used():
    text = "\n".join(block for page in PAGES for _, block in doc_texts.python_blocks(page))
    assert [name for name in doc_stand_ins.NAMES if name not in text] == []


def test_every_dotted_name_is_there_after_import_voge():
    code = (
        "import json, sys, voge\n"
        "def reached(name):\n"
        "    thing = voge\n"
        "    for part in name.split('.')[1:]:\n"
        "        if part in getattr(thing, '__dataclass_fields__', ()): return True\n"
        "        if not hasattr(thing, part): return False\n"
        "        thing = getattr(thing, part)\n"
        "    return True\n"
        "print(json.dumps([name for name in json.load(sys.stdin) if not reached(name)]))"
    )
    named = doc_texts.dotted_names()
    assert len(named) > 30
    ended = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(list(named)), capture_output=True, text=True, check=True
    )
    assert {name: named[name] for name in json.loads(ended.stdout)} == {}


def test_files_that_pages_name_are_there():
    assert doc_texts.missing_paths() == []


def test_docstrings_open_with_a_verb_or_the_thing():
    """Not with a question: a reader wants to know what comes back, not what was asked."""
    questions = ("What", "Whether", "Where", "How", "Which", "Who", "Whose", "When", "Why", "Of")
    opened = list(doc_texts.openings("voge", "voge_cli"))
    assert [place for place in opened if place.text.split(" ")[0] in questions] == []


def test_the_site_is_built_without_a_warning(tmp_path):
    """About 7 s of processor time."""
    for package in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(package, reason="the site needs the extra docs; `make docs` installs it")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path / "site"]
    subprocess.run(build, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, check=True)
    page = (tmp_path / "site" / "api" / "voge.html").read_text()
    assert "Views rendered in each step. Must be at least 1." in page  # of FitSettings, from its declaration
    assert 'id="voge.fit"' in page  # the address that users write


def called(words):
    """The command that the first words name, and the rest of the words."""
    for count in (2, 1):
        name = " ".join(words[:count])
        if name in COMMANDS:
            return COMMANDS[name], words[count:]
    raise AssertionError(f"no command of that name: voge {' '.join(words)}")


def clicked(command):
    """The command as click has it, and the context of it."""
    context = typer.main.get_command(app).make_context("voge", command.words.split(), resilient_parsing=True)
    parser = context.command
    for name in command.words.split():
        parser = parser.get_command(context, name)
    return parser


def test_command_lines_are_understood(tmp_path, monkeypatch):
    """Their options, values and keys; files need not be there."""
    monkeypatch.chdir(tmp_path)
    places = list(doc_texts.command_lines())
    assert len(places) > 40
    for place in places:
        try:
            understand(*called(shlex.split(place.text)))
        except Exception as error:
            raise AssertionError(f"{place.where}: voge {place.text}: {error}") from error


def understand(command, arguments):
    """Parse the arguments, and compose the configuration that they make."""
    given = clicked(command).make_context(command.words, list(arguments)).params
    if command.settings is None:
        return
    written = {
        row.key: cli_options._value(row, given[name]) for name, row in cli_options._flagged(command.settings).items()
    }
    _, overrides = configs.split_arguments(given.get("arguments") or [])
    configs.load(command.config, command.settings, file=given.get("config"), options=written, overrides=overrides)


def test_commands_in_running_text_have_their_options_and_keys():
    for place in doc_texts.quoted_commands():
        words = place.text.split()
        if words == ["pose"] or words[0].startswith("--"):  # the group of commands, and options of voge itself
            continue
        command, rest = called(words)
        flags = {flag for option in clicked(command).params for flag in option.opts}
        keys = {row.key for row in rows(command.settings)} if command.settings else set()
        for word in rest:
            assert not word.startswith("-") or word in flags | {"--help"}, f"{place.where}: {word}"
            key = configs.split_arguments([word])[1]
            assert not key or word.split("=")[0] in keys, f"{place.where}: {word}"
