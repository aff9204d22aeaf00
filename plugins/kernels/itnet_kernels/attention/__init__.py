"""Attention, linear attention and retention."""
