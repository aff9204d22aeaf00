"""Samplers of ITNet's operator: the nodes of the quadrature."""

__version__ = "0.1.0"
