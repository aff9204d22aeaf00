"""Estimated cost of the configurations in examples/paper on 8 GPUs: `python benchmarks/paper_costs.py`.

FLOPs are those of the trunk's matrix products, as `itnet info` counts them; a training step is three forward passes.
The rate is a share of a GPU's that `benchmarks/gpu.py` measured. Writes the table of docs/paper.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from provenance import rewrite_section

from itnet_registry import create_model, default_registry, load_config
from itnet_registry.build.trunk_table import trunk_table
from itnet_registry.config.model_config import CompleteModelConfig

ROOT = Path(__file__).parents[1]
PAGE, START, END = ROOT / "docs/paper.md", "<!-- costs -->", "<!-- end of costs -->"
GPUS, RATE, SHARE = 8, 776e12, 0.108
"""Devices; the rate of one H200 in bf16, and the share that a backward pass reached (docs/benchmarks/gpu.md)."""


class Size(NamedTuple):
    """The grid of points of a sample, and the published number of training samples."""

    grid: Sequence[int]
    samples: int


SIZES = {
    "imagenet": Size((56, 56), 1_281_167),
    "glue": Size((64,), 392_702),  # MNLI, the largest task
    "modelnet40": Size((512,), 9_843),
    "vqa": Size((196 + 14,), 443_757),
    "nlvr2": Size((2 * 196 + 24,), 86_373),
}


def estimate(name: str, size: Size) -> list[str]:
    """Return a row of the table."""
    config: dict[str, Any] = load_config(ROOT / f"examples/paper/{name}.yaml")
    model = {k: v for k, v in config["model"].items() if k not in ("encoder", "task")}
    built = create_model(**model, encoder={"name": "field", "channels": 1}, heads={})
    complete = CompleteModelConfig.model_validate(built.config)
    flops = sum(row["flops"] for row in trunk_table(default_registry(), complete, size.grid))
    parameters = sum(p.numel() for p in built.trunk.parameters())
    total = 3 * flops * size.samples * config["train"]["epochs"]
    hours = total / (GPUS * RATE * SHARE) / 3600
    return [
        f"`examples/paper/{name}.yaml`",
        f"{parameters / 1e6:.1f}M",
        f"{prod(size.grid):,}",
        f"{flops / 1e9:.1f}G",
        f"{size.samples:,} × {config['train']['epochs']}",
        f"{total:.1e}",
        f"{hours:.1f}" if hours >= 0.1 else "< 0.1",
    ]


def main() -> None:
    """Write the table."""
    header = ["configuration", "trunk", "points", "FLOPs of a sample", "samples × epochs", "FLOPs", "hours on 8 H200"]
    rows = [estimate(name, size) for name, size in SIZES.items()]
    lines = ["", f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]
    rewrite_section(PAGE, START, END, [*lines, ""])
    print("\n".join(lines))


if __name__ == "__main__":
    main()
