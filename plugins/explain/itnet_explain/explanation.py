"""Explanation of a model: what each kernel is due to, what it equals, and where it looks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from itnet_core import Encoder, ITNetModel
from itnet_explain.equivalents import draw, explained, nearest
from itnet_explain.modalities import Between, pair_name, shares_between, weight_between
from itnet_explain.profile import Profile, profile
from itnet_explain.recording import Call, record
from itnet_explain.structure import Rollout, WeightMatrix, received, spectrum, spread, weight_matrix
from itnet_explain.variance import OCCURRING, PARTS, Shares, occurring, shares

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
        occurring: the shares `constant`, `position` and `rest` of pairs as they occur, each with its own content; empty
            where samples have points at positions of their own.
        equals: the share of the variance that the nearest kernel of each family explains.
        reach: mean distance of the points that the head reads, weighted by the size of its weights.
        rank: effective rank of the matrix of its weights, at up to 256 points of either side.
        energy: share of the energy of that matrix in its leading 1, 2, …, at most 32 components.
        between: the same for x in one part of a union and y in another, such as "image reads text".
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    occurring: Mapping[str, float] = field(default_factory=dict)
    equals: Mapping[str, float] = field(default_factory=dict)
    reach: float = 0.0
    rank: float = 0.0
    energy: tuple[float, ...] = ()
    between: Mapping[str, Between] = field(default_factory=dict)

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
        received: share of the size of all weights that each key point receives, (heads, M).
    """

    sample: int
    queries: Tensor
    weights: Tensor
    query_positions: Tensor
    key_positions: Tensor
    grid: tuple[int, ...] | None
    received: Tensor


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
        position: the position part as a function of x − y; `None` if the kernel cannot be taken apart.
    """

    path: str
    kernel: str
    normalization: str
    points: tuple[int, int]
    heads: tuple[HeadExplanation, ...]
    note: str = ""
    maps: tuple[Maps, ...] = ()
    position: Profile | None = None


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
        rollout: what each point after all operators reads of the points before them, by sample: maps of one head, whose
            rows sum to 1 (Abnar & Zuidema 2020); none if an operator has query points of its own.
    """

    layers: tuple[KernelExplanation, ...]
    samples: int
    ablation: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    rollout: tuple[Maps, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything but the weights of the maps, JSON-native."""
        layers = [
            {
                "path": layer.path,
                "kernel": layer.kernel,
                "normalization": layer.normalization,
                "points": list(layer.points),
                "note": layer.note,
                "position": _profile_to_json(layer.position),
                "received": _received_to_json(layer.maps),
                "heads": [
                    {
                        "shares": dict(head.shares),
                        "intervals": {name: list(ends) for name, ends in head.intervals.items()},
                        "occurring": dict(head.occurring),
                        "equals": {name: None if math.isnan(share) else share for name, share in head.equals.items()},
                        "summary": head.summary,
                        "reach": head.reach,
                        "rank": head.rank,
                        "energy": list(head.energy),
                        "between": {name: _between_to_json(pair) for name, pair in head.between.items()},
                    }
                    for head in layer.heads
                ],
            }
            for layer in self.layers
        ]
        ablation = {name: dict(scores) for name, scores in self.ablation.items()}
        rollout = _received_to_json(self.rollout)
        return {"samples": self.samples, "layers": layers, "ablation": ablation, "rollout": rollout}


def _profile_to_json(found: Profile | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "distance": found.distance,
        "displacements": _rounded(found.displacements),
        "values": _rounded(found.values),
    }


def _received_to_json(maps: Sequence[Maps]) -> list[dict[str, Any]]:
    return [{"sample": item.sample, "heads": _rounded(item.received)} for item in maps]


def _rounded(rows: Tensor) -> list[list[float]]:
    return [[float(f"{number:.4g}") for number in row] for row in rows.tolist()]


def _between_to_json(pair: Between) -> dict[str, Any]:
    intervals = {name: list(ends) for name, ends in pair.intervals.items()}
    return {"weight": pair.weight, "shares": dict(pair.shares), "intervals": intervals}


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
        calls,
        parts=united(model, modality),
        maps=maps,
        queries=queries,
        pairs=pairs,
        contents=contents,
        seed=seed,
        progress=progress,
    )


def explain_calls(
    calls: Sequence[Call],
    *,
    parts: Sequence[str] = (),
    maps: int = 2,
    queries: int = 64,
    pairs: int = 256,
    contents: int = 8,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Explanation:
    """Explain the kernels of recorded calls; `parts` names those of a union; the rest as for `explain`."""
    layers, rollout = [], Rollout()
    for number, call in enumerate(calls):
        matrices = _matrices(call, maps, queries)
        rollout.add(call, matrices)
        layers.append(_layer(call, matrices, parts, queries, pairs, contents, seed))
        progress(number + 1, len(calls))
    samples = len(calls[0].query.values) if calls else 0
    return Explanation(tuple(layers), samples, rollout=_rollout(rollout, calls, queries))


def united(model: nn.Module, modality: str | None) -> tuple[str, ...]:
    """Return the names of the parts of an `ITNetModel`'s union; none for other modules."""
    encoders = dict(model.encoders.items()) if isinstance(model, ITNetModel) else {}
    encoder = encoders.get(modality) if modality else next(iter(encoders.values()), None)
    return () if encoder is None else cast(Encoder, encoder).united


def _runner(model: nn.Module, inputs: Any, modality: str | None) -> Callable[[], Any]:
    if isinstance(model, ITNetModel):
        return lambda: model.features(inputs, modality)
    if isinstance(inputs, Mapping):
        return lambda: model(**inputs)
    return lambda: model(*(inputs if isinstance(inputs, tuple) else (inputs,)))


def _matrices(call: Call, maps: int, queries: int) -> list[WeightMatrix]:
    if call.kernel.heads > MOST_HEADS:
        return []
    return [weight_matrix(call, sample, queries) for sample in range(min(maps, len(call.query.values)))]


@torch.no_grad()
def _layer(
    call: Call,
    matrices: Sequence[WeightMatrix],
    names: Sequence[str],
    queries: int,
    pairs: int,
    contents: int,
    seed: int,
) -> KernelExplanation:
    kernel, points = call.kernel, (call.query.values.shape[1], call.key.values.shape[1])
    name, kind = type(kernel).__name__, kernel.normalization
    if kernel.heads > MOST_HEADS:
        return KernelExplanation(
            call.path, name, kind, points, (), f"{kernel.heads} heads, of which none is explained alone"
        )
    notes, found, position, occurs = [], None, None, None
    if not kernel.pointwise_terms:
        notes.append("its terms depend on all points, so that positions and contents cannot be drawn apart")
    else:
        found = shares(call, pairs=pairs, contents=contents, seed=seed)
        position = profile(call, seed=seed)
        occurs = occurring(call, seed=seed)
        if call.arguments:
            notes.append(f"shares without {', '.join(call.arguments)}")
    equals = explained(draw(call, seed=seed))
    drawn = tuple(_maps(call, matrix, queries) for matrix in matrices)
    parts = _by_head(found, kernel.heads)
    ranks, energy = spectrum(matrices) if matrices else (torch.zeros(kernel.heads), torch.zeros(kernel.heads, 0))
    between = _between(call, matrices, names, pairs, contents, seed)
    heads = [
        HeadExplanation(
            *parts[head],
            {} if occurs is None else dict(zip(OCCURRING, occurs[head].tolist(), strict=True)),
            {family: float(share[head]) for family, share in equals.items()},
            reach,
            float(ranks[head]),
            tuple(energy[head].tolist()),
            between[head],
        )
        for head, reach in enumerate(_reach(drawn, kernel.heads))
    ]
    return KernelExplanation(call.path, name, kind, points, tuple(heads), "; ".join(notes), drawn, position)


def _by_head(found: Shares | None, heads: int) -> list[tuple[dict[str, float], dict[str, tuple[float, float]]]]:
    """Return the shares and their intervals by head; empty ones without shares."""
    if found is None:
        return [({}, {})] * heads
    rows = zip(found.values.tolist(), found.low.tolist(), found.high.tolist(), strict=True)
    return [
        (dict(zip(PARTS, values, strict=True)), dict(zip(PARTS, zip(low, high, strict=True), strict=True)))
        for values, low, high in rows
    ]


def _between(
    call: Call, matrices: Sequence[WeightMatrix], names: Sequence[str], pairs: int, contents: int, seed: int
) -> list[dict[str, Between]]:
    """Return, for each head, what it is due to by pair of parts."""
    heads: list[dict[str, Between]] = [{} for _ in range(call.kernel.heads)]
    for (query, key), found in shares_between(call, pairs=pairs, contents=contents, seed=seed).items():
        weights = weight_between(call, matrices, query, key).tolist()
        for head, weight, parts in zip(heads, weights, _by_head(found, call.kernel.heads), strict=True):
            head[pair_name(names, query, key)] = Between(weight, *parts)
    return heads


def _maps(call: Call, matrix: WeightMatrix, most: int) -> Maps:
    rows = spread(len(matrix.queries), most)
    sides = call.query.positions[matrix.sample].cpu(), call.key.positions[matrix.sample].cpu()
    weights = matrix.weights[:, rows]
    return Maps(matrix.sample, matrix.queries[rows], weights, *sides, call.key.grid, received(matrix))


def _rollout(rollout: Rollout, calls: Sequence[Call], most: int) -> tuple[Maps, ...]:
    found = []
    for sample, (points, product) in rollout.matrices().items():
        field, rows = calls[0].query, spread(len(points), most)
        weights = torch.zeros(1, len(points), field.values.shape[1])
        weights[0, :, points] = product
        positions = field.positions[sample].cpu()
        mean = weights.mean(1)
        found.append(Maps(sample, points[rows], weights[:, rows], positions, positions, field.grid, mean))
    return tuple(found)


def _reach(maps: Sequence[Maps], heads: int) -> list[float]:
    """Return the mean distance that each head reads, weighted by the size of its weights."""
    total, size = torch.zeros(2, heads)
    for item in maps:
        distance = torch.cdist(item.query_positions[item.queries].float(), item.key_positions.float())
        weights = item.weights.abs()
        total, size = total + (weights * distance).sum((1, 2)), size + weights.sum((1, 2))
    return torch.where(size > 0, total / size, 0.0).tolist()
