"""The paper's kernel summed on NVIDIA GPUs by Triton, forward and backward; declared in `itnet_triton.plugin`."""

__version__ = "0.1.0"
