"""ITNet's plugin for sound; its components are declared in `itnet_audio.plugin`."""

__version__ = "0.1.0"
