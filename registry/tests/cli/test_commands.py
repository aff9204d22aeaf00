"""The commands, in this process."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

import itnet_core
import itnet_registry
from itnet_registry.cli.app import BUILT_IN, app
from itnet_registry.plugins.loading import BUILT_IN_COMMANDS

if TYPE_CHECKING:
    from registry.tests.conftest import Garden

Itnet = Callable[..., Result]


@pytest.fixture
def itnet(garden: Garden) -> Itnet:
    garden.toy()

    def run(*arguments: object) -> Result:
        garden.forget()
        return CliRunner().invoke(app, [str(item) for item in arguments])

    return run


def answer(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def refused(result: Result, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.startswith("error: ")
    return result.stderr


def test_version(itnet: Itnet) -> None:
    expected = (
        f"itnet-registry {itnet_registry.__version__}, itnet-core {itnet_core.__version__}, API {itnet_core.API}\n"
    )
    assert itnet("--version").stdout == expected


def test_no_plugin_can_take_the_name_of_a_built_in_command() -> None:
    assert tuple(BUILT_IN) == BUILT_IN_COMMANDS


def test_list(itnet: Itnet) -> None:
    report = answer(itnet("list", "--json"))
    [pixels] = [item for item in report["components"] if item["id"] == "itnet-toy/pixels"]
    assert pixels == {
        "kind": "encoder",
        "id": "itnet-toy/pixels",
        "name": "pixels",
        "summary": "a pixel, a point",
        "distribution": "itnet-toy",
        "version": "1.0",
        "modality": "image",
        "target": "itnet_toy.parts:Pixels",
        "config_version": 1,
        "requires": [],
    }
    assert "itnet-toy/toy" in [item["id"] for item in report["presets"]]
    assert [item["id"] for item in report["commands"]] == ["itnet-toy/greet"]
    assert report["quarantined"] == report["left_out"] == []
    assert "itnet-toy/pixels" in itnet("list").stdout


def test_list_of_a_kind(itnet: Itnet) -> None:
    report = answer(itnet("list", "--kind", "task", "--json"))
    assert [item["name"] for item in report["components"]] == ["stripes", "vowels"]
    assert "presets" not in report
    assert "kind: found 'tsak'" in refused(itnet("list", "--kind", "tsak"))


def test_list_shows_quarantined_and_left_out_plugins(
    itnet: Itnet, garden: Garden, monkeypatch: pytest.MonkeyPatch
) -> None:
    garden.plant("acme-bad", "raise RuntimeError('no luck [red]')")
    garden.plant("acme-out")
    monkeypatch.setenv("ITNET_DISABLE", "acme-out")
    report = answer(itnet("list", "--json"))
    assert [(fault["distribution"], fault["stage"]) for fault in report["quarantined"]] == [("acme-bad", "import")]
    assert report["left_out"] == [{"distribution": "acme-out", "version": "1.0", "variable": "ITNET_DISABLE"}]
    shown = itnet("list").stdout
    assert "no luck [red]" in shown
    assert "acme-out" in shown


def test_list_by_metadata(itnet: Itnet, garden: Garden) -> None:
    garden.plant("acme-bad", "raise RuntimeError('imported')")
    garden.plant("acme-old", requires=("itnet-core<0.1",))
    report = answer(itnet("list", "--metadata-only", "--json"))
    assert [item["distribution"] for item in report["plugins"]] == ["acme-bad", "itnet-core", "itnet-toy"]
    assert [(fault["distribution"], fault["stage"]) for fault in report["quarantined"]] == [("acme-old", "version")]
    assert "acme-bad" in itnet("list", "--metadata-only").stdout


def test_strict_ends_with_one_message(itnet: Itnet, garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.plant("acme-bad", "raise RuntimeError('no luck')")
    monkeypatch.setenv("ITNET_STRICT", "1")
    for arguments in (["list"], ["doctor", "--plugins"]):
        assert "stage 'import': RuntimeError: no luck" in refused(itnet(*arguments), code=1)
    garden.plant("acme-old", requires=("itnet-core<0.1",))
    for arguments in (["list", "--metadata-only"], ["doctor"]):
        assert "stage 'version': RuntimeError: found itnet-core" in refused(itnet(*arguments), code=1)
    garden.uproot("acme-old")
    asked = itnet("--help")
    assert (asked.exit_code, len(asked.stderr.splitlines())) == (1, 1)
    assert "stage 'import': RuntimeError: no luck" in asked.stderr


def test_info(itnet: Itnet) -> None:
    report = answer(itnet("info", "pixels", "--json"))
    assert report["target"] == "itnet_toy.parts:Pixels"
    assert report["file"].endswith("itnet_toy/parts.py")
    assert report["distribution"] == "itnet-toy 1.0"
    assert report["fields"] == [
        {
            "name": "channels",
            "type": "integer > 0",
            "required": False,
            "default": 3,
            "description": "Channels of an image.",
        },
        {
            "name": "bias",
            "type": "boolean",
            "required": False,
            "default": True,
            "description": "Whether the linear map has a bias.",
        },
    ]
    assert "Whether the linear" in itnet("info", "pixels").stdout
    [classes] = answer(itnet("info", "classify", "--json"))["fields"]
    assert classes["required"] is True


def test_info_of_a_preset(itnet: Itnet) -> None:
    report = answer(itnet("info", "toy", "--json"))
    assert (report["kind"], report["config"]["kernel"]) == ("preset", "itnet-toy/constant")


def test_info_asks_for_the_kind_where_it_must(itnet: Itnet, garden: Garden) -> None:
    garden.plant_kernel("acme-a", "pixels")
    assert "kinds encoder, kernel" in refused(itnet("info", "pixels"))
    assert answer(itnet("info", "pixels", "--kind", "kernel", "--json"))["id"] == "acme-a/pixels"


def test_info_of_nothing(itnet: Itnet) -> None:
    assert "Did you mean 'pixels'?" in refused(itnet("info", "pixls"))
    assert ", nor is it a directory with itnet.json" in refused(itnet("info", "runs/best"))
    assert "pip install itnet-kernels" in refused(itnet("info", "mamba"))


def test_info_of_a_component_that_fails(itnet: Itnet, garden: Garden) -> None:
    garden.plant_kernel("acme-a", "k", "acme_a.nothing:K")
    assert "kernel acme-a/k of acme-a 1.0" in refused(itnet("info", "k"), code=1)


def test_doctor(itnet: Itnet, garden: Garden) -> None:
    report = answer(itnet("doctor", "--json"))
    assert report["ok"] is True
    assert {"python", "torch", "core", "itnet-core", "itnet-toy"} <= {check["name"] for check in report["checks"]}
    assert "itnet-toy: paint" not in {check["name"] for check in report["checks"]}
    report = answer(itnet("doctor", "--plugins", "--json"))
    assert {"name": "itnet-toy: paint", "ok": True, "detail": "two colours"} in report["checks"]
    assert "two colours" in itnet("doctor", "--plugins").stdout


def test_doctor_finds_faults(itnet: Itnet, garden: Garden, monkeypatch: pytest.MonkeyPatch) -> None:
    garden.plant("acme-old", requires=("itnet-core<0.1",))
    garden.plant("acme-bad", "raise RuntimeError('no luck')")
    monkeypatch.setenv("ITNET_DISABLE", "acme-nothing")
    monkeypatch.setenv("ITNET_PREFER", "acme/nothing")

    def wrong(*arguments: str) -> set[str]:
        return {
            check["name"] for check in answer(itnet("doctor", "--json", *arguments), 1)["checks"] if not check["ok"]
        }

    assert wrong() == {"acme-old", "ITNET_DISABLE"}
    assert "raise RuntimeError('no luck')" in itnet("doctor", "--plugins").stderr
    [bad] = [f for f in answer(itnet("doctor", "--plugins", "--json"), 1)["quarantined"] if f["stage"] == "import"]
    assert "Traceback" in bad["traceback"]
    assert wrong("--plugins") == {"acme-old", "acme-bad", "ITNET_DISABLE", "ITNET_PREFER"}


def test_doctor_reports_hidden_copies(itnet: Itnet, garden: Garden) -> None:
    elsewhere = garden.root.parent / "old"
    garden.folders.append(elsewhere)
    garden.plant("acme-a", version="2.0")
    garden.plant("acme-a", version="1.0", folder=elsewhere)
    [check] = [check for check in answer(itnet("doctor", "--json"), 1)["checks"] if not check["ok"]]
    assert check["detail"] == f"another copy, 1.0, in {elsewhere}; Python imports the first one"


def test_schema(itnet: Itnet) -> None:
    assert set(answer(itnet("schema"))["properties"]) == {"model", "task", "greet"}
    assert answer(itnet("schema", "pixels"))["title"] == "itnet-toy/pixels"
    every = answer(itnet("schema", "--all"))
    assert every["encoder"]["itnet-toy/pixels"]["properties"]["channels"]["default"] == 3
    assert every["task"].keys() == {"itnet-toy/stripes", "itnet-toy/vowels"}
    assert "one of the two" in refused(itnet("schema", "pixels", "--all"))


def test_schema_of_all_goes_on_past_what_fails(itnet: Itnet, garden: Garden) -> None:
    garden.plant_kernel("acme-a", "k", "acme_a.nothing:K")
    result = itnet("schema", "--all")
    assert "acme-a/k" not in answer(result)["kernel"]
    assert "left out: kernel acme-a/k" in result.stderr


def test_validate(itnet: Itnet, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("task: stripes\nmodel: {preset: toy, encoder: pixels}\ngreet: {name: you}\n")
    assert itnet("validate", path).stdout == f"{path} is valid: model, greet\n"
    assert answer(itnet("validate", path, "--json"))["heads"]["image"]["classes"] == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "model: {preset: toy, encoder: pixels, heads: {}, kernel: {name: mlp, heads: two}}",
            "model.kernel.heads: found",
        ),
        ("model: {preset: toy, encoder: pixels, heads: {}, kernel: {name: mlp, heads: 3}}", "found dim 8 with 3 heads"),
        (
            "task: stripes\nmodel: {preset: toy, encoder: pixels, head: {classes: 7}}",
            "model.heads.image.classes: found 7; expected 2, as the task's data require",
        ),
        ("task: vowels\nmodel: {preset: toy, encoder: pixels}", "expected an encoder and a task of one modality"),
        ("model: {preset: toy, encoder: pixels}", "model.head: found nothing"),
        ("greet: {nmae: you}", "greet.nmae: found a field that does not exist"),
        ("gret: {}", "Did you mean 'greet'?"),
        ("train: {}", "pip install itnet-train"),
        ("model: [", "expected valid YAML"),
    ],
)
def test_validate_refuses(itnet: Itnet, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    error = refused(itnet("validate", path))
    assert message in error
    assert str(path) in error


def test_a_plugins_command(itnet: Itnet) -> None:
    assert "say hello" in itnet("--help").stdout
    assert itnet("greet", "you", "--loud").stdout == "HELLO you\n"
    assert itnet("itnet-toy/greet", "you").stdout == "hello you\n"
    assert "--loud" in itnet("greet", "--help").stdout
    assert itnet("greet").exit_code == 2


def test_help_imports_no_commands_function(itnet: Itnet, garden: Garden) -> None:
    garden.plant_command("acme-a", "heavy", "raise RuntimeError('imported')", "lift")
    result = itnet("--help")
    assert result.exit_code == 0
    assert "lift" in result.stdout
    message = refused(itnet("heavy"), code=1)
    assert "command acme-a/heavy of acme-a 1.0: found RuntimeError: imported" in message


def test_commands_of_one_name_are_called_in_full(itnet: Itnet, garden: Garden) -> None:
    garden.plant_command("acme-a", "greet", "def run(): print('woof')", "bark")
    assert "acme-a/greet, itnet-toy/greet" in refused(itnet("greet"))[:400].replace(" (acme-a 1.0, acme_a.plugin)", "")
    assert itnet("acme-a/greet").stdout == "woof\n"
    assert "itnet-toy/greet" in itnet("--help").stdout


def test_an_unknown_command(itnet: Itnet) -> None:
    assert "Did you mean 'list'?" in refused(itnet("lst"))
    assert "pip install itnet-train" in refused(itnet("train"))
    assert "pip install itnet-testing" in refused(itnet("test-plugin", "itnet-toy"))


def test_an_error_of_a_command_is_one_message(itnet: Itnet, garden: Garden) -> None:
    raises = "raise DataError('x.png', found='half an image', expected='a whole one')"
    garden.plant_command("acme-a", "fail", f"from itnet_core import DataError\ndef run(): {raises}")
    assert refused(itnet("fail"), code=1) == "error: x.png: found half an image; expected a whole one.\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "a/b"), "a/b: Disk quota exceeded"),
        (PermissionError(errno.EACCES, "Permission denied", "\x1b[2J\n\udce9"), r"\x1b[2J\n\udce9: Permission denied"),
        (OSError(errno.EXDEV, "Invalid cross-device link", "a", None, "b"), "a: b: Invalid cross-device link"),
        (TimeoutError("too late"), "too late"),
    ],
)
def test_what_the_operating_system_refuses_is_one_line(
    itnet: Itnet, garden: Garden, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    """To any command, of any plugin."""

    def refuse(*_: object) -> None:
        raise error

    garden.plant_command("acme-a", "fail", "import os\ndef run(): os.sync()")
    monkeypatch.setattr(os, "sync", refuse)
    assert refused(itnet("fail"), code=1) == f"error: {message}\n"
    monkeypatch.setattr("itnet_registry.cli.listing.components_report", refuse)
    assert refused(itnet("list"), code=1) == f"error: {message}\n"


CURSED = "\x1b[31mred\x9b\u202e\udce9"
SHOWN = r"\x1b[31mred\x9b\u202e\udce9"


def test_a_terminal_obeys_no_text_of_a_plugin(itnet: Itnet, garden: Garden, tmp_path: Path) -> None:
    garden.plant(
        "acme-a",
        f"""
        @hookimpl
        def itnet_register_components(api):
            return [ComponentSpec(kind="kernel", name="k", target="acme_a.parts:K", summary="")]
        @hookimpl
        def itnet_register_presets(api):
            return [PresetSpec(name="p", summary="", config={{"a": {CURSED!r}}})]
        @hookimpl
        def itnet_register_commands(api):
            return [CommandSpec(name="c", target="acme_a.parts:run", summary="")]
        @hookimpl
        def itnet_doctor(api):
            return [Check(name={CURSED!r}, ok=False, detail={CURSED!r})]
        """,
        modules={"parts": f"raise RuntimeError({CURSED!r})"},
    )
    garden.plant("acme-b", f"raise RuntimeError({CURSED!r})")
    folder = tmp_path / CURSED
    folder.mkdir()
    (folder / "run.yaml").write_text("task: stripes\nmodel: {preset: toy, encoder: pixels}\n")
    (folder / "bad.yaml").write_text("model: 3")
    for arguments in (
        ["list"],
        ["doctor", "--plugins"],
        ["info", "p"],
        ["info", "k"],
        ["c"],
        ["schema", "--all"],
        ["validate", folder / "run.yaml"],
        ["validate", folder / "bad.yaml"],
        ["new-plugin", "itnet-new", "--kind", "head", "--path", folder],
    ):
        result = itnet(*arguments)
        shown = re.sub(r"[\s│]", "", result.stdout + result.stderr)  # which tables break
        assert SHOWN in shown, arguments
        assert not set(result.stdout + result.stderr) & set("\x1b\x9b\u202e\udce9"), arguments


def test_json_keeps_what_a_terminal_would_obey(itnet: Itnet, garden: Garden) -> None:
    garden.plant("acme-b", f"raise RuntimeError({CURSED!r})")
    result = itnet("list", "--json")
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
    [fault] = answer(result)["quarantined"]
    assert fault["error"] == f"RuntimeError: {SHOWN}"


def test_list_takes_a_kind_or_a_pattern(itnet: Itnet) -> None:
    presets = answer(itnet("list", "--kind", "preset", "--json"))
    assert "itnet-core/itnet-s" in {preset["id"] for preset in presets["presets"]}
    assert not {"components", "commands"} & presets.keys()
    assert [command["name"] for command in answer(itnet("list", "--kind", "command", "--json"))["commands"]] == [
        "greet"
    ]
    found = answer(itnet("list", "*etter*", "--json"))
    assert [component["name"] for component in found["components"]] == ["letters"]
    assert found["presets"] == found["commands"] == []


def test_info_of_a_command(itnet: Itnet) -> None:
    report = answer(itnet("info", "greet", "--json"))
    assert (report["kind"], report["id"], report["usage"]) == ("command", "itnet-toy/greet", "itnet greet --help")
    assert "itnet greet --help" in itnet("info", "greet").stdout


@pytest.mark.parametrize(("name", "distribution"), [("text-nano", "itnet-text"), ("train", "itnet-train")])
def test_info_names_the_distribution_of_what_is_not_installed(itnet: Itnet, name: str, distribution: str) -> None:
    message = refused(itnet("info", name))
    assert f"{distribution} provides it, and is not installed: pip install {distribution}." in message


def test_many_names_are_not_listed(itnet: Itnet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itnet_registry.plugins.names.MANY", 2)
    message = refused(itnet("info", "nothing-here"))
    assert re.search(r"one of the \d+ installed names, which `itnet list` shows", message)
    assert "which `itnet list --kind encoder` shows" in refused(itnet("info", "nothing-here", "--kind", "encoder"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width: 3", "Write it in a section, as model: {width: 64}"),
        ("width: {}", "Did you mean model.width?"),
        ("model: {preset: itnet-nano, encoder: pixels, num_classes: 3}", "Did you mean model.head.classes"),
        (
            "model: {preset: itnet-nano, encoder: pixels, kernel: {heads: 2, wdth: 3}}",
            "line 1: model.kernel.wdth: found",
        ),
        ("model: {preset: itnet-nano, dim: 3}", "Did you mean 'width'?"),
        (
            "model:\n  preset: itnet-nano\n  encoder:\n  - pixels",
            "line 3: model.encoder: found ['pixels']; expected fields",
        ),
    ],
)
def test_a_field_in_the_wrong_place_is_found(itnet: Itnet, tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    assert message in refused(itnet("validate", file))


def test_a_run_directory_suggests_its_best_checkpoint(itnet: Itnet, tmp_path: Path) -> None:
    best = tmp_path / "best"
    best.mkdir()
    (best / "itnet.json").touch()
    assert f"Did you mean {best}, the best checkpoint of this run?" in refused(itnet("info", tmp_path))
    with pytest.raises(itnet_registry.CheckpointError, match="Did you mean .*best, the best checkpoint of this run"):
        itnet_registry.load_model(tmp_path)
