"""Flow through porous ground (Darcy): an ITNet against a Fourier neural operator of equal parameters.

Run `python examples/fetch_data.py darcy`, then `python benchmarks/darcy.py` (8 minutes); it writes
docs/benchmarks/darcy.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

import torch
from measuring import Ratio, Report, goal, in_environment, interleaved
from torch import Tensor, nn

from itnet_core import Field
from itnet_registry import create_model

DATA = Path(__file__).parents[1] / "data/darcy"
SEEDS, EPOCHS, BATCH = 3, 16, 20
TRAINING, VALIDATION = slice(950), slice(950, None)
RATES = (0.004, 0.008, 0.016)
"""Peak learning rates; each model gets the best of them by the validation error of the first seed."""

NEAR: Mapping[str, Any] = {
    "kernel": {
        "heads": 9,
        "frequencies": 4,
        "inputs": ["displacement", "distance", "fourier"],
        "values": "full",
        "support": {"window": 0.3125, "edge": 0.125},
    },
    "ffn_ratio": 0,
    "norm": "batch",
    "norm_first": False,
}
"""A block of a window of 5 × 5 points at 16 × 16; its edge is smooth, so that it is the same at other resolutions."""
ITNET: Mapping[str, Any] = {
    "encoder": {"name": "field", "channels": 1},
    "head": {"name": "per-point", "outputs": 1},
    "width": 32,
    "kernel": {
        "name": "mlp",
        "heads": 4,
        "hidden": 8,
        "rank": 8,
        "inputs": ["query", "key", "product", "displacement", "distance"],
    },
    "trunk": [
        NEAR,
        {"width": 80, "query": {"grid": 8}},
        {"width": 80},
        {"query": {"block": 0}},
        NEAR,
    ],
}


class Fourier(nn.Module):
    """neuraloperator's FNO on a field of one channel."""

    def __init__(self) -> None:
        super().__init__()
        from neuralop.models import FNO

        self.fno = FNO(n_modes=(8, 8), in_channels=1, out_channels=1, hidden_channels=24, n_layers=4)

    def forward(self, field: Field) -> Tensor:
        """Return the prediction at every point, (B, N, 1)."""
        assert field.grid is not None
        image = torch.unflatten(field.values.transpose(1, 2), -1, field.grid)
        out: Tensor = self.fno(image)
        return out.flatten(2).transpose(1, 2)


def itnet() -> nn.Module:
    """Return the ITNet."""
    model: nn.Module = create_model(**ITNET)
    return model


def numbers(model: nn.Module) -> int:
    """Return the number of real parameters; a complex one counts as two."""
    return sum(p.numel() * (1 + p.is_complex()) for p in model.parameters())


MODELS: Mapping[str, Callable[[], nn.Module]] = {"FNO": Fourier, "ITNet": itnet}


def load(name: str) -> tuple[Field, Tensor]:
    """Return permeability and pressure of a file."""
    data = torch.load(DATA / f"darcy_{name}.pt", weights_only=True)
    return Field.on_grid(2 * data["x"].float().unsqueeze(-1) - 1, axes="yx"), data["y"].flatten(1).unsqueeze(-1)


def batch(field: Field, chosen: Tensor | slice) -> Field:
    """Return some samples of a field on a grid."""
    assert field.grid is not None
    return Field.on_grid(torch.unflatten(field.values[chosen], 1, field.grid), axes="yx")


def error(prediction: Tensor, target: Tensor) -> Tensor:
    """Return the mean over samples of the relative L2 error."""
    return ((prediction - target).norm(dim=1) / target.norm(dim=1)).mean()


def step(model: nn.Module, optimizer: torch.optim.Optimizer, field: Field, target: Tensor) -> None:
    """Train one step."""
    optimizer.zero_grad()
    torch.autograd.backward(error(model(field), target))
    optimizer.step()


def train(build: Callable[[], nn.Module], seed: int, rate: float) -> nn.Module:
    """Train a model on the first samples of the training file."""
    torch.manual_seed(seed)
    model, (field, target) = build(), load("train_16")
    scale = target[TRAINING].std()
    steps = EPOCHS * (TRAINING.stop // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(TRAINING.stop)[: TRAINING.stop // BATCH * BATCH].view(-1, BATCH):
            step(model, optimizer, batch(field, chosen), target[chosen] / scale)
            schedule.step()
    model.register_buffer("scale", scale)
    return model.eval()


@torch.no_grad()
def tested(model: nn.Module, name: str, chosen: slice) -> float:
    """Return a trained model's error."""
    field, target = load(name)
    return float(error(model(batch(field, chosen)) * model.scale, target[chosen]))


def main() -> None:
    """Train and time both, and write the page."""
    report = Report(
        "darcy",
        "Darcy flow",
        f"Relative L2 error of the pressure, mean (and deviation) of {SEEDS} seeds, after {EPOCHS} epochs of 950"
        f" samples in batches of {BATCH}, AdamW with one cycle. Of the learning rates {', '.join(map(str, RATES))},"
        " each model uses the one with the lowest validation error. Training uses 16 × 16 points only; the test at 32 ×"
        " 32 points uses the same weights. The cost is the time of a training step relative to the FNO's, in"
        " interleaved rounds.",
    )
    arguments = load("train_16")
    sample, target = batch(arguments[0], slice(BATCH)), arguments[1][:BATCH]
    built = {name: build() for name, build in MODELS.items()}
    steps = {
        name: partial(step, model, torch.optim.AdamW(model.parameters()), sample, target)
        for name, model in built.items()
    }
    times = interleaved(steps, 30.0)
    rows: list[dict[str, Any]] = []
    for name, build in MODELS.items():
        first = {rate: train(build, 0, rate) for rate in RATES}
        rate = min(RATES, key=lambda r: tested(first[r], "train_16", VALIDATION))
        models = [first[rate], *(train(build, seed, rate) for seed in range(1, SEEDS))]
        ratio = Ratio.of(times[name], times["FNO"])
        row = {"": name, "parameters": numbers(built[name]), "learning rate": rate}
        for points in (16, 32):
            errors = [tested(model, f"test_{points}", slice(None)) for model in models]
            row[f"{points} × {points}"] = f"{mean(errors):.4f} ({stdev(errors):.4f})"
        row |= {"step, ms": 1000 * median(times[name]), "cost": ratio}
        row["goal"] = goal(ratio.median, most=2.0) if name != "FNO" else ""
        rows.append(row)
    columns = dict.fromkeys(rows[0], "") | {"parameters": ",", "step, ms": ".1f"}
    report.table("darcy", columns, rows)
    report.write()


if __name__ == "__main__":
    in_environment(main)
