"""ITNet's plugin for pictures; its components are declared in `itnet_image.plugin`."""

__version__ = "0.1.0"
