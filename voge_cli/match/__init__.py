"""voge match: pictures of a gallery that show an object as it would look from elsewhere."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from voge_cli.errors import UsageError
from voge_cli.options import Compute, Report, Writing, numbers, option_groups, perform


@option_groups
def match(
    writing: Writing,
    compute: Compute,
    report: Report,
    arguments: Annotated[
        list[str] | None,
        Argument(
            metavar="ANCHOR GALLERY... [KEY=VALUE]...",
            help="pose.json of an anchor and pictures or a folder of them; or a data set's folder; then settings.",
        ),
    ] = None,
    delta: Annotated[
        str | None, Option("--delta", metavar="D,...", help="Degrees further in azimuth. Default: 0,15,30,45,60.")
    ] = None,
    top: Annotated[int | None, Option("--top", metavar="N", help="Matches to report. Default: 3.")] = None,
    features: Annotated[str | None, Option("--features", help="A pretrained extractor. Default: efficientnet.")] = None,
    model: Annotated[
        str | None, Option("--model", metavar="RUN|FILE", help="Of voge pose train; of an anchor also its shape.")
    ] = None,
    categories: Annotated[str | None, Option("--categories", metavar="C,...", help="Of a data set.")] = None,
    limit: Annotated[int | None, Option("--limit", metavar="N", help="Pictures a category at most.")] = None,
) -> None:
    """Match views by neural features.

    The anchor's features are sampled onto ellipsoids, rendered from a pose turned by delta, and compared with each
    picture of the gallery. A data set gives a table of rotation errors against delta; an anchor its best matches,
    matches.json and sheet.png in the folder --out.
    """
    from voge_cli import config as configs
    from voge_cli.match.work import match_views
    from voge_cli.pose.schemas import MatchConfig

    inputs, overrides = configs.split_arguments(arguments or [])
    if not inputs and not (writing.config or writing.print_config):
        raise UsageError("give an anchor's pose.json and a gallery, or the folder of a data set")
    options = {
        "inputs": inputs or None,
        "out": writing.out and str(writing.out),
        "delta": numbers("--delta", delta),
        "top": top,
        "features": features,
        "model": model,
        "categories": categories and categories.split(","),
        "limit": limit,
        "device": compute.device,
        "settings.backend": compute.backend,
    }
    loaded = configs.load("match", MatchConfig, file=writing.config, options=options, overrides=overrides)
    perform(loaded, writing, report, lambda c: match_views(loaded, c, overwrite=writing.overwrite), compute.progress)
