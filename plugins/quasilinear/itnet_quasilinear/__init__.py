"""Evaluators of additive MLP kernels in nearly linear time; see `itnet_quasilinear.additive`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from itnet_core import lazy_exports

if TYPE_CHECKING:
    from itnet_quasilinear.chebyshev import ChebyshevEvaluator as ChebyshevEvaluator
    from itnet_quasilinear.chebyshev import ChebyshevReport as ChebyshevReport
    from itnet_quasilinear.errors import ToleranceError as ToleranceError
    from itnet_quasilinear.sorted import SortedEvaluator as SortedEvaluator

__version__ = "0.1.0"
__all__, __getattr__ = lazy_exports(
    __name__,
    {
        "itnet_quasilinear.chebyshev": "ChebyshevEvaluator ChebyshevReport",
        "itnet_quasilinear.errors": "ToleranceError",
        "itnet_quasilinear.sorted": "SortedEvaluator",
    },
)
