"""The core's own components and presets, declared as any plugin declares its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
            "kernel",
            "mlp",
            "itnet_core.operator.mlp.kernel:MLPKernel",
            "the paper's: an MLP over pairs of points",
            citations=("dhor2026itnet",),
        ),
        ComponentSpec("sampler", "full", "itnet_core.operator.sampler:FullSampler", "every point of the field"),
        ComponentSpec("evaluator", "auto", f"{evaluators}:AutoEvaluator", "a fast path, or an efficient evaluator"),
        ComponentSpec("evaluator", "dense", f"{evaluators}:DenseEvaluator", "all pairs at once: the reference"),
        ComponentSpec(
            "evaluator", "local", f"{evaluators}:LocalEvaluator", "exact, near pairs only, for local supports"
        ),
        ComponentSpec(
            "evaluator",
            "tiled",
            f"{evaluators}:TiledEvaluator",
            "exact, tile by tile, in O(N) memory",
            citations=("rabe2021selfattention",),
        ),
        ComponentSpec("head", "classify", f"{heads}:ClassificationHead", "logits from the field's mean"),
        ComponentSpec("head", "regress", f"{heads}:RegressionHead", "numbers from the field's mean"),
        ComponentSpec("head", "per-point", f"{heads}:PerPointHead", "outputs at every point"),
    ]


@hookimpl
def itnet_register_presets(api: int) -> list[PresetSpec]:
    """Declare the sizes of the paper, two smaller ones, and pyramids."""
    small = {"hidden": 16, "rank": 8, "frequencies": 4}
    return [
        _preset("itnet-nano", "for tests and CPUs", width=64, depth=4, heads=4, hidden=16, rank=8, frequencies=4),
        _preset(
            "itnet-tiny",
            "for small data and small machines",
            width=192,
            depth=12,
            heads=3,
            hidden=24,
            rank=12,
            frequencies=4,
        ),
        _preset("itnet-s", "the paper's S, 22M parameters", width=384, depth=12, heads=6, hidden=32),
        _preset("itnet-b", "the paper's B, 86M parameters", width=768, depth=12, heads=12, hidden=64),
        _preset("itnet-l", "the paper's L, 307M parameters", width=1024, depth=24, heads=16, hidden=64),
        _pyramid("itnet-pyramid-nano", "0.2M parameters, for grids of about 14 × 14", (32, 64), (2, 5), **small),
        _pyramid("itnet-pyramid-tiny", "5M parameters, for grids of about 56 × 56", (48, 96, 192, 384), (2, 3, 8, 2)),
        _pyramid("itnet-pyramid-s", "22M parameters, for grids of about 56 × 56", (96, 192, 384, 768), (2, 3, 8, 2)),
        _pyramid("itnet-pyramid-b", "86M parameters, for grids of about 56 × 56", (192, 384, 768, 1536), (2, 3, 8, 2)),
    ]


def _preset(name: str, summary: str, *, width: int, depth: int, **kernel: int) -> PresetSpec:
    config = {"width": width, "kernel": {"name": "itnet-core/mlp", **kernel}, "trunk": [{"repeat": depth}]}
    return PresetSpec(name, f"{depth} blocks of width {width}: {summary}", config)


def _pyramid(name: str, summary: str, widths: Sequence[int], blocks: Sequence[int], **kernel: int) -> PresetSpec:
    """Return a preset of stages, each on a grid of half as many points a side as the one before.

    A window holds 5 × 5 points of its stage, where the last one has 7 × 7 points in [−1, 1]². The first block of a
    later stage integrates over the finer grid before it.
    """
    trunk: list[dict[str, Any]] = []
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        windows = [0.72 / 2 ** (len(widths) - 1 - level) for level in (stage, stage - 1)]
        alike, coarser = ({"width": width, "kernel": {"support": {"window": window}}} for window in windows)
        if stage:
            trunk.append({**coarser, "query": {"stride": 2}})
        trunk.append({**alike, "repeat": count - (stage > 0)})
    config = {
        "width": widths[0],
        # Batch norm does not bound a single sample in evaluation, and k grows with the square of u.
        "kernel": {"name": "itnet-core/mlp", "heads": 9, "values": "full", "bounded": True, **kernel},
        "ffn_ratio": 0,
        "norm": "batch",
        "norm_first": False,
        "activation": "relu",
        "trunk": trunk,
    }
    return PresetSpec(name, f"{len(widths)} stages of windows, width {widths[0]} to {widths[-1]}: {summary}", config)
