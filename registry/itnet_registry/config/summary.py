"""Summary of what a command will do with a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class RunSummary(NamedTuple):
    """What a run will cost, found out before it starts; see `itnet_core.CommandSpec.rehearsal`.

    Example:
        >>> summary = RunSummary({"parameters": 10}, [("parameters", "10")])
        >>> summary.values["parameters"], summary.warnings
        (10, ())

    Attributes:
        values: numbers as JSON-native values, for programs.
        rows: the same for people, as names and texts.
        warnings: what a user may want to change before the run.
    """

    values: Mapping[str, Any]
    rows: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
