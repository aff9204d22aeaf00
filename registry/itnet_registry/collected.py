"""What all plugins declare, without what is declared twice, and by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from itnet_registry.declared import Declared
from itnet_registry.loading import Plugin
from itnet_registry.names import canonical

D = TypeVar("D", bound=Declared[Any])


@dataclass(frozen=True)
class Collected(Generic[D]):
    """The declarations of plugins.

    Attributes:
        plugins: whose.
        every: all that differ: two entry points of a distribution may declare the same.
        by_name: them by their ids, and by their bare names.
    """

    plugins: Sequence[Plugin]
    every: Sequence[D]
    by_name: Mapping[str, Sequence[D]]

    @classmethod
    def of(cls, plugins: Sequence[Plugin], declared: Iterable[D]) -> Collected[D]:
        """Put declarations together, in their order."""
        every: list[D] = []
        by_name: dict[str, list[D]] = {}
        for each in declared:
            same = by_name.setdefault(each.id, [])
            if not any(each.id == other.id and each.identity == other.identity for other in same):
                every.append(each)
                same.append(each)
                by_name.setdefault(each.name, []).append(each)
        return cls(plugins, every, by_name)

    def named(self, name: str) -> list[D]:
        """Return those that a name, bare or canonical, may stand for."""
        return [each for key in sorted({name, canonical(name)}) for each in self.by_name.get(key, ())]
