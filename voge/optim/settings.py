"""Learning rates, and which losses there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from voge.option import Settings, option


class ColorLoss(str, Enum):
    """Comparison of colors."""

    squared = "squared"
    absolute = "absolute"
    charbonnier = "charbonnier"


class SilhouetteLoss(str, Enum):
    """Comparison of silhouettes."""

    squared = "squared"
    cross_entropy = "cross_entropy"
    iou = "iou"


class Course(str, Enum):
    """Course of a rate from its first to its last value."""

    exponential = "exponential"
    cosine = "cosine"
    linear = "linear"


@dataclass(frozen=True, kw_only=True)
class Rate(Settings):
    """The learning rate of a variable over the steps of a run.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    value: float = option(
        help="in the variable's units a step: Adam moves by about this much",
        at_least=0,
        rule="of a rate must be at least 0 and finite",
    )
    final: float = option(1.0, "rate at the last step, as part of `value`", above=0, at_most=1)
    course: Course = option(Course.exponential, "how the rate changes from its first to its last value")
    start: float = option(0.0, "part of the steps before which the variable stands still", at_least=0, at_most=1)
    warmup: float = option(0.0, "part of the steps over which the rate grows from 0", at_least=0, at_most=1)

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
        now: float = self.value * grown * factor
        return now
