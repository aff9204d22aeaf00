"""Factorise MiniLM's attention: is e^k of low rank, and what would a factorised kernel cost?

Run `python examples/fetch_data.py minilm reviews`, then `python examples/factorize_minilm.py`, about a minute of
one core. `factorize_model` refuses attention, since a low rank of k says nothing of e^k; this script measures that.
For each layer of the converted model, on a text of 512 tokens that was not in the fit, it takes e^k ≈ C U R: C at some
pivots of the keys and R at some of the queries, chosen for each head by adaptive cross approximation on other texts.
The errors are those of the integrals Σ_j e^k v_j / Σ_j e^k, relative to their size, the median of the 12 heads:

- skeleton: with the pivots, which serve any text. The sums cost 2 N r instead of N² evaluations of e^k.
- best: with the matrix of the same rank that is nearest to this text's, by singular values: a bound.

The times are of one layer on eight texts, without the linear maps around the integral.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from claims import DATA
from discretise_minilm import texts
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from itnet_core import IntegralOperator
from itnet_kernels import convert_model, factorize_model
from itnet_kernels.low_rank.pivots import choose_pivots, fit_core

RANKS, FIT = (16, 64, 128), 512

Sides = tuple[Tensor, Tensor, Tensor]
"""q / √d, k and v, (texts, heads, N, d) each."""


def sides_of_layers(model: Any, batch: Tensor) -> list[Sides]:
    """Return what the operator of each layer integrates."""
    found: list[Sides] = []

    def record(operator: Any, fields: tuple[Any, Any]) -> None:
        (query, _, *_), (key, _, *_) = operator.kernel.project(*fields)
        found.append((query.transpose(1, 2), key.transpose(1, 2), operator.value(fields[1].values).transpose(1, 2)))

    operators = [module for module in model.modules() if isinstance(module, IntegralOperator)]
    hooks = [operator.register_forward_pre_hook(record) for operator in operators]
    model(input_ids=batch)
    for hook in hooks:
        hook.remove()
    return found


@dataclass(frozen=True)
class Skeleton:
    """Factorisation e^k ≈ C U R of all heads.

    Attributes:
        rows: the queries of R, (heads, r, d).
        logs: the logarithms of the sums of their rows, (heads, r, 1); the scale of a row cancels in the integral.
        columns: the keys of C, (heads, r, d).
        core: U, (heads, r, r).
    """

    rows: Tensor
    logs: Tensor
    columns: Tensor
    core: Tensor

    def integrate(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Compute the integrals, (texts, heads, N, channels)."""
        left = q @ self.columns.mT
        left = (left - left.amax(-1, keepdim=True)).exp()
        right = (self.rows @ k.mT - self.logs).exp()
        sums = left @ (self.core @ (right @ F.pad(v, (0, 1), value=1.0)))
        return sums[..., :-1] / sums[..., -1:]


def fit(q: Tensor, k: Tensor) -> dict[int, Skeleton]:
    """Return a skeleton of each rank, fitted to some of the pairs of all texts."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(q.shape[0] * q.shape[2], generator=generator)[:FIT]
    q, k = (side.transpose(1, 2).flatten(0, 1)[order].transpose(0, 1) for side in (q, k))
    scores = (q @ k.mT).double()
    logs = scores.logsumexp(-1, keepdim=True)
    matrices = (scores - logs).exp()
    chosen = [choose_pivots(matrix.unsqueeze(0), max(RANKS), 0.0) for matrix in matrices]
    skeletons = {}
    for rank in RANKS:
        parts = []
        for head, (rows, columns) in enumerate(chosen):
            rows, columns = rows[:rank], columns[:rank]
            core = fit_core(matrices[head : head + 1], rows, columns, 1e-8)[0].float()
            parts.append((q[head, rows], logs[head, rows].float(), k[head, columns], core))
        skeletons[rank] = Skeleton(*map(torch.stack, zip(*parts, strict=True)))
    return skeletons


def errors(actual: Tensor, expected: Tensor) -> float:
    """Return the difference relative to the size, the median of the heads."""
    return median(((actual - expected).norm(dim=(-2, -1)) / expected.norm(dim=(-2, -1))).flatten().tolist())


def seconds(compute: Callable[[], Tensor]) -> float:
    """Return the median time of three calls."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        compute()
        times.append(time.perf_counter() - start)
    return median(times)


@torch.no_grad()
def main() -> None:
    """Fit and measure each layer, and print the table."""
    from transformers import AutoModel, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    arguments = parser.parse_args()
    folder = arguments.data / "minilm"
    batch = texts(arguments.data, AutoTokenizer.from_pretrained(folder, local_files_only=True))
    model: Any = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    convert_model(model)
    rows = Table("layer", *(f"{kind} {rank}" for kind in ("skeleton", "best") for rank in RANKS), "ms exact", "ms")
    for number, (q, k, v) in enumerate(track(sides_of_layers(model, batch), "layers")):
        skeletons, held_out = fit(q[:-1], k[:-1]), (q[-1:], k[-1:], v[-1:])
        exact = (held_out[0] @ held_out[1].mT).softmax(-1)
        expected = exact @ held_out[2]
        found = [errors(skeleton.integrate(*held_out), expected) for skeleton in skeletons.values()]
        left, sizes, right = torch.linalg.svd(exact)
        for rank in RANKS:
            best = left[..., :rank] * sizes[..., None, :rank] @ right[..., :rank, :] @ held_out[2]
            found.append(errors(best, expected))
        times = (
            seconds(partial(F.scaled_dot_product_attention, q, k, v, scale=1.0)),
            *(seconds(partial(skeleton.integrate, q, k, v)) for skeleton in skeletons.values()),
        )
        milliseconds = [f"{1000 * time:.0f}" for time in times]
        rows.add_row(str(number), *(f"{x:.2f}" for x in found), milliseconds[0], " ".join(milliseconds[1:]))
    Console(width=120).print(rows)
    [reason] = {*factorize_model(model, batch).left.values()}
    print(f"factorize_model leaves all layers: {reason}")


if __name__ == "__main__":
    main()
