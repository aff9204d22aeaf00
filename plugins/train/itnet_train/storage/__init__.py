"""The directory of a run: layout, lock, and file formats."""
