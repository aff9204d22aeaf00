"""ITNet's plugin for images with texts; its components are declared in `itnet_vision_language.plugin`."""

__version__ = "0.1.0"
