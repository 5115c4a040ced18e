"""Several processes that train one model, each on a device of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


@contextmanager
def joined_processes(device: str) -> Iterator[tuple[str, int]]:
    """Join the other processes that torchrun started; without torchrun, nothing happens.

    Args:
        device: auto, cpu, cuda or cuda:i, as asked for.

    Yields:
        The device of this process, and its rank.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device, 0
        return
    gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if gpu:
        torch.cuda.set_device(local)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield (f"cuda:{local}" if gpu else device), dist.get_rank()
    finally:
        dist.destroy_process_group()
