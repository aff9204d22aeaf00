"""ITNet's plugin for time series; `itnet_series.plugin` declares its components."""

__version__ = "0.1.0"
