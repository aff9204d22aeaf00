"""Kernels made of other kernels: sums, products, and kernels times a learned gate."""
