"""Every kernel × options × sampler × evaluator × field: equal to a plain sum over pairs in float64, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import Field, IntegralOperator, ITNetError, Kernel, Nodes, Sampler
from itnet_registry import Registry, create
from itnet_testing.fields import on_a_line, on_an_image, scattered, with_edges

REGISTRY = Registry()
KERNELS = [component.id for component in REGISTRY.components() if component.kind == "kernel"]
EVALUATORS: dict[str, dict[str, Any]] = {
    "auto": {},
    "dense": {},
    "tiled": {"query_tile": 3, "key_tile": 4},
    "local": {},
    "native": {},
    "sorted": {},
    "chebyshev": {"tolerance": 1e-10},
}
SAMPLERS: dict[str, dict[str, Any] | None] = {
    "full": None,
    "monte-carlo": {"points": 5},
    "monte-carlo, per query": {"points": 5, "per_query": True},
    "neighbours": {"count": 4},
    "neighbours, all": {"count": 100},
    "neighbours, radius": {"radius": 1.0},
    "landmarks": {"count": 5},
}
SUPPORTS: tuple[dict[str, Any], ...] = (
    {},
    {"causal": "t"},
    {"radius": 1.0},
    {"window": 0.8},
    {"causal": "t", "radius": 1.5},
)
MLP = {"name": "mlp", "heads": 2, "hidden": 5, "support": {"radius": 1.5}}
BIAS = {"name": "scaled", "scales": "kernel", "start": 0.5, "kernel": {**MLP, "normalization": "softmax"}}
SUMS: tuple[list[Any], ...] = (
    ["attention", MLP, {"name": "scaled", "kernel": "low-rank", "start": 0.5}],
    [
        {"name": "attention", "support": {"causal": "t"}},
        {"name": "product", "kernels": [MLP, {"name": "gaussian", "heads": 1}]},
    ],
)
PRODUCTS: tuple[list[Any], ...] = ([MLP, {"name": "gaussian", "heads": 1}], [{"name": "attention", "heads": 2}, BIAS])
DIM = 8
SOME = 25
"""Combinations of a kernel that every run tries; `make test-all` tries all."""


@dataclass(frozen=True)
class Combination:
    """One of them."""

    kernel: str
    options: tuple[tuple[str, Any], ...]
    sampler: str
    evaluator: str
    fields: str

    def __str__(self) -> str:
        return f"{self.kernel} {dict(self.options)}, {self.sampler}, {self.evaluator}, {self.fields}"


def fields(name: str) -> tuple[Field, Field]:
    """Return a query and a key field, one for both in a self transform."""
    make = {"line": on_a_line, "image": on_an_image, "scattered": lambda seed: scattered(2, 9, seed=seed)}
    shape, _, kind = name.partition(", ")
    key = make[shape](0).to(torch.float64)
    weights = key.weights
    if kind != "even":
        weights = weights * torch.linspace(0.5, 1.5, weights.shape[1], dtype=torch.float64)
    if kind == "padded":
        weights = weights * (torch.arange(weights.shape[1]) % 4 != 1)
    key = with_edges(Field(key.values, key.positions, weights, key.grid))
    if kind != "cross":
        return key, key
    return make["scattered"](1).to(torch.float64), key


FIELDS = [
    f"{shape}, {kind}" for shape in ("line", "image", "scattered") for kind in ("self", "even", "padded", "cross")
]


def combinations(kernel: str) -> Iterator[Combination]:
    """Yield all combinations of a kernel: both normalizations and every support where it has these options."""
    cls = REGISTRY.component("kernel", kernel).load()
    known = cls.Config.model_fields
    norms = [{"normalization": item} for item in ("none", "softmax")] if "normalization" in known else [{}]
    supports = [{"support": item} for item in SUPPORTS] if "support" in known else [{}]
    more: list[dict[str, Any]] = [{}]
    if kernel == "itnet-core/mlp":
        more += [{"inputs": ("query", "key", "displacement"), "activation": item} for item in ("relu", "silu")]
    if kernel == "itnet-kernels/attention":
        more += [{"rotary": True}, {"alibi": True}, {"key_heads": 1}]
    if kernel == "itnet-kernels/sum":  # integrals by one measure, which one sampler serves
        more += [{"kernels": item} for item in SUMS]
    if kernel == "itnet-kernels/product":
        more += [{"kernels": item} for item in PRODUCTS]
    for options in ({**a, **b, **c} for a in norms for b in supports for c in more):
        for sampler in SAMPLERS:
            for evaluator in EVALUATORS:
                for name in FIELDS:
                    yield Combination(kernel, tuple(options.items()), sampler, evaluator, name)


def independent_sum(operator: IntegralOperator, query: Field, key: Field, sampled: Field | Nodes | None) -> Tensor:
    """Return the operator's result from k of all pairs, with everything else written down again."""
    integrals = [independent_integral(*summand, query, key, sampled) for summand in operator.summands]
    out = torch.stack(integrals).sum(0)
    return out if operator.pointwise is None else out + operator.pointwise(query.without_padding().values)


def independent_integral(
    kernel: Kernel, value: nn.Module, output: nn.Module, query: Field, key: Field, sampled: Field | Nodes | None
) -> Tensor:
    """Return one of the integrals that an operator adds."""
    query, key = (f.without_padding().with_measure(kernel.measure) for f in (query, key))
    if isinstance(sampled, Field):
        key = sampled.standing_for(key)
    k = kernel.tile(*kernel.project(query, key))
    batch, heads, n, m = k.shape
    inside = inside_of(kernel, query.positions, key.positions)
    values, weights = value(key.values), key.weights
    if isinstance(sampled, Nodes):
        indices = sampled.indices if sampled.indices.ndim == 3 else sampled.indices.unsqueeze(1).expand(-1, n, -1)
        weights = (
            sampled.weights.expand(indices.shape)
            if sampled.weights.ndim == 3
            else sampled.weights.unsqueeze(1).expand(indices.shape)
        )
    else:
        indices, weights = torch.arange(m).expand(batch, n, m), weights.unsqueeze(1).expand(batch, n, m)
    k = k.gather(3, indices.unsqueeze(1).expand(-1, heads, -1, -1))
    inside = inside.expand(batch, n, m).gather(2, indices) & (weights > 0)
    rows = torch.arange(batch).view(-1, 1, 1)
    values = values[rows, indices]  # (B, n, nodes, heads, head_dim)
    if kernel.normalization == "softmax":
        mass = torch.where(inside, weights, 1.0).unsqueeze(1) * (k - k.detach().amax()).exp()
        mass = mass * inside.unsqueeze(1)
        total = mass.sum(-1, keepdim=True)
        matrix = mass / torch.where(total > 0, total, 1.0)
    else:
        matrix = k * (weights * inside).unsqueeze(1)
    out: Tensor = output(torch.einsum("bhnm,bnmhd->bnhd", matrix, values))
    return out


def inside_of(kernel: Kernel, query: Tensor, key: Tensor) -> Tensor:
    """Return which pairs lie in the kernel's support, (B, n, m)."""
    gap = query.unsqueeze(2) - key.unsqueeze(1)
    support, inside = kernel.support, torch.ones(gap.shape[:-1], dtype=torch.bool)
    if support.causal is not None:
        inside &= gap[..., support.causal_axis(gap.shape[-1])] >= 0
    if support.radius is not None:
        inside &= gap.square().sum(-1) <= support.radius**2
    if support.window is not None:
        inside &= (gap.abs() <= support.window).all(-1)
    return inside


class Fixed(Sampler):
    """Gives what another sampler gave, so that both ways have the same nodes."""

    def __init__(self, sampled: Field | Nodes) -> None:
        super().__init__(DIM)
        self.sampled = sampled

    def forward(self, query: Field, key: Field) -> Field | Nodes:
        """Return it."""
        return self.sampled


def outcome(given: Combination) -> str:
    """Return "equal" or why it was refused.

    Raises:
        AssertionError: another result, or another gradient.
    """
    cls = REGISTRY.component("kernel", given.kernel).load()
    torch.manual_seed(0)
    query, key = fields(given.fields)
    name = given.sampler.partition(",")[0]
    try:
        kernel = cls(DIM, **{**cls.example_options, **dict(given.options)})
        evaluator = create("evaluator", given.evaluator, **EVALUATORS[given.evaluator])
        operator = IntegralOperator(DIM, kernel, evaluator=evaluator).double().eval()
        measured = [f.without_padding().with_measure(operator.summands[0][0].measure) for f in (query, key)]
        options = SAMPLERS[given.sampler]
        if options is not None:
            sampler = create("sampler", name, dim=DIM, **options).double().eval()
            with torch.no_grad():
                sampled = sampler(measured[0], measured[0] if key is query else measured[1])
            operator.sampler = Fixed(sampled)
    except ITNetError as error:
        return f"refused: {error}"

    def run(plain: bool) -> dict[str, Tensor]:
        parts = {"values": key.values, "positions": key.positions}
        if isinstance(operator.sampler, Fixed):
            parts.pop("positions") if isinstance(operator.sampler.sampled, Field) else None
        else:
            parts["weights"] = key.weights
        leaves = {what: part.clone().requires_grad_() for what, part in parts.items()}
        moved = key.replace(**leaves)
        first = moved if query is key else query
        if plain:
            sampled = operator.sampler.sampled if isinstance(operator.sampler, Fixed) else None
            out = independent_sum(operator, first, moved, sampled)
        else:
            out = operator(first, moved).values
        leaves |= {f"parameter {what}": part for what, part in operator.named_parameters()}
        weight = torch.linspace(-1, 1.5, out.numel(), dtype=out.dtype).view_as(out)
        grads = torch.autograd.grad((out * weight).sum(), list(leaves.values()), allow_unused=True)
        zero = (torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves.values(), grads, strict=True))
        return {"result": out.detach(), **dict(zip(leaves, zero, strict=True))}

    try:
        actual = run(plain=False)
    except ITNetError as error:
        return f"refused: {error}"
    tolerance = max(1e-9, 100 * getattr(evaluator, "tolerance", 0.0))
    for what, expected in run(plain=True).items():
        off = (actual[what] - expected).abs().max()
        assert off <= tolerance * expected.abs().max().clamp(min=1e-2), f"{given}: {what} is off by {float(off):.2g}"
    return "equal"


def hold(chosen: list[Combination]) -> None:
    """Check them, and that not all are refused."""
    failed, equal = [], 0
    for item in chosen:
        try:
            equal += outcome(item) == "equal"
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "\n".join([f"{len(failed)} of {len(chosen)}:", *failed[:20]])
    assert equal


@pytest.mark.parametrize("kernel", KERNELS)
def test_some_combinations(kernel: str) -> None:
    everything = [*combinations(kernel)]
    hold(random.Random(0).sample(everything, min(SOME, len(everything))))


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
def test_all_combinations(kernel: str) -> None:
    hold([*combinations(kernel)])
