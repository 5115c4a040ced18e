"""Makes docs/images/occlusion.png: the paper's cuboids before, the target, after, and both from the side.

python docs/images/occlusion.py
"""

from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import CliRunner

from voge_cli.main import app

NAMES = ("0000_before", "0000_target", "0000_after", "side_before", "side_after")

if __name__ == "__main__":
    folder = Path("runs/occlusion_picture")
    command = ["occlusion", "--config", "cuboids", "-o", str(folder), "--overwrite", "frames=0"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    pictures = [np.asarray(Image.open(folder / "images" / f"{name}.png"))[60:340, 60:340] for name in NAMES]
    path = Path(__file__).with_suffix(".png")
    Image.fromarray(np.concatenate(pictures, 1)).resize((1000, 200), Image.Resampling.LANCZOS).save(path)
