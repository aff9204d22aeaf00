"""Does one mechanism recover convolution, attention and recurrence from data?

Run `python examples/three_families.py` (about 10 minutes of one core). A random but fixed operator of each family is
the teacher. An MLP kernel of one configuration learns each from fields and their results alone, then is tested on
fields that it has not seen, at its own and at twice the resolution. The table and an image of the kernels go to
runs/three_families/, and with `--docs` to docs/three_families.md and docs/images/ too.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any

import matplotlib
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from itnet_core import Field, IntegralOperator, Kernel, MLPKernel, Normalization
from itnet_core.operator.mlp import PAPER
from itnet_kernels import AttentionKernel, ContinuousConvolutionKernel, S4DKernel, SumKernel

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).parent.parent
PAGE, START = ROOT / "docs/three_families.md", "<!-- table -->"
DIM, WAVES, HELD_OUT = 4, 24, 1_000_000
BATCH, PART, RATE = 16, 16, 2e-2
TEST_FIELDS = 16
STUDENT: Mapping[str, Any] = {
    "heads": 4,
    "hidden": 128,
    "rank": 8,
    "frequencies": 8,
    "frequency_scale": 1.0,
    "activation": "silu",
}
FORMS: Mapping[str, tuple[str, ...]] = {
    "all inputs": ("query", "key", "bilinear", "displacement", "distance", "fourier"),
    "the paper's inputs": PAPER,
    "content alone": ("query", "key", "bilinear"),
    "positions alone": ("displacement", "distance", "fourier"),
}
CLAIM, BOTH = "all inputs", "all inputs, both normalisations"


class Filter(ContinuousConvolutionKernel):
    """A random filter of four heads: a SIREN of x − y under a Gaussian window, so that it is compact."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, heads=4, omega=10.0)

    def profile(self, displacement: Tensor) -> Tensor:
        """Return the filter at displacements (..., p), (..., heads)."""
        window = (-displacement.square().sum(-1, keepdim=True) / (2 * 0.3**2)).exp()
        return super().profile(displacement) * window


def attention(dim: int) -> Kernel:
    """Return attention of two heads whose scores have a standard deviation of about 1.7: far from uniform."""
    kernel = AttentionKernel(dim, heads=2)
    for item in (kernel.query, kernel.key):
        torch.nn.init.normal_(item.weight, std=1.3 / dim**0.5)
    return kernel


def recurrence(dim: int) -> Kernel:
    """Return a state space of three complex states a channel, which decay and turn within the domain.

    By the field's own measure, not by counting: a finer discretisation is then one of the same integral.
    """
    kernel = S4DKernel(dim, state=6, unit=1 / 32, step_min=0.05, step_max=0.2)
    kernel.measure = "given"
    return kernel


@dataclass(frozen=True)
class Family:
    """A teacher and its fields.

    Attributes:
        name: the family's.
        teacher: makes a random kernel of it, for fields of some channels.
        axes: those of the grid, over [−1, 1] each.
        grid: on which the student learns.
        cycles: standard deviation of the fields' frequencies, a unit of length.
        normalization: of the teacher, and so of the student.
        causal: the axis that the integral runs over the past of, for both.
    """

    name: str
    teacher: Callable[[int], Kernel]
    axes: str
    grid: tuple[int, ...]
    cycles: float
    normalization: Normalization = "none"
    causal: str | None = None

    @property
    def finer(self) -> tuple[int, ...]:
        """The grid of twice the points along each axis."""
        return tuple(2 * size for size in self.grid)


FAMILIES = (
    Family("convolution", Filter, "yx", (12, 12), 1.0),
    Family("attention", attention, "t", (128,), 2.0, normalization="softmax"),
    Family("recurrence", recurrence, "t", (128,), 2.0, causal="t"),
)


@dataclass(frozen=True)
class Result:
    """Errors of one trained student.

    Attributes:
        family: the teacher's.
        student: which inputs, and normalisation, its kernel has.
        seed: of both.
        error: ‖student − teacher‖ / ‖teacher‖ over held-out fields.
        finer_error: the same at twice the points along each axis.
        mean_error: the same of predicting each channel's mean, for comparison.
        kernel_error: the same of the matrix-valued kernel, over all pairs of points of a held-out field.
        seconds: of one core, for the training.
    """

    family: str
    student: str
    seed: int
    error: float
    finer_error: float
    mean_error: float
    kernel_error: float
    seconds: float


def random_fields(family: Family, grid: Sequence[int], count: int, seed: int) -> Field:
    """Return sums of random waves at a grid's points; the functions depend on the seed, never on the grid."""
    random = torch.Generator().manual_seed(seed)
    points = Field.on_grid(torch.zeros(count, *grid, 1), axes=family.axes)
    frequencies = family.cycles * torch.randn(count, len(points.positions[0, 0]), WAVES, generator=random)
    phases = torch.rand(count, 1, WAVES, generator=random)
    amplitudes = torch.randn(count, WAVES, DIM, generator=random) * (2 / WAVES) ** 0.5
    return points.with_values((2 * math.pi * (points.positions @ frequencies + phases)).cos() @ amplitudes)


@torch.no_grad()
def make_teacher(family: Family, seed: int) -> IntegralOperator:
    """Return a random operator whose results have a standard deviation of 1."""
    torch.manual_seed(seed)
    operator = IntegralOperator(DIM, family.teacher(DIM), pointwise=False)
    for name, parameter in operator.output.named_parameters():
        if name.endswith("bias"):
            parameter.zero_()
    scale = float(operator(random_fields(family, family.grid, TEST_FIELDS, HELD_OUT - 1)).values.std())
    # A recurrence's heads are channels, without maps around them: its kernel's last weights are its output's.
    kernel = operator.kernel
    last = kernel.output_weight if isinstance(kernel, S4DKernel) else next(operator.output.parameters())
    last.div_(scale)
    return operator


def train(family: Family, teacher: IntegralOperator, student: IntegralOperator, steps: int, seed: int) -> list[float]:
    """Teach, by fields that are new in every step, and return the steps' relative errors.

    A step sees `BATCH` fields whole, and asks for the results at 1 / `PART` of the points.
    """
    optimizer = torch.optim.Adam(student.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    errors = []
    for step in range(steps):
        field = random_fields(family, family.grid, BATCH, seed * HELD_OUT + step)
        with torch.no_grad():
            target = teacher(field).values
        chosen = torch.randperm(field.values.shape[1])[: max(1, field.values.shape[1] // PART)]
        query = Field(field.values[:, chosen], field.positions[:, chosen])
        loss = (student(query, field).values - target[:, chosen]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        errors.append(float(loss.detach().sqrt()))
    return errors


@torch.no_grad()
def relative_error(ours: Callable[[Field], Tensor], teacher: IntegralOperator, field: Field) -> float:
    """Return ‖ours − teacher‖ / ‖teacher‖ of the results."""
    target = teacher(field).values
    return float((ours(field) - target).norm() / target.norm())


@torch.no_grad()
def matrix_kernel(operator: IntegralOperator, query: Field, key: Field) -> Tensor:
    """Return K(x, y) = Σ_h O_h k_h(x, y) V_h, (N, M, dim, dim), with out(x) = Σ_j w_j K(x, y_j) u(y_j).

    Of the first sample; with softmax, k_h is divided by its integral. The single scalar kernels are not unique: another
    basis of heads makes the same operator.
    """
    query, key = (Field(f.values[:1], f.positions[:1], f.weights[:1], f.grid) for f in (query, key))
    matrix = query.values.new_zeros(())
    for kernel, value, output in operator.summands:
        k = kernel(*kernel.project(query, key))[0]
        inside = torch.ones_like(k[0], dtype=torch.bool)
        if not kernel.support.everywhere:
            inside = kernel.support.mask(query.positions, key.positions)[0]
        if kernel.normalization == "softmax":
            k = (k.masked_fill(~inside, -torch.inf) + key.weights.log()).softmax(-1) / key.weights
        k = k.masked_fill(~inside, 0.0)
        units = value(torch.eye(operator.dim, dtype=k.dtype).unsqueeze(0))[0]  # V e_i: (dim, heads, head_dim)
        zero = output(torch.zeros_like(units[:1]).unsqueeze(0))  # the bias
        columns = [output(k.movedim(0, -1).unsqueeze(-1) * unit) - zero for unit in units]
        matrix = matrix + torch.stack(columns, dim=-1)
    return matrix


def students(family: Family, seed: int) -> dict[str, IntegralOperator]:
    """Return an MLP kernel for each choice of inputs, and the sum of a plain one and one with softmax."""

    def mlp(name: str, normalization: Normalization) -> Kernel:
        options = {**STUDENT, "inputs": FORMS[name], "normalization": normalization}
        return MLPKernel(DIM, support={"causal": family.causal}, **options)

    made = {}
    for name in (CLAIM, BOTH, *[form for form in FORMS if form != CLAIM]):
        torch.manual_seed(seed + 1)
        both = name == BOTH
        kernel = SumKernel.of(mlp(CLAIM, "none"), mlp(CLAIM, "softmax")) if both else mlp(name, family.normalization)
        # With W_o u(x), which the teachers lack, a kernel can hide a peak at x = y.
        made[name] = IntegralOperator(DIM, kernel, head_dim=DIM, pointwise=False)
    return made


Job = tuple[Family, str, IntegralOperator, IntegralOperator]


def learn(job: Job, steps: int, seed: int) -> Result:
    """Train one student, and return how far it is from its teacher."""
    family, name, teacher, student = job
    start = process_time()
    train(family, teacher, student, steps, seed)
    seconds = process_time() - start
    held_out = [random_fields(family, grid, TEST_FIELDS, HELD_OUT - 2) for grid in (family.grid, family.finer)]
    error, finer_error = (relative_error(lambda field: student(field).values, teacher, field) for field in held_out)
    mean = teacher(held_out[0]).values.mean((0, 1)).detach()
    mean_error = relative_error(lambda field: mean.expand_as(field.values), teacher, held_out[0])
    exact, learned = (matrix_kernel(operator, held_out[0], held_out[0]) for operator in (teacher, student))
    kernel_error = float((learned - exact).norm() / exact.norm())
    return Result(family.name, name, seed, error, finer_error, mean_error, kernel_error, seconds)


def kernel_images(family: Family, operator: IntegralOperator) -> list[Tensor]:
    """Return K_cc for the channels c = 0 and 1: of y around x = 0 in the plane, of all pairs on a line."""
    if len(family.grid) == 1:
        field = random_fields(family, family.finer, 1, HELD_OUT - 2)
        k = matrix_kernel(operator, field, field)
        return [k[..., c, c] for c in (0, 1)]
    fine = random_fields(family, (65, 65), 1, HELD_OUT - 2)
    middle = len(fine.positions[0]) // 2
    query = Field(fine.values[:, [middle]], fine.positions[:, [middle]])
    k = matrix_kernel(operator, query, fine)[0]
    return [k[:, c, c].view(65, 65) for c in (0, 1)]


@torch.no_grad()
def draw(jobs: Sequence[Job], results: Sequence[Result], file: Path) -> None:
    """Draw true and learned kernels side by side, and under them a result at twice the points."""
    figure = pyplot.figure(figsize=(14, 7.7), layout="constrained")
    figure.suptitle("One mechanism, three families: an MLP kernel that learned each from fields and results", size=15)
    blocks: Any = figure.subfigures(1, len(FAMILIES), wspace=0.04)
    for family, block in zip(FAMILIES, blocks, strict=True):
        mine = {name: (teacher, student) for item, name, teacher, student in jobs if item is family}
        [claim] = [result for result in results if (result.family, result.student) == (family.name, CLAIM)]
        teacher, student = mine[CLAIM]
        block.suptitle(f"{family.name.capitalize()}: error {claim.error:.1%}", size=13, weight="bold")
        kernels, line = block.subfigures(2, 1, height_ratios=[2.2, 1])
        axes = kernels.subplots(2, 2)
        pairs = zip(kernel_images(family, teacher), kernel_images(family, student), strict=True)
        for column, pair in enumerate(pairs):
            bound = float(pair[0].abs().quantile(0.998))
            for row, image in enumerate(pair):
                axis = axes[row, column]
                axis.imshow(image.numpy(), extent=(-1, 1, 1, -1), cmap="RdBu_r", vmin=-bound, vmax=bound)
                axis.set_xticks([])
                axis.set_yticks([])
                if column == 0:
                    axis.set_ylabel(("true", "learned")[row], size=12)
            axes[0, column].set_title(f"channel {column + 1}", size=10)
        flat = len(family.grid) == 1
        axes[1, 0].set_xlabel("y across, x down" if flat else "y in the plane around x", size=9)
        field = random_fields(family, family.finer, 1, HELD_OUT - 2)
        middle = slice(None) if flat else slice(family.finer[1] * family.finer[0] // 2, None)
        shown = slice(middle.start, None if flat else (middle.start or 0) + family.finer[1])
        place = field.positions[0, shown, 0 if flat else 1]
        wrong = "positions alone" if family.name == "attention" else "content alone"
        axis = line.subplots()
        styles = (
            (teacher, "true", {"color": "0.15", "lw": 2.4}),
            (student, "learned", {"color": "tab:red", "ls": "--", "lw": 1.6}),
            (mine[wrong][1], wrong, {"color": "tab:blue", "lw": 1, "alpha": 0.7}),
        )
        for operator, label, style in styles:
            axis.plot(place.numpy(), operator(field).values[0, shown, 0].numpy(), label=label, **style)
        axis.set_title(f"a result at twice the points: error {claim.finer_error:.1%}", size=10)
        axis.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)
        axis.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


HEADER = (
    "teacher",
    "student's kernel sees",
    "seed",
    "error",
    "at twice the points",
    "kernel's error",
    "seconds of a core",
)


def rows(results: Iterable[Result]) -> list[tuple[str, ...]]:
    """Return the table's rows, under `HEADER`."""
    table = []
    for result in results:
        errors = [f"{error:.1%}" for error in (result.error, result.finer_error, result.kernel_error)]
        table.append((result.family, result.student, str(result.seed), *errors, f"{result.seconds:.0f}"))
    return table


def write_page(results: Sequence[Result], given: argparse.Namespace) -> None:
    """Rewrite the table and the image in docs/."""
    sys.path.append(str(ROOT / "benchmarks"))
    from provenance import provenance

    means = ", ".join(
        f"{result.family} {result.mean_error:.1%}"
        for result in results
        if (result.student, result.seed) == (CLAIM, given.seed)
    )
    lines = [
        START,
        f"`python examples/three_families.py --docs --seeds {given.seeds}`, {given.steps} steps a training;"
        f" {provenance(1)}; {sum(result.seconds for result in results) / 60:.1f} minutes of a core in all."
        f" Predicting each channel's mean has the error: {means}.",
        "",
        f"| {' | '.join(HEADER)} |",
        "|---" * len(HEADER) + "|",
        *[f"| {' | '.join(row)} |" for row in rows(results)],
    ]
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join(lines) + "\n")
    shutil.copy(given.output / "three_families.png", ROOT / "docs/images/three_families.png")


def run(families: Sequence[Family], steps: int, seed: int, *, show: bool = True) -> tuple[list[Job], list[Result]]:
    """Train every student of every family."""
    teachers = {family: make_teacher(family, seed) for family in families}
    jobs = [(f, name, teachers[f], student) for f in families for name, student in students(f, seed).items()]
    return jobs, [
        learn(job, steps, seed) for job in track(jobs, "learning", console=Console(stderr=True), disable=not show)
    ]


def repeat(families: Sequence[Family], steps: int, seeds: Iterable[int], *, show: bool = True) -> list[Result]:
    """Train the students with all inputs on further teachers of every family."""
    results = []
    for seed in track(list(seeds), "repeating", console=Console(stderr=True), disable=not show):
        for family, name in product(families, (CLAIM, BOTH)):
            job = (family, name, make_teacher(family, seed), students(family, seed)[name])
            results.append(learn(job, steps, seed))
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Run, print and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500, help="of each training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of teachers, students and fields (default: %(default)s)")
    parser.add_argument(
        "--seeds", type=int, default=1, help="repeat the students with all inputs (default: %(default)s)"
    )
    parser.add_argument("--output", type=Path, default=ROOT / "runs/three_families", help="a folder for what comes out")
    parser.add_argument("--docs", action="store_true", help="rewrite docs/three_families.md and its image too")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    jobs, results = run(FAMILIES, given.steps, given.seed, show=not given.json)
    draw(jobs, results, given.output / "three_families.png")
    results += repeat(FAMILIES, given.steps, range(given.seed + 1, given.seed + given.seeds), show=not given.json)
    if given.docs:
        write_page(results, given)
    records = [asdict(result) for result in results]
    (given.output / "three_families.json").write_text(json.dumps(records, indent=2) + "\n")
    if given.json:
        print(json.dumps(records, indent=2))
        return
    table = Table(*HEADER)
    for row in rows(results):
        table.add_row(*row)
    Console().print(table)
    print(f"wrote {given.output}/three_families.png and three_families.json")


if __name__ == "__main__":
    main()
