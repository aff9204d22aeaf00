"""Encoders of images with texts."""
