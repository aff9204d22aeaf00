"""YAML by the core schema of YAML 1.2, in time and memory that the length of a text explains.

PyYAML reads YAML 1.1, where `yes` is a boolean, `190:20:30` a number and `2020-01-01` a date; it builds what aliases
and merges repeat without a bound, and leaves wrong tags to Python's own exceptions. Its parser alone is used here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
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
"""How deep mappings and lists may be nested."""

REPEATED = 10_000
"""How many values aliases may repeat, unless the text itself holds more."""

DIGITS = 4300
"""How long a number may be, as Python has it."""

_TAG = "tag:yaml.org,2002:"
_MERGE = object()
"""Stands for the key `<<`."""

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
"""Of each tag of the core schema that is no text: how its plain scalars look, and what they mean."""


class _Dumper(yaml.SafeDumper):
    """Writes what PyYAML and `read_yaml` read alike: texts that look like a number to either are in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, (_form, _) in _SCALARS.items():
    _Dumper.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_form.pattern})$"), None)


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return data of JSON's types as YAML, in their order."""
    return str(yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def read_yaml(text: str) -> Any:
    """Return what a text of one YAML document holds; `None` if there is none.

    Raises:
        ValueError: it is no YAML, holds several documents, a key twice or a tag that the core schema does not have; it
            is nested too deeply, or its aliases repeat too much.
    """
    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    return builder.document


class _Value(NamedTuple):
    """A value that is complete.

    Attributes:
        value: the value.
        size: how many values it is, those inside it among them.
        height: how deep mappings and lists are nested in it.
    """

    value: Any
    size: int = 1
    height: int = 0


@dataclass
class _Open:
    """A mapping or a list that is being read.

    Attributes:
        value: what it holds so far.
        anchor: its name, if it has one.
        size: as for `_Value`.
        height: as for `_Value`.
        key: the key whose value comes next, if there is one.
        merged: what `<<` brings.
    """

    value: dict[Any, Any] | list[Any]
    anchor: str | None
    size: int = 1
    height: int = 1
    key: tuple[Any] | None = None
    merged: list[Mapping[Any, Any]] = field(default_factory=list)

    def take(self, each: _Value, *, merges: bool) -> None:
        """Take what comes next in it: an element, a key, or a key's value."""
        self.size, self.height = self.size + each.size, max(self.height, each.height + 1)
        if isinstance(self.value, list):
            self.value.append(each.value)
        elif self.key is None:
            self.key = (_MERGE if merges and not self.merged else self._fresh(each.value),)
        elif self.key[0] is _MERGE:
            self.key, self.merged = None, [*self.merged, *_mappings(each.value)]
        else:
            self.value[self.key[0]] = each.value
            self.key = None

    def _fresh(self, key: Any) -> Any:
        if isinstance(key, dict | list):
            raise ValueError("a key that is a mapping or a list")
        if key in self.value or (key == "<<" and self.merged):
            raise ValueError(f"{key!r:.80} is there twice")
        return key

    def closed(self) -> _Value:
        """Return it, with what was merged into it; its own values go before those, and the earlier before the later."""
        if isinstance(self.value, dict):
            for other in self.merged:
                self.value = {**other, **self.value}
        return _Value(self.value, self.size, self.height)


class _Builder:
    """Builds the document from the parser's events, without recursion. What an alias stands for is copied."""

    def __init__(self) -> None:
        self.document: Any = None
        self.documents = self.written = self.repeated = 0
        self.open: list[_Open] = []
        self.anchors: dict[str, _Value] = {}

    def take(self, event: Event) -> None:
        """Take the next event."""
        try:
            self._take(event)
        except ValueError as error:
            mark = event.start_mark
            place = f", in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise ValueError(f"{error}{place}") from None

    def _take(self, event: Event) -> None:
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
            self._add(done.closed(), done.anchor)

    def _add(self, each: _Value, anchor: str | None, *, merges: bool = False) -> None:
        self.written += 1
        if anchor is not None:
            self.anchors[anchor] = each
        if self.open:
            self.open[-1].take(each, merges=merges)
        else:
            self.document = each.value

    def _repeated(self, name: str) -> _Value:
        if name not in self.anchors:
            raise ValueError(f"the alias *{name:.80} of nothing that ends before it")
        each = self.anchors[name]
        self.repeated += each.size
        most = max(REPEATED, self.written)
        if self.repeated > most:
            raise ValueError(f"aliases that repeat more than {most} values")
        self._check_depth(each.height)
        return each._replace(value=deepcopy(each.value))

    def _check_depth(self, height: int) -> None:
        if len(self.open) + height > DEPTH:
            raise ValueError(f"more than {DEPTH} mappings and lists in each other")


def _mappings(value: Any) -> list[Mapping[Any, Any]]:
    """Return what is merged: a mapping, or those of a list."""
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(each, dict) for each in found):
        raise ValueError("<< before something else than a mapping or a list of them")
    return found


def _scalar(event: ScalarEvent) -> Any:
    """Return what a scalar means: by its tag, or where it has none and is not quoted, by its looks."""
    text, name = event.value, (event.tag or "").removeprefix(_TAG)
    if event.tag in ("!", f"{_TAG}str") or (event.tag is None and not event.implicit[0]):
        return text
    if event.tag is not None and name not in _SCALARS:
        raise ValueError(f"the tag {event.tag!r:.80}, which YAML's core schema does not have")
    for form, meaning in [_SCALARS[name]] if name else _SCALARS.values():
        if form.fullmatch(text):
            if len(text) > DIGITS:
                raise ValueError(f"a number of {len(text)} digits")
            return meaning(text)
    if name:
        raise ValueError(f"{text!r:.80} as a value of !!{name}")
    return text
