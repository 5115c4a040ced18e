"""The keys of a configuration's schema, and what a user may mean who wrote another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from omegaconf import DictConfig

from voge_cli.errors import UsageError


class Keys:
    """The dotted keys of a schema, and the packaged groups with their members."""

    def __init__(self, structured: DictConfig, groups: Mapping[str, Sequence[str]]) -> None:
        self.all = [key for key, _ in items(structured)]
        self.groups = {group: names for group, names in groups.items() if group in self.all}

    def check(self, key: str, where: str = "") -> None:
        """Refuse a key that is not there, naming the nearest one."""
        if key in self.all:
            return
        leaves = {known.rsplit(".", 1)[-1]: known for known in reversed(self.all)}
        leaf = key.rsplit(".", 1)[-1]
        near = [leaves[leaf]] if leaf in leaves else get_close_matches(key, self.all, 1)
        near = near or [leaves[name] for name in get_close_matches(leaf, leaves, 1)]
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(k for k in self.all if '.' not in k)}"
        raise UsageError(f"{where}unknown key '{key}'; {hint}")

    def check_value(self, key: str, value: Any, where: str = "") -> None:
        """Refuse a plain value for a key that has keys of its own, unless it chooses a packaged config."""
        inner = [known for known in self.all if known.startswith(f"{key}.")]
        if inner and key not in self.groups and not isinstance(value, dict):
            raise UsageError(f"{where}'{key}' has keys of its own: {', '.join(inner)}")

    def check_choice(self, group: str, name: str, where: str = "") -> None:
        """Refuse a choice that a packaged group does not have."""
        if name not in self.groups[group]:
            raise UsageError(f"{where}{group} has no '{name}'; choose from {', '.join(self.groups[group])}")


def items(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """The dotted keys and values of nested mappings, inner nodes included."""
    found = []
    for key in node:
        value = node._get_node(key) if isinstance(node, DictConfig) else node[key]
        found.append((f"{prefix}{key}", value))
        if isinstance(value, (dict, DictConfig)):
            found += items(value, f"{prefix}{key}.")
    return found
