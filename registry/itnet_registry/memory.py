"""A limit on the memory that building a model may take: an absurd size is an error, not the end of the machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from itnet_core import ConfigError

FACTORIES = frozenset(
    {
        torch.arange,
        torch.empty,
        torch.empty_strided,
        torch.eye,
        torch.full,
        torch.linspace,
        torch.logspace,
        torch.ones,
        torch.rand,
        torch.randint,
        torch.randn,
        torch.randperm,
        torch.zeros,
    }
)

OVERHEAD = 4096
"""Bytes that are counted for each tensor beside its numbers: for it, its parameter, and its share of the modules."""


def machine_bytes() -> float:
    """Return the machine's memory in bytes; infinity where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


class MemoryLimit(TorchFunctionMode):
    """Count the tensors that are made inside, and refuse the one that goes over the limit before it is there.

    What is freed again is counted too: it is a limit for building modules, which keep nearly all that they make.

    Args:
        limit: in bytes.
        why: what the limit is, for the error.
    """

    def __init__(self, limit: float, why: str) -> None:
        super().__init__()
        self.limit, self.why, self.spent = limit, why, 0

    @classmethod
    def of_the_machine(cls) -> MemoryLimit:
        """Return the limit that is the machine's memory."""
        return cls(machine_bytes(), "this machine's memory")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func`; of a factory of tensors, count first what it would make."""
        kwargs = kwargs or {}
        if func in FACTORIES and "out" not in kwargs:
            options = {key: value for key, value in kwargs.items() if key not in ("generator", "pin_memory")}
            try:
                made = func(*args, **{**options, "device": "meta"})
            except (RuntimeError, TypeError, OverflowError) as error:
                raise self._refused(f"a tensor that cannot be made ({str(error).splitlines()[0]})") from error
            self.afford(size := made.nbytes + OVERHEAD)
            self.spent += size
        return func(*args, **kwargs)

    def afford(self, size: int, times: int = 1) -> None:
        """Check that `times` tensors of `size` bytes still fit.

        Raises:
            ConfigError: they do not.
        """
        needed = self.spent + size * times
        if needed > self.limit:
            raise self._refused(f"sizes that take {_readable(needed)} or more")

    def _refused(self, found: str) -> ConfigError:
        expected = f"at most {_readable(self.limit)}, {self.why}"
        return ConfigError("memory", found=found, expected=expected, hint="Look for a size with too many digits.")


def _readable(size: float) -> str:
    size = min(size, 2**80)  # an integer may be too large for a float
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} PB"
