"""Comparison of ITNets with specialised networks at equal budget: `make evidence`, or `python benchmarks/compare.py`.

Each network gets as many trials of the learning rate as every other, by the validation split of the first seed; the
best is trained with two more seeds, and tested. Runs that are on file in benchmarks/results/evidence are not repeated;
one that was cut off goes on. At the end, docs/evidence.md is written.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

from evidence.contest import Contest, Entry
from evidence.contests import CONTESTS
from evidence.costs import Costs, measure
from evidence.page import alone, draw, section, summary
from evidence.records import Key, Record, append, keep, read
from evidence.running import run
from measuring import ENVIRONMENT
from provenance import commit, rewrite_section
from rich.progress import track

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results/evidence"
QUICK = ROOT / "runs/evidence-quick"
PAGE, START, END = ROOT / "docs/evidence.md", "<!-- tables -->", "<!-- end of tables -->"
BY_NAME = {contest.name: contest for contest in CONTESTS}


class Runs:
    """The runs of a contest, on file or to be made.

    Args:
        contest: the contest.
        workers: run what is missing.
        quick: short runs of one seed and one learning rate, filed apart.
    """

    def __init__(self, contest: Contest, workers: Executor, *, quick: bool) -> None:
        self.contest, self.workers, self.quick = contest, workers, quick
        self.path = (QUICK if quick else RESULTS) / f"{contest.name}.jsonl"
        self.records = read(self.path)

    def prune(self) -> None:
        """Remove the results of recipes that are no longer in use from the file."""
        keep(self.path, [self.contest.recipe(entry, quick=self.quick) for entry in self.contest.networks])

    def key(self, entry: Entry, rate: float, seed: int, fold: int = 0) -> Key:
        """Return the key of a run."""
        return entry.name, self.contest.recipe(entry, quick=self.quick), rate, seed, fold

    def make(self, entry: Entry, rate: float, seed: int, fold: int = 0) -> Record:
        """Return a run's record, from the file or made."""
        key = self.key(entry, rate, seed, fold)
        if key not in self.records:
            record = self.workers.submit(run, self.contest, entry, rate, seed, fold, quick=self.quick).result()
            self.records[key] = record
            append(self.path, record)
            what = f"{self.contest.name}, {entry.name}, learning rate {rate:g}, seed {seed}, fold {fold}"
            print(f"{what}: {record.test | record.conditions}, {record.seconds:.0f} s", flush=True)
        return self.records[key]

    def best_rate(self, entry: Entry) -> float:
        """Return the learning rate of the best validation metric (then loss) of the first seed and fold."""
        rates = self.contest.rates_of(entry)
        if len(rates) == 1:
            return rates[0]
        if self.quick:
            return rates[len(rates) // 2]
        self._make_all(entry, [(rate, self.contest.seeds[0]) for rate in rates])
        return max(rates, key=lambda rate: self._validation(entry, rate))

    def _make_all(self, entry: Entry, runs: Sequence[tuple[float, int] | tuple[float, int, int]]) -> list[Record]:
        """Return the records of runs, given by rate, seed and fold; those that are missing are made at once."""
        with ThreadPoolExecutor(len(runs)) as waiting:
            return list(waiting.map(lambda run: self.make(entry, *run), runs))

    def _validation(self, entry: Entry, rate: float) -> tuple[float, float]:
        metrics = self.make(entry, rate, self.contest.seeds[0]).validation
        return metrics[self.contest.metric] * (1 if self.contest.higher else -1), -metrics["loss"]

    def of(self, entry: Entry) -> list[Record]:
        """Return the runs of an entry at its best rate, by seed and fold."""
        rate = self.best_rate(entry)
        return self._make_all(entry, [(rate, *part) for part in self._parts(entry)])

    def _parts(self, entry: Entry) -> list[tuple[int, int]]:
        """Return the seeds and folds of an entry's runs."""
        seeds = self.contest.seeds[:1] if self.quick or entry.fitted else self.contest.seeds
        return list(product(seeds, range(1 if self.quick else len(self.contest.folds))))

    def on_file(self) -> dict[str, list[Record]]:
        """Return the complete results on file, by network."""
        results = {}
        for entry in self.contest.networks:
            wanted = self._wanted(entry)
            if wanted and all(key in self.records for key in wanted):
                results[entry.name] = [self.records[key] for key in wanted]
        return results

    def _wanted(self, entry: Entry) -> list[Key]:
        rates = self.contest.rates_of(entry)
        tried = [rate for rate in rates if self.key(entry, rate, self.contest.seeds[0]) in self.records]
        if not self.quick and len(tried) < len(rates):
            return []
        rate = self.best_rate(entry)
        return [self.key(entry, rate, *part) for part in self._parts(entry)]

    def costs(self) -> Costs:
        """Return the costs of the networks, from the file or measured."""
        path = self.path.with_suffix(".costs.json")
        recipes = {entry.name: self.contest.recipe(entry, quick=False) for entry in self.contest.networks}
        known: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
        if known.get("recipes") != recipes:
            found = self.workers.submit(measure, self.contest, 5.0 if self.quick else 20.0).result()
            known = {"recipes": recipes, "where": found.where, "costs": found.networks}
            path.write_text(json.dumps(known, indent=1) + "\n")
        return Costs(known["where"], known["costs"])


def processes(count: int) -> ProcessPoolExecutor:
    """Return processes of one thread, a new one for each job, forked from one that has imported the libraries."""
    path = os.pathsep.join(filter(None, [str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH")]))
    os.environ.update({**ENVIRONMENT, "OMP_NUM_THREADS": "1", "PYTHONPATH": path})
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["evidence.running"])
    return ProcessPoolExecutor(count, context, max_tasks_per_child=1)


def write_page(workers: Executor, *, quick: bool) -> None:
    """Write the page of all results on file; of short runs, to runs/ instead of docs/."""
    page = QUICK / "evidence.md" if quick else PAGE
    images = page.parent / "images/evidence"
    all_runs = {contest.name: Runs(contest, workers, quick=quick) for contest in CONTESTS}
    on_file = [(contest, all_runs[contest.name].on_file()) for contest in CONTESTS]
    measured = [(contest, results) for contest, results in on_file if contest.ours.name in results and len(results) > 1]
    lines = ["", f"Written at commit {commit()}.", "", *summary(measured), "", *alone(measured)]
    for contest, results in measured:
        image = images / f"{contest.name}.svg"
        draw(contest, results, image)
        lines += section(contest, results, all_runs[contest.name].costs(), image.relative_to(page.parent).as_posix())
    if quick:
        page.write_text("\n".join(["# Short runs", *lines]))
    else:
        rewrite_section(page, START, END, lines)
    print(page)


def main() -> None:
    """Make what is missing, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("contests", nargs="*", metavar="CONTEST", help=f"some of {', '.join(BY_NAME)}; default: all")
    parser.add_argument("--only", metavar="NETWORK", action="append", help="run this network alone, and write no page")
    parser.add_argument("--quick", action="store_true", help="one seed, one rate, 20 batches: a check")
    parser.add_argument("--page", action="store_true", help="run nothing, and write the page of what is on file")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each (default: %(default)s)")
    given = parser.parse_args()
    for name in given.contests:
        if name not in BY_NAME:
            raise SystemExit(f"{name}: found no such contest; expected some of {', '.join(BY_NAME)}")
    chosen = [] if given.page else [BY_NAME[name] for name in given.contests or BY_NAME]
    with processes(given.jobs) as workers, ThreadPoolExecutor(given.jobs) as pool:
        all_runs = [Runs(contest, workers, quick=given.quick) for contest in chosen]
        for runs in all_runs:
            runs.prune()
        jobs = [
            (runs, entry)
            for runs in all_runs
            for entry in runs.contest.networks
            if not given.only or entry.name in given.only
        ]
        list(track(pool.map(lambda job: job[0].of(job[1]), jobs), "networks", total=len(jobs)))
        if not given.only:
            write_page(workers, quick=given.quick)


if __name__ == "__main__":
    main()
