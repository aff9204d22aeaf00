"""Measurement and reports of all benchmarks.

Times of several ways are interleaved in one process; memory is measured in fresh processes. A report is a page and a
JSON file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from provenance import provenance
from torch import Tensor

HERE = Path(__file__).parent
PAGES = HERE.parent / "docs" / "benchmarks"
IMAGES = HERE.parent / "docs" / "images"

# For all ways alike. Without the first two the allocator gives memory back between operations, and identical runs
# differ several times. KeOps compiles for this processor, in a folder of its own. All is read when a process starts.
ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
    "CXXFLAGS": "-O3 -march=native -ffast-math",
    "KEOPS_CACHE_FOLDER": str(Path(tempfile.gettempdir()) / "itnet-benchmarks-keops"),
}


def in_environment(main: Callable[[], None]) -> None:
    """Run `main` in a process that started with `ENVIRONMENT`."""
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        Path(ENVIRONMENT["KEOPS_CACHE_FOLDER"]).mkdir(parents=True, exist_ok=True)
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ENVIRONMENT)
    main()


def timed(run: Callable[[], object]) -> float:
    """Return how long one run takes, in seconds."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(
    ways: Mapping[str, Callable[[], object]], seconds: float = 10.0, least: int = 5
) -> dict[str, list[float]]:
    """Return each way's times, in seconds, over `least` rounds or some seconds of them, after a run that warms up.

    Every other round goes in the opposite order, so that no way is always the first.
    """
    for run in ways.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in ways}
    names, end, rounds = list(ways), time.perf_counter() + seconds, 0
    while rounds < least or time.perf_counter() < end:
        for name in names if rounds % 2 else reversed(names):
            times[name].append(timed(ways[name]))
        rounds += 1
    return times


@dataclass(frozen=True)
class Ratio:
    """The rounds' ratios of two ways' times: their median and quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, above: Iterable[float], below: Iterable[float], scale: float = 1.0) -> Ratio:
        """Return the ratios of two ways' times in the same rounds, times `scale`."""
        ratios = [scale * a / b for a, b in zip(above, below, strict=True)]
        low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
        return cls(median(ratios), low, high)

    def __str__(self) -> str:
        digits = 2 if self.median < 10 else 0
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def goal(found: float, *, least: float | None = None, most: float | None = None) -> str:
    """Return a goal in words, and whether it is missed; nothing for none."""
    if least is not None:
        return f"≥ {least:g}{'' if found >= least else ' (missed)'}"
    return "" if most is None else f"≤ {most:g}{'' if found <= most else ' (missed)'}"


@dataclass(frozen=True)
class Pair:
    """Two ways to the same numbers.

    Attributes:
        name: what is computed.
        theirs: the counterpart, as a user has it; returns the result.
        ours: our way.
        leaves: what gradients are taken to, besides timing forward alone; none for forward alone.
        kind: `cost` is ours / theirs, `speed` theirs / ours.
        bound: what the cost is to be at most, the speed at least, if anything.
        slow_backward: whether a backward pass of theirs takes so long that one has to do.
    """

    name: str
    theirs: Callable[[], Tensor]
    ours: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]
    kind: str
    bound: float | None = None
    slow_backward: bool = False


def matrix_rate() -> float:
    """Return this machine's operations a second in a product of 2048² matrices, float32, the best of three."""
    matrix = torch.randn(2048, 2048)
    return 2 * 2048**3 / min(timed(lambda: torch.mm(matrix, matrix)) for _ in range(3))


def peak_memory(*arguments: str) -> float:
    """Run this script again as `script --memory ARGUMENTS`, in a fresh process, and return the MB that it prints."""
    done = subprocess.run(
        [sys.executable, sys.argv[0], "--memory", *arguments], check=True, capture_output=True, text=True
    )
    return float(done.stdout.splitlines()[-1])


def print_memory(run: Callable[[], object]) -> None:
    """Print how far memory rises, in MB, while `run` runs; `getrusage` would give a parent's higher peak."""
    before = _status("VmRSS")
    run()
    print(json.dumps(_status("VmHWM") - before))


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def bars(name: str, label: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Draw bars on a logarithmic axis, as docs/images/benchmark_NAME.svg, and return what shows them on a page.

    Args:
        name: the script's.
        label: of the axis.
        groups: a number for each bar, by group and bar.
    """
    from matplotlib import pyplot

    bars = list(dict.fromkeys(bar for group in groups.values() for bar in group))
    pyplot.rcParams |= {"svg.hashsalt": name}
    figure, axes = pyplot.subplots(figsize=(8, 0.7 + 0.22 * sum(map(len, groups.values()))))
    place, middles = 0.0, []
    for group in groups.values():
        middles.append(place + (len(group) - 1) / 2)
        for bar, number in group.items():
            axes.barh(place, number, color=f"C{bars.index(bar)}", label=bar)
            axes.annotate(f" {bar} {number:.3g}", (max(number, 1.0), place), va="center", fontsize=7)
            place += 1
        place += 1
    axes.set(xscale="log", xlabel=label, yticks=middles, yticklabels=[*groups])
    axes.margins(x=0.15)
    axes.axvline(1, color="black", linewidth=0.5)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    path = IMAGES / f"benchmark_{name}.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    return f"![{label}](../images/{path.name})"


class Report:
    """A page of tables in docs/benchmarks, and the same numbers as JSON in benchmarks/results.

    Args:
        name: the script's, without its ending.
        title: the page's heading.
        text: what is measured, and how; it follows the command and the machine.
    """

    def __init__(self, name: str, title: str, text: str) -> None:
        self.name = name
        self.command = f"python benchmarks/{name}.py"
        self.machine = provenance()
        self.parts = [f"# {title}", f"`{self.command}` on {self.machine}. {text}"]
        self.tables: list[dict[str, Any]] = []

    def add_text(self, text: str) -> None:
        """Add a paragraph, or an image."""
        self.parts.append(text)

    def table(self, name: str, columns: Mapping[str, str], rows: list[dict[str, Any]]) -> None:
        """Add a table.

        Args:
            name: of the table, in the JSON file.
            columns: heading and format of every column that the page shows, e.g. `{"N": "d", "ms": ".1f"}`.
            rows: by heading; what the page does not show is in the JSON file alone; what a row lacks is empty.
        """
        lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
        for row in rows:
            cells = (format(row[c], form) if row.get(c) is not None else "" for c, form in columns.items())
            lines.append(f"| {' | '.join(cells)} |")
        self.parts.append("\n".join(lines))
        self.tables.append({"name": name, "rows": rows})

    def write(self) -> None:
        """Write the page and the JSON file, and print their paths."""
        page, results = PAGES / f"{self.name}.md", HERE / "results" / f"{self.name}.json"
        for path in (page, results):
            path.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("\n\n".join(self.parts) + "\n")
        report = {"command": self.command, "machine": self.machine, "tables": self.tables}
        results.write_text(json.dumps(report, indent=1, default=lambda ratio: vars(ratio)) + "\n")
        print(f"{page}\n{results}")
