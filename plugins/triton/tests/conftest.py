"""Triton's interpreter takes the GPU's place. The variable counts where it is set before Triton is imported."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")
