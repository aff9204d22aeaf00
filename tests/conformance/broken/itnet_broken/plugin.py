"""Declares the broken components; breaks itself, too, since it imports what is heavy."""

from __future__ import annotations

import re

import torch  # noqa: F401

from itnet_core import ComponentSpec, hookimpl

BROKEN = {
    "encoder": [
        "SchemaIsValid",
        "ConfigurationSurvivesJson",
        "UnknownOptionIsRefused",
        "BuildingIsDeterministic",
        "StateDictIsStrict",
        "CheckpointRoundTrip",
        "MovesToFloat64",
        "MovesToADevice",
        "Gradients",
        "Compiles",
        "FieldFits",
        "FieldFits/NoField",
        "FieldFits/OneSample",
        "FieldFits/PlanePositions",
        "FieldFits/PositionsNotFinite",
        "FieldFits/ValuesNotFinite",
        "PositionsLieOnDeclaredAxes",
        "MassIsDeclared",
        "PaddingIsAbsence",
        "PaddingIsAbsence/WeighsPadding",
        "RefinementConverges",
    ],
    "kernel": [
        "SomeVariantIsThere",
        "TileGivesBlocks",
        "EvaluatorsAgree",
        "IntegrateIsExact",
        "OrderOfPointsIsNothing",
        "PositionsAreReadAsDeclared",
        "PositionsAreReadAsDeclared/OfContentAlone",
        "WeightZeroIsAbsence",
        "EmptyNeighbourhoodIsZero",
        "SamplesAreIndependent",
        "TransformIsExact",
        "GradientReachesTheWeights",
        "TransformsAreNotWrong",
        "StepsGiveTheWhole",
    ],
    "sampler": [
        "NodesAreSound",
        "NodesAreSound/NoNodes",
        "NodesAreSound/OtherShape",
        "NodesAreSound/TooFar",
        "Seeded",
        "EvaluationIsSteady",
        "EvaluationIsSteady/ForTheBatch",
        "MassIsKept",
        "TruncationChangesNoWeight",
        "TruncationChangesNoWeight/NoNodes",
        "TruncationChangesNoWeight/Twice",
        "Unbiased",
        "GradientIsUnbiased",
        "GradientReachesTheProposal",
        "GradientReachesTheProposal/NothingLearned",
    ],
    "evaluator": [
        "RankIsForExactOnes",
        "SomeCaseIsEvaluated",
        "EqualsDense",
        "GradientsEqualThoseOfDense",
        "SomeGradientsAlone",
        "WeightZeroIsAbsence",
        "EmptyNeighbourhoodIsZero",
        "RunsAreEqual",
        "ArgumentsStay",
        "LayoutsAreNothing",
        "SecondDerivativesAreNotWrong",
        "TransformsAreNotWrong",
        "RefusesWhatItDoesNotEvaluate",
        "Compiles",
    ],
    "head": [
        "DeclarationsAreLight",
        "Identity",
        "PredictionIsFinite",
        "PredictionIsFinite/OneNumber",
        "PredictionIsFinite/OneSample",
        "PaddingIsAbsence",
        "SamplesAreIndependent",
    ],
    "task": [
        "HeadIsThere",
        "SplitsAreSteady",
        "LossHasAGradient",
        "MetricsForget",
        "DescriptionIsJson",
        "ReadsAUsersFile",
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
