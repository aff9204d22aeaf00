"""YAML is read by its core schema, in time that its length explains, and written so that it is read again."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from itnet_registry.config.yaml_text import DEPTH, REPEATED, read_yaml, to_yaml

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8) | st.sampled_from(
    [
        "yes",
        "null",
        "~",
        "",
        "1e3",
        "0o17",
        "012",
        "0x1",
        "190:20:30",
        "2020-01-01",
        "<<",
        "=",
        ".5",
        ".nan",
        "a: b",
        "- a",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@settings(max_examples=50)
@given(st.dictionaries(TEXTS, DATA, max_size=4))
def test_what_is_written_is_read_again(data: dict[str, Any]) -> None:
    assert read_yaml(to_yaml(data)) == data
    assert yaml.safe_load(to_yaml(data)) == data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("on", "on"),
        ("n", "n"),
        ("~", None),
        ("", None),
        ("NULL", None),
        ("-17", -17),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("190:20:30", "190:20:30"),
        ("1e-3", 0.001),
        (".5", 0.5),
        ("-.INF", -math.inf),
        ("2020-01-01", "2020-01-01"),
        ("2020-99-99", "2020-99-99"),
        ("'1'", "1"),
        ("! 1", "1"),
        ("!!str 1", "1"),
        ("!!int 1", 1),
        ("!!float 1", 1.0),
        ("!!null ''", None),
        ("!!seq [1]", [1]),
        ("!!map {a: 1}", {"a": 1}),
        ("[&a {b: 1}, *a]", [{"b": 1}, {"b": 1}]),
        ("{a: &a {x: 1, y: 2}, b: {<<: *a, y: 3}}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("{<<: [{x: 1}, {x: 2, y: 2}], z: 3}", {"x": 1, "y": 2, "z": 3}),
        ("{'<<': {x: 1}}", {"<<": {"x": 1}}),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    actual = read_yaml(text)
    assert actual == value
    assert type(actual) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(read_yaml(".NaN"))


def doubled(levels: int) -> str:
    """Return lists of which each repeats the last one ten times."""
    lists = (f"x{i}: &a{i} [{', '.join([f'*a{i - 1}' if i else '1'] * 10)}]\n" for i in range(levels))
    return "".join(lists)


def merged(levels: int) -> str:
    """Return mappings of which each merges the last one ten times."""
    item = (f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, levels))
    return "a0: &a0 {x: 1, y: 2}\n" + "".join(item)


def nested(levels: int) -> str:
    """Return lists that are nested by aliases, each of which is not deep itself."""
    lists = (f"x{i}: &a{i} {'[' * 50}{f'*a{i - 1}' if i else 1}{']' * 50}\n" for i in range(levels))
    return "".join(lists)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (doubled(8), f"aliases that repeat more than {REPEATED} values, in line 4"),
        (doubled(100), "aliases that repeat more than"),
        (merged(8), "aliases that repeat more than"),
        (merged(100), "aliases that repeat more than"),
        (nested(3), f"mappings and lists nested more than {DEPTH} deep, in line 2"),
        ("[" * 3000, f"mappings and lists nested more than {DEPTH} deep"),
        ("{a: " * 3000, f"mappings and lists nested more than {DEPTH} deep"),
        ("- " * 3000, f"mappings and lists nested more than {DEPTH} deep"),
        ("&a [*a]", r"the alias \*a without a complete anchor before it"),
        ("*a", r"the alias \*a without a complete anchor"),
        ("!!timestamp foo", "the tag 'tag:yaml.org,2002:timestamp', which YAML's core schema does not have"),
        ("!!timestamp 2020-01-01", "core schema"),
        ("!!binary YQ==", "core schema"),
        (
            "!!python/object/apply:os.system ['true']",
            "the tag 'tag:yaml.org,2002:python/object/apply:os.system' of a seq",
        ),
        ("!mine 1", "the tag '!mine'"),
        ("!!set {a}", "of a map"),
        ("!!set [1]", "of a seq"),
        ("!!map [1]", "of a seq"),
        ("!!seq {}", "of a map"),
        ("!!int ''", "'' as a value of !!int"),
        ("!!int 1.5", "'1.5' as a value of !!int"),
        ("!!float ''", "'' as a value of !!float"),
        ("!!bool foo", "'foo' as a value of !!bool"),
        ("!!null 1", "'1' as a value of !!null"),
        ("9" * 5000, "a number of 5000 digits"),
        ("0x" + "f" * 5000, "a number of 5002 digits"),
        ("a: {b: 1, b: 2}", "the key 'b' twice, in line 1, column 11"),
        ("{<<: {a: 1}, <<: {b: 1}}", "the key '<<' twice"),
        ("<<: 1", "<< before a value that is not a mapping"),
        ("? [1]\n: 2", "a key that is a mapping or a list"),
        ("a\n---\nb", "a second document"),
        ("a: b: c", "mapping values are not allowed here"),
        ("\0", "special characters are not allowed"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_yaml(text)


def test_what_an_alias_repeats_is_a_copy() -> None:
    actual = read_yaml("[&a {b: []}, *a]")
    actual[1]["b"].append(1)
    assert actual == [{"b": []}, {"b": [1]}]


def test_a_long_text_may_be_repeated_once() -> None:
    """As in a file that holds one vocabulary for two parts."""
    count = REPEATED + 5000
    assert len(read_yaml(f"[&a [{', '.join(['1'] * count)}], *a]")[1]) == count
