"""What the commands write: JSON or tables to stdout, anything else to stderr."""

from __future__ import annotations

import functools
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from contextvars import ContextVar
from typing import Any, ParamSpec, TextIO, TypeVar

from itnet_core.plugin.printable import printable

P = ParamSpec("P")
T = TypeVar("T")

_document: ContextVar[TextIO | None] = ContextVar("document", default=None)


def machine_readable(command: Callable[P, T]) -> Callable[P, T]:
    """Have `print_json` and `print_document` alone write to stdout while a command runs that is to write JSON.

    It is where it is called with `json=True`, or has no such option.

    What components print when they are built or called goes to stderr, and so does what is not Python's own: the output
    of a subprocess, of a C library, of a function that is called when the process ends.
    """

    always = "json" not in inspect.signature(command).parameters

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> T:
        with _document_alone() if options.get("json", always) else nullcontext():
            return command(*args, **options)

    return run


def print_json(data: Any) -> None:
    """Write `data` as indented JSON, in characters that every terminal's encoding has."""
    print_document(json.dumps(data, indent=2))


def print_document(text: str) -> None:
    """Write what a machine is to read."""
    (_document.get() or sys.stdout).write(f"{text}\n")


def print_line(text: str, *, err: bool = False) -> None:
    """Write one line, to stdout or to stderr, in which nothing is obeyed by a terminal."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table; nothing if it has no rows. The first column is never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=printable(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0, overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(cell), keep="\n\t") for cell in row))
    if table.row_count:
        Console(markup=False, highlight=False, emoji=False).print(table)


@contextmanager
def _document_alone() -> Iterator[None]:
    """Keep stdout for `print_document`."""
    own = sys.__stdout__ if sys.stdout is sys.__stdout__ else None
    with _taken(own) if own else nullcontext(sys.stdout) as document, redirect_stdout(sys.stderr):
        token = _document.set(document)
        try:
            yield
        finally:
            _document.reset(token)


def _taken(stdout: TextIO) -> TextIO:
    """Return the process's own stdout as another file; from now on what is written to the old one goes to stderr."""
    stdout.flush()
    document = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with suppress(OSError):  # there is no stderr
        os.dup2(2, 1)
    return document
