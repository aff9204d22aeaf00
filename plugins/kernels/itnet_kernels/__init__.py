"""Special cases of ITNet's operator as kernels, each with its fast algorithm; declared in `itnet_kernels.plugin`."""

__version__ = "0.1.0"
