"""ITNet's plugin for graphs; `itnet_graph.plugin` declares its components."""

__version__ = "0.1.0"
