from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError
from itnet_registry.config.files import in_file
from itnet_registry.config.yaml_text import line_of, to_yaml

NAMES = st.text("abcdefgh", min_size=1, max_size=5)


@given(st.recursive(st.integers(), lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3)))
def test_the_line_of_a_path_begins_with_its_last_key(data: object) -> None:
    config = {"top": data}
    lines = to_yaml(config).splitlines()

    def check(value: object, path: list[str]) -> None:
        line = line_of("\n".join(lines), path)
        assert line is not None
        assert lines[line - 1].strip().startswith(f"{path[-1]}:")
        for key, inner in value.items() if isinstance(value, dict) else ():
            check(inner, [*path, key])

    check(data, ["top"])


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("model", 1),
        ("model.trunk.1.kernel", 4),
        ("train.epochs", 6),
        ("model.task.root", 5),
        ("model.task.roo", None),
        ("train.learning_rate", None),
    ],
)
def test_an_error_names_the_line_of_its_place(tmp_path: Path, place: str, line: int | None) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "model:\n  trunk:\n  - kernel: mlp\n  - {kernel: mlp}\ntask: {name: a, root: b}\ntrain: {epochs: 3}\n"
    )
    with pytest.raises(ConfigError) as caught, in_file(file):
        raise ConfigError(place, found="1", expected="2")
    assert caught.value.place == f"{file}{f', line {line}' if line else ''}: {place}"
