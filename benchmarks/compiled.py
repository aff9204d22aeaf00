"""Compiled models compared with eager ones: the CPU time of a forward pass and of a training step, on one thread.

Run `python benchmarks/compiled.py` (15 minutes, most of them the compiler's); it writes its page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from measuring import Ratio, Report, goal, in_environment

from itnet_core import Encoder, ITNetModel
from itnet_registry import Registry, create_model

ENCODERS: dict[str, dict[str, Any]] = {
    "image": {"name": "patch", "patch_size": 4},
    "text": {"name": "token"},
    "audio": {"name": "mel"},
    "point cloud": {"name": "point"},
}
KERNELS = [part.id.partition("/")[2] for part in Registry().components() if part.kind == "kernel"]
OPTIONS: dict[str, dict[str, Any]] = {
    "product": {"kernels": ["mlp", "mlp"]},
    "scaled": {"kernel": "mlp"},
    "sum": {"kernels": ["attention", "mlp"]},
}
SECONDS = 2.0
MOST = 1.05


def batch_of(encoder: Encoder, modality: str) -> Any:
    """Return a batch of 16 samples."""
    if modality == "image":
        return torch.randn(16, 3, 32, 32)
    if modality == "text":
        return encoder.tensors(["a fine film with a poor end, and a poor film with a fine one " * 2] * 16)
    batch = encoder.tensors(encoder.example())
    return type(batch)(*(torch.cat([part[:1]] * 16) for part in batch))


def train_step(function: Callable[[Any], torch.Tensor], model: ITNetModel, batch: Any) -> None:
    """Compute the gradients of a loss."""
    model.zero_grad()
    torch.autograd.backward(function(batch).square().mean())


def forward(function: Callable[[Any], torch.Tensor], model: ITNetModel, batch: Any) -> None:
    """Compute a prediction, without gradients."""
    with torch.no_grad():
        function(batch)


def cpu_times(ways: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Return each way's CPU times, in seconds, in rounds that alternate their order."""
    for run in [*ways.values()] * 2:
        run()
    times: dict[str, list[float]] = {name: [] for name in ways}
    start, rounds = time.process_time(), 0
    while rounds < 5 or time.process_time() < start + SECONDS:
        for name in list(ways) if rounds % 2 else reversed(ways):
            before = time.process_time()
            ways[name]()
            times[name].append(time.process_time() - before)
        rounds += 1
    return times


DIRECTIONS: dict[str, Callable[..., None]] = {"forward": forward, "training step": train_step}


def measure(modality: str, kernel: str, preset: str = "itnet-nano") -> dict[str, Any]:
    """Compile a model of a preset, and return a row of ratios."""
    torch.manual_seed(0)
    torch.compiler.reset()
    options = {} if kernel == "mlp" else {"name": kernel, **OPTIONS.get(kernel, {})}
    head = {"name": "classify", "classes": 10}
    model = create_model(preset, encoder=ENCODERS[modality], kernel=options, head=head)
    [encoder] = model.encoders.values()
    assert isinstance(encoder, Encoder)
    batch, compiled = batch_of(encoder, modality), torch.compile(model, fullgraph=True)
    points = encoder(batch).values.shape[1]
    row: dict[str, Any] = {"preset": preset, "modality": modality, "points": points, "kernel": kernel}
    for direction, run in DIRECTIONS.items():
        times = cpu_times(
            {"eager": partial(run, model, model, batch), "compiled": partial(run, compiled, model, batch)}
        )
        row[direction] = Ratio.of(times["compiled"], times["eager"])
        row[f"{direction}, eager, ms"] = 1e3 * median(times["eager"])
    row["goal"] = goal(max(row[direction].median for direction in DIRECTIONS), most=MOST)
    print(row, flush=True)
    return row


def main() -> None:
    """Measure all models, and write the page."""
    torch.set_num_threads(1)
    report = Report(
        "compiled",
        "Compiled models",
        "CPU time of `torch.compile(model, fullgraph=True)`, relative to that of the same model in eager mode, with the"
        " evaluator `auto`. Each model is a small preset; kernels other than `mlp` have their default options. 16"
        " samples, one thread, interleaved, after compilation; medians and quartiles.",
    )
    cases = [
        *((modality, "mlp") for modality in ENCODERS),
        ("image", "mlp", "itnet-pyramid-nano"),
        *(("image", kernel) for kernel in KERNELS),
    ]
    torch._dynamo.config.allow_rnn = True
    columns = dict.fromkeys(("preset", "modality", "points", "kernel", *DIRECTIONS, "goal"), "")
    report.table("models", columns, [measure(*case) for case in dict.fromkeys(cases)])
    report.write()


if __name__ == "__main__":
    in_environment(main)
