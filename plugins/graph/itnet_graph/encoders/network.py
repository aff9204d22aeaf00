"""Modules of PyTorch Geometric, by name."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import Tensor, nn

from itnet_core import ComponentRef, ConfigError, ShapeError


class Network(nn.Module):
    """A layer or a model of `torch_geometric.nn` on the nodes of all graphs of a batch.

    Example:
        >>> network = Network(ComponentRef(name="GAT", hidden_channels=8, num_layers=2), 4)
        >>> network(torch.randn(3, 4), torch.tensor([[0, 1], [1, 2]]), torch.ones(2)).shape
        torch.Size([3, 4])

    Args:
        reference: name of a class that derives from `MessagePassing`, as layers do, or from `BasicGNN`, and its
            options. `in_channels` is `dim`, and so is `out_channels` unless it is an option.
        dim: channels of the nodes.

    Raises:
        ConfigError: there is no such class, or it refuses the options.
    """

    def __init__(self, reference: ComponentRef, dim: int) -> None:
        super().__init__()
        import torch_geometric.nn  # seconds of imports, which other graph encoders do not need
        from torch_geometric.nn.models.basic_gnn import BasicGNN

        found = getattr(torch_geometric.nn, reference.name, None)
        bases = (torch_geometric.nn.MessagePassing, BasicGNN)
        if not (isinstance(found, type) and issubclass(found, bases)):
            expected = "a layer or a model of torch_geometric.nn, such as 'GATConv' or 'GIN'"
            raise ConfigError("GraphEncoder.network.name", found=repr(reference.name), expected=expected)
        try:
            self.module: Any = found(in_channels=dim, **{"out_channels": dim, **reference.options})
        except (TypeError, ValueError, AssertionError) as error:
            expected = f"options of torch_geometric.nn.{reference.name}"
            raise ConfigError("GraphEncoder.network", found=str(error), expected=expected) from error
        weighted = getattr(
            self.module, "supports_edge_weight", "edge_weight" in signature(self.module.forward).parameters
        )
        self.name, self.dim, self.weighted = reference.name, dim, weighted

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        """Apply the module to nodes (n, dim), with edges (2, E) and their weights (E,), if it takes weights.

        Raises:
            ShapeError: the module returns another number of channels.
        """
        out: Tensor = self.module(x, edge_index, **({"edge_weight": edge_weight} if self.weighted else {}))
        if out.shape != x.shape:
            found, expected = f"{tuple(out.shape)} of {self.name}", f"{tuple(x.shape)}"
            raise ShapeError(
                "GraphEncoder.network", found=found, expected=expected, hint="Set its output to the width."
            )
        return out
