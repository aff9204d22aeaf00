"""Kernels made of other kernels: sums, products, and kernels behind a learned gate."""
