"""Fixtures: every test that takes `backend` runs on each of them."""

import pytest
import torch

from voge import ops
from voge.settings import Backend


def available(name: str) -> Backend:
    """The backend, or a skip that gives the reason."""
    state = ops.status()[name]
    if not state.available:
        pytest.skip(f"backend {name}: {state.reason}")
    return Backend(name)


@pytest.fixture(params=["torch", "cpp"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that is available here."""
    return available(request.param)


@pytest.fixture(params=["cpp"])
def compiled_backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend but the definition, `torch`."""
    return available(request.param)


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each of several test processes: they share the cores."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)
