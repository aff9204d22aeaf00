"""Availability of Triton and of an NVIDIA GPU. Neither Triton nor torch is imported before a function is called."""

from __future__ import annotations

import os
from importlib.util import find_spec


def missing_package() -> str | None:
    """Return why Triton cannot be imported, or `None` if it can."""
    if find_spec("triton") is None:
        return "the package triton is not installed; it exists for Linux: pip install triton"
    try:
        import triton.language  # noqa: F401
    except Exception as error:  # a broken installation fails in many ways; the plugin must not fail with it
        return f"importing triton fails: {type(error).__name__}: {error}"
    return None


def missing_gpu() -> str | None:
    """Return why no GPU here can run the kernels, or `None` if one can."""
    import torch

    if torch.version.hip is not None:
        return "this torch is built for AMD GPUs; the kernels are for NVIDIA's"
    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU"
    capabilities = [torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())]
    if max(capabilities) < (8, 0):
        return f"compute capability {'.'.join(map(str, max(capabilities)))} found, 8.0 (Ampere) or later needed"
    return None


def interpreted() -> bool:
    """Whether TRITON_INTERPRET=1 is set. If Triton is imported after that, it interprets kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET", "") == "1"
