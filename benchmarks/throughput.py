"""Images a second at 224²: ITNet-S and timm's ViT-S on one NVIDIA GPU, in bf16.

Run `python benchmarks/throughput.py`; it writes docs/benchmarks/throughput.md and benchmarks/results/throughput.json.
Steps of training (forward, backward, AdamW) and forward passes run interleaved in one process, on random images that
are on the GPU already. A step also says how often it made the CPU wait for the GPU. After `--seconds`, no further
network is compiled, and the rounds end once there are three.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch
from gpu_timings import seconds, summary
from provenance import provenance
from torch import Tensor, nn

from itnet_registry import create_model

HERE = Path(__file__).parent
SIZE, CLASSES = 224, 1000
ROUNDS, FEWEST = 12, 3
HEADER = "| network | parameters | training, images/s | of ViT-S | forward, images/s | of ViT-S | MB | waits a step |"


@dataclass(frozen=True)
class Measured:
    """A network's rates, in images a second, the peak memory of a step in MB, and its waits for the GPU."""

    name: str
    parameters: int
    training: float
    forward: float
    megabytes: float
    waits: int


def itnet(evaluator: str, preset: str = "itnet-s", encoder: Any = None, **options: Any) -> nn.Module:
    """Return an ITNet over patches of 16 × 16, as ViT-S has them, or over another encoder."""
    encoder = encoder or {"name": "patch", "patch_size": 16, "channels": 3}
    head = {"name": "classify", "classes": CLASSES}
    model: nn.Module = create_model(preset=preset, encoder=encoder, head=head, evaluator=evaluator, **options)
    return model


STEM = {"name": "conv-stem", "strides": [2, 2], "norm": "batch", "channels": 3}
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ViT-S/16 (timm)": lambda: timm.create_model("vit_small_patch16_224", num_classes=CLASSES),
    "ITNet-S, dense": lambda: itnet("dense"),
    "ITNet-S, triton": lambda: itnet("triton"),
    "ITNet-S, attention kernel": lambda: itnet("auto", kernel={"name": "attention"}),
    "ITNet-pyramid-S, auto": lambda: itnet("auto", "itnet-pyramid-s", STEM),
}


class Step:
    """Training steps and forward passes of a network on one batch."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        self.module = module.to(images.device).train()
        self.images = images
        self.targets = torch.randint(CLASSES, (len(images),), device=images.device)
        self.optimizer = torch.optim.AdamW(self.module.parameters(), lr=1e-4, fused=True)

    def train(self) -> None:
        """Take a step."""
        self.optimizer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            loss = nn.functional.cross_entropy(self.module(self.images).float(), self.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    @torch.no_grad()
    def forward(self) -> None:
        """Run the network."""
        with torch.autocast("cuda", torch.bfloat16):
            self.module(self.images)


def waits(run: Callable[[], None]) -> int:
    """Return how often a run makes the CPU wait for the GPU."""
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run()
    torch.cuda.set_sync_debug_mode("default")
    found = [warning for warning in caught if "synchroniz" in str(warning.message)]
    for place in sorted({f"{warning.filename}:{warning.lineno}" for warning in found}):
        print(f"waits: {place}", file=sys.stderr)
    return len(found)


def measure(batch: int, limit: float) -> list[Measured]:
    """Return what was measured of each network; one that does not run is named and left out."""
    end = time.monotonic() + limit
    torch.manual_seed(0)
    images = torch.randn(batch, 3, SIZE, SIZE, device="cuda")
    steps: dict[str, Step] = {}
    memory, waited = {}, {}
    for name, build in NETWORKS.items():
        if time.monotonic() > end:
            print(f"{name}: left out, no time", file=sys.stderr)
            continue
        try:
            step = Step(build(), images)
            step.train()
            step.forward()
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            step.train()
            memory[name] = (torch.cuda.max_memory_allocated() - before) / 1e6
            waited[name] = waits(step.train)
            steps[name] = step
        except Exception as error:  # the others are measured all the same
            print(f"{name}: {summary(error)}", file=sys.stderr)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in steps}
    for done in range(ROUNDS):
        if done >= FEWEST and time.monotonic() > end:
            break
        for name, step in steps.items():
            times[name][0].append(seconds(step.train, "cuda"))
            times[name][1].append(seconds(step.forward, "cuda"))
    return [
        Measured(
            name,
            sum(p.numel() for p in step.module.parameters()),
            batch / median(times[name][0]),
            batch / median(times[name][1]),
            memory[name],
            waited[name],
        )
        for name, step in steps.items()
    ]


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=128, help="images of a step (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="time to measure in (default: %(default)s)")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("Nothing was measured: this benchmark needs an NVIDIA GPU.")
    name = torch.cuda.get_device_name()
    rows = measure(given.batch, given.seconds)
    vit = rows[0]
    lines = [
        "# Images a second on a GPU",
        "",
        f"`python benchmarks/throughput.py` on {name}; {provenance()}. Batches of {given.batch} random images of"
        f" {SIZE} × {SIZE} pixels, bf16 by autocast, not compiled. Medians of up to {ROUNDS} interleaved rounds.",
        "",
        HEADER,
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row.name} | {row.parameters / 1e6:.1f}M | {row.training:.0f} | {row.training / vit.training:.2f}"
            f" | {row.forward:.0f} | {row.forward / vit.forward:.2f} | {row.megabytes:.0f} | {row.waits} |"
            for row in rows
        ),
    ]
    (HERE.parent / "docs/benchmarks/throughput.md").write_text("\n".join(lines) + "\n")
    data = {"device": name, "batch": given.batch, "rows": [asdict(row) for row in rows]}
    (HERE / "results/throughput.json").write_text(json.dumps(data, indent=1) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
