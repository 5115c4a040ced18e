"""The optimization loop that fitting, occlusion reasoning and pose estimation share.

    optimizer = Optimizer({"means": Variable(start, Rate(value=0.01, final=0.1))}, steps=500)
    for step in optimizer.run(lambda number: {"image": image_loss(optimizer["means"])}):
        if step.number % 50 == 0:
            print(step.values())

The loop is a generator: whoever drives it logs, saves, shows and stops between steps. `state` and `load` carry
everything that the next step depends on, so that a resumed run goes on as the uninterrupted one would have.
Variables are unconstrained; `voge.fitting.parameters` maps them to ellipsoids, cameras and poses that are always valid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from voge.errors import DivergedError
from voge.optim.settings import Rate

BETAS = (0.9, 0.99)  # 0.99: gradients of few views a step change from step to step; torch's 0.999 lags behind them
# Of Kingma and Ba's section 2, epsilon-hat. As in 3DGS: gradients of a mean over pixels are small, and steps should
# not depend on their scale.
EPSILON = 1e-15
CHECKED_ON_GPU = 10  # steps between looks at the device for values that are not finite: each look waits for it


@dataclass(frozen=True, eq=False)
class Variable:
    """A tensor that is optimized, and its rate."""

    value: Tensor  # any shape, floating point
    rate: Rate


@dataclass(frozen=True, eq=False)
class Step:
    """Report of a step."""

    number: int  # steps done, from 1
    terms: Mapping[str, Tensor]  # () each, unweighted, detached, on the device: reading one waits for it
    weights: Mapping[str, float] = field(default_factory=dict)  # of the terms; 1 where it has none

    def values(self) -> dict[str, float]:
        """The weighted terms and their sum, `loss`, as numbers; waits for the device once."""
        numbers = torch.stack(list(self.terms.values())).tolist()
        terms = {name: self.weights.get(name, 1.0) * n for name, n in zip(self.terms, numbers, strict=True)}
        return {"loss": math.fsum(terms.values()), **terms}


Loss = Callable[[int], Mapping[str, Tensor]]


@dataclass(eq=False)
class _Memory:
    """State that Adam keeps of a variable."""

    exp_avg: Tensor  # of its gradients
    exp_avg_sq: Tensor  # of their squares
    step: int = 0  # steps with a gradient so far


class Optimizer:
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
        self._betas = betas
        self._leaves = {name: v.value.detach().clone().requires_grad_() for name, v in variables.items()}
        self._memory: dict[str, _Memory] = {}  # of the variables that have had a gradient
        self._unchecked: list[tuple[int, list[str], Tensor]] = []  # steps, with names of their numbers
        self._units: dict[tuple[object, ...], Tensor] = {}  # what gradients start from, by weight, dtype and device

    def __getitem__(self, name: str) -> Tensor:
        """The present value of a variable: a leaf that gradients flow to."""
        return self._leaves[name]

    def __contains__(self, name: str) -> bool:
        return name in self._leaves

    @property
    def values(self) -> dict[str, Tensor]:
        """All variables by name."""
        return dict(self._leaves)

    def run(self, loss: Loss, weights: Mapping[str, float] | None = None) -> Iterator[Step]:
        """Take the steps that are left, each on the sum of the terms of `loss(step)`, counted from 0; yield after each.

        A variable that no term depends on stands still. `weights` are of terms by name, 1 without.

        Raises:
            DivergedError: a term or a gradient is not finite. On the CPU the variables are those before the step;
                on a GPU this is noticed up to CHECKED_ON_GPU steps later, so save after `check`.
        """
        weights = weights or {}
        while self.done < self.steps:
            for leaf in self._leaves.values():
                leaf.grad = None
            terms = loss(self.done)
            # Weighted where the gradient starts, which takes no operators.
            sought = {name: term for name, term in terms.items() if term.requires_grad}
            units = [self._unit(term, weights.get(name, 1.0)) for name, term in sought.items()]
            torch.autograd.backward(list(sought.values()), units)
            gradients = {name: leaf.grad for name, leaf in self._leaves.items() if leaf.grad is not None}
            found = self._watch(terms, gradients)
            self._adam(gradients)
            self.done += 1
            yield Step(self.done, found, weights)
        self.check()

    def check(self) -> None:
        """Wait for the device; raise DivergedError if any step so far had a value that was not finite."""
        if not self._unchecked:
            return
        unchecked, self._unchecked = self._unchecked, []
        numbers = iter(torch.cat([found for _, _, found in unchecked]).tolist())
        for step, names, _ in unchecked:
            for name in names:
                if not math.isfinite(next(numbers)):
                    raise DivergedError(name, step)

    def _watch(self, terms: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The terms, detached; they and the largest entry of each gradient are noted for `check`."""
        names = [*(f"loss term '{name}'" for name in terms), *(f"gradient of {name}" for name in gradients)]
        largest = torch._foreach_norm(list(gradients.values()), math.inf)
        numbers = torch.stack([*terms.values(), *largest]).detach()
        self._unchecked.append((self.done + 1, names, numbers))
        if numbers.device.type == "cpu" or (self.done + 1) % CHECKED_ON_GPU == 0:
            self.check()
        return dict(zip(terms, numbers.unbind(), strict=False))

    @torch.no_grad()
    def _adam(self, gradients: Mapping[str, Tensor]) -> None:
        """Move all variables at once, each by its own rate."""
        # Not torch's own: that walks through its Python for every rate, in every step, and loads a compiler (1.8 s of
        # every run) the first time.
        leaves, slopes = [self._leaves[name] for name in gradients], list(gradients.values())
        for name, leaf in zip(gradients, leaves, strict=True):
            if name not in self._memory:
                self._memory[name] = _Memory(torch.zeros_like(leaf), torch.zeros_like(leaf))
        memories = [self._memory[name] for name in gradients]
        first, second = [m.exp_avg for m in memories], [m.exp_avg_sq for m in memories]
        slow, slower = self._betas
        torch._foreach_lerp_(first, slopes, 1 - slow)
        torch._foreach_mul_(second, slower)
        torch._foreach_addcmul_(second, slopes, slopes, 1 - slower)
        moves = []
        for name, memory in zip(gradients, memories, strict=True):
            memory.step += 1
            corrected = math.sqrt(1 - slower**memory.step) / (1 - slow**memory.step)
            moves.append(-self._rates[name].at(self.done, self.steps) * corrected)
        roots = torch._foreach_sqrt(second)
        torch._foreach_add_(roots, EPSILON)
        torch._foreach_addcdiv_(leaves, first, roots, moves)

    def _unit(self, term: Tensor, weight: float) -> Tensor:
        key = (weight, term.dtype, term.device)
        if key not in self._units:
            self._units[key] = torch.full_like(term, weight, requires_grad=False)
        return self._units[key]

    # ---- Other numbers of rows, and state ----------------------------------------------------

    def rearrange(self, names: Sequence[str], rows: Tensor, fresh: Tensor) -> None:
        """Give variables other rows: a copy of each old row in `rows`; Adam's memory of the `fresh` ones is cleared.

        Args:
            names: of variables with one number of rows.
            rows: (M,) int64, where each new row comes from.
            fresh: (M,) bool.
        """
        for name in names:
            self._leaves[name] = self[name].detach()[rows].requires_grad_()
            if memory := self._memory.get(name):
                for key in ("exp_avg", "exp_avg_sq"):
                    kept = getattr(memory, key)[rows]
                    kept[fresh] = 0
                    setattr(memory, key, kept)

    def state(self) -> dict[str, Tensor]:
        """Variables, Adam's memory, the count of steps and the generator, by flat names; copies on the CPU."""
        state = {"done": torch.tensor(self.done), "generator": self.generator.get_state()}
        for name, leaf in self.values.items():
            state[f"value/{name}"] = leaf
        for name, memory in self._memory.items():
            state |= {f"exp_avg/{name}": memory.exp_avg, f"exp_avg_sq/{name}": memory.exp_avg_sq}
            state[f"step/{name}"] = torch.tensor(memory.step)
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state of the same variables, which may have other numbers of rows.

        Raises:
            ValueError: the state is of other variables; names them.
        """
        found = {key.removeprefix("value/") for key in state if key.startswith("value/")}
        if found != set(self.values):
            raise ValueError(f"the state is of {', '.join(sorted(found))}, not of {', '.join(sorted(self.values))}")
        # Copies: Adam works in place.
        copies = {name: state[f"value/{name}"].to(old, copy=True) for name, old in self._leaves.items()}
        self._leaves = {name: value.requires_grad_() for name, value in copies.items()}
        self._memory = {
            name: _Memory(
                state[f"exp_avg/{name}"].to(leaf, copy=True),
                state[f"exp_avg_sq/{name}"].to(leaf, copy=True),
                int(state[f"step/{name}"]),
            )
            for name, leaf in self._leaves.items()
            if f"step/{name}" in state
        }
        self.done = int(state["done"])
        self.generator.set_state(state["generator"])
