"""The program among others: signals, completion, one JSON document, no control characters."""

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from program import command_line, content, refuse, run
from scenes import random_ellipsoids

from voge.io.ellipsoids import save_ellipsoids
from voge_cli import console


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with a model."""
    monkeypatch.chdir(tmp_path)
    save_ellipsoids("a.npz", random_ellipsoids(20, dtype=torch.float32))
    return tmp_path


@pytest.mark.parametrize(("number", "code", "last"), [(signal.SIGINT, 130, ["interrupted"]), (signal.SIGTERM, 143, [])])
def test_a_real_signal_ends_it_cleanly_and_leaves_nothing(folder, number, code, last):
    """Sent to the whole group, as a terminal does, so that ffmpeg gets it too."""
    options = ["--size", "16x16", "--turntable", "1000000", "-o", "o/p", "--progress", "none"]
    process = subprocess.Popen(
        command_line("render", "a.npz", *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests started in the background of a script inherit a Ctrl-C that is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 60
        while not list(folder.glob("o/.voge-*/.voge-*.mp4")):  # the video is being written
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, number)
        out, told = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (code, "")
    assert told.splitlines() == ["rendering on cpu with backend cpp", *last] or "plain torch" in told
    assert content(folder) == ["a.npz"]


def complete(words, shell="bash"):
    """What the shell's completion asks, and the heavy modules that answering took."""
    heavy = ("torch", "numpy", "hydra", "omegaconf", "rich")
    code = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print([n for n in {heavy} if n in sys.modules], file=sys.stderr))\n"
        "from voge_cli.main import main; main()"
    )
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_VOGE_COMPLETE": f"complete_{shell}"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **asked}
    )


@pytest.mark.parametrize(
    ("words", "offered"),
    [("voge re", {"render"}), ("voge render --ou", {"--out", "--outputs"}), ("voge render --video w", {"webp"})],
)
def test_completion_knows_commands_options_and_choices_and_imports_nothing_heavy(words, offered):
    ended = complete(words)
    assert offered <= set(ended.stdout.split())
    assert ended.stderr == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell):
    environment = {**os.environ, "_VOGE_COMPLETE": f"source_{shell}"}
    ended = subprocess.run(command_line(), capture_output=True, text=True, check=False, env=environment)
    assert f"_VOGE_COMPLETE=complete_{shell}" in ended.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["info"],
        ["convert", "a.npz", "-o", "b.npz"],
        ["render", "a.npz", "--size", "8x8", "-v"],
        ["demo", "--turntable", "1", "--size", "8x8", "resolution=2", "video=gif", "steps=1"],
    ],
)
def test_json_is_one_document_and_nothing_else_on_stdout(command):
    assert isinstance(json.loads(run(*command, "--json").stdout), dict)


@pytest.mark.parametrize(("code", "command"), [(2, ["render", "a.npz", "fvo=3"]), (3, ["render", "none.obj"])])
def test_json_says_nothing_on_stdout_of_an_error(code, command):
    assert refuse(code, *command, "--json")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self):
        return True


@pytest.mark.parametrize(("no_color", "colored"), [("1", False), ("", True)])
def test_no_color_is_heeded(monkeypatch, no_color, colored):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    list(console.Console(progress="rich").track("abc", 3, "views"))
    written = sys.stderr.getvalue()
    assert "views" in written
    assert ("\x1b[38;" in written or "\x1b[3" in written.replace("\x1b[?25", "")) == colored


def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(console, "PLAIN_SECONDS", 0.0)
    list(console.Console().track("abc", 3, "views"))
    assert sys.stderr.getvalue() == "views: 1/3\nviews: 2/3\n"


def test_the_demo_records_the_sizes_that_it_took(folder):
    run("demo", "--turntable", "1", "resolution=2", "video=gif", "size=8x8", "steps=1", "-o", "d")
    assert "size: 8x8" in (folder / "d" / "config.yaml").read_text()
    run("demo", "-o", "e", "--turntable", "1", "size=8x8", "video=gif", "steps=1")
    assert "resolution: null" not in (folder / "e" / "config.yaml").read_text()


# What each command does first that takes work, and its arguments.
WORK = {
    "convert": ("voge.convert.files.load_ellipsoids", ["a.npz", "-o", "b.npz"]),
    "render": ("voge.convert.files.load_ellipsoids", ["a.npz", "--size", "8x8"]),
    "demo": ("voge.convert.files.from_mesh", ["-q"]),
    "info": ("voge.rendering.installation.describe", []),
}


@pytest.mark.parametrize("command", WORK)
@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyError("x"), 1, "error: KeyError: 'x' (run again with --traceback to see where)"),
        (MemoryError(), 5, "error: out of memory (MemoryError); ask for less, such as a smaller --size"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_command_gives_the_code_of_what_happened(folder, monkeypatch, command, error, code, line):
    def fail(*_arguments, **_options):
        raise error

    place, arguments = WORK[command]
    monkeypatch.setattr(place, fail)
    ended = run(command, *arguments, code=code)
    assert (ended.stdout, ended.stderr.splitlines()[-1]) == ("", line)
    assert content(folder) == ["a.npz"]


@pytest.mark.parametrize("command", WORK)
def test_every_command_refuses_an_option_that_it_does_not_have(command):
    assert refuse(2, command, "--nosuch").startswith("No such option: --nosuch")
