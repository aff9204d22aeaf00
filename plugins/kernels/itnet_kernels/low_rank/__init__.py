"""Kernels of low rank, and factorisation of trained kernels."""
