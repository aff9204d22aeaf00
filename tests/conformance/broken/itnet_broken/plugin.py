"""Declares the broken components; breaks itself, too, since it imports what is heavy."""

from __future__ import annotations

import re

import torch  # noqa: F401

from itnet_core.component import ComponentSpec
from itnet_core.hookspecs import hookimpl

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
        "PositionsLieOnDeclaredAxes",
        "MassIsDeclared",
        "PaddingIsAbsence",
        "RefinementConverges",
    ],
    "kernel": [
        "SomeVariantIsThere",
        "TileGivesBlocks",
        "EvaluatorsAgree",
        "ShortcutIsExact",
        "NoShortcutIsTakenUndeclared",
        "OrderOfPointsIsNothing",
        "WeightZeroIsAbsence",
        "EmptyNeighbourhoodIsZero",
        "SamplesAreIndependent",
        "WholeIsExact",
        "StepsGiveTheWhole",
    ],
    "sampler": ["NodesAreSound", "Seeded", "MassIsKept", "Unbiased", "GradientReachesTheProposal"],
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
        "RefusesWhatItDoesNotEvaluate",
        "Compiles",
    ],
    "head": ["DeclarationsAreLight", "Identity", "PredictionIsFinite", "PaddingIsAbsence", "SamplesAreIndependent"],
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
    """Declare them, each with its class's name in lower case as its own."""
    return [
        ComponentSpec(
            kind=kind,  # type: ignore[arg-type]
            name=re.sub(r"(?<!^)(?=[A-Z])", "-", cls).lower(),
            target=f"itnet_broken.{kind}s:{cls}",
            summary=" " if cls == "Identity" else cls,
            modality="field" if kind in ("encoder", "task") else None,
        )
        for kind, classes in BROKEN.items()
        for cls in classes
    ]
