"""ITNet's plugin for texts: encoders of tokens and of pretrained models, GLUE, and tables of texts."""

__version__ = "0.1.0"
