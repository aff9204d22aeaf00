"""Components of `itnet-native`. Imports no torch."""

from __future__ import annotations

from itnet_core import Check, ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the evaluator."""
    return [
        ComponentSpec(
            "evaluator",
            "native",
            "itnet_native.evaluator:NativeEvaluator",
            "the MLP kernel on CPUs, exact, in fused C++",
        )
    ]


@hookimpl
def itnet_doctor(api: int) -> list[Check]:
    """Report whether the library can be loaded, and its instruction set."""
    from itnet_native.library import Library, missing

    library = Library.load()
    if library is None:
        return [Check(name="library", ok=False, detail=missing())]
    detail = f"{library.instruction_set}, of {', '.join(library.instruction_sets)}"
    return [Check(name="library", ok=True, detail=detail)]
