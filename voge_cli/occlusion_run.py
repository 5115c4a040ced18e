"""The run of `voge occlusion` in its folder, logged, saved and resumed, and the page that shows it.

Either method writes a line of metrics.jsonl for each step, with the poses in it. The paths of the objects and the video
are made of these lines, so a resumed run shows the whole way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from voge.errors import DataError
from voge.occlusion import GradientDescent, Method, Problem, SolvedScene
from voge.occlusion.solver import Ladder, Phase, State, advance, begin
from voge_cli import report
from voge_cli.console import Console
from voge_cli.runs import CHECKPOINT, RunFolder, drive, leave, signals_wait

if TYPE_CHECKING:
    from voge_cli.commands.occlusion import OcclusionConfig

Trail = list[tuple[Tensor, float]]


def solve_run(
    problem: Problem, config: OcclusionConfig, run: RunFolder, console: Console
) -> tuple[float, Tensor, Trail]:
    """Seconds spent, the poses (O, 4, 4) found, and the way there: poses and losses."""
    solve = _descend if config.solve.method is Method.gradient else _solve
    seconds, poses = solve(problem, config, run, console)
    trail = [(torch.tensor(line["poses"], dtype=torch.float64), line["loss"]) for line in run.lines()]
    return seconds, poses, trail


def _descend(problem: Problem, config: OcclusionConfig, run: RunFolder, console: Console) -> tuple[float, Tensor]:
    descent = GradientDescent(problem.bodies, problem.targets, config.problem)
    checkpoint = run.load()
    if checkpoint is not None:
        descent.optimizer.load(checkpoint.state)
    run.rewind(descent.optimizer.done)
    seconds = drive(
        descent.run(),
        descent.optimizer,
        _PosedRun(run.path, run.command, descent),
        console,
        label="occlusion",
        log_every=config.log_every,
        save_every=config.save_every,
        seconds=float(checkpoint.facts.get("seconds", 0.0)) if checkpoint else 0.0,
    )
    return seconds, descent.poses


@dataclass(frozen=True)
class _PosedRun(RunFolder):
    """A run folder whose lines have the poses in them."""

    descent: GradientDescent

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        super().append({**line, "poses": self.descent.poses.tolist()})


def _solve(problem: Problem, config: OcclusionConfig, run: RunFolder, console: Console) -> tuple[float, Tensor]:
    settings = config.problem
    ladder = Ladder.of(problem.targets, settings)
    checkpoint = run.load()
    state = begin(problem.bodies, settings) if checkpoint is None else _state(run, checkpoint.state, checkpoint.facts)
    step = int(checkpoint.facts["step"]) if checkpoint else 0
    earlier = float(checkpoint.facts["seconds"]) if checkpoint else 0.0
    run.rewind(step)
    began = time.monotonic()
    with signals_wait() as caught:
        while state.phase is not Phase.done:
            doing = state.phase.value
            state = advance(problem.bodies, ladder, settings, state)
            seconds = round(earlier + time.monotonic() - began, 3)
            for poses, cost in state.trace:
                step += 1
                line = {"step": step, "seconds": seconds, "phase": doing, "loss": cost, "poses": poses.tolist()}
                run.append(line)
            console.detail(f"{doing}: loss {state.cost:.3g} after {step} steps, {seconds:.1f} s")
            tensors, facts = state.saved()
            run.save(tensors, {**facts, "step": step, "seconds": seconds})
            if caught and state.phase is not Phase.done:
                leave(caught[0], step, run, console)
    return earlier + time.monotonic() - began, state.poses


def _state(run: RunFolder, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> State:
    try:
        return State.restored(tensors, facts)
    except (KeyError, ValueError) as error:
        raise DataError(run.path / CHECKPOINT, f"is of another method ({error})", "start again") from error


def write_page(
    folder: Path, solved: SolvedScene, figures: Mapping[str, Any], shown: Sequence[tuple[Path, str]]
) -> None:
    """Write report.html of the figures, and of pictures with their captions."""
    bodies, solution = solved.problem.bodies, solved.solution
    losses = {"loss": [(float(i + 1), cost) for i, (_, cost) in enumerate(solution.path)]}
    last = bodies.centers(solution.poses)
    away = [(bodies.centers(poses) - last).norm(dim=1).tolist() for poses, _ in solution.path]
    paths = {
        name: [(float(i + 1), distances[k]) for i, distances in enumerate(away)]
        for k, name in enumerate(solved.problem.names)
    }
    flat = {
        f"{name}: {key}": value
        for name, entry in figures["objects"].items()
        for key, value in entry.items()
        if key != "object_to_world"
    }
    order = ", ".join(f"{a} hides {b}" for a, b in figures["hides"]) or "nothing hides anything"
    page = report.page(
        "VoGE: occlusion",
        report.text(f"Depth order: {order}. {' '.join(note + '.' for note in solution.warnings)}"),
        report.commands([f"voge occlusion --config {folder / 'config.yaml'} -o again"]),
        *(report.figure(path, caption) for path, caption in shown),
        report.curves(losses, "loss; levels of other resolutions differ in scale"),
        report.curves(paths, "distance of each object from where it ended, world units"),
        report.table({**{key: figures[key] for key in ("cost", "steps", "seconds")}, **flat}),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
