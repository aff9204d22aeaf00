"""Conversion of every architecture of five libraries that can be built small: `python benchmarks/conversions.py`.

Each model has random weights and a small configuration, so nothing is downloaded. It is converted, and its outputs
compared with those before, by fast paths and summed over all pairs. Writes docs/conversion.md (an hour). A run that was
cut off goes on where it was; its results so far are in runs/conversions.jsonl.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import torch
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
from conversion_transformers import transformers_architectures, transformers_candidates
from provenance import provenance
from rich.progress import track
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from itnet_core import Problem, TiledEvaluator

ROOT = Path(__file__).parents[1]
PAGE, SO_FAR = ROOT / "docs/conversion.md", ROOT / "runs/conversions.jsonl"
SECONDS = 240
BOUND = 1e-5
"""Largest difference of outputs, relative to the largest output if that exceeds 1."""
BOUND_DOUBLE = 1e-9
"""The same in double precision, which decides where sums of many terms exceed `BOUND` by rounding."""


@dataclass(frozen=True)
class Result:
    """What became of an architecture.

    Attributes:
        library: the library.
        name: the library's name of it.
        verdict: `whole`, `in part`, `not converted`, `wrong`, `crashed`, or `not tried`.
        layers: the number of converted layers, by class.
        fast: the largest difference of outputs by fast paths.
        pairs: the same, summed over all pairs; `None` if these do not fit into memory.
        reason: what was left, or what went wrong.
    """

    library: str
    name: str
    verdict: str
    layers: str = ""
    fast: float = 0.0
    pairs: float | None = 0.0
    reason: str = ""


LIBRARIES: Mapping[str, tuple[Callable[[], list[str]], Callable[[str], Iterator[Candidate]]]] = {
    "transformers": (transformers_architectures, transformers_candidates),
    "timm": (timm_architectures, timm_candidates),
    "torchvision": (torchvision_architectures, torchvision_candidates),
    "torchaudio": (lambda: [*TORCHAUDIO], torchaudio_candidates),
    "diffusers": (lambda: [*DIFFUSERS], diffusers_candidates),
}
"""The names of a library's architectures, and the small models and inputs that are tried for one."""


@torch.no_grad()
def outputs(model: Any, example: Example) -> list[Tensor]:
    """Return a model's outputs of floating numbers."""
    torch.manual_seed(0)
    found = model(**example) if isinstance(example, dict) else model(*example)
    leaves = tree_leaves(dict(found) if isinstance(found, Mapping) else found)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_floating_point()]


def prepare(library: str, name: str) -> tuple[Any, Example, list[Tensor]]:
    """Return a small model, inputs that it takes, and its outputs.

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
            if found := outputs(model.eval(), example):
                return model, example, found
        except Exception as error:  # a configuration or inputs that do not fit
            problem = error
    raise problem


def check(library: str, name: str) -> Result:
    """Convert an architecture, and compare its outputs; in double precision too, where they differ in single."""
    try:
        model, example, before = prepare(library, name)
    except Exception as error:  # not ours
        return Result(library, name, "not tried", reason=f"{type(error).__name__}: {error}")
    try:
        report, silent, fast, pairs = convert(model, example, before)
        equal = max(fast, pairs or 0) <= BOUND
        if not equal:
            model, example, _ = prepare(library, name)
            model.double()
            example = tree_map(double, example)
            _, _, *errors = convert(model, example, outputs(model, example))
            equal = max(error or 0 for error in errors) <= BOUND_DOUBLE
    except Exception as error:  # ours: the page names it
        return Result(library, name, "crashed", reason=f"{type(error).__name__}: {error}")
    layers = ", ".join(f"{count} {layer}" for layer, count in Counter(report.converted.values()).items())
    reasons = [reason.partition(", outside of")[0] for reason in report.left.values()]
    if not report.converted and not reasons:
        reasons = ["it mixes points, but by none of the functions that are counted"]
    left = "; ".join(dict.fromkeys([*reasons, *(f"{layer} ran without its operator" for layer in silent)]))
    verdict = "not converted" if not report.converted else "in part" if left else "whole"
    return Result(library, name, verdict if equal else "wrong", layers, fast, pairs, left)


def double(item: Any) -> Any:
    """Return floating numbers in double precision."""
    return item.double() if isinstance(item, Tensor) and item.is_floating_point() else item


def convert(model: Any, example: Example, before: list[Tensor]) -> tuple[Any, set[str], float, float | None]:
    """Convert a model; return the report, what is silent, and the differences by fast paths and by pairs.

    Silent are the classes of converted layers that ran, and summed nothing, when all operators sum over all pairs. The
    difference by pairs is `None` if these do not fit into memory.
    """
    from itnet_core import IntegralOperator
    from itnet_kernels import convert_model

    report = convert_model(model, example=example)
    fast = difference(outputs(model, example), before)
    sums = {module: Summed() for module in model.modules() if isinstance(module, IntegralOperator)}
    for module, evaluator in sums.items():
        module.evaluator = evaluator
    ran: set[str] = set()
    for path in report.converted:
        model.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: ran.add(path))
    try:
        pairs = difference(outputs(model, example), before)
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        return report, set(), fast, None
    summed = {path for path in ran if any(sums[m].count for m in model.get_submodule(path).modules() if m in sums)}
    return report, {report.converted[path] for path in ran - summed}, fast, pairs


class Summed(TiledEvaluator):
    """Counts its sums over all pairs."""

    count = 0

    def evaluate(self, problem: Problem) -> Tensor:
        """Compute the integral."""
        self.count += 1
        return super().evaluate(problem)


def difference(actual: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference of outputs, relative to the largest of an output if that exceeds 1."""
    if [item.shape for item in actual] != [item.shape for item in expected]:
        return float("inf")
    pairs = zip(actual, expected, strict=True)
    return max((float((a - e).abs().max() / e.abs().max().clamp(min=1)) for a, e in pairs if e.numel()), default=0.0)


def start() -> None:
    """Prepare a process of one thread; what transformers prints about its own models is dropped."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
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
    versions = ", ".join(f"{library} {version(library)}" for library in found)
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
                    "| architecture | layers | fast paths | by pairs | left |",
                ]
                lines += ["|---|---|---|---|---|", *map(row, of), ""]
        names = ", ".join(item.name for item in items if item.verdict == "not tried")
        if names:
            lines += ["### Not tried", "", f"The script found no small configuration and inputs of: {names}.", ""]
    return "\n".join(lines).rstrip() + "\n"


TEXT = f"""\
Architectures are built with random weights and small configurations, converted by [`convert_model`](guides/convert.md),
and called again: all that transformers lists with a base model, one for each file of timm and torchvision, and a choice
of torchaudio's and diffusers'. The differences are the largest of all outputs in float32, relative to the largest
output if that exceeds 1: by the kernels' fast paths, and with every operator summed over all pairs, unless these are
too many, as of images of 1,024 × 1,024 pixels. The bound is {BOUND:g}; where rounding exceeds it, {BOUND_DOUBLE:g} in
float64. A model is converted whole if no function that mixes points runs outside of converted layers, and if all
converted layers that run compute by their operators. Linear layers count as maps of channels; an MLP-Mixer, which
applies some of them to points, has these left although it is listed as whole."""

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
    cells = [
        item.name,
        item.layers,
        f"{item.fast:.1g}",
        "too many" if item.pairs is None else f"{item.pairs:.1g}",
        item.reason.replace("|", "/").replace("\n", " "),
    ]
    return f"| {' | '.join(cells)} |"


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
