"""ITNet's plugin for images with texts; `itnet_vision_language.plugin` declares its components."""

__version__ = "0.1.0"
