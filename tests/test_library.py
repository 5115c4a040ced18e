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


def test_match(tmp_path):
    from voge.convert.primitives import primitive
    from voge.io.images import write_png

    cuboid = primitive("cuboid", (1, 1, 1), [(1, 0, 0), (0, 1, 0), (0, 0, 1)], 60)
    voge.save_ellipsoids(tmp_path / "cuboid.safetensors", cuboid)
    viewmats = [voge.orbit(azimuth, 20.0, 5.0, up="z") for azimuth in (30.0, 60.0)]
    K = voge.intrinsics(96, 64, focal=90.0)
    for number, viewmat in enumerate(viewmats):
        seen = voge.render(cuboid, voge.Cameras(viewmat[None], K[None], 96, 64))
        write_png(tmp_path / f"{number}.png", seen.image[0])
    camera = {"width": 96, "height": 64, "fx": 90, "fy": 90, "cx": 48, "cy": 32}
    pose = {"world_to_camera": viewmats[0].tolist(), "convention": "opencv"}
    anchor = {"camera": camera, "pose": pose, "image": "0.png", "model": "cuboid.safetensors"}
    (tmp_path / "anchor.json").write_text(json.dumps(anchor))
    pictures = [tmp_path / "0.png", tmp_path / "1.png"]
    options = ["--features", "rgb", "--delta", "0,30", "-o", tmp_path / "command"]
    run("match", tmp_path / "anchor.json", *pictures, *options)

    from voge.pose.settings import MatchSettings

    settings = MatchSettings(features="rgb", delta=[0, 30])
    matches = voge.pose.match(tmp_path / "anchor.json", pictures, settings)
    matches.save(tmp_path / "python")

    same(tmp_path / "command", tmp_path / "python", "matches.json", "sheet.png")
    assert [row["matches"][0]["picture"] for row in matches.document["deltas"]] == [str(path) for path in pictures]
