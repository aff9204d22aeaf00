"""Components of `itnet-triton`. Imports neither torch nor Triton."""

from __future__ import annotations

from itnet_core import Check, ComponentSpec, hookimpl


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the evaluator."""
    return [
        ComponentSpec(
            "evaluator",
            "triton",
            "itnet_triton.evaluator:TritonEvaluator",
            "the MLP kernel on NVIDIA GPUs, exact",
            citations=("tillet2019triton", "dao2023flashattention2"),
        )
    ]


@hookimpl
def itnet_doctor(api: int) -> list[Check]:
    """Report whether the evaluator can run here; a machine without a GPU is not a failure."""
    from itnet_triton.availability import missing_gpu, missing_package

    gpu, package = missing_gpu(), missing_package()
    if gpu is not None:
        return [Check(name="triton", ok=True, detail=f"not used here: {gpu}")]
    if package is not None:
        return [Check(name="triton", ok=False, detail=package)]
    return [Check(name="triton", ok=True, detail="ready")]
