"""How the code is built: imports run downwards only, nothing hides, and settings are light."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from test_cli import leaves

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import structure

ROOT = structure.ROOT
COMMANDS = sorted(path for path in (ROOT / "voge_cli" / "commands").glob("*.py") if path.name != "__init__.py")

HEAVY = ("torch", "numpy", "scipy", "trimesh", "safetensors", "PIL", "imageio", "matplotlib", "hydra", "omegaconf")


@pytest.fixture(scope="module")
def tree() -> structure.Structure:
    return structure.read(str(ROOT))


def test_every_room_is_in_the_table(tree):
    assert tree.rooms() == set(structure.MAY_IMPORT)


def test_imports_between_rooms_run_downwards_only(tree):
    upward = [f"{i.source}:{i.line} imports {i.target}" for i in tree.upward()]
    assert not upward, "see the table FLOORS of benchmarks/structure.py"


def test_the_house_stays_small(tree):
    """At most what the issue on the library asked for."""
    assert len(tree.loose()) <= 8
    assert structure.floors(tree.arrows()) <= 8


def test_no_files_import_each_other_in_a_circle(tree):
    assert structure.circles((i.source, i.target) for i in tree.imports) == []


def test_no_function_or_class_hides_a_module(tree):
    hidden = [f"{package}.{name}" for package, name in public_things() if f"{package}.{name}" in tree.files]
    assert hidden == []


def public_things() -> list[tuple[str, str]]:
    """Package and name of each function, class and value that a package offers, by its stub and its own text."""
    found = []
    for path in (ROOT / "voge").rglob("__init__.py*"):
        if path.suffix not in (".py", ".pyi"):
            continue
        package = ".".join(path.parent.relative_to(ROOT).parts)
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((package, node.name))
            elif isinstance(node, ast.ImportFrom):
                modules = node.module is None or node.module == package
                names = [alias.asname or alias.name for alias in node.names]
                found += [(package, name) for name in names if not modules]
    return found


def test_every_name_that_a_package_promises_is_there():
    """Packages load their names on first use, so a name that is nowhere would go unseen."""
    for package, name in public_things():
        assert hasattr(importlib.import_module(package), name), f"{package}.{name}"
    ended = run("import voge; print(voge.io.load_cameras.__name__, voge.occlusion.solve.__name__, voge.__version__)")
    assert ended.startswith("load_cameras solve ")


def test_every_module_is_there_after_import_voge_alone(tree):
    names = [name for name in tree.files if name.startswith("voge.") and "._" not in name and name != "voge.checks"]
    code = f"import operator, voge\nfor name in {names}: operator.attrgetter(name.removeprefix('voge.'))(voge)"
    assert run(code) == ""


@pytest.mark.parametrize("path", COMMANDS, ids=[path.stem for path in COMMANDS])
def test_a_command_is_a_short_file_with_a_function_of_one_item(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 150
    assert "work" in [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]


def test_settings_are_read_without_anything_heavy(tree):
    """So that `--help` never waits for torch."""
    names = [name for name in tree.files if name.endswith(".settings")]
    assert "voge.fitting.settings" in names
    for name in names:
        ended = run(f"import sys, {name}\nprint([name for name in {HEAVY} if name in sys.modules])")
        assert ended == "[]\n", f"{name} imports {ended}"


def test_help_of_every_command_imports_nothing_heavy():
    from voge_cli.main import app

    commands = [name.split() for name in leaves(typer.main.get_command(app))]
    code = (
        "import sys\nfrom voge_cli.main import app\n"
        f"for command in {commands}:\n"
        "    try: app([*command, '-h'], prog_name='voge')\n"
        "    except SystemExit as end: assert not end.code\n"
        f"    heavy = [name for name in {HEAVY} if name in sys.modules]\n"
        "    assert not heavy, (command, heavy)"
    )
    assert run(code)


def test_help_of_a_group_imports_none_of_its_commands():
    code = (
        "import sys\nfrom voge_cli.main import app\n"
        "try: app(['pose', '-h'], prog_name='voge')\n"
        "except SystemExit as end: assert not end.code\n"
        "loaded = [name for name in sys.modules if name.startswith('voge_cli.commands.')]\n"
        "assert not loaded, loaded"
    )
    assert "check-data" in run(code)


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_the_script_prints_a_row_for_a_revision_and_a_folder(tmp_path, capsys):
    """Of a small tree whose figures are known."""
    for name, text in {
        "a.py": "from voge.errors import X\n",
        "errors.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import voge.a\n",
        "geometry/__init__.py": "",
        "geometry/one.py": "def f():\n    from voge.geometry import two\n    import voge.a\n",
        "geometry/two.py": "from voge.geometry.one import f\n",
    }.items():
        path = tmp_path / "voge" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    made = structure.read(str(tmp_path))
    assert made.loose() == ["voge.a", "voge.errors"]
    assert made.arrows() == {("a", "errors"), ("geometry", "a")}
    assert structure.floors(made.arrows()) == 3
    assert structure.circles((i.source, i.target) for i in made.imports) == [{"voge.geometry.one", "voge.geometry.two"}]
    structure.main([str(tmp_path)])
    assert "| 2 | 3 | 3 | 1 | 0 | - | 0 | 8 |" in capsys.readouterr().out


@pytest.mark.parametrize(("arrows", "expected"), [({"ab", "bc"}, 0), ({"ab", "ba"}, 1), ({"ab", "bc", "ca", "cb"}, 1)])
def test_the_fewest_arrows_back(arrows, expected):
    assert structure.back({tuple(arrow) for arrow in arrows}) == expected
