"""The `voge` program: its commands, and what happens to their errors."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from voge_cli import errors

# Name: where the function stands, or a table of further commands; and the first line of the docstring. Each command is
# loaded when it is used: to list them must not take the time to read the settings of all.
Table = Mapping[str, tuple[Any, str]]
POSE = {
    "train": (
        "commands.pose_train",
        "Train neural ellipsoids of categories: a network, and a feature an ellipsoid.",
    ),
    "estimate": ("commands.pose_estimate", "Estimate poses of objects in a data set or in pictures."),
    "synth": (
        "commands.pose_synth",
        "Make a synthetic data set with exact labels, in the layout of PASCAL3D+ and Occluded PASCAL3D+.",
    ),
    "check-data": ("commands.pose_check_data", "Say what is missing from a copy of a data set."),
}
COMMANDS: Table = {
    "convert": ("commands.convert", "Convert a mesh or points to ellipsoids, or ellipsoids to another format."),
    "render": ("commands.render", "Render pictures of ellipsoids, meshes or points."),
    "fit": ("commands.fit", "Fit ellipsoids to pictures of several views."),
    "texture": ("commands.texture", "Take the colors of an object from photos of it."),
    "cameras": ("commands.cameras", "Show, check, convert or draw cameras."),
    "bench": (
        "commands.bench",
        "Measure images per second, kernel time, memory and hits, forward and forward + backward.",
    ),
    "info": ("commands.info", "Show versions, devices, and which backend renders and why."),
    "demo": ("commands.demo", "Show convert, render and fit at work on the Utah teapot."),
    "match": ("commands.match", "Match views by neural features."),
    "occlusion": ("commands.occlusion", "Find where objects stand that hide each other."),
    "pose": (POSE, "Poses of objects by neural features: train, estimate, and the data for it."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are asked for."""

    def __init__(self, *positional: Any, table: Table = COMMANDS, **options: Any) -> None:
        super().__init__(*positional, **options)
        self.table = table
        names: dict[str, Any] = dict.fromkeys(self.table)
        self.commands = names  # for whoever mistypes one

    def list_commands(self, _context: Any) -> list[str]:
        """All names, in the order of the table."""
        return list(self.table)

    def get_command(self, _context: Any, name: str) -> Any:
        """The command of a name, or None."""
        if name not in self.table:
            return None
        place, line = self.table[name]
        if not isinstance(place, str):
            return LazyGroup(table=place, name=name, help=line, no_args_is_help=True, rich_markup_mode=None)
        module = import_module(f"voge_cli.{place}")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(name)(getattr(module, name.replace("-", "_")))
        return typer.main.get_command(alone)

    def format_commands(self, _context: Any, formatter: Any) -> None:
        """Names and first lines, without loading the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


class CommandGroup(LazyGroup):
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
