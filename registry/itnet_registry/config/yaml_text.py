"""Reader and writer of YAML 1.2 (core schema), in time and memory proportional to the length of a text.

PyYAML reads YAML 1.1, where `yes` is a boolean, `190:20:30` a number and `2020-01-01` a date; it expands aliases and
merges without a bound, and raises Python's own exceptions for wrong tags. Only its parser is used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

DEPTH = 100
"""Maximal nesting of mappings and lists."""

REPEATED = 10_000
"""Maximal number of values repeated by aliases, unless the text itself holds more."""

DIGITS = 4300
"""Maximal length of a number, as in Python."""

_TAG = "tag:yaml.org,2002:"
_MERGE = object()
"""The key `<<`."""

_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], Any]]] = {
    "null": (re.compile(r"~|null|Null|NULL|"), lambda text: None),
    "bool": (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    "int": (
        re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"),
        lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    ),
    "float": (
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        lambda text: float(re.sub(r"\.(?=[a-zA-Z])", "", text)),
    ),
}
"""Tags of the core schema other than text: the form of their plain scalars, and their conversion."""


class _Dumper(yaml.SafeDumper):
    """Quotes every text that PyYAML or `read_yaml` would take for another type."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, (_form, _) in _SCALARS.items():
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_form.pattern})$"), None)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return JSON-native data as YAML, in their order.

    Example:
        >>> print(to_yaml({"model": {"preset": "itnet-nano", "heads": {}}}), end="")
        model:
          preset: itnet-nano
          heads: {}
    """
    return str(yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def read_yaml(text: str) -> Any:
    """Return the content of a text with one YAML document; `None` for an empty text.

    Example:
        >>> read_yaml("{date: 2020-01-01, causal: yes, radius: 0.5}")
        {'date': '2020-01-01', 'causal': 'yes', 'radius': 0.5}

    Raises:
        ValueError: the text is not YAML, holds several documents, a key twice or a tag outside the core schema, is
            nested too deeply, or its aliases repeat too much.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.add(event)
    except yaml.MarkedYAMLError as error:
        raise ValueError(_syntax_error(error, text)) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return builder.document


def line_of(text: str, path: Sequence[str]) -> int | None:
    """Return the line of a text, which `read_yaml` reads, that has the key or the list entry at a path.

    Example:
        >>> line_of("model:\\n  kernel: mlp\\ntrain: {epochs: 3}", ["train", "epochs"])
        3
    """
    node, line = yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader), None  # JSON may be indented by tabs
    for part in path:
        if isinstance(node, yaml.MappingNode):
            keys = {key.value: (key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}
        elif isinstance(node, yaml.SequenceNode):
            keys = {str(number): (value, value) for number, value in enumerate(node.value)}
        else:
            keys = {}
        if part not in keys:
            return None
        key, node = keys[part]
        line = key.start_mark.line + 1
    return line


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> str:
    """Describe an error of PyYAML's parser with its line."""
    mark, opened = error.problem_mark, error.context_mark
    if mark is None:
        return " ".join(str(error).split())
    line = text.splitlines()[mark.line] if mark.line < len(text.splitlines()) else ""
    problem, context = str(error.problem), str(error.context or "")
    if r"\t" in problem and not line[: mark.column].strip():
        problem = "a tab in the indentation, which YAML writes in spaces"
    elif "flow" in context and opened is not None:
        problem = f"a bracket that is opened in line {opened.line + 1} and not closed: {problem}"
    elif problem.startswith("expected <block end>"):
        problem = "an indentation that is not that of the lines above"
    return f"{problem}, in line {mark.line + 1}, column {mark.column + 1}"


class _Value(NamedTuple):
    """A complete value."""

    value: Any
    """The value."""
    size: int = 1
    """Number of values in it, itself included."""
    height: int = 0
    """Depth of the mappings and lists nested in it."""


@dataclass
class _Open:
    """A mapping or a list that is being read."""

    value: dict[Any, Any] | list[Any]
    """The content so far."""
    anchor: str | None
    """Its anchor, if any."""
    size: int = 1
    """As for `_Value`."""
    height: int = 1
    """As for `_Value`."""
    key: tuple[Any] | None = None
    """The key whose value is next, if any."""
    merged: list[Mapping[Any, Any]] = field(default_factory=list)
    """Mappings merged by `<<`."""

    def add(self, item: _Value, *, merges: bool) -> None:
        """Add the next element, key, or value of a key."""
        self.size, self.height = self.size + item.size, max(self.height, item.height + 1)
        if isinstance(self.value, list):
            self.value.append(item.value)
        elif self.key is None:
            self.key = (_MERGE if merges and not self.merged else self._new_key(item.value),)
        elif self.key[0] is _MERGE:
            self.key, self.merged = None, [*self.merged, *_mappings(item.value)]
        else:
            self.value[self.key[0]] = item.value
            self.key = None

    def _new_key(self, key: Any) -> Any:
        if isinstance(key, dict | list):
            raise ValueError("a key that is a mapping or a list")
        if key in self.value or (key == "<<" and self.merged):
            raise ValueError(f"the key {key!r:.80} twice")
        return key

    def close(self) -> _Value:
        """Return the complete value; its own keys override merged ones, and earlier merged ones the later."""
        if isinstance(self.value, dict):
            for other in self.merged:
                self.value = {**other, **self.value}
        return _Value(self.value, self.size, self.height)


class _Builder:
    """Builds the document from the parser's events, without recursion; the value of an alias is copied."""

    def __init__(self) -> None:
        self.document: Any = None
        self.documents = self.written = self.repeated = 0
        self.open: list[_Open] = []
        self.anchors: dict[str, _Value] = {}

    def add(self, event: Event) -> None:
        """Add the next event."""
        try:
            self._add_event(event)
        except ValueError as error:
            mark = event.start_mark
            position = f", in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise ValueError(f"{error}{position}") from None

    def _add_event(self, event: Event) -> None:
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise ValueError("a second document")
        elif isinstance(event, AliasEvent):
            self._add(self._repeated(str(event.anchor)), None)
        elif isinstance(event, ScalarEvent):
            merges = event.value == "<<" and event.tag is None and event.implicit[0]
            self._add(_Value(_scalar(event)), event.anchor, merges=merges)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            kind = "map" if isinstance(event, MappingStartEvent) else "seq"
            if event.tag not in (None, "!", _TAG + kind):
                raise ValueError(f"the tag {event.tag!r:.80} of a {kind}")
            self._check_depth(1)
            self.open.append(_Open({} if kind == "map" else [], event.anchor))
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            done = self.open.pop()
            self._add(done.close(), done.anchor)

    def _add(self, item: _Value, anchor: str | None, *, merges: bool = False) -> None:
        self.written += 1
        if anchor is not None:
            self.anchors[anchor] = item
        if self.open:
            self.open[-1].add(item, merges=merges)
        else:
            self.document = item.value

    def _repeated(self, name: str) -> _Value:
        if name not in self.anchors:
            raise ValueError(f"the alias *{name:.80} without a complete anchor before it")
        value = self.anchors[name]
        self.repeated += value.size
        most = max(REPEATED, self.written)
        if self.repeated > most:
            raise ValueError(f"aliases that repeat more than {most} values")
        self._check_depth(value.height)
        return value._replace(value=deepcopy(value.value))

    def _check_depth(self, height: int) -> None:
        if len(self.open) + height > DEPTH:
            raise ValueError(f"mappings and lists nested more than {DEPTH} deep")


def _mappings(value: Any) -> list[Mapping[Any, Any]]:
    """Return the mappings that `<<` merges: one, or a list of them."""
    mappings = value if isinstance(value, list) else [value]
    if not all(isinstance(mapping, dict) for mapping in mappings):
        raise ValueError("<< before a value that is not a mapping or a list of them")
    return mappings


def _scalar(event: ScalarEvent) -> Any:
    """Return the value of a scalar: by its tag, or by its form if it has no tag and is not quoted."""
    text, name = event.value, (event.tag or "").removeprefix(_TAG)
    if event.tag in ("!", f"{_TAG}str") or (event.tag is None and not event.implicit[0]):
        return text
    if event.tag is not None and name not in _SCALARS:
        raise ValueError(f"the tag {event.tag!r:.80}, which YAML's core schema does not have")
    for form, convert in [_SCALARS[name]] if name else _SCALARS.values():
        if form.fullmatch(text):
            if len(text) > DIGITS:
                raise ValueError(f"a number of {len(text)} digits")
            return convert(text)
    if name:
        raise ValueError(f"{text!r:.80} as a value of !!{name}")
    return text
