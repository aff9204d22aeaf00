"""Checkpoints: a directory of `model.safetensors` and `itnet.json`."""
