"""voge bench: how fast and how large, for every backend and beside renderers of others."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from voge import option
from voge.bench.settings import PLOTS, BenchSettings
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge.bench import Results


@dataclass(frozen=True, kw_only=True)
class BenchConfig(BenchSettings, Device):
    """Settings of `voge bench`."""

    earlier: list[str] = option.option(
        [], "show earlier results instead of measuring", flag="--from", metavar="FILE.json,..."
    )
    out: str | None = option.out("where to write the results as JSON", "")
    plot: str | None = option.option(
        None, "draw time against ellipsoids and pixels", flag="--plot", metavar="FILE.png|svg|pdf"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plot is not None and not self.plot.lower().endswith(PLOTS):
            raise ValueError(f"plot must be a file called {', '.join(PLOTS)}; got '{self.plot}'")


@option_groups
def bench(
    given: Given[BenchConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[SCENE]... [KEY=VALUE]...",
            help="cube, cube:N (N intervals an edge) or model files, each with or without @WxH or @WxHxC; "
            "then settings. Default: cube.",
        ),
    ] = None,
) -> None:
    """Measure images per second, kernel time, memory and hits, forward and forward + backward.

    Renderers take turns call by call, so that their ratios hold on a busy machine. Prints a table (Markdown when not
    on a terminal); --out FILE.json keeps all figures, the times of single kernels included.
    """
    from voge_cli import config as configs

    scenes, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "scenes": scenes or None}
    loaded = configs.load("bench", BenchConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        from voge.bench import table
        from voge_cli.bench_table import terminal

        document = work(loaded.value, console, overwrite=configuring.overwrite)
        on_terminal = sys.stdout.isatty() and not console.json
        return (terminal if on_terminal else table.markdown)(document["rows"]), document

    perform(loaded, configuring, report, shown, progress.progress)


def work(config: BenchConfig, console: Console, *, overwrite: bool = False) -> dict[str, Any]:
    """Measure, or read, and write what was asked for; returns the document."""
    from voge.bench import load_results, plot
    from voge.errors import BackendError
    from voge_cli import outputs

    for path in filter(None, (config.out, config.plot)):
        outputs.check_file(Path(path), overwrite)
    if config.plot and (reason := plot.missing()):
        raise BackendError(reason)
    results = load_results(config.earlier) if config.earlier else _measured(config, console)
    if config.plot:
        try:
            plot.draw(results.rows, config.plot, results.title)
        except ValueError as error:
            raise UsageError(f"--plot: {error}") from error
        console.note(f"drew {config.plot}")
    if config.out:
        results.save(config.out)
        console.note(f"wrote {config.out}")
    return results.document()


def _measured(config: BenchConfig, console: Console) -> Results:
    from voge.bench import grow, plan

    planned = console.told(plan(config, device=config.device))
    if config.plot and not grow(planned.cases):  # said before an hour of measuring
        raise UsageError("--plot draws growth: give two --counts, --intervals or --sizes of one scene")
    if "auto" in config.peers and planned.own[0].device.type != "cuda":
        console.detail("gsplat renders on CUDA devices only, so it is not compared with")
    return console.told(planned.run(console.track))
