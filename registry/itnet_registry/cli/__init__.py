"""The command `itnet`."""
