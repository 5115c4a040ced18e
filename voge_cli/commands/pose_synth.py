"""voge pose synth: a synthetic data set with exact labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from typer import Argument

from voge import option
from voge.pose.synthetic.settings import Synthesis
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Given, Report, option_groups, perform


@dataclass(frozen=True, kw_only=True)
class SynthConfig(Synthesis):
    """Settings of `voge pose synth`."""

    out: str | None = option.out("where to write", "")
    workers: int = option.option(2, "processes", at_least=1, flag="--workers", metavar="N")
    shard: str | None = option.option(
        None, "make part I of N of the images", flag="--shard", metavar="I/N", default_text=""
    )


@option_groups
def synth(
    given: Given[SynthConfig],
    configuring: Configuring,
    report: Report,
    arguments: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Settings.")] = None,
) -> None:
    """Make a synthetic data set with exact labels, in the layout of PASCAL3D+ and Occluded PASCAL3D+.

    Ray-cast pictures of procedural objects; test images have shapes of their own. The same command again goes on
    where it was interrupted.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    if inputs:
        raise UsageError(f"voge pose synth takes no input, got {inputs[0]}; the folder to fill is --out")
    loaded = configs.load("pose_synth", SynthConfig, file=configuring.config, options=given.values, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        if loaded.value.out is None:
            raise UsageError("give the folder to fill: voge pose synth --out DIR")
        text = loaded.filled({"out": None, "shard": None, "workers": 1}).text()
        document = work(Path(loaded.value.out), loaded.value, console, text=text, overwrite=configuring.overwrite)
        return document["out"], document

    perform(loaded, configuring, report, shown, "auto")


def work(item: Path, config: SynthConfig, console: Console, *, text: str, overwrite: bool = False) -> dict[str, Any]:
    """Fill one folder, or go on filling it; returns what was made."""
    from voge.pose.shards import find_shard
    from voge.pose.synthetic.benchmark import synthesize
    from voge_cli import outputs

    shard = find_shard(config.shard)
    outputs.begin(item, "pose synth", text, overwrite)
    made = synthesize(item, config, shard=shard, processes=config.workers, again=overwrite, track=console.track)
    return {"out": str(item), "shard": str(shard), "made": made.made, "kept": made.kept, "lists": made.lists}
