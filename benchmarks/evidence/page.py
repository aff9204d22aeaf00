"""The page docs/evidence.md and its curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from evidence.contest import Contest, Entry
from evidence.costs import Cost, Costs
from evidence.records import Record, unpacked
from evidence.verdict import Verdict, compare

Results = Mapping[str, Sequence[Record]]
"""The runs of each network at its best learning rate."""

HEADER = ("network", "from", "parameters", "FLOPs", "step, ms", "rate", "test", "ours − theirs (95%)", "verdict")


def verdict(ours: Sequence[Record], theirs: Sequence[Record], contest: Contest) -> Verdict:
    """Compare two networks on the seeds that both have; a network that needs no training has one for all."""
    seeds = sorted({record.seed for record in ours} & {record.seed for record in theirs})
    return compare(_scores(ours, seeds), _scores(theirs, seeds), higher=contest.higher)


def _scores(records: Sequence[Record], seeds: Iterable[int]) -> np.ndarray:
    """Return the scores of all folds, (seeds, samples)."""
    rows = []
    for seed in seeds:
        folds = sorted((record for record in records if record.seed == seed), key=lambda record: record.fold)
        rows.append(np.concatenate([unpacked(record.scores) for record in folds]))
    return np.stack(rows)


def by_seed(records: Sequence[Record], condition: str | None = None) -> list[float]:
    """Return the metric of each seed, over all folds and their samples."""
    seeds = sorted({record.seed for record in records})
    if condition is None:
        return [float(row.mean()) for row in _scores(records, seeds)]
    return [mean(record.conditions[condition] for record in records if record.seed == seed) for seed in seeds]


def number(values: Sequence[float]) -> str:
    """Return a mean, and the deviation of several values.

    Example:
        >>> number([0.5, 0.6, 0.7]), number([0.5])
        ('0.600 ± 0.100', '0.500')
    """
    digits = 3 if max(map(abs, values)) >= 0.2 else 4
    text = f"{mean(values):.{digits}f}"
    return f"{text} ± {stdev(values):.{digits}f}" if len(values) > 1 else text


def rows(contest: Contest, results: Results, costs: Mapping[str, Cost]) -> list[list[str]]:
    """Return the rows of a contest's table, under `HEADER` and the names of the conditions."""
    table = []
    ours = results[contest.ours.name]
    for entry in contest.networks:
        records = results.get(entry.name)
        if not records:
            continue
        cost = costs.get(entry.name)
        cells = [f"**{entry.name}**" if entry is contest.ours else entry.name, entry.source]
        cells += [f"{records[0].parameters:,}" if not entry.fitted else "", *_cost(cost)]
        cells += [f"{records[0].rate:g}" if not entry.fitted else "", number(by_seed(records))]
        if entry is contest.ours:
            cells += ["", ""]
        else:
            found = verdict(ours, records, contest)
            cells += [f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})", found.word]
        cells += [
            number(by_seed(records, name)) if name in records[0].conditions else "cannot" for name in contest.conditions
        ]
        table.append(cells)
    return table


def _cost(cost: Cost | None) -> list[str]:
    if cost is None:
        return ["", ""]
    flops = cost["flops"]
    return [f"{flops / 1e6:.1f}M" if flops < 1e9 else f"{flops / 1e9:.2f}G", f"{cost['milliseconds']:.0f}"]


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(line)} |" for line in lines),
    ]


def best_other(contest: Contest, results: Results) -> Entry | None:
    """Return the best network that is not an ITNet by its test metric, or `None` if there is none."""
    others = [entry for entry in contest.entries if entry.source != "ITNet" and results.get(entry.name)]
    sign = 1 if contest.higher else -1
    return max(others, key=lambda entry: sign * mean(by_seed(results[entry.name])), default=None)


def summary(contests: Sequence[tuple[Contest, Results]]) -> list[str]:
    """Return a table of all contests with specialists: ours, the best of them, and the verdict."""
    lines = []
    for contest, results in contests:
        best = best_other(contest, results)
        if best is not None:
            found = verdict(results[contest.ours.name], results[best.name], contest)
            lines.append(
                [
                    f"[{contest.title}](#{contest.name})",
                    contest.metric.replace("_", " "),
                    number(by_seed(results[contest.ours.name])),
                    f"{number(by_seed(results[best.name]))} ({best.name})",
                    f"**{found.word}**",
                ]
            )
    return table(("task", "metric", "ITNet", "best specialist", "ITNet is"), lines)


def alone(contests: Sequence[tuple[Contest, Results]]) -> list[str]:
    """Return a table of our networks whose kernels read content alone, or position alone, beside the whole ones."""
    parts = ("ITNet, content alone", "ITNet, position alone")
    lines = [
        [f"[{contest.title}](#{contest.name})", contest.metric.replace("_", " ")]
        + [number(by_seed(results[name])) for name in (contest.ours.name, *parts)]
        for contest, results in contests
        if all(name in results for name in parts)
    ]
    if not lines:
        return []
    header = ("task", "metric", "content and position", "content alone", "position alone")
    return ["What the kernels need to read, at equal parameters:", "", *table(header, lines), ""]


def section(contest: Contest, results: Results, costs: Costs, image: str) -> list[str]:
    """Return the lines of a contest."""
    recipe = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in contest.train.items())
    rates = ", ".join(f"{rate:g}" for rate in contest.rates)
    return [
        f"## {contest.title} {{ #{contest.name} }}",
        "",
        f"{contest.what}. Recipe: {recipe}; learning rates {rates}."
        + (f" Goal: {contest.goals}." if contest.goals else ""),
        "",
        *table([*HEADER, *contest.conditions], rows(contest, results, costs.networks)),
        "",
        f"Steps: {costs.where}.",
        "",
        f"![Validation {contest.metric} by epoch]({image})",
        "",
    ]


def draw(contest: Contest, results: Results, path: Path) -> None:
    """Draw the validation curves, the mean over the runs of each network."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": contest.name}
    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for position, entry in enumerate(contest.networks):
        curves = [record.curve for record in results.get(entry.name, ()) if record.curve]
        if curves:
            ours: dict[str, Any] = {"linewidth": 2.5, "color": "black"} if entry is contest.ours else {}
            style: dict[str, Any] = {"color": f"C{position - 1}", "linewidth": 1.2} | ours
            axes.plot(range(1, len(curves[0]) + 1), np.mean(curves, axis=0), label=entry.name, **style)
    axes.set(xlabel="epoch", ylabel=f"validation {contest.metric.replace('_', ' ')}")
    if not contest.higher:
        axes.set_yscale("log")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
