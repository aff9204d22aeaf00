"""Trains a network on tones; starts the processes of further devices itself: `python SCRIPT FOLDER FIELDS`."""

from __future__ import annotations

import json
import sys

import torch
from torch import nn

from itnet_registry import create
from itnet_train import train_module


class Network(nn.Module):
    """A network with a list of layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(12, 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.last = nn.Linear(16, 3)

    def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Predict the classes of signals."""
        hidden = self.first(inputs["samples"])
        for layer in self.layers:
            hidden = hidden + layer(hidden).relu()
        out: torch.Tensor = self.last(hidden)
        return out


if __name__ == "__main__":
    folder, fields = sys.argv[1:]
    network = Network()
    config = {"epochs": 2, "learning_rate": 1e-2, "accelerator": "cpu", **json.loads(fields)}
    metrics = train_module(create("task", "tones"), network, f"{folder}/run", config)
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    torch.save({"weights": network.state_dict(), "test": metrics["test"]}, f"{folder}/{rank}.pt")
