"""Algorithms that several kernels share: scans, sums over the past, Newton's method."""
