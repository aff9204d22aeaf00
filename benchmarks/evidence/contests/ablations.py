"""The paper's ablations: an ITNet with one thing changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evidence.contest import BUDGET, Contest, Entry, itnet, tokens_correct
from evidence.contests.sequences import RECALL

INPUTS = ("query", "key", "product", "displacement", "distance", "fourier")
CONTENT, POSITION = INPUTS[:3], INPUTS[3:]


PAPER_SAYS = (
    "the paper says that removing any input hurts, that content alone and position alone are worst, and that rank 64"
    " loses 0.1% on ImageNet [second-hand]"
)


def ablation(
    name: str,
    title: str,
    what: str,
    points: int,
    task: Mapping[str, Any],
    train: Mapping[str, Any],
    model: Mapping[str, Any],
    **options: Any,
) -> Contest:
    """Return a contest of an ITNet with others of its kind, each with one thing changed, at one learning rate."""
    kernel = {"name": "mlp", **model["kernel"]}
    sampled = 128 if points > 128 else points // 2
    heads, hidden, rank = (kernel[key] for key in ("heads", "hidden", "rank"))

    def changed(entry: str, sampler: Mapping[str, Any] | None = None, **options: Any) -> Entry:
        return itnet(entry, **{**model, "sampler": sampler or "full", "kernel": {**kernel, **options}})

    low_rank = {"name": "low-rank", "heads": heads, "rank": 64, "hidden": 64}
    return Contest(
        name,
        title,
        what,
        task,
        train,
        itnet("all inputs", **{**model, "kernel": kernel}),
        (
            *(changed(f"without {left}", inputs=[i for i in INPUTS if i != left]) for left in INPUTS),
            changed("content alone", inputs=CONTENT),
            changed("position alone", inputs=POSITION),
            changed("half as many heads", heads=heads // 2),
            changed("twice as many heads", heads=2 * heads),
            changed("half as many hidden units", hidden=hidden // 2),
            changed("twice as many hidden units", hidden=2 * hidden),
            changed("half the rank", rank=rank // 2),
            itnet("low rank, 64", **{**model, "kernel": low_rank}),
            changed(f"Monte Carlo, {sampled} points", sampler={"name": "monte-carlo", "points": sampled}),
        ),
        goals=PAPER_SAYS,
        **options,
    )


ABLATIONS = (
    ablation(
        "ablation-images",
        "Ablation: Fashion-MNIST at 196 points",
        "5,000 training images, 4 epochs in batches of 64; test on 10,000",
        196,
        {"name": "fashion-mnist", "root": "data/fashion-mnist", "training_samples": 5000},
        {**BUDGET, "epochs": 4},
        {
            "width": 48,
            "depth": 2,
            "encoder": {"name": "conv-stem", "strides": [2]},
            "kernel": {"heads": 4, "hidden": 16, "rank": 8, "frequencies": 4},
        },
        rates=(0.004,),
    ),
    ablation(
        "ablation-recall",
        "Ablation: associative recall at 64 tokens",
        "20,000 sequences, 3 epochs in batches of 32",
        64,
        RECALL.task,
        RECALL.train,
        {
            "width": 64,
            "depth": 3,
            "ffn_ratio": 2,
            "encoder": {"name": "token"},
            "kernel": {"heads": 4, "hidden": 16, "rank": 16, "frequencies": 4, "normalization": "softmax"},
        },
        rates=(0.002,),
        score=tokens_correct,
    ),
)
