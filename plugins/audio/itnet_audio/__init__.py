"""ITNet's plugin for audio; `itnet_audio.plugin` declares its components."""

__version__ = "0.1.0"
