"""The MLP kernel's local initialisation compared with PyTorch's default, and activations: digits, one seed a row.

Run `python benchmarks/initialisation.py` (about 4 minutes on 2 cores); it rewrites the table in docs/initialisation.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from provenance import provenance
from torch import nn
from torch.utils.data import DataLoader

from itnet_core import MLPKernel
from itnet_registry import create, create_model

PAGE = Path(__file__).parent.parent / "docs/initialisation.md"
EPOCHS, MARKS = 12, (1, 3, 6, 12)
START = "<!-- table -->"


def train(*, local: bool, seed: int = 0, **kernel: Any) -> list[float]:
    """Return the accuracy on the test split after each epoch."""
    torch.manual_seed(seed)
    task = create("task", "digits")
    model = create_model(
        "itnet-nano", encoder={"name": "patch", "patch_size": 2}, task="digits", kernel={"name": "mlp", **kernel}
    )
    if not local:
        for module in model.modules():
            if isinstance(module, MLPKernel):
                for layer in (module.first, module.second):
                    if isinstance(layer, nn.Linear):
                        layer.reset_parameters()
    training = DataLoader(task.dataset("train"), 64, shuffle=True, collate_fn=task.collate)
    test = DataLoader(task.dataset("test"), 512, collate_fn=task.collate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, EPOCHS * len(training))
    accuracies = []
    for _ in range(EPOCHS):
        for batch in training:
            optimizer.zero_grad()
            task.loss(model(batch.inputs), batch.targets).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            right = sum((model(batch.inputs).argmax(1) == batch.targets).sum().item() for batch in test)
        accuracies.append(right / len(task.dataset("test")))
    return accuracies


def main() -> None:
    """Train, print and write the table."""
    runs: list[tuple[str, dict[str, Any]]] = [
        ("PyTorch's default, ReLU", {"local": False}),
        ("local, ReLU (the default)", {"local": True}),
        ("local, SiLU", {"local": True, "activation": "silu"}),
        ("local, GELU", {"local": True, "activation": "gelu"}),
        ("local, ReLU, softmax", {"local": True, "normalization": "softmax"}),
    ]
    lines = [
        START,
        f"{provenance()}; itnet-nano, patches"
        " of 2, AdamW 2e-3 one-cycle; test accuracy after epochs. One seed per row: differences under"
        " 0.01 are not significant.",
        "",
        f"| start | {' | '.join(map(str, MARKS))} |",
        f"|---|{'---|' * len(MARKS)}",
    ]
    for name, options in runs:
        accuracies = train(**options)
        lines.append(f"| {name} | {' | '.join(f'{accuracies[mark - 1]:.3f}' for mark in MARKS)} |")
        print(lines[-1], flush=True)
    PAGE.write_text(PAGE.read_text().partition(START)[0] + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
