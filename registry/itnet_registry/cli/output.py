"""Output of the commands: JSON or tables to stdout, everything else to stderr."""

from __future__ import annotations

import functools
import inspect
import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ParamSpec, TextIO, TypeVar

from itnet_core.plugin.printable import printable

if TYPE_CHECKING:
    from itnet_registry.config.summary import RunSummary

NARROW = 10
"""Width below which no column of a table is shortened."""

P = ParamSpec("P")
T = TypeVar("T")

_document: ContextVar[TextIO | None] = ContextVar("document", default=None)


def machine_readable(command: Callable[P, T]) -> Callable[P, T]:
    """Reserve stdout for `print_json` and `print_document` while a command that writes JSON runs.

    A command writes JSON if it is called with `json=True` or has no such option. All other output goes to stderr,
    including output that bypasses Python: that of subprocesses, of C libraries, and of functions called at exit.
    """

    always = "json" not in inspect.signature(command).parameters

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> T:
        with _reserved_stdout() if options.get("json", always) else nullcontext():
            return command(*args, **options)

    return run


def print_json(data: Any) -> None:
    """Write `data` as indented JSON in ASCII."""
    print_document(json.dumps(data, indent=2))


def print_document(text: str) -> None:
    """Write a text for another program."""
    (_document.get() or sys.stdout).write(f"{text}\n")


def print_line(text: str, *, err: bool = False) -> None:
    """Write one line to stdout or stderr, with control characters escaped."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table unless it is empty. The first column is never cut; the others wrap.

    Written here because importing and running rich would double the time of `itnet list`.
    """
    cells = [tuple(columns), *(tuple(printable(str(cell), keep="\n") for cell in row) for row in rows)]
    if len(cells) == 1:
        return
    widths = _column_widths(cells, shutil.get_terminal_size().columns)
    lines = [printable(title), *(line for row in cells for line in _row_lines(row, widths)), ""]
    lines.insert(1 + len(_row_lines(cells[0], widths)), "─" * (sum(widths) + 2 * len(widths) - 2))
    print("\n".join(lines), flush=True)


def print_summary(summary: RunSummary, *, as_json: bool = False) -> None:
    """Write what a run costs to stdout, as lines or as one line of JSON, and its warnings to stderr."""
    if as_json:
        print_document(json.dumps({**summary.values, "warnings": list(summary.warnings)}))
    width = max((len(name) for name, _ in summary.rows), default=0)
    for name, text in () if as_json else summary.rows:
        print_line(f"{name:{width}}  {text}")
    for warning in summary.warnings:
        print_line(f"warning: {warning}", err=True)


def _column_widths(cells: Sequence[Sequence[str]], total: int) -> list[int]:
    """Return the widths of columns that together fit into `total` characters, the widest ones shortened.

    Words are broken only if the table does not fit otherwise.
    """
    columns = list(zip(*cells, strict=True))
    widths = [max(len(line) for cell in column for line in cell.split("\n")) for column in columns]
    words = [max(len(word) for cell in column for word in re.split(r"\s|(?<=-)", cell)) for column in columns]
    for least in (words, [NARROW] * len(columns)):
        while sum(widths) + 2 * len(widths) - 2 > total:
            wide = [number for number in range(1, len(widths)) if widths[number] > max(least[number], NARROW)]
            if not wide:
                break
            widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _row_lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row whose cells are wrapped to the widths of their columns."""
    wrapped = [
        [part for line in cell.split("\n") for part in textwrap.wrap(line, width) or [""]] if width else [""]
        for cell, width in zip(row, widths, strict=True)
    ]
    height = max(map(len, wrapped))
    padded = [
        [part.ljust(width) for part in [*lines, *[""] * (height - len(lines))]]
        for lines, width in zip(wrapped, widths, strict=True)
    ]
    return ["  ".join(parts).rstrip() for parts in zip(*padded, strict=True)]


@contextmanager
def _reserved_stdout() -> Iterator[None]:
    """Reserve stdout for `print_document`."""
    own = sys.__stdout__ if sys.stdout is sys.__stdout__ else None
    with _taken(own) if own else nullcontext(sys.stdout) as document, redirect_stdout(sys.stderr):
        token = _document.set(document)
        try:
            yield
        finally:
            _document.reset(token)


def _taken(stdout: TextIO) -> TextIO:
    """Return the process's stdout as a new file; from now on, writes to the old one go to stderr."""
    stdout.flush()
    document = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with suppress(OSError):  # the process has no stderr
        os.dup2(2, 1)
    return document
