"""Kernels of the displacement x − y: convolutions and the Gaussian."""
