"""Configurations: packaged defaults < config file < options < overrides, composed by Hydra into a dataclass."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import yaml
from hydra import compose, initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from voge.option import bare, rows
from voge_cli.config_keys import Keys, items
from voge_cli.errors import UsageError
from voge_cli.options import whole_number

if TYPE_CHECKING:
    from importlib.abc import Traversable

T = TypeVar("T")

PACKAGE = "voge_cli.configs"
_LAYERS = "layers"  # a Hydra group, in memory: what lies above the packaged defaults
_FIRST = {"settings": "exact"}  # the member of a packaged group that is chosen where nobody chooses
_OVERRIDE = re.compile(r"^[+~]*[A-Za-z_][\w./@]*=")


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A checked configuration."""

    value: T  # the command's dataclass
    resolved: DictConfig  # the same as OmegaConf

    def text(self, as_json: bool = False) -> str:
        """YAML, or JSON, that given back by --config makes the same configuration."""
        if as_json:
            return json.dumps(_plain(OmegaConf.to_container(self.resolved, resolve=True, enum_to_str=True)), indent=2)
        return OmegaConf.to_yaml(self.resolved, resolve=True).rstrip()

    def filled(self, values: Mapping[str, Any]) -> Loaded[T]:
        """The same configuration with values by dotted key, which a command worked out where it had none."""
        resolved = OmegaConf.merge(self.resolved, _nested(values))
        assert isinstance(resolved, DictConfig)
        return Loaded(OmegaConf.to_object(resolved), resolved)  # type: ignore[arg-type]


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Inputs and key=value overrides; an argument that names a file is an input whatever it looks like."""
    overrides = [a for a in arguments if (_OVERRIDE.match(a) or a.startswith(("+", "~"))) and not Path(a).exists()]
    return [argument for argument in arguments if argument not in overrides], overrides


def load(
    command: str,
    schema: type[T],
    *,
    file: str | None = None,
    options: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
) -> Loaded[T]:
    """Compose and check the configuration of a command.

    Args:
        command: names the primary config, configs/<command>.yaml, and its named ones, configs/<command>/.
        schema: its type; unknown keys and wrong types are errors.
        file: a YAML file, or the name of a packaged config of this command. Its `defaults:` may choose
            packaged groups: `defaults: [{settings: paper}]`.
        options: values by dotted key, `None` where the user gave none.
        overrides: key=value in Hydra's grammar; key may be a group.

    Raises:
        UsageError: one line with the key, the rule and the nearest right key.
    """
    structured = _thawed(OmegaConf.structured(schema))
    known = Keys(structured, _groups())
    whole = {row.key for row in rows(schema) if bare(row.type) is int}
    overrides = [_whole(text, whole) for text in overrides]
    store = ConfigStore.instance()
    store.store(name=f"{command}_schema", node=structured)
    if not (files(PACKAGE) / f"{command}.yaml").is_file():
        groups = [{group: _FIRST.get(group)} for group in known.groups]
        store.store(name=command, node={"defaults": [f"{command}_schema", *groups, "_self_"]})
    layers = []
    if file is not None:
        store.store(group=_LAYERS, name="file", node=_read(file, command, known, whole), package="_global_")
        layers.append("file")
    given = {key: value for key, value in (options or {}).items() if value is not None}
    if given:
        store.store(group=_LAYERS, name="options", node=_nested(given), package="_global_")
        layers.append("options")
    _check_overrides(overrides, known)
    chosen = [f"+{_LAYERS}=[{','.join(layers)}]"] if layers else []
    try:
        return _compose(command, [*chosen, *overrides])
    except UsageError as error:
        if file is None:
            raise
        # Blame the file if it fails on its own with the same message.
        try:
            _compose(command, [f"+{_LAYERS}=[file]"])
        except UsageError as alone:
            if str(alone) == str(error):
                raise UsageError(f"{file}: {error}") from error
        raise


def _compose(command: str, overrides: Sequence[str]) -> Loaded[Any]:
    """The configuration of the packaged primary file and overrides."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module(PACKAGE, version_base="1.3"):
            resolved = compose(command, overrides=list(overrides))
        return Loaded(OmegaConf.to_object(resolved), resolved)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise UsageError(_cause(error)) from error


def _whole(text: str, keys: Set[str]) -> str:
    """An override whose number is whole but written as 300.0 or 1e3, as a whole number where the key takes one."""
    key, sign, value = text.partition("=")
    number = whole_number(value) if sign and key in keys else None
    return text if number is None else f"{key}={number}"


def _check_overrides(overrides: Sequence[str], known: Keys) -> None:
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"cannot read '{text}' ({reason}); write key=value, odd text in quotes") from error
        if override.is_add() or override.is_force_add() or override.is_delete():
            raise UsageError(f"'{text}': keys can be neither added nor removed; write key=value")
        if override.is_sweep_override():
            raise UsageError(f"'{text}' has several values; write key=[a,b] for a list, key='a,b' for text")
        key, value = override.key_or_group, override.value()
        known.check(key)
        known.check_value(key, value)
        if key in known.groups and isinstance(value, str):
            known.check_choice(key, value)


def _read(file: str, command: str, known: Keys, whole: Set[str]) -> dict[str, Any]:
    """A config file as a layer: its own keys checked, its choice of groups in Hydra's words."""
    path = _find(file, command)
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: not YAML ({error})") from error
    content = {} if loaded is None else loaded
    if not isinstance(content, dict):
        raise UsageError(f"{file}: must hold keys and values, got {type(content).__name__}")
    choices = content.pop("defaults", [])
    for key, value in items(content):
        known.check(key, f"{file}: ")
        known.check_value(key, value, f"{file}: ")
    _make_whole(content, whole)
    return {"defaults": [_choice(entry, known, file) for entry in choices or []], **content}


def _make_whole(node: dict[str, Any], keys: Set[str], prefix: str = "") -> None:
    """Floats of a file that are whole, as whole numbers where a key takes one."""
    for key, value in node.items():
        if isinstance(value, dict):
            _make_whole(value, keys, f"{prefix}{key}.")
        elif f"{prefix}{key}" in keys and isinstance(value, (float, str)):
            number = whole_number(value)
            node[key] = value if number is None else number


def _choice(entry: Any, known: Keys, file: str) -> Any:
    """An entry of `defaults:`, with or without Hydra's `override` and leading slash."""
    if entry == "_self_":
        return entry
    if not isinstance(entry, dict) or len(entry) != 1:
        raise UsageError(f"{file}: an entry of defaults must be 'group: name' or _self_, got '{entry}'")
    [(group, name)] = entry.items()
    group = str(group).removeprefix("override ").strip().lstrip("/")
    if group not in known.groups:
        raise UsageError(f"{file}: no packaged group '{group}'; groups are {', '.join(known.groups) or 'none'}")
    known.check_choice(group, str(name), f"{file}: ")
    return {f"override /{group}": name}


def _find(file: str, command: str) -> Path | Traversable:
    """The file itself, or else the packaged config of this name."""
    if Path(file).is_file():
        return Path(file)
    folder = files(PACKAGE) / command
    names = _names(folder) if folder.is_dir() else []
    if file in names:
        return folder / f"{file}.yaml"
    near = get_close_matches(file, names, 1)
    hint = f"did you mean '{near[0]}'?" if near else f"packaged are {', '.join(names)}" if names else "none is packaged"
    raise UsageError(f"--config {file}: no such file and no packaged config; {hint}")


def _groups() -> dict[str, list[str]]:
    return {folder.name: _names(folder) for folder in files(PACKAGE).iterdir() if folder.is_dir()}


def _names(folder: Traversable) -> list[str]:
    """The configs in a packaged folder."""
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def _thawed(node: DictConfig) -> DictConfig:
    """OmegaConf makes the nodes of frozen dataclasses read-only; composing must write to them."""
    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _thawed(child)
    return node


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, leaf = dotted.split(".")
        inner = nested
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = value
    return nested


def _plain(value: Any) -> Any:
    """JSON has no infinity; as text it is read back into one."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _cause(error: BaseException) -> str:
    """The key and the rule, without the layers that Hydra puts around them."""
    while isinstance(error, HydraException) and error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if not line.endswith("raised while composing config:")] or [type(error).__name__]
    key = next((line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")), "")
    message = "must be a list, such as [1,2]" if "is not a ListConfig" in lines[0] else lines[0]
    return f"{key}: {message}" if key else message
