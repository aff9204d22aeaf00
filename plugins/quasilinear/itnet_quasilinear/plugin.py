"""What this plugin brings. Imports no torch."""

from __future__ import annotations

from itnet_core import ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the evaluators."""
    return [
        ComponentSpec(
            kind="evaluator",
            name="sorted",
            target="itnet_quasilinear.sorted:SortedEvaluator",
            summary="additive MLP kernels with ReLU: exact, by sorting, in O(N log N)",
        ),
        ComponentSpec(
            kind="evaluator",
            name="chebyshev",
            target="itnet_quasilinear.chebyshev:ChebyshevEvaluator",
            summary="additive MLP kernels with a smooth activation: to a tolerance, by interpolation, in O(N)",
        ),
    ]
