"""The pictures of a synthetic data set."""

from __future__ import annotations

from dataclasses import dataclass

from voge.option import Settings, option
from voge.pose.settings import LEVELS

MADE = ("aeroplane", "bus", "car", "chair")  # categories of synthetic objects
_ASCENDING = "must be the least and the most, such as [4,7]"


def _ascends(ends: list[float]) -> bool:
    return len(ends) == 2 and ends[0] <= ends[1]


@dataclass(frozen=True, kw_only=True)
class Synthesis(Settings):
    """The pictures of a synthetic data set.

    Raises:
        ValueError: a value outside its range; names the setting, the rule and the value.
    """

    categories: list[str] = option(
        ["aeroplane", "car", "chair"],
        f"some of {', '.join(MADE)}",
        holds=lambda names: bool(names) and set(names) <= set(MADE),
        rule=f"must be some of {', '.join(MADE)}",
        flag="--categories",
        metavar="C,...",
        default_text="all but bus",
    )
    train: int = option(1000, "training images a category", at_least=1, flag="--train", metavar="N")
    test: int = option(300, "test images a category and level", at_least=1, flag="--test", metavar="N")
    train_shapes: int = option(40, "different objects a category", at_least=1)
    test_shapes: int = option(20, "objects a category that no training image shows", at_least=1)
    width: int = option(320, "width of an image, pixels", at_least=32)
    height: int = option(256, "height of an image, pixels", at_least=32)
    focal: float = option(1100.0, "focal length, pixels", above=0)
    distance: list[float] = option(
        [4.0, 7.0],
        "least and most distance, units; an object's diagonal is 1",
        holds=lambda ends: _ascends(ends) and ends[0] > 1,
        rule=f"{_ASCENDING}, both above 1",
    )
    azimuth: list[float] = option([0.0, 360.0], "least and most azimuth, degrees", holds=_ascends, rule=_ASCENDING)
    elevation: list[float] = option([-10.0, 50.0], "least and most elevation, degrees", holds=_ascends, rule=_ASCENDING)
    theta: list[float] = option([-20.0, 20.0], "least and most theta, degrees", holds=_ascends, rule=_ASCENDING)
    levels: list[str] = option(
        list(LEVELS),
        "share of the object that is hidden: 0, 20 to 40, 40 to 60, 60 to 80 %",
        holds=lambda levels: set(levels) <= set(LEVELS),
        rule=f"must be some of {', '.join(LEVELS)}",
    )
    seed: int = option(0, "seed of all random numbers", flag="--seed", metavar="N")
