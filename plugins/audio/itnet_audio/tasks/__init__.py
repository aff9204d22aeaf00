"""Tasks of audio classification."""
