"""Fixtures: every test that takes `backend` runs on each of them."""

import os
from collections.abc import Iterator

import pytest
import torch

from voge.rendering import ops
from voge.rendering.settings import Backend

# `make test-gpu` asks for cuda; a backend asked for by name that is not there is an error, not a skip.
ASKED = os.environ.get("VOGE_TEST_BACKENDS")
BACKENDS = ASKED.split(",") if ASKED else ["torch", "cpp"]


def available(name: str) -> Iterator[Backend]:
    """The backend, with its device as the default for new tensors; or a skip that gives the reason."""
    state = ops.status()[name]
    if not state.available:
        (pytest.fail if ASKED else pytest.skip)(f"backend {name}: {state.reason}")
    with torch.device("cuda" if name == "cuda" else "cpu"):
        yield Backend(name)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every backend that is available here."""
    yield from available(request.param)


@pytest.fixture(params=[name for name in BACKENDS if name != "torch"])
def compiled_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Every backend but the definition, `torch`."""
    yield from available(request.param)


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each of several test processes: they share the cores."""
    if hasattr(config, "workerinput"):
        torch.set_num_threads(1)
