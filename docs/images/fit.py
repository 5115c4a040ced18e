"""Make fit.png: python docs/images/fit.py RUN, the folder of `voge fit --config cow mesh=cow.obj -o RUN`.

Each picture in RUN/images shows a view before, its target and after; targets stand above what was fitted.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 192  # pixels that a view has in the picture


def main(run: Path) -> None:
    """Four held-out views and two of the side that the sweep never faces."""
    chosen = [*sorted((run / "images").glob("held_out_*.png"))[:4], *sorted((run / "images").glob("unseen_*.png"))[:2]]
    columns = []
    for path in chosen:
        with Image.open(path) as image:
            width = image.width // 3
            parts = [image.crop((i * width, 0, (i + 1) * width, image.height)) for i in (1, 2)]
            columns.append(
                np.concatenate([np.asarray(p.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for p in parts])
            )
    sheet = np.concatenate(columns, 1) & 0xFC | 3  # 6 bits a channel make a smaller file
    Image.fromarray(sheet.astype(np.uint8)).save(Path(__file__).with_name("fit.png"), optimize=True)


main(Path(sys.argv[1]))
