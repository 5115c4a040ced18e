"""The loop that optimizing commands share: rates, resuming, other numbers of rows, values that are not finite."""

import pytest
import torch

from voge.errors import DivergedError
from voge.optim.optimizer import Optimizer, Variable
from voge.optim.settings import Course, Rate


def bowl(optimizer, target=1.0):
    """A loss that is least at the target, with noise of the optimizer's own source."""

    def loss(step):
        noise = torch.randn((), generator=optimizer.generator)
        return {"bowl": (optimizer["x"] - target).square().sum(), "tilt": 0.01 * noise * optimizer["x"].sum()}

    return loss


def made(steps=40, rate=0.1, **options):
    return Optimizer({"x": Variable(torch.zeros(3, 2), Rate(value=rate, final=0.1))}, steps, **options)


def test_steps_reach_the_least_loss():
    optimizer = made(100)
    *_, last = optimizer.run(bowl(optimizer))
    assert last.number == optimizer.done == 100
    torch.testing.assert_close(optimizer["x"].detach(), torch.ones(3, 2), atol=0.02, rtol=0)


def test_values_of_a_step_are_the_terms_and_their_sum():
    optimizer = made(1)
    (step,) = optimizer.run(lambda step: {"a": optimizer["x"].sum() + 2, "b": optimizer["x"].sum() + 3})
    assert step.values() == {"loss": 5.0, "a": 2.0, "b": 3.0}


def test_weights_are_of_the_gradient_and_of_what_is_told():
    optimizer = made(1)
    slopes = {}

    def loss(step):
        terms = {"a": optimizer["x"].sum() + 2, "b": 3 * optimizer["x"].sum() + 3}
        optimizer["x"].register_hook(lambda gradient: slopes.update(x=gradient))
        return terms

    (step,) = optimizer.run(loss, {"b": 0.5})
    assert step.values() == {"loss": 3.5, "a": 2.0, "b": 1.5}
    torch.testing.assert_close(slopes["x"], torch.full((3, 2), 2.5))


def test_steps_are_those_of_torchs_adam_with_a_rate_for_each_variable():
    starts = {"x": torch.linspace(-1, 1, 6).reshape(3, 2), "y": torch.tensor([0.3, -2.0])}
    rates = {"x": Rate(value=0.1, final=0.1), "y": Rate(value=0.02, course=Course.cosine, final=0.5)}
    optimizer = Optimizer({name: Variable(starts[name], rates[name]) for name in starts}, 30, betas=(0.8, 0.95))
    theirs = {name: start.clone().requires_grad_() for name, start in starts.items()}
    groups = [{"params": [leaf], "name": name} for name, leaf in theirs.items()]
    adam = torch.optim.Adam(groups, betas=(0.8, 0.95), eps=1e-15)
    cost = lambda v: ((v["x"] - 1) ** 4).sum() + (v["y"] * v["x"].sum()).cos().sum()  # noqa: E731
    for step in optimizer.run(lambda step: {"cost": cost(optimizer)}):
        adam.zero_grad()
        cost(theirs).backward()
        for group in adam.param_groups:
            group["lr"] = rates[group["name"]].at(step.number - 1, 30)
        adam.step()
    for name, leaf in theirs.items():
        torch.testing.assert_close(optimizer[name], leaf, atol=1e-5, rtol=0)


@pytest.mark.parametrize("stop", [1, 17, 39])
def test_a_loaded_state_goes_on_bit_by_bit(stop):
    whole = made()
    for _ in whole.run(bowl(whole)):
        pass
    first = made()
    for step in first.run(bowl(first)):
        if step.number == stop:
            break
    second = made(seed=5)
    second.load(first.state())
    assert second.done == stop
    for _ in second.run(bowl(second)):
        pass
    assert torch.equal(second["x"], whole["x"])


def test_a_state_is_a_copy():
    optimizer = made()
    steps = optimizer.run(bowl(optimizer))
    next(steps)
    state = optimizer.state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    next(steps)
    assert all(torch.equal(state[name], before[name]) for name in state)


def test_a_state_of_other_variables_is_refused():
    other = Optimizer({"y": Variable(torch.zeros(1), Rate(value=1.0))}, 1)
    with pytest.raises(ValueError, match="the state is of y, not of x"):
        made().load(other.state())


@pytest.mark.parametrize("course", list(Course))
def test_courses_go_from_the_first_to_the_last_rate(course):
    rate = Rate(value=2.0, final=0.1, course=course)
    rates = [rate.at(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(2.0)
    assert rates[-1] == pytest.approx(0.2)
    assert rates == sorted(rates, reverse=True)


def test_a_variable_with_a_late_start_stands_still_until_then():
    optimizer = Optimizer({"x": Variable(torch.zeros(1), Rate(value=0.1, start=0.5))}, 11)
    moved = [bool(optimizer["x"] != 0) for _ in optimizer.run(lambda step: {"x": (optimizer["x"] - 1).square().sum()})]
    assert moved == [False] * 5 + [True] * 6


def test_a_rate_warms_up():
    rate = Rate(value=1.0, warmup=0.1)
    assert [rate.at(step, 40) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"value": -1.0}, "value of a rate must be at least 0"),
        ({"value": 1.0, "final": 0.0}, "final must be above 0"),
        ({"value": 1.0, "start": 2.0}, "start must lie between 0 and 1"),
    ],
)
def test_a_rate_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Rate(**settings)


def test_a_term_that_is_not_finite_stops_before_the_step_and_names_both():
    optimizer = made()

    def loss(step):
        good = optimizer["x"].sum()
        return {"good": good, "bad": good / (0 if step == 6 else 1)}

    steps = optimizer.run(loss)
    for _ in range(6):
        next(steps)
    before = optimizer["x"].detach().clone()
    with pytest.raises(DivergedError, match="loss term 'bad' is not finite at step 7") as caught:
        next(steps)
    assert (caught.value.name, caught.value.step, optimizer.done) == ("loss term 'bad'", 7, 6)
    assert torch.equal(optimizer["x"], before)


def test_a_gradient_that_is_not_finite_names_its_variable():
    optimizer = made()
    with pytest.raises(DivergedError, match="gradient of x is not finite at step 1"):
        next(optimizer.run(lambda step: {"root": optimizer["x"].sqrt().sum()}))  # infinite slope at 0


def test_rearranged_rows_keep_their_memory_and_fresh_ones_have_none():
    optimizer = made()
    steps = optimizer.run(bowl(optimizer))
    next(steps)
    with torch.no_grad():
        optimizer["x"].copy_(torch.arange(6.0).reshape(3, 2))
    optimizer.rearrange(["x"], torch.tensor([2, 0, 0, 1]), torch.tensor([False, False, True, False]))
    assert optimizer["x"].tolist() == [[4, 5], [0, 1], [0, 1], [2, 3]]
    memory = optimizer.state()["exp_avg/x"]
    assert memory.shape == (4, 2)
    assert (memory != 0).all(1).tolist() == [True, True, False, True]
    next(steps)  # goes on with the new rows


def test_a_state_with_other_numbers_of_rows_loads():
    optimizer = made()
    next(optimizer.run(bowl(optimizer)))
    optimizer.rearrange(["x"], torch.tensor([0, 1, 2, 2]), torch.zeros(4, dtype=torch.bool))
    other = made()
    other.load(optimizer.state())
    assert other["x"].shape == (4, 2)
    next(other.run(bowl(other)))
