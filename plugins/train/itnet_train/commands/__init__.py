"""The commands `itnet train`, `evaluate`, `predict` and `export`, and the functions that they call."""
