"""Short training runs from both starts of the MLP kernel: as it is built, and after `initialize_scales`.

Run `python benchmarks/initial_training.py data/fashion-mnist` (5 minutes on a core; `python examples/fetch_data.py
fashion-mnist` fetches the data); docs/initialisation.md has its results.
"""

from __future__ import annotations

import math
import random
import sys
from typing import Any

import torch
from torch.utils.data import DataLoader, Subset

from itnet_core import initialize_scales
from itnet_registry import create, create_model


def train(name: str, options: dict[str, Any], encoder: dict[str, Any], images: int, epochs: int, peak: float) -> None:
    """Train itnet-nano from both starts, and print the loss of the last tenth of the steps and the accuracy."""
    for fitted in (False, True):
        for seed in (0, 1):
            torch.manual_seed(seed)
            random.seed(seed)
            task = create("task", name, **options)
            model = create_model("itnet-nano", encoder=encoder, task={"name": name, **options})
            samples, held_out = task.dataset("train"), task.dataset("validation")
            order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0))[:images]
            if fitted:
                initialize_scales(model, (task.collate([samples[int(index)] for index in order[:64]]).inputs,))
            batches = DataLoader(Subset(samples, order.tolist()), 64, True, drop_last=True, collate_fn=task.collate)
            steps, losses = epochs * len(batches), []
            optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.05)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, steps, pct_start=0.2)
            for _ in range(epochs):
                for batch in batches:
                    optimizer.zero_grad()
                    loss = task.loss(model(batch.inputs), batch.targets)
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    schedule.step()
                    losses.append(loss.item())
            last = losses[-math.ceil(steps / 10) :]
            print(f"{name} {encoder} fitted={fitted} seed={seed}: loss {sum(last) / len(last):.3f}", end=", ")
            model.eval()
            few = DataLoader(Subset(held_out, range(min(1000, len(held_out)))), 500, collate_fn=task.collate)
            with torch.no_grad():
                right = sum(int((model(batch.inputs).argmax(1) == batch.targets).sum()) for batch in few)
            print(f"accuracy {right / min(1000, len(held_out)):.3f}", flush=True)


def main() -> None:
    """Train on digits at 16 points, and on Fashion-MNIST at 49 and 196 points."""
    train("digits", {}, {"name": "patch", "patch_size": 2}, 10**6, 6, 2e-3)
    fashion = {"root": sys.argv[1]}
    train("fashion-mnist", fashion, {"name": "conv-stem", "strides": [2, 2]}, 6400, 1, 4e-3)
    train("fashion-mnist", fashion, {"name": "conv-stem", "strides": [2, 1]}, 3200, 1, 4e-3)


if __name__ == "__main__":
    main()
