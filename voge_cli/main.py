"""The `voge` program: its commands, and what happens to their errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from voge_cli import bench, cameras, convert, demo, errors, fit, info, match, occlusion, pose, render, texture


class CommandGroup(TyperGroup):
    """Turns every error of every command into one line and an exit code."""

    def main(self, args: Sequence[str] | None = None, *positional: Any, **options: Any) -> NoReturn:
        """Run the command line and exit with its code."""
        arguments = list(sys.argv[1:] if args is None else args)
        full = "--traceback" in arguments or os.environ.get("VOGE_TRACEBACK", "") not in ("", "0")
        try:
            code = super().main(arguments, *positional, **{**options, "standalone_mode": False})
        except Exception as error:
            code = _report(error, full)
        if code == errors.ExitCode.interrupted:
            print("interrupted", file=sys.stderr)
        sys.exit(code if isinstance(code, int) else 0)


def _report(error: Exception, full: bool) -> int:
    """An error of parsing, which Typer's copy of click does not export a class for, or one of a command."""
    if not hasattr(error, "format_message"):
        return errors.report(error, full=full)
    context = getattr(error, "ctx", None)
    where = f" (see {context.command_path} --help)" if context else ""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
    else:
        print(f"error: {error.format_message()}{where}", file=sys.stderr)
    return errors.ExitCode.usage


app = typer.Typer(
    name="voge",
    cls=CommandGroup,
    help="Analysis by synthesis with 3D Gaussian ellipsoids.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (convert.convert, render.render, fit.fit):
    app.command()(command)
for command in (texture.texture, cameras.cameras, bench.bench, info.info, demo.demo):
    app.command()(command)
app.command()(match.match)
app.command()(occlusion.occlusion)
app.add_typer(pose.app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"voge {version('voge')}")
        raise typer.Exit


@app.callback()
def voge(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Analysis by synthesis with 3D Gaussian ellipsoids."""


def main() -> None:
    """The entry point of the installed program."""
    signal.signal(signal.SIGTERM, _terminate)
    app(prog_name="voge")


def _terminate(*_signal: Any) -> NoReturn:
    """Leave as on Ctrl-C, through every `finally`, so that nothing half-written stays."""
    sys.exit(errors.ExitCode.terminated)
