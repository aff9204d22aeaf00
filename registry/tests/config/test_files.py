from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from itnet_core import ConfigError
from itnet_registry import load_config


def write(tmp_path: Path, text: str, name: str = "run.yaml") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_yaml_and_json_read_the_same(tmp_path: Path) -> None:
    data = {"model": {"preset": "itnet-nano", "dropout": 0.1}, "train": {"epochs": 3}}
    yaml = write(tmp_path, "model: {preset: itnet-nano, dropout: 0.1}\ntrain:\n  epochs: 3\n")
    assert load_config(yaml) == load_config(write(tmp_path, json.dumps(data), "run.json")) == data
    assert load_config(str(yaml)) == data


def test_a_task_at_the_top_is_the_models(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "task: digits\nmodel: {preset: a}")) == {
        "model": {"preset": "a", "task": "digits"}
    }
    assert load_config(write(tmp_path, "task: digits")) == {"model": {"task": "digits"}}


def test_an_empty_section_has_no_fields(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "model:\ntrain:\n")) == {"model": {}, "train": {}}


def test_what_a_merge_brings_may_be_overridden(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nmodel:\n  <<: *base\n  b: 3\n"
    assert load_config(write(tmp_path, text))["model"] == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.yaml", "model: {width: 1, width: 2}", "the key 'width' twice"),
        ("run.yaml", "model: {}\nmodel: {}", "the key 'model' twice"),
        ("run.json", '{"model": {"width": 1,\n\t"width": 2}}', "the key 'width' twice, in line 2, column 2"),
        (
            "run.yaml",
            "model:\n\twidth: 1",
            "a tab in the indentation, which YAML writes in spaces, in line 2",
        ),
        ("run.yaml", "model:\n  width: 1\n depth: 1", "an indentation that is not that of the lines above, in line 3"),
        ("run.yaml", "model:\n  betas: [1,\n  depth: 1", "a bracket that is opened in line 2 and not closed"),
        ("run.yaml", "model: {}\ntrain:\n- epochs: 3", "run.yaml, line 2: train: found [{'epochs': 3}]"),
        ("run.yaml", "- model: {}", "Leave out the hyphen before the names of sections."),
        ("run.yaml", "model: [", "expected valid YAML"),
        ("run.yaml", "model: !!timestamp foo", "expected valid YAML"),
        ("run.yaml", "model: {width: !!int ''}", "'' as a value of !!int, in line 1, column 16; expected valid YAML"),
        ("run.yaml", "model: 0x" + "f" * 4000, "a value of type int that cannot be written out"),
        ("run.yaml", "model: !!python/object/apply:os.system ['true']", "expected valid YAML"),
        ("run.yaml", "a: {}\n---\nb: {}", "expected valid YAML"),
        ("run.json", '{"model": ', "expected valid JSON"),
        ("run.json", '{"model": {"dropout": NaN}}', "NaN, which JSON does not have"),
        ("run.json", "[" * 100_000, "expected valid JSON"),
        ("run.yaml", "", "found nothing; expected sections by name"),
        ("run.yaml", "- model", "expected sections by name"),
        ("run.yaml", "1: {}", "expected sections by name"),
        ("run.yaml", "model: itnet-s", "run.yaml, line 1: model: found 'itnet-s'; expected a section"),
        ("run.yaml", "task: a\nmodel: {task: b}", "run.yaml: task: found a task at the top and one in model"),
        ("run.yaml", "task: a\nmodel: 3", "run.yaml, line 2: model: found 3; expected a section"),
        ("run.yaml", "a: é".encode("latin-1"), "not UTF-8"),
        ("run.toml", "a = 1", "found the suffix '.toml'; expected .yaml, .yml or .json"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text, name))
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "run.yaml")
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ConfigError, match="a file that can be read"):
        load_config(tmp_path / "folder.yaml")


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="FIFO"):
        load_config(tmp_path / "fifo.yaml")
    with pytest.raises(ConfigError, match="a device"):
        load_config(tmp_path / "zero.json")


def test_a_file_of_absurd_size_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("itnet_registry.config.files.MOST", 10)
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        load_config(write(tmp_path, "model: {width: 3}"))


def test_a_section_that_an_alias_repeats_is_one_of_its_own(tmp_path: Path) -> None:
    text = "model: &a {preset: p}\nother: *a\ntask: digits\n"
    actual = load_config(write(tmp_path, text))
    assert actual == {"model": {"preset": "p", "task": "digits"}, "other": {"preset": "p"}}
