"""Operators of compiled code as torch sees them, without its dispatcher where nobody watches.

An operator is a function of one named tuple, whose fields are values or named tuples of values (`Geometry`, `Lists`).
Torch knows no names: it passes flat arguments. A `Form` knows the way there and back, and torch's schema is made
of the fields, so that the order stands once.

Torch takes longer to pass a call with a dozen arguments through its dispatcher and its registered formulas than a small
picture takes to render. The same functions are therefore called at once where the outcome is the same: where no
compiler, mode, transform or subclass of tensors is to see the operator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Generic, TypeVar, get_type_hints

import torch
from torch import Tensor

Given = TypeVar("Given", bound=tuple[Any, ...])
Made = TypeVar("Made")

# Tensors that calls at once may be given: no subclass, which might want to see the operator.
PLAIN = frozenset({Tensor, torch.nn.Parameter, type(None)})
# Types of fields in torch's schemas.
SCHEMA = {
    Tensor: "Tensor", Tensor | None: "Tensor?", tuple[Tensor, ...]: "Tensor[]",
    bool: "bool", int: "int", int | None: "int?", float: "float",
}  # fmt: skip


class Form(Generic[Given]):
    """The fields of a named tuple of values and named tuples, and the ways to flat values and back.

    Both ways are compiled from the fields, as Python makes named tuples: a render takes them several times.
    """

    flat: Callable[[Given], list[Any]]  # the values, those of inner tuples in their places
    named: Callable[[Sequence[Any]], Given]  # the tuple of flat values

    def __init__(self, kind: type[Given]) -> None:
        self.fields: list[tuple[str, Any]] = []  # names and types of the flat values
        self._kinds: dict[str, Any] = {"new": tuple.__new__}
        values: list[str] = []
        named = self._compile(kind, "given", values)
        self.flat = eval(f"lambda given: [{', '.join(values)}]")
        self.named = eval(f"lambda v: {named}", self._kinds)
        tensors = (i for i, (_, hint) in enumerate(self.fields) if hint in (Tensor, Tensor | None))
        self.tensors = itemgetter(*tensors)  # those of the flat values that are tensors, two at least
        self.at: Any = self.named(range(len(self.fields)))  # the same tuple, of numbers: where each value is in `flat`

    def _compile(self, kind: Any, place: str, values: list[str]) -> str:
        """Return what makes the tuple of the values in `v`; add what takes them out of `place`."""
        hints = get_type_hints(kind)
        name, start, parts = f"k{len(self._kinds)}", len(self.fields), []
        self._kinds[name] = kind
        if not any(hasattr(hint, "_fields") for hint in hints.values()):
            self.fields += hints.items()
            values.append(f"*{place}")
            return f"new({name}, v[{start}:{len(self.fields)}])"
        for field, hint in hints.items():
            if hasattr(hint, "_fields"):
                parts.append(self._compile(hint, f"{place}.{field}", values))
            else:
                parts.append(f"v[{len(self.fields)}]")
                values.append(f"{place}.{field}")
                self.fields.append((field, hint))
        return f"new({name}, ({', '.join(parts)},))"

    def schema(self) -> Iterator[str]:
        """Types and names of the values, in torch's words."""
        return (f"{SCHEMA[hint]} {name}" for name, hint in self.fields)


class Operator(Generic[Given, Made]):
    """A torch operator `voge::...`, made by `operator` of a function of one named tuple."""

    def __init__(
        self,
        name: str,
        run: Callable[[Given], Made],
        form: Form[Given],
        outputs: Form[Any] | None,
        result: str,
        devices: tuple[str, ...],
        keep: Callable[[Any, Given, Made], None],
        gradients: Callable[..., Sequence[Tensor | None]],
    ) -> None:
        self.name, self._run, self._inputs, self._outputs = f"voge::{name}", run, form, outputs
        self._named: Callable[[Any], Any] = outputs.named if outputs else lambda output: output
        count = len(form.fields)

        def run_flat(*values: Any) -> Any:
            return self._flat(run(form.named(values)))

        def keep_flat(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
            keep(ctx, form.named(inputs), self._named(output))

        def backward(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
            found = gradients(ctx, *given)
            return *found, *[None] * (count - len(found))

        # Not by `torch.library.custom_op`, which would import a compiler on first use: one second.
        torch.library.define(self.name, f"({', '.join(form.schema())}) -> {result}")
        torch.library.impl(self.name, devices)(run_flat)
        torch.library.register_autograd(self.name, backward, setup_context=keep_flat)
        self._registered = getattr(torch.ops.voge, name).default

        def forward(ctx: Any, *values: Any) -> Any:
            given = values[-1]  # once more, with names
            output = run(given)
            keep(ctx, given, output)
            return self._flat(output)

        def backward_at_once(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
            return *backward(ctx, *given), None

        methods = {"forward": staticmethod(forward), "backward": staticmethod(backward_at_once)}
        function: Any = type(name, (torch.autograd.Function,), methods)
        # Past Function.apply, half of whose time goes to looking for the transforms that `__call__` has ruled out.
        self._differentiably = super(torch.autograd.Function, function).apply  # type: ignore[misc]

    def _flat(self, output: Any) -> Any:
        return output if self._outputs is None else tuple(self._outputs.flat(output))

    def fake(self, shapes: Callable[[Given], Made]) -> None:
        """Tell torch the outputs' shapes, by a function of the same named tuple."""
        torch.library.register_fake(self.name, lambda *values: self._flat(shapes(self._inputs.named(values))))

    def __call__(self, given: Given) -> Made:
        """Return the output; differentiable where the operator is."""
        values = self._inputs.flat(given)
        if torch.compiler.is_compiling():
            return self._through_torch(values)
        tensors = self._inputs.tensors(values)
        if (
            torch._C._len_torch_dispatch_stack()
            or torch._C._are_functorch_transforms_active()
            or torch._C._get_tracing_state() is not None
            or not PLAIN.issuperset(map(type, tensors))
        ):
            return self._through_torch(values)
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            output: Made = self._named(self._differentiably(*values, given))
            return output
        return self._run(given)

    def _through_torch(self, values: list[Any]) -> Made:
        output: Made = self._named(self._registered(*values))
        return output


def _keep_nothing(ctx: Any, given: Any, output: Any) -> None:
    pass


def _refuse(ctx: Any, *gradients: Any) -> Any:
    raise RuntimeError("compiled code has no gradients of gradients: use backend torch")


def operator(
    name: str,
    devices: tuple[str, ...] = ("cpu", "cuda"),
    keep: Callable[..., None] = _keep_nothing,
    gradients: Callable[..., Sequence[Tensor | None]] = _refuse,
) -> Callable[[Callable[[Given], Made]], Operator[Given, Made]]:
    """Register the function that follows, of one named tuple, as a torch operator.

    Args:
        name: of the operator. Its schema comes from the annotations of the function and of the named tuples.
        devices: where the function runs.
        keep: called as keep(ctx, inputs, output) after it, both with names.
        gradients: gradients(ctx, *gradients of the flat outputs) gives those of the first inputs, in their flat order;
            the other inputs have none.
    """

    def register(run: Callable[[Given], Made]) -> Operator[Given, Made]:
        hints = get_type_hints(run)
        made = hints.pop("return")
        (given,) = hints.values()
        outputs = Form(made) if hasattr(made, "_fields") else None
        result = SCHEMA[made] if outputs is None else f"({', '.join(SCHEMA[hint] for _, hint in outputs.fields)})"
        return Operator(name, run, Form(given), outputs, result, devices, keep, gradients)

    return register
