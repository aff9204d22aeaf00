"""ITNet's plugin for operators between function spaces; `itnet_operators.plugin` declares its components."""

__version__ = "0.1.0"
