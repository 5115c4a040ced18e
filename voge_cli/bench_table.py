"""Results of `voge bench` as tables on a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voge.bench.measure import Row
from voge.bench.table import REASON, SCENE, cells


def terminal(rows: Sequence[Row]) -> str:
    """A table for each scene, as wide as the terminal, with the escapes that color it; reasons are below."""
    head, *body = cells(rows)
    reasons = head[-1] == REASON
    shown = head[SCENE : -1 if reasons else None]
    out = io.StringIO()
    console = Console(file=out, force_terminal=True)
    pairs = zip(rows, body, strict=True)
    for (scene, count, image), members in groupby(pairs, key=lambda pair: pair[1][:SCENE]):
        title = f"{scene}, {count} ellipsoids, {image}"
        table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column, name in enumerate(shown):
            table.add_column(name.replace(" ", "\n", 1), justify="right" if column else "left", no_wrap=not column)
        for row, line in members:
            table.add_row(*map(Text, line[SCENE : SCENE + len(shown)]), style="dim" if row["peer"] else None)
            if row["error"]:
                table.caption = "\n".join(filter(None, (str(table.caption or ""), f"{row['name']}: {row['error']}")))
        table.caption_justify = "left"
        console.print(table)
    return out.getvalue().rstrip("\n")
