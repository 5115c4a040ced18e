"""What a run of `voge occlusion` leaves in its folder: poses, pictures, the video and the page that shows all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from voge.geometry import rigid
from voge.io import bop, images
from voge.io.files import atomic_file
from voge.io.scenes import save_scene
from voge.occlusion import Solution, conclude
from voge.rendering.renderer import render
from voge.scene.cameras import Cameras
from voge.scene.viewpoints import orbit_camera, resized
from voge_cli import report
from voge_cli.config import Loaded
from voge_cli.console import Console
from voge_cli.occlusion.inputs import Inputs
from voge_cli.occlusion.schema import OcclusionConfig
from voge_cli.occlusion.work import Trail
from voge_cli.runs import RunFolder

VIDEO_SIDE = 400  # pixels of the longer side, at most


def write_results(
    run: RunFolder,
    loaded: Loaded[OcclusionConfig],
    inputs: Inputs,
    poses: Tensor,
    trail: Trail,
    seconds: float,
    console: Console,
) -> dict[str, Any]:
    """Write everything; returns the figures."""
    config = loaded.value
    solution = conclude(inputs.bodies, inputs.targets, config.problem, poses, trail)
    for note in solution.warnings:
        console.note(f"warning: {note}")
    save_scene(run.path / "scene.json", inputs.scene, poses)
    local = [target.camera.viewmats[0].double().cpu() @ poses for target in inputs.targets]
    bop.save_poses(run.path / "scene_gt.json", local)
    _write_json(run.path / "order.json", _order(inputs, solution))
    figures = _figures(inputs, solution, seconds)
    run.finish(figures)
    shown = _pictures(run.path, inputs, poses, config)
    if config.frames and len(trail) > 1:
        path = run.path / f"video.{config.video.value}"
        images.write_video(path, _frames(inputs, trail, config.frames), fps=12)
        shown.append((path, "the way there; beside it the target"))
    _write_page(run.path, inputs, solution, figures, shown)
    return figures


def _order(inputs: Inputs, solution: Solution) -> dict[str, Any]:
    names = [body.name for body in inputs.bodies.bodies]
    return {"objects": names, "hides": [[names[i], names[j]] for i, j in solution.order]}


def _figures(inputs: Inputs, solution: Solution, seconds: float) -> dict[str, Any]:
    """Plain numbers; what is not known is null."""
    names = [body.name for body in inputs.bodies.bodies]
    objects: dict[str, dict[str, Any]] = {
        name: {
            "visible": round(float(solution.visible[i]), 4),
            "evidence": round(float(solution.evidence[i]), 4),
            "margin": None if math.isnan(float(solution.margins[i])) else round(float(solution.margins[i]), 4),
            "object_to_world": solution.poses[i].tolist(),
        }
        for i, name in enumerate(names)
    }
    truth = inputs.truth
    if truth is not None:
        away = (inputs.bodies.centers(solution.poses) - inputs.bodies.centers(truth)).norm(dim=1)
        turned = rigid.angle_between(solution.poses, truth)
        for i, name in enumerate(names):
            objects[name] |= {"position_error": float(away[i]), "rotation_error": float(turned[i])}
    return {
        "cost": solution.cost,
        "steps": len(solution.path),
        "seconds": round(seconds, 3),
        "hides": _order(inputs, solution)["hides"],
        "warnings": list(solution.warnings),
        "convention": "object_to_world: 4x4, column vectors; world right-handed, cameras OpenCV",
        "objects": objects,
    }


def _pictures(folder: Path, inputs: Inputs, poses: Tensor, config: OcclusionConfig) -> list[tuple[Path, str]]:
    """Before, target and after of each target, and the scene from the side before and after."""
    shown = []
    (folder / "images").mkdir(exist_ok=True)
    for number, target in enumerate(inputs.targets):
        seen = target.image if target.image is not None else target.silhouette
        assert seen is not None
        pictures = {
            "before": _render(inputs, inputs.bodies.starts, target.camera),
            "target": _colors(seen[..., None] if seen.ndim == 2 else seen),
            "after": _render(inputs, poses, target.camera),
        }
        for name, picture in pictures.items():
            path = folder / "images" / f"{number:04d}_{name}.png"
            images.write_png(path, picture.numpy())
            shown.append((path, f"{name}, view {number}"))
    side = side_camera(inputs, poses, config.side)
    for name, places in (("before", inputs.bodies.starts), ("after", poses)):
        path = folder / "images" / f"side_{name}.png"
        images.write_png(path, _render(inputs, places, side).numpy())
        shown.append((path, f"from the side, {name}"))
    return shown


def side_camera(inputs: Inputs, poses: Tensor, degrees: float) -> Cameras:
    """A camera that sees the result from the side: about as far away, turned around the middle of the objects."""
    first = inputs.targets[0].camera
    centers = inputs.bodies.centers(poses)
    middle, center = centers.mean(0), first.centers[0].double().cpu()
    offset = center - middle
    distance = max(float(offset.norm()), 2 * float(inputs.bodies.sizes(poses).max()))
    azimuth = math.degrees(math.atan2(float(offset[0]), float(offset[2]))) + degrees
    elevation = math.degrees(math.asin(max(-1.0, min(1.0, float(offset[1] / offset.norm().clamp_min(1e-9))))))
    camera = orbit_camera(azimuth, elevation, distance, at=middle.tolist(), size=(first.width, first.height), fov=60)
    return camera.to(torch.float32).to(inputs.bodies.ellipsoids.device)


@torch.no_grad()
def _render(inputs: Inputs, poses: Tensor, camera: Cameras) -> Tensor:
    seen = render(inputs.bodies.place(poses), camera)
    return _colors(seen.image[0] if seen.image.shape[-1] else seen.alpha[0, ..., None])


def _colors(picture: Tensor) -> Tensor:
    """(H, W, 3) to look at: the first three channels, or gray."""
    return (picture[..., :3] if picture.shape[-1] >= 3 else picture[..., :1].expand(-1, -1, 3)).clamp(0, 1).cpu()


def _frames(inputs: Inputs, trail: Trail, count: int) -> Iterator[Any]:
    target = inputs.targets[0]
    camera = target.camera
    share = min(VIDEO_SIDE / max(camera.width, camera.height), 1.0)
    camera = resized(camera, *(2 * max(round(share * side / 2), 8) for side in (camera.width, camera.height)))
    seen = target.image if target.image is not None else target.silhouette[..., None]  # type: ignore[index]
    beside = _colors(seen).permute(2, 0, 1)[None]
    beside = torch.nn.functional.interpolate(beside, (camera.height, camera.width), mode="area")[0].permute(1, 2, 0)
    chosen = torch.linspace(0, len(trail) - 1, min(count, len(trail))).round().long().tolist()
    for number in chosen:
        yield torch.cat([_render(inputs, trail[number][0], camera), beside], 1).numpy()


def _write_page(
    folder: Path, inputs: Inputs, solution: Solution, figures: dict[str, Any], shown: Sequence[tuple[Path, str]]
) -> None:
    names = [body.name for body in inputs.bodies.bodies]
    losses = {"loss": [(float(i + 1), cost) for i, (_, cost) in enumerate(solution.path)]}
    centers = [inputs.bodies.centers(poses) for poses, _ in solution.path]
    last = inputs.bodies.centers(solution.poses)
    paths = {
        name: [(float(i + 1), float((at[k] - last[k]).norm())) for i, at in enumerate(centers)]
        for k, name in enumerate(names)
    }
    flat = {
        f"{name}: {key}": value
        for name, entry in figures["objects"].items()
        for key, value in entry.items()
        if key != "object_to_world"
    }
    general = {key: figures[key] for key in ("cost", "steps", "seconds")}
    order = ", ".join(f"{a} hides {b}" for a, b in figures["hides"]) or "nothing hides anything"
    page = report.page(
        "VoGE: occlusion",
        report.text(f"Depth order: {order}. {' '.join(note + '.' for note in solution.warnings)}"),
        report.commands([f"voge occlusion --config {folder / 'config.yaml'} -o again"]),
        *(report.figure(path, caption) for path, caption in shown),
        report.curves(losses, "loss; levels of other resolutions differ in scale"),
        report.curves(paths, "distance of each object from where it ended, world units"),
        report.table({**general, **flat}),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def _write_json(path: Path, document: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
