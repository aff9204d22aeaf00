"""Short training runs from both starts of the MLP kernel: as it is built, and after `initialize_scales`.

Run `python benchmarks/initial_training.py data/fashion-mnist` (about 40 minutes on a core; `python
examples/fetch_data.py fashion-mnist` fetches the data); it rewrites the table in docs/initialisation.md. Both starts of
a seed have the same weights before `initialize_scales`, and the same order of samples.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from provenance import provenance, rewrite_section
from torch.utils.data import DataLoader, Subset

from itnet_core import initialize_scales
from itnet_registry import create, create_model

PAGE = Path(__file__).parent.parent / "docs/initialisation.md"
START, END = "<!-- training -->", "<!-- end of training -->"
SEEDS, BATCH, HELD_OUT = 6, 64, 1000
WINDOW = {"name": "mlp", "support": {"window": 0.3}}  # 5 × 5 of 14 × 14 points


def train(task_options: dict[str, Any], images: int, epochs: int, peak: float, seed: int, **model: Any) -> list[float]:
    """Train itnet-nano from both starts; return losses of the last tenth of the steps, and accuracies on held-out data.

    Returns:
        Loss as built, loss after `initialize_scales`, accuracy as built, accuracy after `initialize_scales`.
    """
    losses, accuracies = [], []
    for fitted in (False, True):
        torch.manual_seed(seed)
        random.seed(seed)
        task = create("task", **task_options)
        trained = create_model("itnet-nano", task=task_options, **model)
        samples, held_out = task.dataset("train"), task.dataset("validation")
        order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:images].tolist()
        if fitted:
            initialize_scales(trained, (task.collate([samples[index] for index in order[:BATCH]]).inputs,))
        torch.manual_seed(seed)
        batches = DataLoader(Subset(samples, order), BATCH, True, drop_last=True, collate_fn=task.collate)
        steps = epochs * len(batches)
        optimizer = torch.optim.AdamW(trained.parameters(), lr=peak, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, steps, pct_start=0.2)
        curve = []
        for _ in range(epochs):
            for batch in batches:
                optimizer.zero_grad()
                loss = task.loss(trained(batch.inputs), batch.targets)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                curve.append(loss.item())
        losses.append(mean(curve[-(steps // 10) :]))
        trained.eval()
        count = min(HELD_OUT, len(held_out))
        few = DataLoader(Subset(held_out, range(count)), 500, collate_fn=task.collate)
        with torch.no_grad():
            right = sum(int((trained(batch.inputs).argmax(1) == batch.targets).sum()) for batch in few)
        accuracies.append(right / count)
    return losses + accuracies


def difference(numbers: list[list[float]], first: int) -> str:
    """Return the mean difference between the starts and its standard error."""
    differences = [row[first + 1] - row[first] for row in numbers]
    return f"{mean(differences):+.3f} ± {stdev(differences) / len(differences) ** 0.5:.3f}"


def main() -> None:
    """Train on digits at 16 points, and on Fashion-MNIST at 49 and 196 points; write the table."""
    digits, fashion = {"name": "digits"}, {"name": "fashion-mnist", "root": sys.argv[1]}
    patches = {"name": "patch", "patch_size": 2}
    coarse, fine = {"name": "conv-stem", "strides": [2, 2]}, {"name": "conv-stem", "strides": [2, 1]}
    runs: dict[str, tuple[dict[str, Any], int, int, float, dict[str, Any]]] = {
        "digits, 16 points, 132 steps": (digits, 10**6, 6, 2e-3, {"encoder": patches}),
        "Fashion-MNIST, 49 points, 100 steps": (fashion, 6400, 1, 4e-3, {"encoder": coarse}),
        "Fashion-MNIST, 196 points, 50 steps": (fashion, 3200, 1, 4e-3, {"encoder": fine}),
        "the same in a window of 5 × 5": (fashion, 3200, 1, 4e-3, {"encoder": fine, "kernel": WINDOW}),
    }
    lines = [
        f"{provenance()}; itnet-nano, AdamW, one cycle, {SEEDS} seeds.",
        "",
        "| data | loss, as built | loss, fitted | difference | accuracy, as built | accuracy, fitted | difference |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, (task, images, epochs, peak, model) in runs.items():
        numbers = []
        for seed in range(SEEDS):
            numbers.append(train(task, images, epochs, peak, seed, **model))
            print(name, seed, *(f"{number:.3f}" for number in numbers[-1]), flush=True)
        loss, fitted_loss, accuracy, fitted_accuracy = (f"{mean(column):.3f}" for column in zip(*numbers, strict=True))
        row = [name, loss, fitted_loss, difference(numbers, 0), accuracy, fitted_accuracy, difference(numbers, 2)]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    rewrite_section(PAGE, START, END, lines)


if __name__ == "__main__":
    main()
