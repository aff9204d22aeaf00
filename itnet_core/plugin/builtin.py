"""The core's own components and presets, declared as any plugin declares its own."""

from __future__ import annotations

from itnet_core.plugin.hookspecs import hookimpl
from itnet_core.plugin.specs import ComponentSpec, PresetSpec


@hookimpl
def itnet_register_components(api: int) -> list[ComponentSpec]:
    """Declare the encoder of fields, the paper's kernel, the full sampler, the evaluators and the heads."""
    evaluators, heads = "itnet_core.operator.evaluators", "itnet_core.models.head"
    return [
        ComponentSpec(
            "encoder", "field", "itnet_core.models.encoder:FieldEncoder", "data that are fields", modality="field"
        ),
        ComponentSpec(
            "kernel", "mlp", "itnet_core.operator.mlp.kernel:MLPKernel", "the paper's: an MLP over pairs of points"
        ),
        ComponentSpec("sampler", "full", "itnet_core.operator.sampler:FullSampler", "every point of the field"),
        ComponentSpec("evaluator", "auto", f"{evaluators}:AutoEvaluator", "a fast path, or an efficient evaluator"),
        ComponentSpec("evaluator", "dense", f"{evaluators}:DenseEvaluator", "all pairs at once: the reference"),
        ComponentSpec(
            "evaluator", "local", f"{evaluators}:LocalEvaluator", "exact, near pairs only, for local supports"
        ),
        ComponentSpec("evaluator", "tiled", f"{evaluators}:TiledEvaluator", "exact, tile by tile, in O(N) memory"),
        ComponentSpec("head", "classify", f"{heads}:ClassificationHead", "logits from the field's mean"),
        ComponentSpec("head", "regress", f"{heads}:RegressionHead", "numbers from the field's mean"),
        ComponentSpec("head", "per-point", f"{heads}:PerPointHead", "outputs at every point"),
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
    config = {"width": width, "depth": depth, "kernel": {"name": "itnet-core/mlp", **kernel}}
    return PresetSpec(name, f"{depth} blocks of width {width}: {summary}", config)
