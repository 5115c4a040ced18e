"""voge bench: how fast and how large, for every backend and beside renderers of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Report, Writing, option_groups, perform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voge.bench.contenders import Contender, Own
    from voge_cli.bench.cases import Case
    from voge_cli.console import Console
    from voge_cli.schemas import BenchConfig


@option_groups
def bench(
    writing: Writing,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="[SCENE]... [KEY=VALUE]...",
            help="cube, cube:N (N intervals an edge) or model files, each with or without @WxH or @WxHxC; "
            "then settings. Default: cube.",
        ),
    ] = None,
    sizes: Annotated[str | None, Option("--sizes", metavar="S,...", help="Pixels, N or WxH. Default: 128,256.")] = None,
    intervals: Annotated[
        str | None, Option("--intervals", metavar="N,...", help="Of cubes, along an edge. Default: 13,29,58.")
    ] = None,
    counts: Annotated[
        str | None, Option("--counts", metavar="N,...", help="Numbers of ellipsoids, instead of intervals.")
    ] = None,
    channels: Annotated[str | None, Option("--channels", metavar="C,...", help="Features. Default: 3.")] = None,
    views: Annotated[int | None, Option("--views", metavar="N", help="Pictures in one call. Default: 1.")] = None,
    aggregation: Annotated[
        str | None, Option("--aggregation", metavar="A,...", help="Of exact, paper, sorted. Default: exact.")
    ] = None,
    backend: Annotated[
        str | None, Option("--backend", metavar="B,...", help="Of auto, cuda, cpp, torch, all. Default: auto.")
    ] = None,
    device: Annotated[str | None, Option("--device", metavar="auto|cpu|cuda[:i]", help="Default: auto.")] = None,
    peer: Annotated[
        str | None,
        Option("--peer", metavar="P,...", help="Measured beside: of torch, gsplat, gsplat-ut, none. Default: auto."),
    ] = None,
    repeat: Annotated[int | None, Option("--repeat", metavar="N", help="Calls that count. Default: 10.")] = None,
    plot: Annotated[
        Path | None, Option("--plot", metavar="FILE.png|svg|pdf", help="Draw time against ellipsoids and pixels.")
    ] = None,
    earlier: Annotated[
        str | None, Option("--from", metavar="FILE.json,...", help="Show earlier results instead of measuring.")
    ] = None,
    seed: Annotated[int | None, Option("--seed", metavar="N", help="Of the colors. Default: 0.")] = None,
    progress: Annotated[
        Literal["auto", "rich", "plain", "none"], Option("--progress", help="How to show progress on stderr.")
    ] = "auto",
) -> None:
    """Measure images per second, kernel time, memory and hits, forward and forward + backward.

    Renderers take turns call by call, so that their ratios hold on a busy machine. Prints a table (Markdown when not
    on a terminal); --out FILE.json keeps all figures, the times of single kernels included.
    """
    from voge_cli import config as configs
    from voge_cli.schemas import BenchConfig

    scenes, overrides = configs.split_arguments(arguments or [])
    options = {
        "scenes": scenes or None,
        "sizes": sizes and sizes.split(","),
        "intervals": _integers("--intervals", intervals),
        "counts": _integers("--counts", counts),
        "channels": _integers("--channels", channels),
        "views": views,
        "aggregations": aggregation and aggregation.split(","),
        "backends": backend and backend.split(","),
        "device": device,
        "peers": peer and peer.split(","),
        "repeat": repeat,
        "plot": plot and str(plot),
        "earlier": earlier and earlier.split(","),
        "seed": seed,
        "out": writing.out and str(writing.out),
    }
    loaded = configs.load("bench", BenchConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: run_bench(loaded.value, c, overwrite=writing.overwrite), progress)


def run_bench(config: BenchConfig, console: Console, *, overwrite: bool = False) -> tuple[str, dict[str, Any]]:
    """Measure, or read; write what was asked for; returns the table and the document."""
    from voge.bench import plot
    from voge.errors import BackendError
    from voge.io.files import atomic_file
    from voge_cli import outputs
    from voge_cli.bench import table as bench_table

    for path in filter(None, (config.out, config.plot)):
        outputs.check_file(Path(path), overwrite)
    if config.plot and (reason := plot.missing()):
        raise BackendError(reason)
    document = _read(config.earlier) if config.earlier else _measure(config, console)
    rows = document["rows"]
    if config.plot:
        try:
            plot.draw(rows, config.plot, _title(document))
        except ValueError as error:
            raise UsageError(f"--plot: {error}") from error
        console.note(f"drew {config.plot}")
    if config.out:
        with atomic_file(config.out) as temporary:
            temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        console.note(f"wrote {config.out}")
    on_terminal = sys.stdout.isatty() and not console.json
    return (bench_table.terminal if on_terminal else bench_table.markdown)(rows), document


def _measure(config: BenchConfig, console: Console) -> dict[str, Any]:
    from voge.bench.measure import Effort, measure
    from voge.errors import BackendError
    from voge_cli.bench.cases import Maker, cases

    wanted = cases(config)
    if config.plot:
        _check_growth(wanted)
    own, contenders = _contenders(config, console)
    effort = Effort(config.repeat, config.seconds, config.memory)
    maker, rows = Maker(config, console), []
    for case in console.track(wanted, len(wanted), "scenes"):
        rows += measure(maker.scene(case), contenders, effort)
    failed = [row["error"] for row in rows if row["peer"] is None]
    if all(failed):
        raise BackendError(f"no scene could be measured: {failed[0]}")
    return {"machine": _machine(own), "rows": rows}


def _check_growth(wanted: Sequence[Case]) -> None:
    """A plot needs two points; say so before an hour of measuring."""
    pairs = ((a, b) for a in wanted for b in wanted if a.file == b.file and a.channels == b.channels)
    if not any((a.number != b.number) != (a.size != b.size) for a, b in pairs if a.width == b.width):
        raise UsageError("--plot draws growth: give two --counts, --intervals or --sizes of one scene")


def _contenders(config: BenchConfig, console: Console) -> tuple[list[Own], list[Contender]]:
    """Ours, and ours with the peers behind.

    Raises:
        voge.errors.BackendError: a backend or a peer that was named is not there.
    """
    from dataclasses import replace

    from voge.bench.contenders import Own, Peer, peer_of
    from voge.rendering.settings import Backend
    from voge_cli.devices import choose_device

    chosen = [choose_device(config.device, Backend(name)) for name in _backends(config)]
    for one in dict.fromkeys(chosen):
        console.note(str(one))
    aggregations = config.aggregations or [config.settings.aggregation]
    settings = [replace(config.settings, aggregation=a, backend=c.backend) for c in chosen for a in aggregations]
    devices = [c.device for c in chosen for _ in aggregations]
    own = list(dict.fromkeys(Own(s, d) for s, d in zip(settings, devices, strict=True)))
    first = own[: len(aggregations)]
    peers: list[Contender] = []
    for name in _peers(config, own[0], console):
        peers += [peer_of(name, one) for one in (first if name is Peer.torch else first[:1])]
    return own, [*own, *peers]


def _backends(config: BenchConfig) -> list[str]:
    from voge.rendering.ops import status

    names = config.backends or [config.settings.backend.value]
    if "all" not in names:
        return names
    kind = config.device.partition(":")[0]
    elsewhere = {"cpu": "cuda", "cuda": "cpp"}.get(kind)
    return [name for name, state in status().items() if state.available and name != elsewhere]


def _peers(config: BenchConfig, base: Own, console: Console) -> list[Any]:
    """Who is compared with; a peer that was named and is not there is an error, under `auto` a row with the reason."""
    from voge.bench.contenders import Peer, missing_gsplat
    from voge.errors import BackendError

    named = [Peer(name) for name in dict.fromkeys(config.peers) if name not in ("auto", "none")]
    on_gpu = base.device.type == "cuda"
    if any(peer is not Peer.torch for peer in named):
        if reason := missing_gsplat():
            raise BackendError(f"--peer: {reason}")
        if not on_gpu:
            raise BackendError(f"--peer: gsplat renders on CUDA devices only, and this run is on {base.device}")
    if "none" in config.peers or "auto" not in config.peers:
        return [] if "none" in config.peers else named
    if not on_gpu:
        console.detail("gsplat renders on CUDA devices only, so it is not compared with")
        return named
    return list(dict.fromkeys([*named, Peer.gsplat, Peer.gsplat_ut]))


def _machine(own: Sequence[Own]) -> dict[str, Any]:
    """What figures depend on besides the code."""
    import os
    import platform
    from datetime import datetime, timezone

    import torch

    from voge.rendering.installation import package_version
    from voge.rendering.ops import status

    gpus = {str(c.device): torch.cuda.get_device_name(c.device) for c in own if c.device.type == "cuda"}
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "devices": {"cpu": f"{platform.machine()}, {torch.get_num_threads()} threads", **gpus},
        "backends": {name: state.reason for name, state in status().items() if state.available},
        "versions": {"voge": package_version("voge"), "python": platform.python_version(), "torch": torch.__version__},
        "cuda": torch.version.cuda,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def _title(document: dict[str, Any]) -> str:
    machine = document["machine"]
    used = {row["device"] for row in document["rows"]}
    names = [name for device, name in machine["devices"].items() if device in used]
    return f"{', '.join(names)}; torch {machine['versions']['torch']}; {machine['date'][:10]}"


def _read(files: Sequence[str]) -> dict[str, Any]:
    """Documents of earlier runs as one; the machine is the first's."""
    from voge.errors import DataError

    documents = []
    for file in files:
        try:
            document = json.loads(Path(file).read_text(encoding="utf-8"))
            for row in document["rows"]:
                _ = row["name"], row["scene"], row["device"], row["error"] or row["both"]["wall_ms"]["median"]
            _title(document)
        except FileNotFoundError:
            raise DataError(file, "no such file") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(file, f"is no result of voge bench ({type(error).__name__}: {error})",
                            "write one with voge bench -o FILE.json") from error  # fmt: skip
        documents.append(document)
    return {**documents[0], "rows": [row for document in documents for row in document["rows"]]}


def _integers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes whole numbers with commas between, such as 3,64; got '{text}'") from None
