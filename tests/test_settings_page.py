"""The page of settings is what the declarations say, and one line declares a setting everywhere."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from voge.option import Settings, nested, option
from voge_cli import config
from voge_cli.errors import UsageError
from voge_cli.options import Given, option_groups

ROOT = Path(__file__).resolve().parents[1]

spec = importlib.util.spec_from_file_location("reference", ROOT / "docs" / "reference.py")
assert spec is not None
assert spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)
CONFIGS = {each.config: each.settings for each in reference.commands() if each.settings}


def test_the_page_of_settings_is_what_the_declarations_give():
    assert (ROOT / "docs" / "settings.md").read_text() == reference.settings_page(), "run: python docs/reference.py"


@pytest.mark.parametrize("name", CONFIGS)
def test_the_complete_file_of_a_command_is_its_default_configuration(name, tmp_path):
    file = tmp_path / "complete.yaml"
    file.write_text(reference.complete(name, CONFIGS[name]))
    loaded = config.load(name, CONFIGS[name], file=str(file))
    assert loaded.text() == config.load(name, CONFIGS[name]).text()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner(Settings):
    """Settings inside settings."""

    grains: int = option(5, "grains of salt", at_least=1, flag="--grains")  # the one line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer(Settings):
    """Settings of a command."""

    soup: Inner = nested(Inner, "what is cooked", promote=True)


def test_a_setting_of_one_line_is_in_check_help_yaml_printed_configuration_and_docs():
    with pytest.raises(ValueError, match=r"^grains must be at least 1, got 0$"):
        Inner(grains=0)
    with pytest.raises(UsageError, match="grains must be at least 1, got 0"):
        config.load("cook", Outer, overrides=["soup.grains=0"])
    assert config.load("cook", Outer, options={"soup.grains": 7}).value.soup.grains == 7
    assert yaml.safe_load(config.load("cook", Outer).text()) == {"soup": {"grains": 5}}
    assert "--grains" in cook_help()
    assert "Grains of salt. Default: 5." in cook_help()
    assert "| `soup.grains` | int | `5` | must be at least 1 | `--grains` | grains of salt |" in reference.table(Outer)
    assert "  grains: 5  # grains of salt" in reference.complete("cook", Outer)


def cook_help() -> str:
    """Text of --help of a command with these settings."""

    def cook(given):
        """Cook."""

    cook.__annotations__ = {"given": Given[Outer], "return": None}
    app = typer.Typer(rich_markup_mode=None)
    app.command()(option_groups(cook))
    return " ".join(CliRunner().invoke(app, ["--help"]).output.split())
