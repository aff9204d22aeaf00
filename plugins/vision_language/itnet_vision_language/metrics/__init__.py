"""Metrics of images with texts."""
