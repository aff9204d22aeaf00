"""Special cases of ITNet's operator as kernels, each with its fast algorithm; declared in `itnet_kernels.plugin`.

`convert` and `convert_model` make integral operators of PyTorch's and transformers' layers, `factorize` and
`factorize_model` kernels of low rank of trained MLP kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itnet_kernels.conversion.convert import Report, convert, convert_model
    from itnet_kernels.errors import ConversionError, FactorizationError
    from itnet_kernels.low_rank.factorization import Factorization, factorize
    from itnet_kernels.low_rank.model_factorization import FactorizationReport, factorize_model

__version__ = "0.1.0"

_HOME = {
    "ConversionError": "itnet_kernels.errors",
    "Factorization": "itnet_kernels.factorization",
    "FactorizationError": "itnet_kernels.errors",
    "FactorizationReport": "itnet_kernels.model_factorization",
    "Report": "itnet_kernels.conversion",
    "convert": "itnet_kernels.conversion",
    "convert_model": "itnet_kernels.conversion",
    "factorize": "itnet_kernels.factorization",
    "factorize_model": "itnet_kernels.model_factorization",
}

__all__ = [
    "ConversionError",
    "Factorization",
    "FactorizationError",
    "FactorizationReport",
    "Report",
    "convert",
    "convert_model",
    "factorize",
    "factorize_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
