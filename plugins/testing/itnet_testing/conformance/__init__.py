"""Test classes with the checks of each kind of component."""
