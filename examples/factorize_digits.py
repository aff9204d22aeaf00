"""Factorise a trained model's kernels, and measure the loss in accuracy and the gain in speed at finer resolutions.

Run (about 3 minutes of two cores for the training and 3 for the rest; scikit-learn's images of digits, as fields on
their pixels):

    itnet train examples/digits.yaml model.encoder.patch_size=1 train.epochs=24 --output runs/pixels
    python examples/factorize_digits.py runs/pixels/best

The table goes to the terminal, and with `--docs` to docs/low_rank.md, with a plot in docs/images.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import torch
from torch import Tensor
from torch.nn import functional as F

from itnet_core import ITNetModel
from itnet_kernels import FactorizationReport, factorize_model
from itnet_registry import create, load_model

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).parent.parent
PAGE, PLOT, START = ROOT / "docs/low_rank.md", ROOT / "docs/images/low_rank_digits.svg", "<!-- table -->"
PIVOTS, FIT, FINER = (8, 16, 32, 64, 128), 64, 4
SPEED_PIVOTS, SPEED_FINER = 64, (1, 4, 8, 16)


@dataclass(frozen=True)
class Images:
    """Images of one resolution with their classes, and training images for the factorisation."""

    inputs: Tensor
    targets: Tensor
    fit: Tensor


@dataclass(frozen=True)
class Result:
    """Result of one number of pivots at one resolution.

    Attributes:
        report: of the factorisation.
        change: of the logits, ‖after − before‖ / ‖before‖.
        accuracy: after the factorisation.
    """

    report: FactorizationReport
    change: float
    accuracy: float

    @property
    def errors(self) -> list[float]:
        """Errors of every head of every block, the largest last."""
        return sorted(error for item in self.report.factorized.values() for error in item.errors)


def on_pixels(model: ITNetModel) -> ITNetModel:
    """Replace the encoder by one of the same weights that makes a point of every pixel, at any resolution."""
    trained = model.encoders["image"]
    encoder = create("encoder", "patch", dim=trained.dim, patch_size=1, channels=1)
    encoder.load_state_dict(trained.state_dict())
    model.encoders["image"] = encoder
    return model.eval()


def select_images(model: ITNetModel, finer: int, count: int | None = None) -> Images:
    """Return the digits, with `finer` times the pixels along each axis, interpolated."""
    task = create("task", **(model.config or {})["tasks"]["image"])
    parts = []
    for split, most in (("test", count), ("train", FIT)):
        data = task.dataset(split)
        batch = task.collate([data[i] for i in range(min(len(data), most or len(data)))])
        parts.append((fine(batch.inputs, finer), batch.targets))
    (inputs, targets), (fit, _) = parts
    return Images(inputs, targets, fit)


def fine(inputs: Tensor, times: int) -> Tensor:
    """Interpolate images to `times` the pixels along each axis."""
    return F.interpolate(inputs, scale_factor=times, mode="bilinear") if times > 1 else inputs


@torch.no_grad()
def logits(model: ITNetModel, inputs: Tensor) -> Tensor:
    """Compute a model's logits, some images at a time."""
    return torch.cat([model(part) for part in torch.split(inputs, 24)])


def accuracy(outputs: Tensor, data: Images) -> float:
    """Compute the share of images whose class is right."""
    return float((outputs.argmax(-1) == data.targets).double().mean())


def compare(model: ITNetModel, data: Images, pivots: Sequence[int]) -> tuple[float, dict[int, Result]]:
    """Compute the accuracy before, and the result of each number of pivots."""
    before = logits(model, data.inputs)
    results = {}
    for rank in pivots:
        other = deepcopy(model)
        report = factorize_model(other, data.fit, rank=rank, tolerance=0.0)
        after = logits(other, data.inputs)
        change = float(torch.linalg.norm(after - before) / torch.linalg.norm(before))
        results[rank] = Result(report, change, accuracy(after, data))
    return accuracy(before, data), results


def speeds(
    model: ITNetModel, inputs: Tensor, fit: Tensor, finer: Sequence[int], rounds: int = 3
) -> list[tuple[int, float, float]]:
    """Measure points, and the seconds of one image before and after, medians of interleaved runs."""
    other = deepcopy(model)
    factorize_model(other, fit, rank=SPEED_PIVOTS, tolerance=0.0)
    rows = []
    for times in finer:
        image = fine(inputs[:1], times)
        taken: list[tuple[float, float]] = []
        for _ in range(rounds + 1):
            start = time.perf_counter()
            logits(model, image)
            middle = time.perf_counter()
            logits(other, image)
            taken.append((middle - start, time.perf_counter() - middle))
        before, after = (median(item[side] for item in taken[1:]) for side in (0, 1))
        rows.append((image.shape[-1] * image.shape[-2], before, after))
    return rows


def table(before: float, results: dict[int, Result]) -> list[str]:
    """Return the Markdown table of errors and accuracies."""
    lines = ["| pivots | error of a head, median | worst | change of the logits | accuracy |", "|---" * 5 + "|"]
    lines.append(f"| exact | | | | {before:.1%} |")
    for rank, item in results.items():
        numbers = (median(item.errors), item.errors[-1], item.change, item.accuracy)
        lines.append(f"| {rank} | {' | '.join(f'{number:.1%}' for number in numbers)} |")
    return lines


def speed_table(rows: Sequence[tuple[int, float, float]]) -> list[str]:
    """Return the Markdown table of times."""
    lines = ["| points | exact, ms an image | factorised, ms | times faster |", "|---|---|---|---|"]
    return lines + [f"| {n} | {1000 * a:.1f} | {1000 * b:.1f} | {a / b:.2f} |" for n, a, b in rows]


def draw(results: dict[int, Result], file: Path) -> None:
    """Draw errors over pivots: of each block's worst head over the pairs of the fit, and over pairs held out."""
    figure, axis = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    last = results[max(results)].report.factorized
    for number, (path, item) in enumerate(last.items()):
        curve = item.fitted.amax(1)
        axis.loglog(range(1, len(curve) + 1), curve, color=f"C{number}", label=f"block {number}")
        held_out = [max(some.report.factorized[path].errors) for some in results.values()]
        axis.loglog(list(results), held_out, "o", color=f"C{number}")
    axis.set_xlabel("pivots")
    axis.set_ylabel("error of the worst head (line: fit, dots: held out)")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)


def write_page(lines: Sequence[str], command: str) -> None:
    """Rewrite the tables in docs/low_rank.md."""
    sys.path.append(str(ROOT / "benchmarks"))
    from provenance import provenance

    head = [START, f"`{command}` on {provenance()}."]
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join([*head, "", *lines]) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Factorise, compare, time."""
    parser: Any = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="of a model of the task 'digits' with patches of one pixel")
    parser.add_argument("--docs", action="store_true", help="rewrite the tables and the plot in docs/ too")
    given = parser.parse_args(arguments)
    torch.manual_seed(0)  # training images are rotated and shifted at random
    model = on_pixels(load_model(given.checkpoint))
    coarse, finer = select_images(model, 1), select_images(model, FINER)
    lines = []
    for data in (coarse, finer):
        before, results = compare(model, data, PIVOTS)
        lines += [f"{data.inputs.shape[-1] * data.inputs.shape[-2]} points:", "", *table(before, results), ""]
    lines += [
        f"The whole model, one image at a time, {SPEED_PIVOTS} pivots, compared to the fastest installed exact"
        " evaluator, medians of 3 interleaved runs:",
        "",
        *speed_table(speeds(model, coarse.inputs, finer.fit, SPEED_FINER)),
    ]
    print("\n".join(lines))
    print(results[PIVOTS[-1]].report)
    if given.docs:
        draw(results, PLOT)
        write_page(lines, f"python examples/factorize_digits.py {given.checkpoint} --docs")


if __name__ == "__main__":
    main()
