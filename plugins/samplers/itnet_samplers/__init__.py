"""Samplers of ITNet's operator: which points the integral is summed over; declared in `itnet_samplers.plugin`."""

__version__ = "0.1.0"
