"""Texts for ITNet: encoders over tokens and over pretrained models, GLUE, and tables of texts."""
