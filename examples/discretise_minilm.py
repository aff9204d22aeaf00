"""Integrate MiniLM's attention over some of the keys: the error and the speed of each sampler.

Run `python examples/fetch_data.py minilm reviews`, then `python examples/discretise_minilm.py`, about two minutes of
one core. Eight texts of 512 tokens are joined film reviews. Each operator of the converted model gets a sampler, which
changes the points of the integral and nothing else. The table has the distance of the normalised embeddings to those
of the full integral (0 equal, √2 orthogonal), and the time of a pass over the eight texts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from claims import DATA
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import FullSampler, IntegralOperator, Sampler
from itnet_kernels import convert_model
from itnet_samplers.landmarks import LandmarksSampler
from itnet_samplers.monte_carlo import MonteCarloSampler
from itnet_samplers.neighbours import NeighboursSampler

TEXTS, TOKENS = 8, 512


def texts(data: Path, tokenizer: Any) -> Tensor:
    """Return tokens of joined reviews, (8, 512)."""
    lines = (data / "reviews/movieReviewSnippets_GroundTruth.txt").read_text(errors="replace").splitlines()
    joined = " ".join(line.split("\t")[2] for line in lines)
    inner = TOKENS - 2
    ids = torch.tensor(tokenizer(joined, add_special_tokens=False)["input_ids"][: TEXTS * inner])
    return F.pad(F.pad(ids.view(TEXTS, inner), (1, 0), value=101), (0, 1), value=102)  # [CLS] and [SEP]


def samplers(dim: int) -> Iterator[tuple[str, int, Callable[[], Sampler]]]:
    """Yield the name of a sampler, the number of keys of a query, and what makes it."""
    yield "full", TOKENS, lambda: FullSampler(dim)
    for count in (32, 128):
        yield "landmarks", count, lambda: LandmarksSampler(dim, count=count)  # noqa: B023
        yield "monte-carlo", count, lambda: MonteCarloSampler(dim, points=count, position_dim=1)  # noqa: B023
        yield "neighbours", count, lambda: NeighboursSampler(dim, count=count)  # noqa: B023


@torch.no_grad()
def measure(model: Any, batch: Tensor, repeats: int) -> tuple[Tensor, float]:
    """Return the normalised embeddings, (8, 384), and the median time in seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        tokens = model(input_ids=batch).last_hidden_state
        seconds.append(time.perf_counter() - start)
    return F.normalize(tokens.mean(1), dim=-1), median(seconds)


def main() -> None:
    """Measure each sampler, and print the table."""
    from transformers import AutoModel, AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, default=DATA, help="where fetch_data.py put the data (default: data)")
    parser.add_argument("--repeats", type=int, default=3, help="passes of each time (default: 3)")
    arguments = parser.parse_args()
    folder = arguments.data / "minilm"
    batch = texts(arguments.data, AutoTokenizer.from_pretrained(folder, local_files_only=True))
    model: nn.Module = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    convert_model(model)
    operators = [module for module in model.modules() if isinstance(module, IntegralOperator)]
    rows = Table("sampler", "keys of a query", "distance, mean", "largest", "seconds")
    full = None
    for name, count, make in samplers(operators[0].dim):
        torch.manual_seed(0)
        for operator in operators:
            operator.sampler = make().eval()
        embeddings, seconds = measure(model, batch, arguments.repeats)
        full = embeddings if full is None else full
        distances = (embeddings - full).norm(dim=-1)
        rows.add_row(name, str(count), f"{distances.mean():.2f}", f"{distances.max():.2f}", f"{seconds:.2f}")
    Console().print(rows)


if __name__ == "__main__":
    main()
