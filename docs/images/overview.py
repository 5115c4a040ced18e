"""Make overview.png: python docs/images/overview.py FOLDER, with cow.obj and bunny.off in FOLDER.

Each row is `voge render` of one model from three sides, and its depth and normals.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from voge.assets.teapot import teapot
from voge.io.images import contact_sheet

VIEWS = {"teapot": "30,150,270", "cow": "150,250,30", "bunny": "20,110,250"}
WIDTH, HEIGHT = 236, 204


def row(model: Path, azimuths: str, folder: Path) -> list[np.ndarray]:
    """Pictures of one model."""
    options = ["--azim", azimuths, "--elev", "15", "--fov", "25", "--size", f"{2 * WIDTH}x{2 * HEIGHT}", "--light"]
    command = ["voge", "render", str(model), *options, "--outputs", "rgb,depth,normal", "-o", str(folder), "-q"]
    subprocess.run(command, check=True)
    names = ["rgb/0000", "rgb/0001", "rgb/0002", "normal/0000"]
    made = [np.asarray(Image.open(folder / f"{name}.png").convert("RGB")) for name in names]
    depth = np.load(folder / "depth" / "0000.npz")["depth"]
    seen = depth > 0
    near, far = depth[seen].min(), depth[seen].max()
    gray = np.where(seen, 235 - 190 * (depth - near) / (far - near), 255).astype(np.uint8)
    normals = np.where(seen[..., None], made[3], 255).astype(np.uint8)
    return [*made[:3], np.repeat(gray[..., None], 3, 2), normals]


def main(data: Path) -> None:
    """Render the rows and put them together."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        vertices, faces, colors = teapot(16)
        trimesh.Trimesh(vertices, faces, vertex_colors=colors, process=False).export(work / "teapot.ply")
        models = {"teapot": work / "teapot.ply", "cow": data / "cow.obj", "bunny": data / "bunny.off"}
        rows = [row(models[key], azimuths, work / key) for key, azimuths in VIEWS.items()]
    sheet = contact_sheet(rows, cell=WIDTH, gap=4)
    sheet = sheet & 0xFC | 3  # 6 bits a channel make a smaller file
    Image.fromarray(sheet).save(Path(__file__).with_name("overview.png"), optimize=True)


main(Path(sys.argv[1]))
