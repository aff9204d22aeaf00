"""Exceptions of the core. Each names the place, what was found, what was expected, and a hint."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from itnet_core.plugin.printable import printable


class ITNetError(Exception):
    """Base class of every error that ITNet raises on purpose. Its message is printable, whatever its parts contain.

    Example:
        >>> print(ConfigError("kernel.heads", found="0", expected="a positive integer"))
        kernel.heads: found 0; expected a positive integer.

    Attributes:
        place: a JSON path (`kernel.heads`), a file, or a tensor (`Field.positions`).
        found: what was found.
        expected: what was expected.
        hint: the suggested fix; may be empty.
    """

    def __init__(self, place: str, *, found: str, expected: str, hint: str = "") -> None:
        self.place, self.found, self.expected, self.hint = place, found, expected, hint
        super().__init__(place, found, expected, hint)

    def __str__(self) -> str:
        message = printable(f"found {self.found}; expected {self.expected}. {self.hint}".rstrip(), keep="\n\t")
        return f"{printable(self.place)}: {message}"

    def __reduce__(self) -> tuple[object, ...]:  # keyword-only arguments, so that errors survive a worker process
        return _rebuild, (type(self), self.place, self.found, self.expected, self.hint)


def shown(value: object, length: int = 200) -> str:
    """Write a value for an error message, shortened to its beginning if it is long.

    Example:
        >>> shown(list(range(1000)), length=12)
        '[0, 1, 2, 3,…'
    """
    try:
        text = repr(value)
    except Exception:  # an integer of more digits than Python writes, or a class that has no sound `__repr__`
        text = f"a value of type {type(value).__name__} that cannot be written out"
    return text if len(text) <= length else f"{text[:length]}…"


SYNONYMS = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "batch": "batch_size",
    "bs": "batch_size",
    "optim": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "num_epochs": "epochs",
    "max_epochs": "epochs",
    "num_workers": "workers",
    "num_classes": "classes",
    "n_classes": "classes",
    "num_heads": "heads",
    "n_heads": "heads",
    "num_layers": "depth",
    "layers": "depth",
    "dim": "width",
    "hidden_size": "width",
    "embed_dim": "width",
    "d_model": "width",
    "device": "accelerator",
    "grad_clip": "clip",
    "path": "root",
    "data_dir": "root",
}
"""Names of fields in other libraries, and those of this one."""


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a misspelt one, or that other libraries call so, or `None`.

    Example:
        >>> closest("lr", ["learning_rate", "epochs"]), closest("epoch", ["learning_rate", "epochs"])
        ('learning_rate', 'epochs')
    """
    known = list(known)
    if SYNONYMS.get(name) in known:
        return SYNONYMS[name]
    close = get_close_matches(name, known, n=1) if len(name) <= 100 else []
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint at the known name that is most similar to a misspelt one, or `otherwise`."""
    close = closest(name, known)
    return f"Did you mean {close!r}?" if close else otherwise


def _rebuild(cls: type[ITNetError], place: str, found: str, expected: str, hint: str) -> ITNetError:
    return cls(place, found=found, expected=expected, hint=hint)


class FieldError(ITNetError, ValueError):
    """The tensors of a field do not describe a function known at points."""


class ConfigError(ITNetError, ValueError):
    """A configuration does not fit its component."""


class ShapeError(ITNetError, ValueError):
    """The shape of a tensor does not fit a module."""


class DerivativeError(ITNetError, NotImplementedError):
    """An evaluator does not compute a derivative."""


class DataError(ITNetError, ValueError):
    """A file or a sample of a data set cannot be read."""
