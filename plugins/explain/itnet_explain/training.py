"""Shares of a model's kernels during training."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch import Tensor

from itnet_core import DataError, ITNetModel, Task
from itnet_explain.checkpoint import spread_samples
from itnet_explain.explanation import MOST_HEADS
from itnet_explain.recording import record
from itnet_explain.variance import shares


def share_scores(
    model: ITNetModel,
    tasks: Mapping[str, Task],
    validation: Mapping[str, Any],
    *,
    samples: int = 16,
    heads: bool = False,
    seed: int = 0,
) -> dict[str, float]:
    """Return the shares by `block/part`, `block/head/part` for single heads, after the modality if there are several.

    Raises:
        DataError: a validation split has fewer than two samples.
    """
    scores: dict[str, float] = {}
    for modality, task in tasks.items():
        chosen = spread_samples(validation[modality], samples)
        if len(chosen) < 2:
            raise DataError(f"explain ({modality}/validation)", found=f"{len(chosen)} sample", expected="at least two")
        inputs = model.move_inputs(task.collate(chosen).inputs, next(model.parameters()).device, modality)
        for call in record(model, partial(model.features, inputs, modality)):
            if call.kernel.pointwise_terms and call.kernel.heads <= MOST_HEADS:
                path = call.path.replace("trunk.", "").replace(".operator", "")
                place = path if len(tasks) == 1 else f"{modality}/{path}"
                scores |= _by_part(shares(call, seed=seed).values, place, heads)
    return scores


def _by_part(values: Tensor, place: str, heads: bool) -> dict[str, float]:
    rows = {f"{place}/{head}": row for head, row in enumerate(values)} if heads else {place: values.mean(0)}
    found: dict[str, float] = {}
    for name, row in rows.items():
        constant, position, query, key, both, interaction = row.tolist()
        parts = {"constant": constant, "position": position, "content": query + key + both, "interaction": interaction}
        found |= {f"{name}/{part}": share for part, share in parts.items()}
    return found
