"""Kernels of the core. All others are plugins."""
