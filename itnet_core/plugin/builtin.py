"""The core's own components and presets, declared as any plugin declares its own."""

from __future__ import annotations

from itnet_core.plugin.hookspecs import hookimpl
from itnet_core.plugin.specs import ComponentSpec, PresetSpec


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder of fields, the paper's kernel, the full sampler, the evaluators and the heads."""
    return [
        ComponentSpec(
            kind="encoder",
            name="field",
            target="itnet_core.models.encoder:FieldEncoder",
            summary="data that are functions at points already",
            modality="field",
        ),
        ComponentSpec(
            kind="kernel",
            name="mlp",
            target="itnet_core.operator.mlp.kernel:MLPKernel",
            summary="the paper's kernel: an MLP over pairs of positions and features",
        ),
        ComponentSpec(
            kind="sampler",
            name="full",
            target="itnet_core.operator.sampler:FullSampler",
            summary="every point of the field",
        ),
        ComponentSpec(
            kind="evaluator",
            name="auto",
            target="itnet_core.operator.evaluators:AutoEvaluator",
            summary="the kernel's fast path where one applies, else the first efficient evaluator by rank",
        ),
        ComponentSpec(
            kind="evaluator",
            name="dense",
            target="itnet_core.operator.evaluators:DenseEvaluator",
            summary="all pairs at once: the reference",
        ),
        ComponentSpec(
            kind="evaluator",
            name="tiled",
            target="itnet_core.operator.evaluators:TiledEvaluator",
            summary="exact, tile by tile, O(N) memory in forward and backward",
        ),
        ComponentSpec(
            kind="head",
            name="classify",
            target="itnet_core.models.head:ClassificationHead",
            summary="logits from the field's mean",
        ),
        ComponentSpec(
            kind="head",
            name="regress",
            target="itnet_core.models.head:RegressionHead",
            summary="numbers from the field's mean",
        ),
        ComponentSpec(
            kind="head",
            name="per-point",
            target="itnet_core.models.head:PerPointHead",
            summary="outputs at every point",
        ),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare the sizes of the paper, and two smaller ones."""
    return [
        _preset("itnet-nano", "for tests and CPUs", width=64, depth=4, heads=4, hidden=16, rank=8, frequencies=4),
        _preset("itnet-tiny", "for small data and small machines", width=192, depth=12, heads=3, hidden=32),
        _preset("itnet-s", "the paper's S, 22M parameters", width=384, depth=12, heads=6, hidden=32),
        _preset("itnet-b", "the paper's B, 86M parameters", width=768, depth=12, heads=12, hidden=64),
        _preset("itnet-l", "the paper's L, 307M parameters", width=1024, depth=24, heads=16, hidden=64),
    ]


def _preset(name: str, summary: str, *, width: int, depth: int, **kernel: int) -> PresetSpec:
    summary = f"{depth} blocks of width {width}: {summary}"
    return PresetSpec(
        name=name,
        summary=summary,
        config={"width": width, "depth": depth, "kernel": {"name": "itnet-core/mlp", **kernel}},
    )
