"""The optimisation loop that fitting, occlusion reasoning and pose estimation share.

    optimiser = Optimiser({"means": Variable(start, Rate(value=0.01, final=0.1))}, steps=500)
    for step in optimiser.run(lambda number: {"image": image_loss(optimiser["means"])}):
        if step.number % 50 == 0:
            print(step.values())

The loop is a generator: whoever drives it logs, saves, shows and stops between steps. `state` and `load` carry
everything that the next step depends on, so that a resumed run goes on as the uninterrupted one would have.
Variables are unconstrained; `voge.fitting.parameters` maps them to ellipsoids, cameras and poses that are always valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor

BETAS = (0.9, 0.99)  # 0.99: gradients of few views a step change from step to step; torch's 0.999 lags behind them
EPSILON = 1e-15  # as in 3DGS: gradients of a mean over pixels are small, and steps should not depend on their scale
CHECKED_ON_GPU = 10  # steps between looks at the device for values that are not finite: each look waits for it


class DivergedError(ArithmeticError):
    """A loss or a gradient is not finite: names it and the step."""

    def __init__(self, name: str, step: int) -> None:
        super().__init__(f"{name} is not finite at step {step}")
        self.name, self.step = name, step


class Course(str, Enum):
    """How a rate changes from its first to its last value."""

    exponential = "exponential"
    cosine = "cosine"
    linear = "linear"


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The learning rate of a variable over the steps of a run.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    value: float  # in the variable's units a step: Adam moves by about this much
    final: float = 1.0  # at the last step, as part of `value`
    course: Course = Course.exponential
    start: float = 0.0  # part of the steps before which the variable stands still, 0 to 1
    warmup: float = 0.0  # part of the steps over which the rate grows from 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "course", Course(self.course))
        if not 0 <= self.value < math.inf:
            raise ValueError(f"value of a rate must be at least 0 and finite, got {self.value}")
        if not 0 < self.final <= 1:
            raise ValueError(f"final must be above 0 and at most 1, got {self.final}")
        if not 0 <= self.start <= 1 or not 0 <= self.warmup <= 1:
            raise ValueError(f"start and warmup must lie between 0 and 1, got {self.start} and {self.warmup}")

    def at(self, step: int, steps: int) -> float:
        """The rate of a step, counted from 0, of so many."""
        done = step / max(steps - 1, 1)
        if done < self.start:
            return 0.0
        part = (done - self.start) / (1 - self.start) if self.start < 1 else 1.0
        grown = min((step + 1) / (self.warmup * steps), 1.0) if self.warmup else 1.0
        if self.course is Course.exponential:
            factor = self.final**part
        elif self.course is Course.cosine:
            factor = self.final + (1 - self.final) * (1 + math.cos(math.pi * part)) / 2
        else:
            factor = 1 + (self.final - 1) * part
        return self.value * grown * factor


@dataclass(frozen=True, eq=False)
class Variable:
    """What is optimised, and how fast."""

    value: Tensor  # any shape, floating point
    rate: Rate


@dataclass(frozen=True, eq=False)
class Step:
    """What a step tells."""

    number: int  # steps done, from 1
    terms: Mapping[str, Tensor]  # () each, detached, on the device: reading one waits for it

    def values(self) -> dict[str, float]:
        """The terms and their sum, `loss`, as numbers; waits for the device once."""
        numbers = torch.stack(list(self.terms.values())).tolist()
        return {"loss": math.fsum(numbers), **dict(zip(self.terms, numbers, strict=True))}


Loss = Callable[[int], Mapping[str, Tensor]]


class Optimiser:
    """Adam (Kingma & Ba 2015) over named variables, the count of steps and a source of randomness.

    Args:
        variables: by name; their values are copied.
        steps: how many there are in all: what the rates' courses refer to.
        seed: of `generator`, from which the caller draws whatever is random in a step.
        betas: of Adam.
    """

    def __init__(
        self,
        variables: Mapping[str, Variable],
        steps: int,
        *,
        seed: int = 0,
        betas: tuple[float, float] = BETAS,
    ) -> None:
        if not variables:
            raise ValueError("variables must have at least one; got none")
        self.steps, self.done = steps, 0
        self.generator = torch.Generator().manual_seed(seed)  # on the CPU, so that all devices draw the same
        self._rates = {name: variable.rate for name, variable in variables.items()}
        leaves = {name: v.value.detach().clone().requires_grad_() for name, v in variables.items()}
        groups = [{"params": [leaf], "name": name} for name, leaf in leaves.items()]
        self._adam = torch.optim.Adam(groups, lr=0.0, betas=betas, eps=EPSILON, fused=True)
        self._first_bad: Tensor | None = None  # (K,) steps, and -1 where all was finite
        self._watched: list[str] = []

    def __getitem__(self, name: str) -> Tensor:
        """The present value of a variable: a leaf that gradients flow to."""
        leaf: Tensor = self._group(name)["params"][0]
        return leaf

    def __contains__(self, name: str) -> bool:
        return any(group["name"] == name for group in self._adam.param_groups)

    @property
    def values(self) -> dict[str, Tensor]:
        """All variables by name."""
        return {group["name"]: group["params"][0] for group in self._adam.param_groups}

    def run(self, loss: Loss) -> Iterator[Step]:
        """Take the steps that are left, each on the sum of the terms of `loss(step)`, counted from 0; yield after each.

        A variable that no term depends on stands still.

        Raises:
            DivergedError: a term or a gradient is not finite. On the CPU the variables are those before the step;
                on a GPU this is noticed up to CHECKED_ON_GPU steps later, so save after `check`.
        """
        while self.done < self.steps:
            self._adam.zero_grad(set_to_none=True)
            terms = loss(self.done)
            torch.stack(list(terms.values())).sum().backward()
            self._watch(terms)
            for group in self._adam.param_groups:
                group["lr"] = self._rates[group["name"]].at(self.done, self.steps)
            self._adam.step()
            self.done += 1
            yield Step(self.done, {name: term.detach() for name, term in terms.items()})
        self.check()

    def check(self) -> None:
        """Wait for the device; raise DivergedError if any step so far had a value that was not finite."""
        if self._first_bad is None:
            return
        found = self._first_bad.tolist()
        bad = [(step, i) for i, step in enumerate(found) if step >= 0]
        if bad:
            step, i = min(bad)
            raise DivergedError(self._watched[i], step + 1)

    def _watch(self, terms: Mapping[str, Tensor]) -> None:
        gradients = {name: leaf.grad for name, leaf in self.values.items() if leaf.grad is not None}
        # A sum is finite only if all of it is.
        numbers = torch.stack([*(t.detach() for t in terms.values()), *(g.sum() for g in gradients.values())])
        watched = [*(f"loss term '{name}'" for name in terms), *(f"gradient of {name}" for name in gradients)]
        if self._first_bad is None or watched != self._watched:
            self.check()
            self._first_bad, self._watched = torch.full(numbers.shape, -1, device=numbers.device), watched
        good = numbers.isfinite()
        self._first_bad = torch.where(good | (self._first_bad >= 0), self._first_bad, self.done)
        if numbers.device.type == "cpu" or (self.done + 1) % CHECKED_ON_GPU == 0:
            self.check()

    # ---- Other numbers of rows, and state ----------------------------------------------------

    def rearrange(self, names: Sequence[str], rows: Tensor, fresh: Tensor) -> None:
        """Give variables other rows: a copy of each old row in `rows`; Adam's memory of the `fresh` ones is cleared.

        Args:
            names: of variables with one number of rows.
            rows: (M,) int64, where each new row comes from.
            fresh: (M,) bool.
        """
        for name in names:
            memory = self._adam.state.pop(self[name], {})
            self._replace(name, self[name].detach()[rows])
            if memory:
                for key in ("exp_avg", "exp_avg_sq"):
                    memory[key] = memory[key][rows]
                    memory[key][fresh] = 0
                self._adam.state[self[name]] = memory

    def state(self) -> dict[str, Tensor]:
        """Variables, Adam's memory, the count of steps and the generator, by flat names; copies on the CPU."""
        state = {"done": torch.tensor(self.done), "generator": self.generator.get_state()}
        for name, leaf in self.values.items():
            state[f"value/{name}"] = leaf
            state |= {f"{key}/{name}": tensor for key, tensor in self._adam.state.get(leaf, {}).items()}
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same variables, which may have other numbers of rows.

        Raises:
            ValueError: the state is of other variables; names them.
        """
        found = {key.removeprefix("value/") for key in state if key.startswith("value/")}
        if found != set(self.values):
            raise ValueError(f"the state is of {', '.join(sorted(found))}, not of {', '.join(sorted(self.values))}")
        self._adam.state.clear()
        for name, old in self.values.items():
            self._replace(name, state[f"value/{name}"].to(old))
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"{key}/{name}" in state]
            if keys:
                # Copies: Adam works in place.
                self._adam.state[self[name]] = {key: state[f"{key}/{name}"].to(old.device, copy=True) for key in keys}
        self.done = int(state["done"])
        self.generator.set_state(state["generator"])

    def _group(self, name: str) -> dict:
        return next(group for group in self._adam.param_groups if group["name"] == name)

    def _replace(self, name: str, value: Tensor) -> None:
        self._group(name)["params"][0] = value.clone().requires_grad_()
