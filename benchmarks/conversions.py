"""Conversion of every architecture of six libraries that can be built small: `python benchmarks/conversions.py`.

Each model has random weights and a small configuration, so nothing is downloaded. It is converted, and its outputs and
gradients compared with those before, by fast paths and summed over all pairs. Writes docs/conversion.md (two hours). A
run that was cut off goes on where it was; its results so far are in runs/conversions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.pool import ThreadPool
from pathlib import Path

import torch
from conversion_checks import SECONDS_OF_PAIRS, compare, compare_in_double, outputs
from conversion_libraries import (
    DIFFUSERS,
    TORCHAUDIO,
    Candidate,
    Example,
    check_size,
    diffusers_candidates,
    timm_architectures,
    timm_candidates,
    torchaudio_candidates,
    torchvision_architectures,
    torchvision_candidates,
)
from conversion_open_clip import OPEN_CLIP, open_clip_candidates
from conversion_small import UNTRIED
from conversion_transformers import transformers_architectures, transformers_candidates
from provenance import provenance
from rich.progress import track
from torch import nn

ROOT = Path(__file__).parents[1]
PAGE, SO_FAR = ROOT / "docs/conversion.md", ROOT / "runs/conversions.jsonl"
SECONDS, BYTES = 600, 8 << 30
"""Time and memory of an architecture."""
BOUND = 1e-5
"""Largest difference of outputs, relative to the largest if that exceeds 1, and of gradients, to their largest."""
BOUND_DOUBLE = 1e-9
"""The same in double precision, which decides where sums of many terms exceed `BOUND` by rounding."""

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Result:
    """What became of an architecture.

    Attributes:
        library: the library.
        name: the library's name of it.
        verdict: `whole`, `in part`, `not converted`, `wrong`, `crashed`, or `not tried`.
        layers: the number of converted layers, by class.
        outputs: the largest difference of outputs by fast paths, and summed over all pairs; `None` if these do not fit
            into memory.
        gradients: the same of gradients; `None` if the original has none.
        double: the largest of all in double precision, if that decides.
        reason: what was left, or what went wrong.
    """

    library: str
    name: str
    verdict: str
    layers: str = ""
    outputs: Pair = (0.0, 0.0)
    gradients: Pair = (0.0, 0.0)
    double: float | None = None
    reason: str = ""


LIBRARIES: Mapping[str, tuple[Callable[[], list[str]], Callable[[str], Iterator[Candidate]]]] = {
    "transformers": (transformers_architectures, transformers_candidates),
    "timm": (timm_architectures, timm_candidates),
    "torchvision": (torchvision_architectures, torchvision_candidates),
    "torchaudio": (lambda: [*TORCHAUDIO], torchaudio_candidates),
    "open_clip": (lambda: [*OPEN_CLIP], open_clip_candidates),
    "diffusers": (lambda: [*DIFFUSERS], diffusers_candidates),
}
"""The names of a library's architectures, and the small models and inputs that are tried for one."""


def prepare(library: str, name: str) -> tuple[nn.Module, Example]:
    """Return a small model, and inputs that it takes.

    Raises:
        Exception: no small model can be built and called.
    """
    problem: Exception = ValueError("found no inputs")
    for candidate in LIBRARIES[library][1](name):
        torch.manual_seed(0)
        try:
            model, example = candidate()
            check_size(model)
            with torch.no_grad():
                for weight in (item for item in model.parameters() if item.ndim < 3):
                    weight.add_(torch.randn_like(weight), alpha=0.02)  # gates that start at 0 hide what they gate
                found = outputs(model.eval(), example)
            if found and all(item.isfinite().any() for item in found if item.numel()):
                return model, example
        except Exception as error:  # a configuration or inputs that do not fit
            problem = error
    raise problem


def check(library: str, name: str) -> Result:
    """Convert an architecture, and compare its outputs; in double precision too, where they differ in single."""
    try:
        model, example = prepare(library, name)
    except Exception as error:  # not ours
        return Result(library, name, "not tried", reason=f"{type(error).__name__}: {error}")
    try:
        found, double = compare(model, example), None
        equal = found.largest <= BOUND
        if not equal:
            double = compare_in_double(*prepare(library, name)).largest
            equal = double <= BOUND_DOUBLE
    except Exception as error:  # ours: the page names it
        if "allocate memory" in str(error):
            return Result(library, name, "not tried", reason=f"more than {BYTES >> 30} GiB, with gradients")
        return Result(library, name, "crashed", reason=f"{type(error).__name__}: {error}")
    report = found.report
    layers = ", ".join(f"{count} {layer}" for layer, count in Counter(report.converted.values()).items())
    reasons = [reason.partition(", outside of")[0] for reason in report.left.values()]
    if not report.converted and not reasons:
        reasons = ["it mixes points, but by none of the functions that are counted"]
    left = "; ".join(dict.fromkeys([*reasons, *(f"{layer} ran without its operator" for layer in found.silent)]))
    verdict = "not converted" if not report.converted else "in part" if left else "whole"
    verdict = verdict if equal else "wrong"
    return Result(library, name, verdict, layers, found.outputs, found.gradients, double, left)


def start() -> None:
    """Prepare a process of one thread; what transformers prints about its own models is dropped."""
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    resource.setrlimit(resource.RLIMIT_DATA, (BYTES, BYTES))  # an error, where the system would kill the process
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    torch.set_num_threads(1)


OF_THREAD = threading.local()


def isolated(library: str, name: str) -> Result:
    """Return the result of an architecture, from the thread's process, which is replaced when one takes too long."""
    pool = getattr(OF_THREAD, "pool", None) or multiprocessing.get_context("spawn").Pool(1, start)
    OF_THREAD.pool = pool
    try:
        return pool.apply_async(check, (library, name)).get(timeout=SECONDS)
    except multiprocessing.TimeoutError:
        pool.terminate()
        OF_THREAD.pool = None
        return Result(library, name, "not tried", reason=f"more than {SECONDS} s")


def results(library: str, names: list[str], threads: ThreadPool) -> list[Result]:
    """Return the results of architectures in their order: those on file, and those that are made now."""
    done = {item.name: item for item in on_file() if item.library == library}
    missing = [name for name in names if name not in done]
    with SO_FAR.open("a", encoding="utf-8") as file:
        made = threads.imap_unordered(partial(isolated, library), missing)
        for item in track(made, library, total=len(missing)):
            file.write(json.dumps(asdict(item)) + "\n")
            file.flush()
            done[item.name] = item
    return [done[name] for name in names]


def on_file() -> list[Result]:
    """Return the results of a run that was cut off."""
    lines = SO_FAR.read_text(encoding="utf-8").splitlines() if SO_FAR.is_file() else []
    return [Result(**json.loads(line)) for line in lines]


def page(found: Mapping[str, list[Result]]) -> str:
    """Return the page: the results of each library."""
    names = {"open_clip": "open-clip-torch"}  # of distributions
    versions = ", ".join(f"{library} {version(names.get(library, library))}" for library in found)
    lines = [
        "# Coverage of libraries",
        "",
        f"`python benchmarks/conversions.py` on {provenance(threads=1)}, {versions}.",
        "",
        TEXT,
        "",
        f"| number of architectures | {' | '.join(found)} |",
        f"|---|{'---|' * len(found)}",
    ]
    for verdict, words in VERDICTS.items():
        counts = (str(sum(item.verdict == verdict for item in items)) for items in found.values())
        lines.append(f"| {words} | {' | '.join(counts)} |")
    for library, items in found.items():
        lines += ["", f"## {library}", ""]
        for verdict in ("wrong", "crashed", "whole", "in part", "not converted"):
            if of := [item for item in items if item.verdict == verdict]:
                lines += [
                    f"### {VERDICTS[verdict].capitalize()}",
                    "",
                    "| architecture | layers | outputs | gradients | left |",
                ]
                lines += ["|---|---|---|---|---|", *map(row, of), ""]
        if of := [item for item in items if item.verdict == "not tried"]:
            lines += ["### Not tried", "", "| architecture | reason |", "|---|---|"]
            lines += [*(f"| {item.name} | {UNTRIED.get(item.name, short(item.reason))} |" for item in of), ""]
    return "\n".join(lines).rstrip() + "\n"


TEXT = f"""\
Architectures are built with random weights and small configurations, converted by [`convert_model`](guides/convert.md),
and called again: all that transformers lists with a base model, one for each file of timm and torchvision, and a choice
of torchaudio's, open_clip's and diffusers'. Outputs are compared in float32, by fast paths and with every operator
summed over all pairs, "too many" where these exceed the memory or {SECONDS_OF_PAIRS} s. Their difference is relative to
the largest output if that exceeds 1. So are the gradients of a random projection of all outputs, by all parameters and
inputs, relative to the largest gradient; "none" where the original has none. Columns show fast paths / pairs. The bound
is {BOUND:g}; where rounding exceeds it, {BOUND_DOUBLE:g} for all four in
float64, in which parts run, too, that a model's own code computes in float32.
A model is converted whole if no function that mixes points runs outside of converted layers, and if all
converted layers that run compute by their operators. Not seen is a layer that loops over points by products of
numbers; RecurrentGemma's does, and is converted."""

VERDICTS = {
    "whole": "converted whole, equal",
    "in part": "converted in part, equal",
    "not converted": "not converted",
    "wrong": "converted, but not equal",
    "crashed": "crashed",
    "not tried": "not tried",
}


def row(item: Result) -> str:
    """Return a row of a table."""
    decided = "" if item.double is None else f"; {item.double:.1g} in float64"
    gradients = " / ".join(map(number, item.gradients)) if item.gradients[0] is not None else "none"
    reason = item.reason.replace("|", "/").replace("\n", " ")
    cells = [item.name, item.layers, " / ".join(map(number, item.outputs)), gradients + decided, reason]
    return f"| {' | '.join(cells)} |"


def short(reason: str) -> str:
    """Return the first line of an error, for a table."""
    return " ".join(reason.replace("|", "/").split())[:120]


def number(difference: float | None) -> str:
    """Return a difference in one digit."""
    return "too many" if difference is None else f"{difference:.1g}"


def main() -> None:
    """Check all architectures, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    SO_FAR.parent.mkdir(exist_ok=True)
    found = {}
    with ThreadPool(parser.parse_args().jobs) as threads:
        for library, (names_of, _) in LIBRARIES.items():
            found[library] = results(library, names_of(), threads)
            print(library, Counter(item.verdict for item in found[library]))
    PAGE.write_text(page(found))
    SO_FAR.unlink()


if __name__ == "__main__":
    main()
