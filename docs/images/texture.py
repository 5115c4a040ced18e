"""Make texture.png: python docs/images/texture.py FOLDER, with cow.obj and its texture in FOLDER.

From left to right: a photo of the cow (ray-cast on a cluttered background), its re-render, two views from new sides,
where the far side comes by symmetry, and what the photo showed of the last.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import voge
from voge.io.images import contact_sheet, write_png
from voge.io.meshes import load_geometry
from voge.meshes.raycast import render_mesh

WIDTH, HEIGHT, FOCAL = 560, 500, 900.0
POSE = {"azimuth": 225, "elevation": 15, "distance": 3.6, "at": [0, 0.1, 0.05]}


def photo(mesh: Path, path: Path) -> None:
    """A picture of the mesh before colored tiles."""
    angles = [float(POSE[name]) for name in ("azimuth", "elevation", "distance")]
    K = torch.tensor([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
    camera = voge.Cameras(voge.orbit(*angles, at=POSE["at"])[None], K[None], WIDTH, HEIGHT)
    tiles = torch.rand(HEIGHT // 50, WIDTH // 40, 3, generator=torch.Generator().manual_seed(3)) * 0.5 + 0.2
    behind = tiles.repeat_interleave(50, 0).repeat_interleave(40, 1)
    write_png(path, render_mesh(load_geometry(mesh), camera).over(behind)[0])


def main(data: Path) -> None:
    """Take the photo, texture the cow and put the pictures together."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        photo(data / "cow.obj", work / "photo.png")
        camera = {"width": WIDTH, "height": HEIGHT, "fx": FOCAL}
        pose = {"model": str(data / "cow.obj"), "camera": camera, "pose": POSE}
        (work / "pose.json").write_text(json.dumps(pose))
        options = ["--fill", "symmetry", "--novel", "azim-30,azim+180", "--turntable", "0", "-o", str(work / "out")]
        subprocess.run(
            ["voge", "texture", str(work / "photo.png"), "--pose", str(work / "pose.json"), *options], check=True
        )
        names = ["photo/photo", "render/photo", "novel/azim-30", "novel/azim+180", "novel_confidence/azim+180"]
        pictures = [np.asarray(Image.open(work / "out" / "images" / f"{each}.png").convert("RGB")) for each in names]
    sheet = contact_sheet([pictures], cell=236, gap=4)
    sheet = sheet & 0xFC | 3  # 6 bits a channel make a smaller file
    Image.fromarray(sheet).save(Path(__file__).with_name("texture.png"), optimize=True)


main(Path(sys.argv[1]))
