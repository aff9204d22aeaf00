"""Kernels of periodic domains."""
