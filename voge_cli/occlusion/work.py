"""The work of `voge occlusion` in its run folder: logged, saved, resumed.

Either method leaves a line of metrics.jsonl a step, with the poses in it, so that the paths of the objects and the
video are made of what was logged, by whichever run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from voge.errors import DataError
from voge.occlusion import GradientDescent, Method
from voge.occlusion.solver import Ladder, Phase, State, advance, begin
from voge_cli.console import Console
from voge_cli.occlusion.inputs import Inputs
from voge_cli.occlusion.schema import OcclusionConfig
from voge_cli.runs import CHECKPOINT, RunFolder, drive, leave, signals_wait

Trail = list[tuple[Tensor, float]]


def solve_run(inputs: Inputs, config: OcclusionConfig, run: RunFolder, console: Console) -> tuple[float, Tensor, Trail]:
    """Seconds spent, the poses (O, 4, 4) found, and the way there: poses and losses."""
    if config.solve.method is Method.gradient:
        seconds, poses = _descend(inputs, config, run, console)
    else:
        seconds, poses = _solve(inputs, config, run, console)
    trail = [(torch.tensor(line["poses"], dtype=torch.float64), line["loss"]) for line in run.lines()]
    return seconds, poses, trail


def _descend(inputs: Inputs, config: OcclusionConfig, run: RunFolder, console: Console) -> tuple[float, Tensor]:
    descent = GradientDescent(inputs.bodies, inputs.targets, config.problem)
    checkpoint = run.load()
    if checkpoint is not None:
        descent.optimizer.load(checkpoint.state)
    run.rewind(descent.optimizer.done)
    spent = float(checkpoint.facts.get("seconds", 0.0)) if checkpoint else 0.0
    seconds = drive(
        descent.run(),
        descent.optimizer,
        _PosedRun(run.path, run.command, descent),
        console,
        label="occlusion",
        log_every=config.log_every,
        save_every=config.save_every,
        seconds=spent,
    )
    return seconds, descent.poses


@dataclass(frozen=True)
class _PosedRun(RunFolder):
    """A run folder whose lines have the poses in them."""

    descent: GradientDescent

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        super().append({**line, "poses": self.descent.poses.tolist()})


def _solve(inputs: Inputs, config: OcclusionConfig, run: RunFolder, console: Console) -> tuple[float, Tensor]:
    settings = config.problem
    ladder = Ladder.of(inputs.targets, settings)
    checkpoint = run.load()
    state = begin(inputs.bodies, settings) if checkpoint is None else _state(run, checkpoint.state, checkpoint.facts)
    step = int(checkpoint.facts["step"]) if checkpoint else 0
    earlier = float(checkpoint.facts["seconds"]) if checkpoint else 0.0
    run.rewind(step)
    began = time.monotonic()
    with signals_wait() as caught:
        while state.phase is not Phase.done:
            doing = state.phase.value
            state = advance(inputs.bodies, ladder, settings, state)
            seconds = round(earlier + time.monotonic() - began, 3)
            for poses, cost in state.trace:
                step += 1
                line = {"step": step, "seconds": seconds, "phase": doing, "loss": cost, "poses": poses.tolist()}
                run.append(line)
            console.detail(f"{doing}: loss {state.cost:.3g} after {step} steps, {seconds:.1f} s")
            run.save(*_saved(state, step, seconds))
            if caught and state.phase is not Phase.done:
                leave(caught[0], step, run, console)
    return earlier + time.monotonic() - began, state.poses


def _saved(state: State, step: int, seconds: float) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A state as tensors and plain values."""
    tensors = {"poses": state.poses}
    facts: dict[str, Any] = {
        "step": step,
        "seconds": seconds,
        "phase": state.phase.value,
        "number": state.number,
        "round": state.round,
        "placed": list(state.placed),
        "cost": state.cost,
        "earlier": state.earlier,
        "attempt": state.attempt,
    }
    if state.best is not None:
        tensors["best"], facts["best"] = state.best
    return tensors, facts


def _state(run: RunFolder, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> State:
    """The state that was saved."""
    try:
        return State(
            tensors["poses"],
            Phase(facts["phase"]),
            facts["number"],
            facts["round"],
            tuple(facts["placed"]),
            facts["cost"],
            facts["earlier"],
            facts["attempt"],
            (tensors["best"], facts["best"]) if "best" in tensors else None,
        )
    except (KeyError, ValueError) as error:
        raise DataError(run.path / CHECKPOINT, f"is of another method ({error})", "start again") from error
