"""State-space kernels: S4, S4D, Mamba and Mamba-2."""
