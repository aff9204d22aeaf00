"""Declares the broken components; breaks itself, too, since it imports what is heavy."""

from __future__ import annotations

import re

import torch  # noqa: F401

from itnet_core import ComponentSpec, hookimpl

BROKEN = {
    "encoder": [
        "ConfigSchema",
        "ConfigJsonRoundTrip",
        "UnknownOptionError",
        "SeededInitialization",
        "StateDictCompleteness",
        "CheckpointRoundTrip",
        "Float64",
        "Cuda",
        "Gradients",
        "Compile",
        "BatchMapping",
        "BatchMapping/Nothing",
        "FieldValidity",
        "FieldValidity/NoField",
        "FieldValidity/OneSample",
        "FieldValidity/PlanePositions",
        "FieldValidity/PositionsNotFinite",
        "FieldValidity/ValuesNotFinite",
        "DeclaredAxes",
        "DeclaredAttributes",
        "DeclaredMass",
        "PaddingInvariance",
        "PaddingInvariance/WeighsPadding",
        "RefinementConvergence",
    ],
    "kernel": [
        "SupportedVariants",
        "TileConsistency",
        "TiledSum",
        "Matrix",
        "FullValues",
        "IntegrateExactness",
        "PermutationEquivariance",
        "DeclaredPositions",
        "DeclaredPositions/OfContentAlone",
        "PaddingInvariance",
        "EmptyNeighbourhood",
        "BatchIndependence",
        "TransformExactness",
        "WeightGradients",
        "FunctionTransforms",
        "StepExactness",
        "StepExactness/TermsOfAllPoints",
    ],
    "sampler": [
        "NodeValidity",
        "NodeValidity/NoNodes",
        "NodeValidity/OtherShape",
        "NodeValidity/TooFar",
        "SeededSampling",
        "DeterministicEvaluation",
        "DeterministicEvaluation/ForTheBatch",
        "MassConservation",
        "TruncatedWeights",
        "TruncatedWeights/NoNodes",
        "TruncatedWeights/Twice",
        "UnbiasedSum",
        "UnbiasedGradient",
        "ProposalGradient",
        "ProposalGradient/NothingLearned",
    ],
    "evaluator": [
        "SharedValues",
        "Rank",
        "SupportedCases",
        "ValuesMatchDense",
        "GradientsMatchDense",
        "PartialGradients",
        "PaddingInvariance",
        "EmptyNeighbourhood",
        "Determinism",
        "ArgumentsUnchanged",
        "StrideInvariance",
        "SecondDerivatives",
        "FunctionTransforms",
        "UnsupportedError",
        "Compile",
    ],
    "head": [
        "LightImport",
        "Identity",
        "FinitePrediction",
        "FinitePrediction/OneNumber",
        "FinitePrediction/OneSample",
        "PaddingInvariance",
        "BatchIndependence",
    ],
    "task": [
        "Head",
        "SplitReproducibility",
        "LossGradient",
        "MetricReset",
        "DescriptionJson",
        "UserFile",
        "UserValues",
        "StringsOpenNoFile",
        "BatchedPrediction",
    ],
}


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare them, each with its class's name in lower case as its own; behind a slash, another fault for a check."""
    return [
        ComponentSpec(
            kind=kind,  # type: ignore[arg-type]
            name=re.sub(r"(?<=[^/])(?=[A-Z])", "-", cls).lower(),
            target=f"itnet_broken.{kind}s:{cls.replace('/', '')}",
            summary=" " if cls == "Identity" else cls,
            modality="field" if kind in ("encoder", "task") else None,
        )
        for kind, classes in BROKEN.items()
        for cls in classes
    ]
