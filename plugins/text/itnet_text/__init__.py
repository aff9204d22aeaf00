"""Texts for ITNet: encoders over tokens and over pretrained models, GLUE, and tables of texts."""

__version__ = "0.1.0"
