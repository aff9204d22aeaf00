"""Memory and messages of a training step on 8, 64 and 1,024 processes: `python benchmarks/scaling.py` (a few minutes).

PyTorch's fake process group stands for the others: this process takes the place of one of them, shares parameters and
points as `itnet train` does, and runs a step whose messages are counted and not sent. Writes docs/scaling.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from provenance import provenance, rewrite_section
from rich.progress import track
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from itnet_core import ITNetModel
from itnet_registry import create_model
from itnet_train import TrainConfig
from itnet_train.engine.parallel import create_mesh, share_parameters, share_points

PAGE, START, END = Path(__file__).parents[1] / "docs/scaling.md", "<!-- table -->", "<!-- end of table -->"
STATES = 4
"""Numbers that a process keeps for each parameter of its share: weight, gradient, and AdamW's two averages."""
KINDS = {
    "_allgather_base_": "all-gather",
    "allgather_": "gather points",
    "_reduce_scatter_base_": "reduce-scatter",
    "allreduce_": "all-reduce",
    "send": "ring",
}
"""What c10d's operations are for."""


@dataclass(frozen=True)
class Case:
    """A model on a number of processes.

    Attributes:
        preset: of the model, for images of 224 × 224 pixels.
        processes: number of processes.
        degrees: the section `parallel`.
        patch: pixels along an edge of a patch.
    """

    preset: str
    processes: int
    degrees: dict[str, int]
    patch: int = 16

    @property
    def config(self) -> TrainConfig:
        """The training section."""
        return TrainConfig.model_validate({"devices": self.processes, "strategy": "fsdp", "parallel": self.degrees})

    def build(self) -> ITNetModel:
        """Return the model."""
        patches = {"name": "patch", "patch_size": self.patch}
        return create_model(self.preset, encoder=patches, head={"name": "classify", "classes": 1000})


@dataclass(frozen=True)
class Step:
    """What one process does in a step of one image.

    Attributes:
        parameters: of the model.
        held: parameters of the process's share.
        flops: products of matrices, forward and backward.
        messages: bytes that it gives to collective operations, by kind.
    """

    parameters: int
    held: int
    flops: int
    messages: Counter[str]


CASES = (
    Case("itnet-s", 8, {}),
    Case("itnet-s", 8, {"points": 8}),
    Case("itnet-s", 64, {"points": 8}),
    Case("itnet-s", 1024, {"replicate": 16, "points": 8}),
    Case("itnet-s", 1024, {"replicate": 16, "points": 8}, patch=8),
    Case("itnet-b", 64, {}),
    Case("itnet-b", 1024, {"replicate": 16}),
)


class Messages(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes of this process's inputs of collective operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == "c10d" and (kind := KINDS.get(func._schema.name.partition("::")[2])) is not None:
            inputs = args[0] if kind in ("ring", "all-reduce") else args[1]
            self.bytes[kind] += sum(leaf.nbytes for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor))
        return func(*args, **(kwargs or {}))


def simulate(case: Case) -> Step:
    """Run a step of one process, forward and backward."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=case.processes)
    try:
        torch.manual_seed(0)
        model, config = case.build(), case.config
        parameters = sum(parameter.numel() for parameter in model.parameters())
        mesh = create_mesh(config, "cpu")
        if config.parallel.points > 1:
            share_points(model, mesh)
        share_parameters(model, mesh, config)
        with Messages() as messages, FlopCounterMode(display=False) as flops:
            model(torch.randn(1, 3, 224, 224)).square().mean().backward()
        held = sum(p.to_local().numel() for p in model.parameters() if isinstance(p, DTensor))
        return Step(parameters, held, flops.get_total_flops(), messages.bytes)
    finally:
        dist.destroy_process_group()


def expected(case: Case, step: Step) -> dict[str, float]:
    """Return the model's bytes of the messages that depend on the parameters alone, by kind."""
    replicate, shard, points = case.config.degrees
    share = 4 * step.parameters / (shard * points)
    return {"all-gather": 2 * share, "reduce-scatter": 4 * step.parameters, "all-reduce": share * (replicate > 1)}


def row(case: Case, step: Step) -> str:
    """Return a row of the table."""
    replicate, shard, points = case.config.degrees
    model, counted = expected(case, step), step.messages
    cells = [
        case.preset,
        f"{(224 // case.patch) ** 2:,}",
        f"{case.processes:,}",
        f"{replicate} · {shard} · {points}",
        f"{step.parameters / 1e6:.1f}M",
        _megabytes(4 * STATES * step.held),
        f"{step.flops / 1e9:.1f}",
        *(f"{_megabytes(counted[kind])} ({_megabytes(model[kind])})" for kind in model),
        _megabytes(counted["ring"] + counted["gather points"]),
    ]
    return f"| {' | '.join(cells)} |"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:.2f}" if count < 1e7 else f"{count / 1e6:.0f}"


def main() -> None:
    """Simulate all cases, and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    titles = ["preset", "points", "processes", "replicate · shard · points", "parameters", "states, MB", "GFLOPs"]
    titles += ["all-gather, MB", "reduce-scatter, MB", "all-reduce, MB", "points, MB"]
    lines = ["", f"{provenance()}.", "", f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    lines += [row(case, simulate(case)) for case in track(CASES, "cases")]
    rewrite_section(PAGE, START, END, [*lines, ""])
    print(PAGE)


if __name__ == "__main__":
    main()
