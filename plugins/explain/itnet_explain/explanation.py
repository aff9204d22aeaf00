"""Explanation of a model: what each kernel is due to, what it equals, and where it looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from itnet_core import ITNetModel
from itnet_core.operator.evaluators.dense import pair_weights
from itnet_explain.equivalents import draw, explained, nearest
from itnet_explain.recording import Call, record
from itnet_explain.variance import PARTS, shares

MOST_HEADS = 64
"""Kernels of more heads, such as a converted convolution's, are not explained head by head."""

NOUNS = {
    "distance": "a kernel of distance",
    "recurrence": "a recurrence",
    "convolution": "a convolution",
    "attention": "attention",
}


@dataclass(frozen=True)
class HeadExplanation:
    """Explanation of one head of a kernel.

    Example:
        >>> head = HeadExplanation(shares={"position": 0.9, "query": 0.1}, equals={"convolution": 0.88})
        >>> head.summary
        '88% a convolution'

    Attributes:
        shares: the share of each part in E[k²]; empty if the kernel cannot be taken apart.
        intervals: their intervals of 95%.
        equals: the share of the variance that the nearest kernel of each family explains.
        reach: mean distance of the points that the head reads, weighted by the size of its weights.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    equals: Mapping[str, float] = field(default_factory=dict)
    reach: float = 0.0

    @property
    def summary(self) -> str:
        """The nearest kernel, and how much of the variance it explains."""
        name = nearest(self.equals)
        if name == "constant":
            return "constant"
        return f"{max(self.equals[name], 0):.0%} {NOUNS[name]}"


@dataclass(frozen=True)
class Maps:
    """Weights of a kernel around some query points of one sample.

    Example:
        >>> operator = IntegralOperator(8, MLPKernel(8))
        >>> [kernel] = explain(operator, Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4)), queries=3).layers
        >>> kernel.maps[0].weights.shape  # (heads, Q, M)
        torch.Size([4, 3, 9])

    Attributes:
        sample: number of the sample.
        queries: numbers of the query points, (Q,).
        weights: what multiplies the values at each key point, (heads, Q, M): w_j k, or the softmax weights.
        query_positions: all query points, (N, p).
        key_positions: (M, p).
        grid: sizes of the key's grid, if it has one.
    """

    sample: int
    queries: Tensor
    weights: Tensor
    query_positions: Tensor
    key_positions: Tensor
    grid: tuple[int, ...] | None


@dataclass(frozen=True)
class KernelExplanation:
    """Explanation of one kernel.

    Example:
        >>> kernel = KernelExplanation("operator", "MLPKernel", "none", (9, 9), (), note="72 heads")
        >>> kernel.note
        '72 heads'

    Attributes:
        path: of its operator.
        kernel: name of its class.
        normalization: `none`, or `softmax`, whose shares are those of the logits.
        points: query points and key points of a sample.
        heads: explanations of the heads; none if there are more than 64.
        note: why something is missing.
        maps: where it looks, by sample.
    """

    path: str
    kernel: str
    normalization: str
    points: tuple[int, int]
    heads: tuple[HeadExplanation, ...]
    note: str = ""
    maps: tuple[Maps, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Explanation of a model, by `explain`.

    Example:
        >>> explanation = explain(IntegralOperator(8, MLPKernel(8)), Field(torch.randn(2, 9, 8), torch.rand(2, 9, 4)))
        >>> explanation.to_json()["layers"][0]["kernel"]
        'MLPKernel'

    Attributes:
        layers: of all kernels, in the order of their integrals.
        samples: number of samples that it was made from.
        ablation: scores of the model with parts of its kernels alone, by variant; see `itnet_explain.ablate`.
    """

    layers: tuple[KernelExplanation, ...]
    samples: int
    ablation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the maps, JSON-native."""
        layers = [
            {
                "path": layer.path,
                "kernel": layer.kernel,
                "normalization": layer.normalization,
                "points": list(layer.points),
                "note": layer.note,
                "heads": [
                    {
                        "shares": dict(head.shares),
                        "intervals": {name: list(ends) for name, ends in head.intervals.items()},
                        "equals": {name: None if math.isnan(share) else share for name, share in head.equals.items()},
                        "summary": head.summary,
                        "reach": head.reach,
                    }
                    for head in layer.heads
                ],
            }
            for layer in self.layers
        ]
        ablation = {name: dict(scores) for name, scores in self.ablation.items()}
        return {"samples": self.samples, "layers": layers, "ablation": ablation}


def explain(
    model: nn.Module,
    inputs: Any,
    *,
    modality: str | None = None,
    maps: int = 2,
    queries: int = 64,
    pairs: int = 256,
    contents: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the kernels of a model by what they compute on some samples.

    Example:
        >>> from itnet_registry import create_model
        >>> model = create_model("itnet-nano", depth=1, encoder={"name": "patch", "patch_size": 2}, task="digits")
        >>> explanation = explain(model, torch.rand(4, 1, 8, 8))
        >>> [layer] = explanation.layers
        >>> layer.kernel, len(layer.heads), sorted(layer.heads[0].shares)[:2]
        ('MLPKernel', 4, ['both', 'constant'])

    Args:
        model: an `ITNetModel`, or any module with integral operators, such as one by `itnet_kernels.convert_model`.
        inputs: a batch of at least two samples: for an `ITNetModel` the input of its encoder; for other modules a tuple
            of arguments, a mapping of keyword arguments, or the one argument.
        modality: the modality of an `ITNetModel` of several.
        maps: number of samples to compute maps for.
        queries: the largest number of query points of a map.
        pairs: pairs of positions for the shares; see `itnet_explain.shares`.
        contents: contents of either side of each sample for the shares.
        seed: of the random choices.
        progress: called with the number of kernels that are done, and of all.

    Raises:
        ShapeError: there are fewer than two samples.
    """
    calls = record(model, _runner(model, inputs, modality))
    return explain_calls(
        calls, maps=maps, queries=queries, pairs=pairs, contents=contents, seed=seed, progress=progress
    )


def explain_calls(
    calls: Sequence[Call],
    *,
    maps: int = 2,
    queries: int = 64,
    pairs: int = 256,
    contents: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the kernels of recorded calls; arguments and errors as for `explain`."""
    layers = []
    for number, call in enumerate(calls):
        layers.append(_layer(call, maps, queries, pairs, contents, seed))
        progress(number + 1, len(calls))
    return Explanation(tuple(layers), len(calls[0].query.values) if calls else 0)


def _runner(model: nn.Module, inputs: Any, modality: str | None) -> Callable[[], Any]:
    if isinstance(model, ITNetModel):
        return lambda: model.features(inputs, modality)
    if isinstance(inputs, Mapping):
        return lambda: model(**inputs)
    return lambda: model(*(inputs if isinstance(inputs, tuple) else (inputs,)))


@torch.no_grad()
def _layer(call: Call, maps: int, queries: int, pairs: int, contents: int, seed: int) -> KernelExplanation:
    kernel, points = call.kernel, (call.query.values.shape[1], call.key.values.shape[1])
    name, kind = type(kernel).__name__, kernel.normalization
    if kernel.heads > MOST_HEADS:
        return KernelExplanation(
            call.path, name, kind, points, (), f"{kernel.heads} heads, of which none is explained alone"
        )
    notes, found = [], None
    if not kernel.pointwise_terms:
        notes.append("its terms depend on all points, so that positions and contents cannot be drawn apart")
    else:
        found = shares(call, pairs=pairs, contents=contents, seed=seed)
        if call.arguments:
            notes.append(f"shares without {', '.join(call.arguments)}")
    equals = explained(draw(call, seed=seed))
    drawn = tuple(_maps(call, sample, queries) for sample in range(min(maps, len(call.query.values))))
    numbers = [] if found is None else zip(found.values.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    parts = [
        (dict(zip(PARTS, values, strict=True)), dict(zip(PARTS, zip(low, high, strict=True), strict=True)))
        for values, low, high in numbers
    ] or [({}, {})] * kernel.heads
    heads = [
        HeadExplanation(*parts[head], {family: float(share[head]) for family, share in equals.items()}, reach)
        for head, reach in enumerate(_reach(drawn, kernel.heads))
    ]
    return KernelExplanation(call.path, name, kind, points, tuple(heads), "; ".join(notes), drawn)


def _maps(call: Call, sample: int, most: int) -> Maps:
    inside = call.query.mask[sample].nonzero().squeeze(1)
    steps = torch.linspace(0, len(inside) - 1, min(most, len(inside))).round().long()
    queries = inside[steps.to(inside.device)]
    weights = pair_weights(call.problem(sample, queries))[0]
    grid = call.key.grid
    sides = call.query.positions[sample].cpu(), call.key.positions[sample].cpu()
    return Maps(sample, queries.cpu(), weights.float().cpu(), *sides, grid)


def _reach(maps: Sequence[Maps], heads: int) -> list[float]:
    """Return the mean distance that each head reads, weighted by the size of its weights."""
    total, size = torch.zeros(2, heads)
    for item in maps:
        distance = torch.cdist(item.query_positions[item.queries].float(), item.key_positions.float())
        weights = item.weights.abs()
        total, size = total + (weights * distance).sum((1, 2)), size + weights.sum((1, 2))
    return torch.where(size > 0, total / size, 0.0).tolist()
