"""Components of `itnet-quasilinear`. Imports no torch."""

from __future__ import annotations

from functools import partial

from itnet_core import ComponentSpec, hookimpl

evaluator = partial(ComponentSpec, "evaluator")


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the evaluators."""
    return [
        evaluator("sorted", "itnet_quasilinear.sorted:SortedEvaluator", "additive ReLU kernels, exact, in O(N log N)"),
        evaluator(
            "chebyshev",
            "itnet_quasilinear.chebyshev:ChebyshevEvaluator",
            "additive kernels with a smooth activation, to a tolerance, in O(N)",
        ),
    ]
