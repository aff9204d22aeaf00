"""Declarations of plugins, and configurations of components. Imports no torch."""
