"""Configurations: what wins, what is refused and how it is said."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from voge.convert.settings import Conversion, Method
from voge.rendering.settings import Aggregation, RenderSettings
from voge_cli import config
from voge_cli.commands.convert import ConvertConfig
from voge_cli.commands.demo import DemoConfig
from voge_cli.commands.render import RenderConfig
from voge_cli.errors import UsageError

SCHEMAS = {"convert": ConvertConfig, "render": RenderConfig, "demo": DemoConfig}


def load(command="render", **arguments):
    return config.load(command, SCHEMAS[command], **arguments).value


def write(path, text):
    path.write_text(text)
    return str(path)


# ---- What wins -------------------------------------------------------------------------------


def test_packaged_defaults_are_valid_and_complete():
    for command, schema in SCHEMAS.items():
        assert load(command) == schema()


@pytest.mark.parametrize("command", ["convert", "render"])
def test_every_packaged_config_of_a_command_composes(command):
    names = [entry.name.removesuffix(".yaml") for entry in (files(config.PACKAGE) / command).iterdir()]
    for name in names:
        assert load(command, file=name) != load(command)


def test_every_choice_of_settings_composes():
    for aggregation in Aggregation:
        assert load(overrides=[f"settings={aggregation.value}"]).settings.aggregation is aggregation
    assert load(overrides=["settings=exact"]).settings == RenderSettings()
    assert load(overrides=["settings=paper"]).settings == RenderSettings(
        aggregation=Aggregation.paper, max_per_ray=20, min_density=0.01
    )


def test_named_conversions_serve_render_as_well():
    assert load(overrides=["convert=paper", "convert.coverage=0.4"]).convert == Conversion(
        method=Method.vertex, coverage=0.4
    )


def test_file_beats_defaults_options_beat_file_overrides_beat_options(tmp_path):
    file = write(tmp_path / "a.yaml", "fov: 1\ndistance: 1\nturntable: 1\nsettings: {boxes: 3}\n")
    made = load(file=file, options={"distance": 2.0, "turntable": 2, "size": None}, overrides=["turntable=3"])
    assert (made.fov, made.distance, made.turntable, made.settings.boxes) == (1, 2, 3, 3)
    assert (made.size, made.settings.near) == (None, 0)


@pytest.mark.parametrize("entry", ["settings: paper", "override /settings: paper", "/settings: paper"])
def test_a_file_may_choose_groups_and_change_them(tmp_path, entry):
    file = write(tmp_path / "a.yaml", f"defaults:\n  - {entry}\n  - _self_\nsettings: {{max_per_ray: 7}}\n")
    made = load(file=file)
    assert (made.settings.aggregation, made.settings.max_per_ray) == (Aggregation.paper, 7)
    assert load(file=file, overrides=["settings=sorted"]).settings.aggregation is Aggregation.sorted


@pytest.mark.parametrize("as_json", [False, True])
def test_printed_configuration_makes_the_same_one(tmp_path, as_json):
    overrides = ["models=['odd name.obj']", "settings=paper", "azimuth=[0,90.5]", "settings.near=0.25", "up=z"]
    loaded = config.load("render", RenderConfig, overrides=overrides)
    again = load(file=write(tmp_path / "a.yaml", loaded.text(as_json)))
    assert again == loaded.value
    assert again.settings.far == float("inf")
    if as_json:
        json.loads(loaded.text(True), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_nothing_of_hydra_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load(overrides=["fov=30"])
    assert list(tmp_path.iterdir()) == []
    assert Path.cwd() == tmp_path


def test_a_second_load_does_not_see_the_first(tmp_path):
    load(file=write(tmp_path / "a.yaml", "fov: 1\n"), options={"distance": 1.0})
    assert (load().fov, load().distance) == (40, None)


# ---- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("siez=3x3", "unknown key 'siez'; did you mean 'size'?"),
        ("azim=[3]", "unknown key 'azim'; did you mean 'azimuth'?"),
        ("boxes=3", "unknown key 'boxes'; did you mean 'settings.boxes'?"),
        ("settings.boxs=3", "unknown key 'settings.boxs'; did you mean 'settings.boxes'?"),
        ("hydra.run.dir=x", "unknown key 'hydra.run.dir'; known are device, size, outputs"),
        ("+foo=1", "'+foo=1': keys can be neither added nor removed; write key=value"),
        ("++size=3x3", "'++size=3x3': keys can be neither added nor removed; write key=value"),
        ("~size", "'~size': keys can be neither added nor removed; write key=value"),
        ("fov=1,2", "'fov=1,2' has several values; write key=[a,b] for a list, key='a,b' for text"),
        ("size=[1", "cannot read 'size=[1' ("),
        ("settings=papr", "settings has no 'papr'; choose from exact, paper, sorted"),
        ("settings.boxes=many", "settings.boxes: Value 'many' of type 'str' could not be converted to Integer"),
        ("settings.boxes=9", "boxes must lie between 1 and 4, got 9"),
        ("settings.backend=gpu", "settings.backend: Invalid value 'gpu', expected one of [auto, cuda, cpp, torch]"),
        ("azimuth=3", "azimuth: must be a list, such as [1,2]"),
        ("azimuth=[]", "azimuth must have at least one angle, got []"),
        (
            "outputs=[rgb,nrm]",
            "outputs[1]: Invalid value 'nrm', expected one of [rgb, alpha, depth, normal, id, features]",
        ),
        ("size=wide", "size must be WxH in pixels, such as 640x480; got 'wide'"),
        ("size=0x4", "size must lie between 1 and 16384 pixels a side, got '0x4'"),
        ("background=purple", "background must be white, black, transparent, r,g,b in [0, 1] or a picture (.png,"),
        ("background='0,0,2'", "background must be white, black, transparent, r,g,b in [0, 1] or a picture (.png,"),
        ("depth=z", "'depth' has keys of its own: depth.kind"),
        ("cameras=a.json", "'cameras' has keys of its own: cameras.file, cameras.frames, cameras.format, "),
        ("depth.kind=zz", "depth.kind: Invalid value 'zz', expected one of [ray, z]"),
        ("normal.frame=up", "normal.frame: Invalid value 'up', expected one of [world, camera]"),
        ("color_space=rgb", "color_space: Invalid value 'rgb', expected one of [srgb, linear]"),
        ("cameras.frames=[]", "frames must have at least one name or number, got []"),
        ("fov=180", "fov must lie between 0 and 180 degrees, got 180.0"),
        ("distance=0", "distance must be positive, got 0.0"),
        ("light.ambient=2", "ambient must lie between 0 and 1, got 2.0"),
        ("light.position=[1,2]", "position must have 3 numbers, got [1.0, 2.0]"),
        ("convert.coverage=1", "coverage must lie between 0 and 1, got 1.0"),
        ("convert.neighbors=2", "neighbors must be at least 3, got 2"),
        ("convert.kappa=-1", "kappa must be positive, got -1.0"),
    ],
)
def test_a_wrong_override_is_one_line(override, message):
    with pytest.raises(UsageError) as caught:
        load(overrides=[override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fvo: 30", "unknown key 'fvo'; did you mean 'fov'?"),
        ("settings: {boxs: 1}", "unknown key 'settings.boxs'; did you mean 'settings.boxes'?"),
        ("depth: z", "'depth' has keys of its own: depth.kind"),
        ("defaults: [{setings: paper}]", "no packaged group 'setings'; groups are convert, settings"),
        ("defaults: [{settings: papr}]", "settings has no 'papr'; choose from exact, paper, sorted"),
        ("defaults: [paper]", "an entry of defaults must be 'group: name' or _self_, got 'paper'"),
        ("[1, 2]", "must hold keys and values, got list"),
        ("fov: {", "not YAML ("),
    ],
)
def test_a_wrong_file_is_named_in_one_line(tmp_path, text, message):
    file = write(tmp_path / "a.yaml", text)
    with pytest.raises(UsageError) as caught:
        load(file=file)
    assert str(caught.value).startswith(f"{file}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fov: wide", "fov: Value 'wide' of type 'str' could not be converted to Float"),
        ("settings: {boxes: many}", "settings.boxes: Value 'many' of type 'str' could not be converted to Integer"),
        ("azimuth: 3", "azimuth: must be a list, such as [1,2]"),
        ("settings: {boxes: 9}", "boxes must lie between 1 and 4, got 9"),
        ("size: wide", "size must be WxH in pixels, such as 640x480; got 'wide'"),
    ],
)
def test_a_wrong_value_in_a_file_names_key_and_file(tmp_path, text, message):
    file = write(tmp_path / "a.yaml", text)
    for more in ({}, {"options": {"distance": 2.0}, "overrides": ["turntable=3"]}):
        with pytest.raises(UsageError) as caught:
            load(file=file, **more)
        assert str(caught.value) == f"{file}: {message}"


def test_a_wrong_override_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(UsageError, match=r"^fov: Value 'wide'"):
        load(file=write(tmp_path / "a.yaml", "turntable: 1"), overrides=["fov=wide"])


def test_a_missing_config_names_the_packaged_ones():
    with pytest.raises(UsageError, match="no such file and no packaged config; did you mean 'preview'"):
        load(file="previw")
    with pytest.raises(UsageError, match="none is packaged"):
        load("demo", file="x")


@pytest.mark.parametrize(
    ("arguments", "inputs", "overrides"),
    [
        (["a.obj", "b.obj", "fov=3"], ["a.obj", "b.obj"], ["fov=3"]),
        (["fov=3", "~size", "+x=1", "a.b/c@d=1"], [], ["fov=3", "~size", "+x=1", "a.b/c@d=1"]),
        (["there=1.obj", "missing=1.obj", "2=x"], ["there=1.obj", "2=x"], ["missing=1.obj"]),
    ],
)
def test_arguments_are_inputs_or_overrides(tmp_path, monkeypatch, arguments, inputs, overrides):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there=1.obj").write_text("")
    assert config.split_arguments(arguments) == (inputs, overrides)


@pytest.mark.parametrize("text", ["300", "300.0", "3e2"])
def test_whole_numbers_are_read_however_they_are_written(tmp_path, text):
    assert load("convert", overrides=[f"count={text}"]).count == 300
    assert load("convert", file=write(tmp_path / "a.yaml", f"count: {text}\n")).count == 300
    assert load(overrides=[f"convert.count={text}"]).convert.count == 300


@pytest.mark.parametrize("text", ["300.5", "inf", "many"])
def test_a_number_that_is_not_whole_is_refused(tmp_path, text):
    with pytest.raises(UsageError, match=r"count: Value '.*' of type '.*' could not be converted to Integer"):
        load("convert", overrides=[f"count={text}"])
