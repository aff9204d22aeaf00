"""The MLP kernel's sums on CPUs, fused and exact, in C++."""
