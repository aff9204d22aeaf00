"""Kernels whose support are the edges of a graph."""
