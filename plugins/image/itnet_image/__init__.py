"""ITNet's plugin for images; its components are declared in `itnet_image.plugin`."""

__version__ = "0.1.0"
