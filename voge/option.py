"""One setting, declared once: default, meaning, unit, rule and flag stand in one line beside the code that uses it.

    @dataclass(frozen=True, kw_only=True)
    class FitSettings(Settings):
        steps: int = option(2000, "steps in all", at_least=1, flag="--steps")
        render: RenderSettings = nested(RenderSettings, "how rays meet ellipsoids")

`Settings` checks the rules of its fields and raises a ValueError that names the setting, the rule and the value. The
command line reads the same lines: `--help`, the keys of YAML files, `--print-config` and the tables of the docs come
from them. Modules of settings import nothing heavier than this one, so that `--help` never waits for torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

KEY = "voge"  # of the metadata of a dataclass field


@dataclass(frozen=True, kw_only=True)
class Option:
    """Facts of a setting besides its name, type and default."""

    help: str  # what it is, without its default; starts with a small letter unless a name does
    unit: str = ""  # such as "steps" or "degrees"
    at_least: float | None = None  # the value, or every number of a list, is not below this
    above: float | None = None  # and lies above this
    at_most: float | None = None
    below: float | None = None
    rule: str = ""  # the rule in words, such as "must be at least 1 frame, or 0 for no video"; default: of the bounds
    holds: Callable[[Any], bool] | None = None  # a rule that bounds cannot state; needs `rule`
    flag: str = ""  # option of the command line, such as "--steps"; "" for none
    short: str = ""  # its short form, such as "-o"
    metavar: str = ""  # what stands for the value in --help
    default_text: str | None = (
        None  # the default in words, such as "all is in view"; None: the value itself; "": not told
    )
    parse: Callable[[str], Any] | None = None  # from the text of the flag to the value; default: by the type
    promote: bool = False  # of nested settings: the command line has the flags of their fields

    def words(self) -> str:
        """The rule, such as "must be at least 1 step"."""
        if self.rule:
            return self.rule
        unit = f" {self.unit}" if self.unit else ""
        low, high = (
            (self.above if self.at_least is None else self.at_least),
            (self.below if self.at_most is None else self.at_most),
        )
        if low is not None and high is not None:
            if (self.at_least is None) == (self.at_most is None):
                return f"must lie between {low:g} and {high:g}{unit}"
            first = f"at least {low:g}" if self.above is None else f"above {low:g}"
            last = f"at most {high:g}" if self.below is None else f"below {high:g}"
            return f"must be {first} and {last}{unit}"
        if low is not None:
            if self.at_least is None:
                return "must be positive" if low == 0 else f"must be above {low:g}{unit}"
            return f"must be at least {low:g}{unit}"
        if high is not None:
            return f"must be {'at most' if self.below is None else 'below'} {high:g}{unit}"
        return ""

    def accepts(self, value: Any) -> bool:
        """True where a value, or every number of a list, keeps the rule."""
        numbers = value if isinstance(value, (list, tuple)) else [value]
        bounded = any(bound is not None for bound in (self.at_least, self.above, self.at_most, self.below))
        if bounded and not all(self._within(number) for number in numbers):
            return False
        return self.holds is None or bool(self.holds(value))

    def _within(self, number: Any) -> bool:
        finite = not isinstance(number, float) or math.isfinite(number)
        return (
            finite
            and (self.at_least is None or number >= self.at_least)
            and (self.above is None or number > self.above)
            and (self.at_most is None or number <= self.at_most)
            and (self.below is None or number < self.below)
        )


def option(default: Any = MISSING, help: str = "", *, factory: Callable[[], Any] | None = None, **facts: Any) -> Any:
    """A field of a settings dataclass.

    Args:
        default: its default; lists and nested settings take `factory` in its place.
        help: what it means, for --help, YAML and the docs.
        factory: makes the default.
        facts: the other fields of `Option`.
    """
    metadata = {KEY: Option(help=help, **facts)}
    if isinstance(default, list):
        made = list(default)
        return dataclasses.field(default_factory=lambda: list(made), metadata=metadata)
    if factory is not None:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def out(help: str, default_text: str) -> Any:
    """The field `out` of a command's settings, with its flag --out; the default in words."""
    return option(None, help, flag="--out", short="-o", metavar="PATH", default_text=default_text)


def nested(kind: Callable[[], Any], help: str = "", *, promote: bool = False) -> Any:
    """A field of settings inside settings.

    Args:
        kind: the class of the inner settings, or a function that makes their default.
        help: what they are about.
        promote: the command line has the flags of their fields as well.
    """
    return option(factory=kind, help=help, promote=promote)


class Settings:
    """Base of all settings: a dataclass whose values are checked when it is made.

    A class may say in whose name its rules speak: `class Sweep(Settings, where="sweep.")`.

    Strings become members of an Enum where the type is one, whole numbers floats, lists tuples, likewise.

    Raises:
        ValueError: a value breaks its rule; names the setting, the rule and the value.
    """

    _where: ClassVar[str] = ""  # stands before the name of a setting whose rule is broken

    def __init_subclass__(cls, where: str | None = None) -> None:
        super().__init_subclass__()
        if where is not None:
            cls._where = where

    def __post_init__(self) -> None:
        kind: Any = type(self)
        hints = _hints(kind)
        for field, known in options_of(kind):
            value = _converted(hints[field.name], getattr(self, field.name))
            object.__setattr__(self, field.name, value)
            if value is not None and not known.accepts(value):
                raise ValueError(f"{self._where}{field.name} {known.words()}, got {_plain(value)}")


def options_of(settings: type) -> Iterator[tuple[dataclasses.Field[Any], Option]]:
    """The fields of a settings class that `option` declared, in order."""
    for field in dataclasses.fields(settings):
        if KEY in field.metadata:
            yield field, field.metadata[KEY]


@dataclass(frozen=True)
class Row:
    """A setting with its place, for whoever lists settings."""

    key: str  # dotted, such as "growth.budget"
    type: Any  # its annotation, evaluated
    default: Any
    option: Option
    promoted: bool  # whether the command line has its flag


def rows(settings: type, prefix: str = "", promoted: bool = True) -> Iterator[Row]:
    """All settings of a class and of those inside it, in order; inner ones follow the row that holds them."""
    hints = _hints(settings)
    for field, known in options_of(settings):
        key, kind = f"{prefix}{field.name}", hints[field.name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        yield Row(key, kind, default, known, promoted)
        if dataclasses.is_dataclass(default):
            inner = type(default)
            for row in rows(inner, f"{key}.", promoted and known.promote):
                yield dataclasses.replace(row, default=_reached(default, row.key.removeprefix(f"{key}.")))


def values(settings: Any, kind: type) -> dict[str, Any]:
    """The values of settings that another settings class has under the same names."""
    return {
        field.name: getattr(settings, field.name) for field in dataclasses.fields(kind) if hasattr(settings, field.name)
    }


def bare(annotation: Any) -> Any:
    """An annotation without `| None`."""
    if get_origin(annotation) in (Union, UnionType):
        inner = [kind for kind in get_args(annotation) if kind is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return annotation


def _reached(settings: Any, key: str) -> Any:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


@cache
def _hints(settings: Any) -> Mapping[str, Any]:
    return get_type_hints(settings)


def _converted(annotation: Any, value: Any) -> Any:
    """Members of enums for their values, floats for whole numbers, tuples for lists, where the annotation says so."""
    kind = bare(annotation)
    if value is None:
        return None
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float and type(value) is int:
        return float(value)
    if get_origin(kind) in (tuple, list) and isinstance(value, (list, tuple)):
        inner = get_args(kind)[0]
        members = [_converted(inner, each) for each in value]
        return tuple(members) if get_origin(kind) is tuple else members
    return value


def _plain(value: Any) -> Any:
    """Names in place of members of enums."""
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value
