"""Effect of single changes to the configurations in examples/: `python benchmarks/recipes.py`, after `make results`.

Trains each of them again with one thing changed, and rewrites the table in docs/recipes.md. Both columns are of the
validation split, on which recipes are chosen; the test split is not used.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from provenance import provenance
from results import RESULTS, Result, train

PAGE, START = Path(__file__).parent.parent / "docs/recipes.md", "<!-- table -->"
KNOWN = {result.name: result for result in RESULTS}


class Change(NamedTuple):
    """A row: a configuration, what is different, and the overrides that make it so."""

    name: str
    what: str
    overrides: str


CHANGES = [
    Change("languages", "learning rate 0.001, not 0.004", "train.learning_rate=0.001"),
    Change(
        "languages",
        "kernel of 32 hidden units, rank 16, 8 frequencies, not 16, 8 and 4",
        "model.kernel.hidden=32 model.kernel.rank=16 model.kernel.frequencies=8",
    ),
    Change("languages", "the kernels' learning rate times 3", "train.kernel_learning_rate_scale=3"),
    Change("languages", "Fourier features of 4 cycles a unit, not 1", "model.kernel.frequency_scale=4"),
    Change("reviews", "no dropout", "model.dropout=0 model.encoder.token_dropout=0"),
    Change("reviews_pretrained", "MiniLM frozen", "model.encoder.frozen=true"),
    Change("furniture", "no normals", "task.normals=false"),
    Change("easy_vqa", "group norm in the stem, not batch norm", "model.encoder.image.norm=group"),
]


def jobs(name: str, overrides: str = "") -> list[tuple[Result, str]]:
    """Return the runs of a configuration, as results.py has them, with further overrides."""
    return [(KNOWN[name], f"{item} {overrides}".strip()) for item in KNOWN[name].overrides]


def main() -> None:
    """Train what is not trained yet, and write the table."""
    wanted = [job for change in CHANGES for job in (*jobs(change.name), *jobs(change.name, change.overrides))]
    wanted = list(dict.fromkeys(wanted))
    with ThreadPoolExecutor(2) as pool:
        metrics = dict(zip(wanted, pool.map(train, wanted), strict=True))
    lines = [
        START,
        f"{provenance(threads=1)}; two runs at a time. One seed: differences under 0.02 are not significant.",
        "",
        "| configuration | change | validation with it | without | minutes with it | without | overrides |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, what, overrides in CHANGES:
        changed, kept = ([metrics[job] for job in item] for item in (jobs(name, overrides), jobs(name)))
        scores = [mean(run["validation"][KNOWN[name].metric] for run in runs) for runs in (changed, kept)]
        minutes = [max(run["seconds"] for run in runs) / 60 for runs in (changed, kept)]
        numbers = [f"{item:.3f}" for item in scores] + [f"{item:.1f}" for item in minutes]
        lines.append(f"| {' | '.join([f'`{name}`', what, *numbers, f'`{overrides}`'])} |")
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
