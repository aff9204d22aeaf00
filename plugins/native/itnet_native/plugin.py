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
    """Say whether the library is there, and which instruction set it uses."""
    from itnet_native.library import Library, missing

    found = Library.load()
    if found is None:
        return [Check(name="library", ok=False, detail=missing())]
    return [Check(name="library", ok=True, detail=f"{found.instruction_set}, of {', '.join(found.instruction_sets)}")]
