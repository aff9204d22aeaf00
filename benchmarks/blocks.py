"""One block of a trunk against a transformer layer of equal parameters, forward and backward, on one thread.

Run `python benchmarks/blocks.py` (4 minutes); it writes docs/benchmarks/blocks.md.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any, cast

import torch
from measuring import Ratio, Report, goal, in_environment, interleaved
from torch import Tensor, nn

from itnet_core import Block, Field, TiledEvaluator
from itnet_registry import create_model

SIZES = ((64, 16, 64), (64, 64, 64), (64, 64, 128), (32, 128, 192), (32, 196, 192), (32, 64, 384))
"""Samples, points and width of a batch."""
GOALS = {"mlp": 1.3, "additive": 1.0}
PRESETS = {64: "itnet-nano", 128: "itnet-nano", 192: "itnet-tiny", 384: "itnet-s"}
KERNELS: Mapping[str, Any] = {
    "mlp": {},
    "additive": {"inputs": ["query", "key", "displacement"]},
    "attention": {"name": "attention"},
}
HEADS = {64: 4, 128: 4, 192: 3, 384: 6}
BUSY = (64, 64, 64)


def block(width: int, kernel: Mapping[str, Any]) -> Block:
    """Return a block of the preset of a width, with other options of the kernel."""
    encoder = {"name": "field", "channels": width}
    model = create_model(PRESETS[width], encoder=encoder, heads={}, width=width, depth=1, kernel=kernel)
    return cast(Block, model.trunk.blocks[0])


def field(batch: int, points: int, width: int) -> Field:
    """Return a field of an image's points, or of a sequence's where their number is no square."""
    side = round(points**0.5)
    shape, axes = ((side, side), "xy") if side * side == points else ((points,), "t")
    return Field.on_grid(torch.randn(batch, *shape, width), axes=axes)


def step(module: nn.Module, argument: Field | Tensor) -> None:
    """Run a module forward and backward."""
    values = argument.values if isinstance(argument, Field) else argument
    values.grad = None
    module.zero_grad(set_to_none=True)
    out = module(argument)
    out = out.values if isinstance(out, Field) else out
    out.backward(out.detach())  # dense, unlike the gradient of a sum


def ways(batch: int, points: int, width: int) -> dict[str, Callable[[], None]]:
    """Return a step of the transformer layer and of a block with each kernel."""
    torch.manual_seed(0)
    arguments = field(batch, points, width)
    arguments.values.requires_grad_()
    blocks = {name: block(width, kernel) for name, kernel in KERNELS.items()}
    theirs = nn.TransformerEncoderLayer(
        width, HEADS[width], 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    steps: dict[str, Callable[[], None]] = {"transformer": partial(step, theirs, arguments.values)}
    for name, module in blocks.items():
        steps[name] = partial(step, module, arguments)
    return steps


@contextmanager
def busy() -> Iterator[None]:
    """Keep two cores busy by other processes."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_spin, daemon=True) for _ in range(2)]
    for process in processes:
        process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _spin() -> None:
    while True:
        pass


def in_process(environment: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """Return `on_two_threads` of a process that starts with other environment variables."""
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(on_two_threads).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def on_two_threads() -> dict[str, tuple[float, float]]:
    """Return the milliseconds of a step on two threads, on an idle machine and next to two busy processes."""
    torch.set_num_threads(2)
    steps, arguments = ways(*BUSY), field(*BUSY)
    tiled = block(BUSY[-1], {})
    tiled.operator.evaluator = TiledEvaluator()
    arguments.values.requires_grad_()
    steps["mlp by tiled"] = partial(step, tiled, arguments)
    idle = interleaved(steps, 5.0)
    with busy():
        loaded = interleaved(steps, 5.0)
    return {name: (1000 * median(idle[name]), 1000 * median(loaded[name])) for name in steps}


def main() -> None:
    """Measure, and write the page."""
    torch.set_num_threads(1)
    report = Report(
        "blocks",
        "A block of a trunk",
        "Time of one block, forward and backward, relative to that of `nn.TransformerEncoderLayer` of equal width and"
        " parameters; float32. The kernels have the sizes of the preset of that width. `additive` is the MLP kernel"
        " with the inputs query, key and displacement. Medians (and quartiles) of the ratios of interleaved rounds.",
    )
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        times = interleaved(ways(*size), 25.0)
        row: dict[str, Any] = {"batch × points × width": " × ".join(map(str, size))}
        row["transformer, ms"] = 1000 * median(times["transformer"])
        for name in KERNELS:
            row[name] = ratio = Ratio.of(times[name], times["transformer"])
            if name in GOALS:
                row[f"goal of {name}"] = goal(ratio.median, most=GOALS[name])
        rows.append(row)
    columns = {name: ".1f" if name.endswith("ms") else "" for name in rows[0]}
    report.table("cost", columns, rows)
    report.add_text(
        f"## On a busy machine\n\nMilliseconds of a step of {' × '.join(map(str, BUSY))} on two threads, on an idle"
        " machine and next to two busy processes. The columns `passive` are with `OMP_WAIT_POLICY=PASSIVE`, which the"
        " command `itnet` sets; the others are with OpenMP's defaults."
    )
    policies: dict[str, dict[str, str]] = {"": {}, ", passive": {"OMP_WAIT_POLICY": "PASSIVE"}}
    table: dict[str, dict[str, Any]] = {}
    for label, environment in policies.items():
        for name, (idle, loaded) in in_process(environment).items():
            table.setdefault(name, {"": name}).update({f"idle{label}": idle, f"busy{label}": loaded})
    report.table(
        "busy",
        {"": ""} | {f"{load}{label}": ".1f" for label in policies for load in ("idle", "busy")},
        list(table.values()),
    )
    report.write()


if __name__ == "__main__":
    in_environment(main)
