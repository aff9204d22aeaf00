"""ITNet's plugin for images; `itnet_image.plugin` declares its components."""

__version__ = "0.1.0"
