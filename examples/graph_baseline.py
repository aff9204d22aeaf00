"""Train a network of PyTorch Geometric on the task of a configuration: python examples/graph_baseline.py CONFIG.

The features of the nodes, the splits, the order of the samples, depth, dropout and the optimizer are those of `itnet
train CONFIG`. The number of parameters is about that of `graph-nano`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GIN

from itnet_graph.encoders.graph import GraphEncoder
from itnet_graph.graphs import Graphs
from itnet_registry import create
from itnet_train import train_module
from itnet_train.commands.sections import read_sections

WIDTHS = {"GIN": (GIN, 156), "GCN": (GCN, 216), "GAT": (GAT, 216)}
"""Networks, and the width that gives four layers about 0.2M parameters."""


class Baseline(nn.Module):
    """Layers of a network between the encoder of graphs and a head of an ITNet."""

    def __init__(self, name: str, depth: int, dropout: float, head: Mapping[str, Any], options: dict[str, Any]) -> None:
        super().__init__()
        network, width = WIDTHS[name]
        layers = {"name": network.__name__, "hidden_channels": width, "num_layers": depth, "norm": "batch_norm"}
        self.encoder = GraphEncoder(width, network={**layers, "dropout": dropout}, **options)
        self.head = create("head", dim=width, **head)

    def forward(self, inputs: Graphs) -> Tensor:
        """Return logits or numbers, (B, outputs), or (B, N, outputs) for a task on nodes."""
        out: Tensor = self.head(self.encoder(inputs))
        return out


def main() -> None:
    """Train, and print what `metrics.json` holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", help="changes of the configuration, task.homophily=0.8")
    parser.add_argument("--network", choices=WIDTHS, default="GIN")
    parser.add_argument("--walk", type=int, default=8, help="steps of the random walk of the encoder")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    config = read_sections(arguments.config, arguments.overrides)
    model = config["model"]
    task = create("task", **model["task"])
    torch.manual_seed(arguments.seed)
    options = {"features": 1, **task.encoder_options, "walk": arguments.walk}
    depth, dropout = model.get("depth", 4), model.get("dropout", 0.0)
    module = Baseline(arguments.network, depth, dropout, task.head, options)
    output = Path("runs", f"{arguments.config.stem}-{arguments.network}-{arguments.walk}-{arguments.seed}")
    print(f"{output}: {sum(parameter.numel() for parameter in module.parameters()):,} parameters", flush=True)
    metrics = train_module(task, module, output, {**config["train"], "seed": arguments.seed}, overwrite=True)
    print(json.dumps(metrics["test"]))


if __name__ == "__main__":
    main()
