"""ITNet's plugin for texts: encoders of tokens and of pretrained models, GLUE, tables of texts, and language models."""

__version__ = "0.1.0"
