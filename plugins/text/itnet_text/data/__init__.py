"""Read rows of text from files."""
