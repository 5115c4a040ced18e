"""voge match: pictures of a gallery that show an object as it would look from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument

from voge import option
from voge.pose.settings import MatchSettings
from voge_cli.console import Console
from voge_cli.errors import UsageError
from voge_cli.options import Configuring, Device, Given, Progress, Report, option_groups, perform

if TYPE_CHECKING:
    from voge_cli.config import Loaded


@dataclass(frozen=True, kw_only=True)
class MatchConfig(MatchSettings, Device):
    """Settings of `voge match`."""

    inputs: list[str] = option.option(
        [], "a data set's folder; or pose.json of an anchor and a gallery: pictures, or folders of them"
    )
    out: str | None = option.out("where to write", "<stem>_match")


@option_groups
def match(
    given: Given[MatchConfig],
    configuring: Configuring,
    progress: Progress,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="ANCHOR GALLERY... [KEY=VALUE]...",
            help="pose.json of an anchor and pictures or a folder of them; or a data set's folder; then settings.",
        ),
    ] = None,
) -> None:
    """Match views by neural features.

    The anchor's features are sampled onto ellipsoids, rendered from a pose turned by delta, and compared with each
    picture of the gallery. A data set gives a table of rotation errors against delta; an anchor its best matches,
    matches.json and sheet.png in the folder --out.
    """
    from voge_cli import config as configs

    inputs, overrides = configs.split_arguments(arguments or [])
    options = {**given.values, "inputs": inputs or None}
    loaded = configs.load("match", MatchConfig, file=configuring.config, options=options, overrides=overrides)

    def shown(console: Console) -> tuple[str, dict[str, Any]]:
        if not loaded.value.inputs:
            raise UsageError("give an anchor's pose.json and a gallery, or the folder of a data set")
        text, document = work(Path(loaded.value.inputs[0]), loaded, console, overwrite=configuring.overwrite)
        return f"{document['out']}\n{text}", document

    perform(loaded, configuring, report, shown, progress.progress)


def work(
    item: Path, loaded: Loaded[MatchConfig], console: Console, *, overwrite: bool = False
) -> tuple[str, dict[str, Any]]:
    """Match a data set, or an anchor with the gallery; returns the lines to read and what was found."""
    import voge.pose
    from voge.io.files import atomic_folder
    from voge.rendering.devices import choose_device
    from voge_cli import outputs

    config = loaded.value
    folder = Path(config.out or f"{item.resolve().stem}_match")
    outputs.check_folder(folder, overwrite)
    chosen = choose_device(config.device, config.settings.backend)
    console.note(str(chosen))
    found = voge.pose.match(item, config.inputs[1:], config, device=chosen.device, track=console.track)
    console.told(found)
    with atomic_folder(folder) as staging:
        found.save(staging)
        outputs.write_record(staging, "match", loaded.text())
    return found.text, {"out": str(folder), "device": str(chosen.device), **found.document}
