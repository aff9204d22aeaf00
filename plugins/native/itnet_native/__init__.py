"""The MLP kernel's sums on CPUs, fused and exact, in C++."""

__version__ = "0.1.0"
