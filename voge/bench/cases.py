"""Cases of `voge bench`: the product of scenes, numbers, sizes and channels that settings ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from voge.bench import scenes
from voge.bench.scenes import Scene
from voge.bench.settings import BenchSettings
from voge.convert.files import load_model
from voge.errors import DataError, SettingsError
from voge.io.settings import parse_size
from voge.scene.ellipsoids import Ellipsoids

_SHAPE = re.compile(r"^(?P<name>.+)@(?P<size>\d+(?:x\d+)?)(?:x(?P<channels>\d+))?$")
_CUBE = re.compile(r"^cube(?::(?P<intervals>\d+))?$")


@dataclass(frozen=True)
class Case:
    """One thing to render, not yet made: a large one takes memory."""

    file: Path | None  # None: the cube
    number: int | None  # intervals of the cube, or ellipsoids of a model; None: as the file has them
    width: float
    size: tuple[int, int]
    channels: int

    @property
    def name(self) -> str:
        """Name of the case in tables."""
        if self.file is not None:
            return self.file.stem
        return "cube" if self.width == 1 else f"cube, width {self.width:g}"


def cases(settings: BenchSettings) -> list[Case]:
    """Everything asked for, in order.

    Raises:
        SettingsError: a scene is neither a cube nor a file.
    """
    return list(dict.fromkeys(case for text in settings.scenes for case in _cases_of(text, settings)))


def _cases_of(text: str, settings: BenchSettings) -> Iterator[Case]:
    shape = None if Path(text).exists() else _SHAPE.match(text)
    name = shape["name"] if shape else text
    cube = None if Path(name).exists() else _CUBE.match(name)
    if cube is None and not Path(name).is_file():
        raise SettingsError(
            f"scene '{text}': no such file; give cube, cube:N or a file, each with or without @WxH or @WxHxC"
        )
    numbers: list[int] | list[None] = settings.counts or [None]
    if cube is not None:
        counted = None if settings.counts is None else [scenes.intervals_for(count) for count in settings.counts]
        numbers = [int(cube["intervals"])] if cube["intervals"] else counted or settings.intervals
    try:
        sizes = [parse_size(size) for size in ([shape["size"]] if shape else settings.sizes)]
    except ValueError as error:
        raise SettingsError(f"scene '{text}': {error}") from error
    channels = [int(shape["channels"])] if shape and shape["channels"] else settings.channels
    if min([*channels, *(number for number in numbers if number is not None)]) < 1:
        raise SettingsError(f"scene '{text}': numbers of intervals and channels must be at least 1")
    for number, width, size, count in product(numbers, settings.widths if cube else [1.0], sizes, channels):
        yield Case(None if cube else Path(name), number, width, size, count)


def grow(wanted: Sequence[Case]) -> bool:
    """True where two cases differ in their number of ellipsoids or in their size alone, as a plot of growth needs."""
    pairs = ((a, b) for a in wanted for b in wanted if a.file == b.file and a.channels == b.channels)
    return any((a.number != b.number) != (a.size != b.size) for a, b in pairs if a.width == b.width)


class Maker:
    """Makes scenes of cases; keeps the last set of ellipsoids, which neighbors in order share."""

    def __init__(self, settings: BenchSettings) -> None:
        self._settings = settings
        self.notes: dict[str, None] = {}  # what the user should know of the files, each once
        self._last: tuple[object, Ellipsoids] | None = None

    def scene(self, case: Case) -> Scene:
        """Ellipsoids with random features, and cameras around them.

        Raises:
            voge.errors.DataError: a file cannot be used.
        """
        key = (case.file, case.number, case.width)
        if self._last is None or self._last[0] != key:
            self._last = None
            self._last = key, self._ellipsoids(case)
        stand = scenes.CUBE_STAND if case.file is None else scenes.MODEL_STAND
        views, seed = self._settings.views, self._settings.seed
        return scenes.scene(case.name, self._last[1], stand, case.size, channels=case.channels, views=views, seed=seed)

    def _ellipsoids(self, case: Case) -> Ellipsoids:
        if case.file is None:
            assert case.number is not None
            return scenes.cube(case.number, case.width)
        conversion = self._settings.convert
        if case.number is not None:
            conversion = replace(conversion, count=case.number)
        made = load_model(case.file, conversion, strict=case.number is not None)
        self.notes |= dict.fromkeys(made.notes)
        try:
            return scenes.framed(made.ellipsoids)
        except ValueError as error:
            raise DataError(case.file, str(error)) from error
