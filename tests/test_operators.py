"""What a call costs the host, by counting; and what torch may do with the operators."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from scenes import cameras, random_ellipsoids
from torch import Tensor
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.utils._python_dispatch import TorchDispatchMode

import voge
from voge.rendering import compiled_pictures
from voge.rendering.settings import Backend

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import idle


@pytest.fixture
def idle_cuda() -> Iterator[None]:
    """Renders take the way of CUDA, and nothing is computed."""
    with idle.idle_cuda():
        yield


def step(poses: bool, capacity: int | None = None) -> Callable[[], Any]:
    """One forward + backward, of which all but the call of `render` is done."""
    e, c = random_ellipsoids(12).map(lambda t: t.requires_grad_()), cameras(4, 4)
    if poses:
        c = replace(c, viewmats=c.viewmats.requires_grad_(), Ks=c.Ks.clone().requires_grad_())
    s, gradient = voge.RenderSettings(list_capacity=capacity), torch.ones(1, 4, 4, 3, dtype=torch.float64)
    return lambda: voge.render(e, c, s).image.backward(gradient)


def operators(work: Callable[[], Any]) -> Counter[str]:
    """What torch runs, with what that runs in turn."""
    work()
    with torch.autograd.profiler.profile() as profile:
        work()
    return Counter(event.name for event in profile.function_events)


def calls(work: Callable[[], Any]) -> int:
    """Functions called on this thread, those of Python's own types included."""
    count = 0

    def see(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    work()
    sys.setprofile(see)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("poses", "capacity", "most"), [(False, None, 75), (True, None, 88), (False, 100, 85)])
def test_a_step_is_a_few_dozen_operators(idle_cuda, poses, capacity, most):
    """Allocations for the most part. None of ours goes through torch's dispatcher, whose calls from Python are slow."""
    found = operators(step(poses, capacity))
    assert sum(count for name, count in found.items() if name.startswith("aten::")) <= most
    assert [name for name in found if name.startswith("voge::")] == []
    assert found["render"] == found["renderBackward"] == 1


@pytest.mark.parametrize(("poses", "most"), [(False, 420), (True, 480)])
def test_a_step_is_a_few_hundred_calls(idle_cuda, poses, most):
    assert calls(step(poses)) <= most


def test_calls_of_cuda_have_the_arguments_of_the_interface(idle_cuda):
    """The idle library counts them."""
    step(poses=True)()
    torch.use_deterministic_algorithms(True)
    try:
        step(poses=True, capacity=10)()
    finally:
        torch.use_deterministic_algorithms(False)
    e = random_ellipsoids(12).map(lambda t: t.requires_grad_())
    f = voge.trace(e, cameras(4, 4))
    (
        f.weight.sum() + f.interpolate(e.density[:, None]).sum() + f.sample(torch.ones(1, 4, 4, 2).double())[0].sum()
    ).backward()
    assert e.density.grad is not None


def test_what_needs_no_gradient_leaves_no_graph(idle_cuda):
    e, c = random_ellipsoids(12), cameras(4, 4)
    assert not voge.render(e, c).image.requires_grad
    assert operators(lambda: voge.render(e, c))["render"] == 0


def test_values_keep_their_names_on_the_way_to_torch_and_back():
    """Torch knows the order alone, which stands once: in the named tuples."""
    form = compiled_pictures.RENDER
    values = list(range(len(form.fields)))
    named = form.named(values)
    assert form.flat(named) == values
    assert [name for name, _ in form.fields][named.rays.directions] == "directions"
    assert named.numbers.eta == form.at.numbers.eta == values[named.numbers.eta]
    schema = torch.ops.voge.render.default._schema
    assert [argument.name for argument in schema.arguments] == [name for name, _ in form.fields]


# ---------------------------------------------------------------------------------------------
# Torch sees the operators where it wants to


class Seen(TorchDispatchMode):
    """The names of our operators, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "voge":
            self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


def loss_and_gradients(compiled_backend: Backend, draw: Callable[..., Any] = voge.render) -> list[Tensor]:
    e, c = random_ellipsoids(12), cameras(8, 6)
    leaves = [t.clone().requires_grad_() for t in (e.means, e.features, c.viewmats)]
    e, c = replace(e, means=leaves[0], features=leaves[1]), replace(c, viewmats=leaves[2])
    made = draw(e, c, voge.RenderSettings(backend=compiled_backend))
    loss = made.image.square().sum() + made.alpha.sum()
    return [loss, *torch.autograd.grad(loss, leaves)]


def test_dispatch_modes_see_the_operators_and_change_nothing(compiled_backend):
    expected = loss_and_gradients(compiled_backend)
    with Seen() as seen:
        found = loss_and_gradients(compiled_backend)
    assert [name for name in seen.names if "rays" not in name] == ["render", "render_backward"]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_products_work_out_no_gradient_that_nobody_wants(compiled_backend):
    f = voge.trace(random_ellipsoids(12), cameras(8, 6), voge.RenderSettings(backend=compiled_backend))
    attributes, image = (
        torch.ones(shape, dtype=f.weight.dtype, requires_grad=True) for shape in ((12, 2), (1, 6, 8, 2))
    )
    with Seen() as seen:
        f.interpolate(attributes).sum().backward()
        f.sample(image)[0].sum().backward()
    assert seen.names == ["gather", "scatter", "scatter", "gather"]


def test_fake_tensors_have_the_shapes_of_the_pictures(compiled_backend):
    with FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True):  # sizes that depend on data
        made = voge.render(random_ellipsoids(3), cameras(8, 6, 2), voge.RenderSettings(backend=compiled_backend))
    assert isinstance(made.image, FakeTensor)
    assert made.image.shape == (2, 6, 8, 3)
    assert made.alpha.shape == made.depth.shape == (2, 6, 8)


def test_torch_compiles_a_render_without_a_break(compiled_backend):
    expected = loss_and_gradients(compiled_backend)
    draw = torch.compile(voge.render, fullgraph=True, backend="aot_eager")
    for a, b in zip(loss_and_gradients(compiled_backend, draw), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", [nullcontext, Seen])
def test_gradients_of_gradients_are_refused(compiled_backend, mode):
    e, c = random_ellipsoids(3), cameras(4, 4)
    leaf = e.means.clone().requires_grad_()
    with mode():
        image = voge.render(replace(e, means=leaf), c, voge.RenderSettings(backend=compiled_backend)).image
        (gradient,) = torch.autograd.grad(image.square().sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="no gradients of gradients: use backend torch"):
            torch.autograd.grad(gradient.sum(), leaf)
