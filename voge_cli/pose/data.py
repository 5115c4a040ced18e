"""What voge pose check-data and voge pose synth do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from voge_cli.errors import UsageError

if TYPE_CHECKING:
    from voge.pose.data.check import Finding
    from voge_cli.config import Loaded
    from voge_cli.console import Console
    from voge_cli.pose.schemas import CheckDataConfig, SynthConfig

EXAMPLES = 3  # problems of one list that are spelt out without -v


def check_folder(config: CheckDataConfig, console: Console) -> tuple[str, dict[str, Any]]:
    """Look at all of a data set; returns a report, and the same as a document."""
    from voge.pose.data.check import check_data
    from voge.pose.data.datasets import open_data

    if config.data is None:
        raise UsageError("give the folder of a data set: voge pose check-data DIR")
    data = open_data(Path(config.data), None if config.occluded is None else Path(config.occluded))
    found = []
    for finding in check_data(data, decode=config.decode):
        console.detail(f"{finding.name}: {finding.usable} of {finding.total} usable")
        found.append(finding)
    document = {
        "data": config.data,
        "layout": data.layout.value,
        "occluded": None if data.occluded is None else str(data.occluded),
        "usable": sum(finding.usable for finding in found),
        "problems": sum(len(finding.problems) for finding in found),
        "lists": [finding.document() for finding in found],
    }
    heading = f"{data.root}: {data.layout.value}, {len(data.categories)} categories"
    beside = f"Occluded PASCAL3D+: {data.occluded}" if data.occluded else "no Occluded PASCAL3D+ beside it"
    return "\n".join([heading, beside, *_lines(found, console.verbosity > 0)]), document


def _lines(found: list[Finding], everything: bool) -> list[str]:
    width = max((len(finding.name) for finding in found), default=0)
    lines = []
    for finding in found:
        coarse = f", {finding.coarse} with a coarse pose only" if finding.coarse else ""
        lines.append(f"{finding.name.ljust(width)}  {finding.usable} of {finding.total} usable{coarse}")
        shown = finding.problems if everything else finding.problems[:EXAMPLES]
        lines += [f"    {problem}" for problem in shown]
        if more := len(finding.problems) - len(shown):
            lines.append(f"    and {more} more; -v lists them")
    return lines


def make_set(loaded: Loaded[SynthConfig], console: Console, *, overwrite: bool) -> tuple[Path, dict[str, Any]]:
    """Fill a folder with images, or go on filling it; returns it and what was made."""
    from voge.pose.synthetic import benchmark
    from voge_cli import outputs
    from voge_cli.shards import find_shard

    config = loaded.value
    if config.out is None:
        raise UsageError("give the folder to fill: voge pose synth --out DIR")
    root, settings, shard = Path(config.out), config.synthesis(), find_shard(config.shard)
    text = loaded.filled({"out": None, "shard": None, "workers": 1}).text()
    if not _same(root / outputs.RECORD, text) or overwrite:
        outputs.check_folder(root, overwrite)
        root.mkdir(parents=True, exist_ok=True)
        outputs.write_record(root, "pose synth", text)
    work = shard.of(benchmark.jobs(settings))
    missing = [job for job in work if overwrite or not benchmark.is_made(root, job)]
    made = list(console.track(benchmark.write_images(root, settings, missing, config.workers), len(missing), "images"))
    benchmark.write_frame(root, settings)
    lists = sorted(str(path.relative_to(root)) for path in root.rglob("*.txt"))
    return root, {
        "out": str(root),
        "shard": str(shard),
        "made": len(made),
        "kept": len(work) - len(missing),
        "lists": lists,
    }


def _same(record: Path, text: str) -> bool:
    """Whether a folder was begun with the same configuration."""
    return record.is_file() and record.read_text(encoding="utf-8").split("\n", 1)[1].strip() == text.strip()
