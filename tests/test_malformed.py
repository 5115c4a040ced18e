"""Every file that cannot be used: one line with its name, what is wrong and what to do; exit 3; nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from malformed import MALFORMED
from typer.testing import CliRunner

from voge.errors import DataError
from voge_cli.commands.convert import ConvertConfig, work
from voge_cli.console import Console
from voge_cli.errors import ExitCode, exit_code
from voge_cli.main import app


@pytest.fixture
def malformed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the file, alone in the current folder."""
    monkeypatch.chdir(tmp_path)
    content, _ = MALFORMED[request.param]
    Path(request.param).write_bytes(content.encode() if isinstance(content, str) else content)
    return str(request.param)


def test_there_are_many():
    assert len(MALFORMED) >= 100


@pytest.mark.parametrize("malformed", list(MALFORMED), indirect=True)
def test_it_is_refused_in_one_line_that_says_what_to_do(malformed: str):
    with pytest.raises(DataError) as caught:
        work(Path(malformed), ConvertConfig(out="made.npz"), Console(verbosity=-1))
    line = str(caught.value)
    assert line.startswith(f"{malformed}: ")
    assert MALFORMED[malformed][1] in line
    assert "; " in line, "what to do"
    assert "\n" not in line
    assert len(line) < 300
    assert exit_code(caught.value) == ExitCode.data
    assert os.listdir() == [malformed]


@pytest.mark.parametrize("malformed", list(MALFORMED)[::12], indirect=True)
def test_the_program_ends_with_code_3_and_writes_nothing(malformed: str):
    result = CliRunner().invoke(app, ["convert", malformed, "-o", "made.safetensors"])
    assert (result.exit_code, result.stdout) == (3, "")
    assert [line.startswith(f"error: {malformed}: ") for line in result.stderr.splitlines()] == [True]
    assert os.listdir() == [malformed]
