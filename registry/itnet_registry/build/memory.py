"""Limit on the memory of a model under construction, so that a size that is far too large is an error."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
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

LIKE_EMPTY: Mapping[Callable[..., Any], Callable[..., Any]] = {torch.rand: torch.empty, torch.randn: torch.empty}
"""Factories of tensors as large as those of another one with the same arguments."""

OVERHEAD = 4096
"""Bytes counted for each tensor in addition to its numbers: the tensor, its parameter, its share of the modules."""


def machine_bytes() -> float:
    """Return the machine's memory in bytes; infinity where it is unknown."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


class MemoryLimit(TorchFunctionMode):
    """Count the bytes of tensors created in the block, and refuse a tensor that exceeds the limit before it is created.

    Freed tensors stay counted: modules under construction keep nearly all their tensors.

    Example:
        >>> with MemoryLimit(2**20, "for this example"):  # doctest: +ELLIPSIS
        ...     torch.zeros(1000, 1000)
        Traceback (most recent call last):
        itnet_core.plugin.errors.ConfigError: memory: found sizes that take 3.82 MB or more; expected at most 1 MB, ...

    Args:
        limit: in bytes.
        origin: the reason for the limit, for the error.
    """

    def __init__(self, limit: float, origin: str) -> None:
        super().__init__()
        self.limit, self.origin, self.used = limit, origin, 0

    @classmethod
    def of_the_machine(cls) -> MemoryLimit:
        """Return a limit of the machine's memory."""
        return cls(machine_bytes(), "this machine's memory")

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run `func`; if it creates a tensor, count its bytes first."""
        kwargs = kwargs or {}
        if func in FACTORIES and "out" not in kwargs:
            options = {key: value for key, value in kwargs.items() if key not in ("generator", "pin_memory")}
            try:
                size = OVERHEAD + _bytes(func, args, options)
            except (RuntimeError, TypeError, OverflowError, ValueError) as error:
                raise self._refused(f"a tensor that cannot be created ({str(error).splitlines()[0]})") from error
            self.check_fits(size)
            self.used += size
        return func(*args, **kwargs)

    def check_fits(self, size: int, times: int = 1) -> None:
        """Check that `times` tensors of `size` bytes still fit.

        Raises:
            ConfigError: they exceed the limit.
        """
        needed = self.used + size * times
        if needed > self.limit:
            raise self._refused(f"sizes that take {readable(needed)} or more")

    def _refused(self, found: str) -> ConfigError:
        expected = f"at most {readable(self.limit)}, {self.origin}"
        return ConfigError("memory", found=found, expected=expected, hint="Look for a size with too many digits.")


def _bytes(func: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> int:
    """Return the bytes of the tensor that a factory creates.

    On the device `meta`, some factories would import sympy, half a second: others stand for them.
    """
    if func is torch.arange:
        return _arange_bytes(*args, **options)
    created: Tensor = LIKE_EMPTY.get(func, func)(*args, **{**options, "device": "meta"})
    return created.nbytes


def _arange_bytes(*args: Any, start: Any = 0, end: Any = None, step: Any = 1, **_: Any) -> int:
    if len(args) == 1 and end is None:
        [end] = args
    else:
        start, end, step = (*args, *(start, end, step)[len(args) :])
    return 8 * max(0, math.ceil((end - start) / step)) if step else 0


def readable(size: float) -> str:
    """Return a number of bytes in a unit of three digits or so.

    Example:
        >>> readable(5 * 2**30), readable(1010 * 2**20)
        ('5 GB', '0.986 GB')
    """
    size = min(size, 2**80)  # an integer may be too large for a float
    for unit in ("bytes", "KB", "MB", "GB", "TB"):
        if size < 999.5:  # '1e+03 MB' would be of three digits, too
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} PB"
