"""Names of the files of a checkpoint."""

from __future__ import annotations

MANIFEST = "itnet.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
"""The model card of a checkpoint that is published."""
