"""Scales of kernels at the start of training, from a batch of data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from itnet_core.models.model import ITNetModel
from itnet_core.models.modes import evaluation_mode
from itnet_core.operator.field import Field
from itnet_core.operator.integral_operator import IntegralOperator
from itnet_core.operator.points import Points

SAMPLES, POINTS = 16, 256
"""Largest numbers of samples of a batch, and of points of a sample, whose nearest neighbours are measured."""


@torch.no_grad()
def initialize_scales(model: nn.Module, *batches: Sequence[Any]) -> None:
    """Fit the lengths and scales of a new model's kernels to its data.

    The operators are initialised one after another, in the order of `model.modules()`. Each kernel gets lengths in
    units of the spacing of its key points (`Kernel.initialize`). The weights of the output map are then divided by the
    standard deviation of each head's integral, over the query points of all batches, so that Σ_h O_h starts with inputs
    of unit variance. Kernels that do not implement `initialize` stay as they are. Only parameters change, and no random
    number is drawn.

    Example:
        >>> model = nn.Sequential(IntegralOperator(8, MLPKernel(8)), IntegralOperator(8, MLPKernel(8)))
        >>> initialize_scales(model, (Field(torch.randn(4, 50, 8), torch.rand(4, 50, 4)),))

    Args:
        model: a new model; the scales of a trained one would be lost.
        batches: arguments of the model, `(inputs,)`, or `(inputs, modality)` for each modality of several. All count
            the same, whatever their sizes.
    """
    with _probing(model):
        for operator in [part for part in model.modules() if isinstance(part, IntegralOperator)]:
            calls = [call for batch in batches if (call := _first_call(model, operator, batch)) is not None]
            spacings = [spacing(key.points) for _, key in calls]
            if calls and min(spacings) > 0:
                changed = [kernel.initialize(min(spacings), max(spacings)) for kernel, *_ in operator.summands]
                _divide_by_deviation(operator, calls, changed)


def spacing(points: Points) -> float:
    """Return the median distance of a point to its nearest neighbour, without padding; 0 if all points coincide.

    Example:
        >>> round(spacing(Field.on_grid(torch.zeros(1, 5, 5, 1)).points), 6)
        0.4
    """
    nearest = []
    for positions, weights in zip(points.positions[:SAMPLES], points.weights[:SAMPLES], strict=True):
        present = positions[weights > 0]
        some = present[:: -(-len(present) // POINTS)] if len(present) else present
        pairs = torch.cdist(some, present, compute_mode="donot_use_mm_for_euclid_dist")
        nearest.append(pairs.where(pairs > 0, torch.inf).amin(1))
    distances = torch.cat(nearest)
    distances = distances[distances.isfinite()]
    return float(distances.median()) if len(distances) else 0.0


def _divide_by_deviation(
    operator: IntegralOperator, calls: Sequence[tuple[Field, Field]], changed: Sequence[bool]
) -> None:
    """Scale the output maps of the summands that changed."""
    problems = zip(*(operator.problems(*call) for call in calls), strict=True)
    for (*_, output), of_calls, new in zip(operator.summands, problems, changed, strict=True):
        if new:
            integrals = [operator.evaluator(problem)[problem.query.weights > 0] for problem in of_calls]
            deviation = torch.stack([integral.var(0).mean(-1) for integral in integrals]).mean(0).sqrt()
            *_, linear = output.modules()
            fits = bool(((deviation > 0) & deviation.isfinite()).all())
            if isinstance(linear, nn.Linear) and fits:
                linear.weight.div_(deviation.repeat_interleave(linear.in_features // len(deviation)))


class _ReachedError(Exception):
    """Ends a forward pass at an operator."""


def _first_call(model: nn.Module, operator: IntegralOperator, batch: Sequence[Any]) -> tuple[Field, Field] | None:
    """Return the query and the key that an operator is first called with, or `None` if it is not called."""
    calls: list[tuple[Field, Field]] = []

    def stop(_: nn.Module, arguments: tuple[Field, ...], named: dict[str, Field]) -> None:
        fields = dict(zip(("query", "key"), arguments, strict=False)) | named
        key = fields.get("key")
        calls.append((fields["query"], fields["query"] if key is None else key))
        raise _ReachedError

    hook = operator.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        (model.features if isinstance(model, ITNetModel) else model)(*batch)
    except _ReachedError:
        return calls[0]
    finally:
        hook.remove()
    return None


@contextmanager
def _probing(model: nn.Module) -> Iterator[None]:
    """Evaluate a model without dropout, with batch statistics in batch norms, and leave modes and buffers unchanged."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with evaluation_mode(model):
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.train()
        try:
            yield
        finally:
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
