"""The program under test, run in this process or in one of its own."""

import os
import subprocess
import sys

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from voge_cli.main import app


def run(*arguments, code=0):
    """Run a command in this process and check its exit code."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def refuse(code, *arguments):
    """Run what must fail: one line on stderr, nothing on stdout; returns the line."""
    result = run(*arguments, code=code)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines == result.stderr.splitlines()[-1:]
    assert result.stdout == ""
    return lines[0].removeprefix("error: ")


def picture(path, mode=None):
    """The pixels of an image file."""
    with Image.open(path) as image:
        return np.asarray(image.convert(mode) if mode else image)


def content(folder):
    """All paths in a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def command_line(*arguments):
    """The program as a command for a process of its own."""
    return [sys.executable, "-m", "voge_cli", *map(str, arguments)]


def program(*arguments, **environment):
    """The program in a process of its own, away from any terminal."""
    return subprocess.run(command_line(*arguments), capture_output=True, text=True, env={**os.environ, **environment})
