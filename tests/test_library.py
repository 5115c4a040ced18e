"""Ten lines of Python give the same files as a command."""

from __future__ import annotations

import json
from pathlib import Path

from program import run

import voge


def same(first: Path, second: Path, *names: str) -> None:
    """Check that two folders have files of these names with the same bytes."""
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_occlusion(tmp_path):
    box = {"primitive": {"shape": "cuboid", "count": 60}, "truth": {"translation": [0.2, 0, 0]}}
    cameras = {"azimuth": 20, "elevation": 15, "distance": 5, "size": [48, 32], "fov": 50}
    (tmp_path / "scene.json").write_text(json.dumps({"objects": [box], "cameras": cameras}))
    run("occlusion", tmp_path / "scene.json", "-o", tmp_path / "command", "--no-multi-start", "frames=0")

    from voge.io.images import write_png
    from voge.occlusion import SceneSettings, Search, SolveSettings
    from voge.occlusion.pictures import take_pictures

    settings = SceneSettings(solve=SolveSettings(search=Search(enabled=False)))
    solved = voge.occlusion.solve_scene(tmp_path / "scene.json", settings=settings)
    solved.save(tmp_path / "python")
    for picture in take_pictures(solved):
        write_png(tmp_path / "python" / f"{picture.name}.png", picture.pixels)

    same(tmp_path / "command", tmp_path / "python", "scene.json", "scene_gt.json", "order.json")
    same(tmp_path / "command" / "images", tmp_path / "python", "0000_after.png", "side_after.png")
