"""JSON and CSV text."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def to_json(data: Mapping[str, Any], *, indent: int | None = None) -> str:
    """Return ASCII JSON on one line or indented; NaN and infinities, which JSON lacks, become null.

    Example:
        >>> to_json({"loss": float("nan"), "epochs": 3})
        '{"loss": null, "epochs": 3}'
    """
    return json.dumps(_finite(data), indent=indent, allow_nan=False)


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    r"""Return CSV with a header of the keys of all rows, of which one is required.

    Example:
        >>> to_csv([{"epoch": 1, "loss": 0.5}])
        'epoch,loss\n1,0.5\n'
    """
    text = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, fieldnames=list(names), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
