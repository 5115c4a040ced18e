"""Operators of compiled code as torch sees them, without its dispatcher where nobody watches.

Torch takes longer to pass a call with a dozen arguments through its dispatcher and its registered formulas than a small
picture takes to render. The same functions are therefore called at once where the outcome is the same: where no
compiler, mode, transform or subclass of tensors is to see the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# What calls at once may be given: no subclass of a tensor, which might want to see the operator.
PLAIN = frozenset({Tensor, torch.nn.Parameter, int, float, bool, list, type(None)})


class Operator:
    """A torch operator `voge::...`, made by `operator` of a function that takes its inputs in the schema's order."""

    def __init__(
        self,
        schema: str,
        run: Callable[..., Any],
        devices: tuple[str, ...],
        keep: Callable[..., None],
        gradients: Callable[..., Any],
    ) -> None:
        # Not by `torch.library.custom_op`, which would import a compiler on first use: one second.
        name, signature = schema.split("(", 1)
        self.name = f"voge::{name}"
        torch.library.define(self.name, f"({signature}")
        torch.library.impl(self.name, devices)(run)
        torch.library.register_autograd(self.name, gradients, setup_context=keep)
        self._registered = getattr(torch.ops.voge, name).default

        def forward(ctx: Any, *inputs: Any) -> Any:
            output = run(*inputs)
            keep(ctx, inputs, output)
            return output

        methods = {"forward": staticmethod(forward), "backward": staticmethod(gradients)}
        function: Any = type(name, (torch.autograd.Function,), methods)
        self._run = run
        # Past Function.apply, half of whose time goes to looking for the transforms that `__call__` has ruled out.
        self._differentiably = super(torch.autograd.Function, function).apply  # type: ignore[misc]

    def fake(self, shapes: Callable[..., Any]) -> None:
        """Tell torch the outputs' shapes, by a function of the same inputs."""
        torch.library.register_fake(self.name, shapes)

    def __call__(self, *inputs: Any) -> Any:
        """The output; differentiable where the operator is."""
        if (
            torch.compiler.is_compiling()
            or torch._C._len_torch_dispatch_stack()
            or torch._C._are_functorch_transforms_active()
            or torch.jit.is_tracing()
            or not PLAIN.issuperset(map(type, inputs))
        ):
            return self._registered(*inputs)
        if torch.is_grad_enabled() and any(isinstance(i, Tensor) and i.requires_grad for i in inputs):
            return self._differentiably(*inputs)
        return self._run(*inputs)


def _keep_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    pass


def _refuse(ctx: Any, *gradients: Any) -> None:
    raise RuntimeError("compiled code has no gradients of gradients: use backend torch")


def operator(
    schema: str,
    devices: tuple[str, ...] = ("cpu", "cuda"),
    keep: Callable[..., None] = _keep_nothing,
    gradients: Callable[..., Any] = _refuse,
) -> Callable[[Callable[..., Any]], Operator]:
    """Register the function that follows as a torch operator.

    Args:
        schema: as torch writes it, "name(Tensor means, ...) -> Tensor".
        devices: where the function runs.
        keep: called as keep(ctx, inputs, output) after it.
        gradients: of the inputs, from gradients(ctx, *gradients of the outputs).
    """
    return lambda run: Operator(schema, run, devices, keep, gradients)
