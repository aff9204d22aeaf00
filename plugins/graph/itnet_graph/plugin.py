"""Components and presets of `itnet-graph`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, PresetSpec, hookimpl

graph = partial(ComponentSpec, modality="graph")
kernel = partial(ComponentSpec, "kernel")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder, the kernels and the tasks."""
    kernels, tasks = "itnet_graph.kernels", "itnet_graph.tasks"
    return [
        graph(
            "encoder",
            "graph",
            "itnet_graph.encoders.graph:GraphEncoder",
            "nodes as points, with their edges",
            citations=("dwivedi2021lspe", "dwivedi2020benchmarking"),
        ),
        kernel(
            "gat",
            f"{kernels}.gat:GATKernel",
            "graph attention over edges: GAT, GATv2",
            citations=("velickovic2017gat", "brody2021gatv2"),
        ),
        kernel(
            "gcn",
            f"{kernels}.neighbour_sums:GCNKernel",
            "graph convolution over edges: GCN",
            citations=("kipf2016gcn",),
        ),
        kernel(
            "gin",
            f"{kernels}.neighbour_sums:GINKernel",
            "sums over neighbours: GIN, GraphSAGE",
            citations=("xu2018gin", "hamilton2017graphsage"),
        ),
        kernel(
            "message-passing",
            f"{kernels}.message_passing:MessagePassingKernel",
            "any kernel of both ends of an edge, over edges",
            citations=("gilmer2017messagepassing", "li2020gno"),
        ),
        graph(
            "task",
            "graph-blocks",
            f"{tasks}.blocks:GraphBlocks",
            "the block of each node, generated",
            citations=("deshpande2018csbm",),
        ),
        graph("task", "graph-file", f"{tasks}.graph_file:GraphFile", "your graphs, one class each"),
        graph("task", "graph-file-regression", f"{tasks}.graph_file:GraphFileRegression", "your graphs, a number each"),
        graph("task", "graph-nodes", f"{tasks}.graph_nodes:GraphNodes", "your graphs, a class for each node"),
        graph(
            "task",
            "graph-motifs",
            f"{tasks}.motifs:GraphMotifs",
            "which motif a random tree contains, generated",
            citations=("ying2019gnnexplainer",),
        ),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare models that lack only a task."""
    mlp = {"name": "itnet-core/mlp", "hidden": 16, "rank": 8, "inputs": ["query", "key", "product"]}
    nano = {
        "preset": "itnet-core/itnet-nano",
        "encoder": {"name": "itnet-graph/graph", "walk": 8},
        "kernel": {"name": "itnet-graph/message-passing", "kernel": mlp},
        "position": "none",
    }
    return [PresetSpec("graph-nano", "message passing by the paper's kernel, on a CPU", nano)]
