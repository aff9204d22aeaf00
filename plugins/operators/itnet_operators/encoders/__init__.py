"""Encoders of fields."""
