"""Print how the code is built: loose modules, floors, imports that run upward, lines of Python.

    python benchmarks/structure.py 3bfc510 HEAD .

Each argument is a git revision or a folder; without any, the working tree. Only the text of the files is read.

A room is a package or a loose module directly under voge/, or voge_cli as a whole. Floors: the longest chain of imports
between rooms, a circle of rooms counted as one floor. Upward: an import, file to file, that `MAY_IMPORT` does not
allow. A tree with other rooms than the table has a dash there; `back` serves every tree: the fewest arrows between
rooms without which there are no circles. Imports under `if TYPE_CHECKING` and in stubs do not count, imports inside
functions do. A name that a package exports is followed to the module that it comes from.
"""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
# Rooms from the ground up. A room imports from the lines below its own, and from no neighbor on its line.
FLOORS = (
    ("errors",),
    ("option", "checks"),
    ("geometry",),
    ("scene",),
    ("rendering", "meshes", "optim", "assets"),
    ("io",),
    ("convert",),
    ("imaging",),
    ("fitting", "texture", "occlusion", "pose", "bench"),
    ("voge_cli",),
)
MAY_IMPORT = {room: frozenset(itertools.chain(*FLOORS[:height])) for height, line in enumerate(FLOORS) for room in line}


class Import(NamedTuple):
    """One import between two rooms: the modules, and the line where it stands."""

    source: str
    target: str
    line: int


class Structure(NamedTuple):
    """What the files of a tree say."""

    files: dict[str, str]  # dotted module (a package by its own name) -> text
    imports: list[Import]  # between modules of the tree

    def rooms(self) -> set[str]:
        """Names of all rooms."""
        return {room for room in map(room_of, self.files) if room}

    def loose(self) -> list[str]:
        """Modules that lie directly under voge/."""
        packages = {parent(name) for name in self.files}
        return sorted(n for n in self.files if parent(n) == "voge" and n not in packages and not n.endswith("__"))

    def arrows(self) -> set[tuple[str, str]]:
        """Pairs of rooms of which the first imports from the second."""
        pairs = {(room_of(i.source), room_of(i.target)) for i in self.imports}
        return {(a, b) for a, b in pairs if a and b and a != b}

    def upward(self) -> list[Import]:
        """Imports that the table does not allow."""
        between = ((i, room_of(i.source), room_of(i.target)) for i in self.imports)
        return [i for i, a, b in between if a and b and a != b and b not in MAY_IMPORT.get(a, ())]

    def lines(self, package: str) -> int:
        """Lines of Python in a package."""
        return sum(len(text.splitlines()) for name, text in self.files.items() if name.split(".")[0] == package)


def read(tree: str) -> Structure:
    """Return the structure of a folder, or of a revision of this repository."""
    texts = dict(_texts(tree))
    files = {_dotted(path): text for path, text in texts.items() if path.endswith(".py")}
    exports = {_dotted(path): _exports(path, text) for path, text in texts.items() if "/__init__.py" in path}
    return Structure(files, [i for name, text in files.items() for i in _imports(name, text, files, exports)])


def _texts(tree: str) -> Iterator[tuple[str, str]]:
    """Path and text of the Python files; a stub comes after the file that it describes."""
    if Path(tree).is_dir():
        for package in ("voge", "voge_cli"):
            for path in sorted(Path(tree, package).rglob("*.py*")):
                if path.suffix in (".py", ".pyi"):
                    yield str(path.relative_to(tree)), path.read_text()
        return
    listed = _git("ls-tree", "-r", "--name-only", tree, "voge", "voge_cli").splitlines()
    for path in sorted(name for name in listed if name.endswith((".py", ".pyi"))):
        yield path, _git("show", f"{tree}:{path}")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], check=True, capture_output=True, text=True).stdout


def _dotted(path: str) -> str:
    return path.rsplit(".", 1)[0].replace("/", ".").removesuffix(".__init__")


def parent(name: str) -> str:
    """The package that a module lies in."""
    return name.rpartition(".")[0]


def room_of(module: str) -> str | None:
    """Name the room of a module; the public names of voge itself are in no room."""
    package, _, rest = module.partition(".")
    return (rest.split(".")[0] or None) if package == "voge" else package


def _exports(path: str, text: str) -> dict[str, str]:
    """Name -> "module:name" of what a package's `__init__` takes from its modules."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom):
            base = _base(_dotted(path), node, package=True)
            found |= {alias.asname or alias.name: f"{base}:{alias.name}" for alias in node.names}
    return found


def _base(module: str, node: ast.ImportFrom, package: bool) -> str:
    """The dotted module that an import takes names from."""
    if not node.level:
        return node.module or ""
    here = module.split(".")
    here = here[: len(here) - node.level + (1 if package else 0)]
    return ".".join([*here, *([node.module] if node.module else [])])


def _imports(name: str, text: str, files: dict[str, str], exports: dict[str, dict[str, str]]) -> Iterator[Import]:
    package = any(parent(other) == name for other in files)
    for node in _running(ast.parse(text)):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        else:
            base = _base(name, node, package)
            wanted = [_origin(base, alias.name, files, exports) for alias in node.names]
        for target in wanted:
            if target in files and target != name:
                yield Import(name, target, node.lineno)


def _running(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that can run."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children: Iterable[ast.AST] = node.orelse
    else:
        children = ast.iter_child_nodes(node)
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
    for child in children:
        yield from _running(child)


def _origin(base: str, name: str, files: dict[str, str], exports: dict[str, dict[str, str]]) -> str:
    """The module that `from base import name` needs."""
    for _ in range(10):  # exports of exports
        exported = exports.get(base, {}).get(name)
        if exported is None or exported == f"{base}:{name}":
            break
        base, name = exported.split(":")
    module = f"{base}.{name}"
    return module if module in files else base


def circles(arrows: Iterable[tuple[str, str]]) -> list[frozenset[str]]:
    """Sets of nodes that reach each other, each of two at least."""
    reach = _reach(set(arrows))
    groups = {frozenset(b for b in to if a in reach.get(b, ())) for a, to in reach.items()}
    return sorted((group for group in groups if len(group) > 1), key=sorted)


def _reach(arrows: set[tuple[str, str]]) -> dict[str, set[str]]:
    """Node -> the nodes at the end of some path from it."""
    next_to: dict[str, set[str]] = {}
    for a, b in arrows:
        next_to.setdefault(a, set()).add(b)
    found = {}
    for start, first in next_to.items():
        seen, todo = set(first), list(first)
        while todo:
            new = next_to.get(todo.pop(), set()) - seen
            seen |= new
            todo.extend(new)
        found[start] = seen
    return found


def floors(arrows: set[tuple[str, str]]) -> int:
    """Count the rooms on the longest chain of imports; a circle is one."""
    name = {node: "+".join(sorted(group)) for group in circles(arrows) for node in group}
    below: dict[str, set[str]] = {}
    for a, b in ((name.get(a, a), name.get(b, b)) for a, b in arrows):
        if a != b:
            below.setdefault(a, set()).add(b)
    height: dict[str, int] = {}

    def high(node: str) -> int:
        if node not in height:
            height[node] = 1 + max(map(high, below.get(node, ())), default=0)
        return height[node]

    return max(map(high, below), default=1)


def back(arrows: set[tuple[str, str]]) -> int:
    """Count the fewest arrows without which no circle is left."""
    total = 0
    for group in circles(arrows):
        inside = [(a, b) for a, b in arrows if a in group and b in group]
        total += next(n for n in range(1, len(inside)) if _cut(inside, n))
    return total


def _cut(inside: list[tuple[str, str]], count: int) -> bool:
    return any(not circles(set(inside) - set(taken)) for taken in itertools.combinations(inside, count))


def main(trees: list[str]) -> None:
    """Print a column of figures for each tree."""
    print("| tree | loose modules | rooms | floors | circles of files | back | upward | voge_cli | voge + voge_cli |")
    print("|---|---|---|---|---|---|---|---|---|")
    for tree in trees:
        made = read(tree)
        arrows, cli = made.arrows(), made.lines("voge_cli")
        files = circles((i.source, i.target) for i in made.imports)
        upward = len(made.upward()) if made.rooms() <= set(MAY_IMPORT) else "-"
        print(
            f"| {tree} | {len(made.loose())} | {len(made.rooms())} | {floors(arrows)} | {len(files)} | {back(arrows)}"
            f" | {upward} | {cli:,} | {made.lines('voge') + cli:,} |"
        )


if __name__ == "__main__":
    main(sys.argv[1:] or [str(ROOT)])
