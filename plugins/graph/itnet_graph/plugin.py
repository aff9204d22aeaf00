"""Components and presets of `itnet-graph`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, hookimpl

graph = partial(ComponentSpec, modality="graph")
kernel = partial(ComponentSpec, "kernel")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder and the kernels."""
    kernels = "itnet_graph.kernels"
    return [
        graph("encoder", "graph", "itnet_graph.encoders.graph:GraphEncoder", "nodes as points, with their edges"),
        kernel("gat", f"{kernels}.gat:GATKernel", "graph attention over edges: GAT, GATv2"),
        kernel("gcn", f"{kernels}.neighbour_sums:GCNKernel", "graph convolution over edges: GCN"),
        kernel("gin", f"{kernels}.neighbour_sums:GINKernel", "sums over neighbours: GIN, GraphSAGE"),
        kernel(
            "message-passing",
            f"{kernels}.message_passing:MessagePassingKernel",
            "any kernel of both ends of an edge, over edges",
        ),
    ]
