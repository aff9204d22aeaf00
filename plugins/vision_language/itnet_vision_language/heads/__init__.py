"""Heads of images with texts."""
