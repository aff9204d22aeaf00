"""Evaluators of kernels whose hidden layer is a function of a sum, in nearly linear time.

Declared in `itnet_quasilinear.plugin`; `additive` has which kernels these are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from itnet_quasilinear.chebyshev import ChebyshevEvaluator, Report
    from itnet_quasilinear.errors import ToleranceError
    from itnet_quasilinear.sorted import SortedEvaluator

__version__ = "0.1.0"

_HOME = {
    "ChebyshevEvaluator": "itnet_quasilinear.chebyshev",
    "Report": "itnet_quasilinear.chebyshev",
    "SortedEvaluator": "itnet_quasilinear.sorted",
    "ToleranceError": "itnet_quasilinear.errors",
}

__all__ = ["ChebyshevEvaluator", "Report", "SortedEvaluator", "ToleranceError"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
