"""Predict the inputs of a command, and write the predictions to a file."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from itnet_core import ConfigError, printable
from itnet_core.plugin.files import atomic_path
from itnet_registry import Prediction, Predictor
from itnet_registry.errors import os_errors_as
from itnet_registry.prediction.inputs import Input, find_inputs, resolve_argument
from itnet_train.errors import RunError
from itnet_train.storage.formats import to_json

FORMATS = (".csv", ".jsonl", ".parquet")
"""Suffixes of files of predictions."""


def inputs_of(arguments: Sequence[str], predictor: Predictor, column: str | None = None) -> Iterator[Input]:
    """Yield the inputs that the arguments of a command name; `-` stands for the lines of standard input.

    Args:
        arguments: texts, or files, folders, patterns and tables.
        predictor: the checkpoint.
        column: the column of a table that alone is the input.

    Raises:
        ConfigError: standard input is not text.
    """
    for argument in arguments:
        for line in _standard_input() if argument == "-" else iter([argument]):
            if argument == "-" and predictor.task.reads_text:
                yield Input(line, line)
            elif line:
                yield from find_inputs(resolve_argument(line, predictor.task), predictor.task, column)


def _standard_input() -> Iterator[str]:
    for number, line in enumerate(sys.stdin.buffer, start=1):
        try:
            yield line.decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            found = f"bytes that are not UTF-8 in line {number}"
            hint = "To predict a file, pass its path rather than its bytes."
            raise ConfigError("standard input", found=found, expected="a path or a text a line", hint=hint) from error


def with_progress(predictions: Iterable[Prediction], total: int) -> Iterator[Prediction]:
    """Yield predictions, and show their number on stderr if it is a terminal."""
    if not sys.stderr.isatty():
        yield from predictions
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(predictions, "predict", total, console=Console(stderr=True), transient=True)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check that predictions may be written to a file, before any are computed.

    Raises:
        ConfigError: the suffix is not one of `FORMATS`, the file exists and must not be overwritten, its folder does
            not, or pyarrow is missing.
    """
    place = f"--output {path}"
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(place, found=f"the suffix {path.suffix!r}", expected=f"one of {', '.join(FORMATS)}")
    if path.exists() and (path.is_dir() or not overwrite):
        hint = "" if path.is_dir() else "Add --overwrite to replace it."
        raise ConfigError(place, found="a folder" if path.is_dir() else "a file", expected="a new file", hint=hint)
    if not path.absolute().parent.is_dir():
        raise ConfigError(place, found="no such folder", expected="a file in a folder that exists")
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            hint = "Run: pip install 'itnet-train[parquet]'. Or choose .csv or .jsonl."
            raise ConfigError(place, found="parquet", expected="pyarrow, which writes it", hint=hint) from None


def write_predictions(predictions: Iterable[Prediction], path: Path) -> None:
    """Write a row for each prediction: `input`, the fields of its record, and `error`. The file is complete, or absent.

    JSON lines keep lists and mappings. In the other formats mappings are JSON texts, and so are lists in CSV.

    Example:
        >>> found = [Prediction("7.png", {"label": "7", "probability": 0.9}), Prediction("a.txt", error="no image")]
        >>> write_predictions(found, Path("predictions.csv"))
        >>> print(Path("predictions.csv").read_text())
        input,label,probability,error
        7.png,7,0.9,
        a.txt,,,no image
        <BLANKLINE>

    Args:
        predictions: the predictions.
        path: a file in one of `FORMATS`; an existing one is replaced.

    Raises:
        RunError: the file cannot be written.
    """
    rows = [{"input": p.name, **(p.record or {}), "error": p.error} for p in predictions]
    with os_errors_as(RunError, path), atomic_path(path) as partial:
        {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}[path.suffix.lower()](rows, partial)


def _write_csv(rows: Sequence[dict[str, Any]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _names(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _text(cell, (dict, list)) for name, cell in row.items()} for row in rows)


def _write_jsonl(rows: Sequence[dict[str, Any]], path: Path) -> None:
    path.write_text("".join(f"{to_json(row)}\n" for row in rows), encoding="utf-8")


def _write_parquet(rows: Sequence[dict[str, Any]], path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {name: [_text(row.get(name), (dict,)) for row in rows] for name in _names(rows)}
    columns["error"] = pyarrow.array(columns["error"], pyarrow.string())  # also where there is none
    parquet.write_table(pyarrow.table(columns), path)


def _names(rows: Sequence[dict[str, Any]]) -> list[str]:
    names = dict.fromkeys(name for row in rows for name in row if name not in ("input", "error"))
    return ["input", *names, "error"]


def _text(cell: Any, kinds: tuple[type, ...]) -> Any:
    return json.dumps(cell) if isinstance(cell, kinds) else cell


def show(prediction: Prediction, width: int = 200) -> str:
    """Return one line for a prediction, with numbers of four digits.

    Example:
        >>> show(Prediction("7.png", {"label": "7", "probability": 0.98765, "likeliest": {"7": 0.98765}}))
        '7.png: label 7  probability 0.9877  likeliest 7 0.9877'
    """
    name = prediction.name if len(prediction.name) <= width else f"{prediction.name[:width]}…"
    return printable(f"{name}: {prediction.error if prediction.record is None else _shown(prediction.record)}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "  ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)
