"""Parts of a batch of independent jobs: `--shard i/n`, or the array that a batch system runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from voge.errors import SettingsError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1."""

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[T]) -> list[T]:
        """Every count-th item: neighbors, which are alike, go to different parts."""
        return list(items[self.number - 1 :: self.count])


def find_shard(text: str | None) -> Shard:
    """The part that "i/n" names; without it that of the SLURM array which this process is of; else all.

    Raises:
        SettingsError: the text is no such part.
    """
    if text is None:
        number, count = (os.environ.get(f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "COUNT"))
        if number is None or count is None:
            return Shard()
        text = f"{int(number) - int(os.environ.get('SLURM_ARRAY_TASK_MIN', '0')) + 1}/{count}"
    first, _, last = text.partition("/")
    if not (first.isdigit() and last.isdigit() and 1 <= int(first) <= int(last)):
        raise SettingsError(f"--shard must be i/n with i from 1 to n, such as 2/8; got '{text}'")
    return Shard(int(first), int(last))
