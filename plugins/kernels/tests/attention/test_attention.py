"""Attention is what torch calls attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    Field,
    IntegralOperator,
    Nodes,
    Sampler,
    ShapeError,
    TiledEvaluator,
)
from itnet_kernels import AttentionKernel
from itnet_kernels.attention.position_encoding import alibi_slopes, rotate

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}


def like(reference: nn.MultiheadAttention, **options: Any) -> IntegralOperator:
    """Return the operator with the weights of torch's module."""
    dim = reference.embed_dim
    kernel = AttentionKernel(dim, heads=reference.num_heads, bias=True, **options)
    operator = IntegralOperator(dim, kernel, pointwise=False).double()
    value: Any = operator.value
    output: Any = operator.output
    with torch.no_grad():
        linears = (kernel.query, kernel.key, value[0])
        for linear, weight, bias in zip(
            linears, reference.in_proj_weight.chunk(3), reference.in_proj_bias.chunk(3), strict=True
        ):
            linear.weight.copy_(weight)
            linear.bias.copy_(bias)
        output[1].load_state_dict(reference.out_proj.state_dict())
    return operator


@pytest.mark.parametrize("evaluator", [None, DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4)])
@settings(max_examples=20, deadline=None)
@given(
    batch=st.integers(1, 3),
    heads=st.integers(1, 4),
    width=st.integers(1, 5),
    queries=st.integers(1, 9),
    keys=st.integers(1, 9),
    mode=st.sampled_from(["self", "cross", "causal", "padded"]),
)
def test_it_is_multi_head_attention(
    timeline: Callable[..., Field],
    evaluator: Any,
    batch: int,
    heads: int,
    width: int,
    queries: int,
    keys: int,
    mode: str,
) -> None:
    torch.manual_seed(0)
    dim = heads * width
    reference = nn.MultiheadAttention(dim, heads, batch_first=True).double()
    nn.init.normal_(reference.in_proj_bias)
    operator = like(reference, support={"causal": "t"} if mode == "causal" else {})
    if evaluator is not None:
        operator.evaluator = evaluator
    x = torch.randn(batch, queries, dim, dtype=torch.float64, requires_grad=True)
    y = x if mode in ("self", "causal") else torch.randn(batch, keys, dim, dtype=torch.float64, requires_grad=True)
    masks: dict[str, Any] = {"need_weights": False}
    weights = None
    if mode == "causal":
        masks["attn_mask"] = nn.Transformer.generate_square_subsequent_mask(queries, dtype=torch.float64)
    if mode == "padded":
        absent = torch.rand(batch, y.shape[1]) < 0.4
        absent[:, 0] = False
        masks["key_padding_mask"] = absent
        weights = (~absent).double()
    expected, _ = reference(x, y, y, **masks)
    query = timeline(x)
    actual = operator(query, query if y is x else timeline(y, weights)).values
    torch.testing.assert_close(actual, expected, **EXACT)
    direction = torch.randn_like(expected)
    sides = [x] if y is x else [x, y]
    for mine, theirs in zip(
        torch.autograd.grad((actual * direction).sum(), sides),
        torch.autograd.grad((expected * direction).sum(), sides),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, **EXACT)


def test_groups_share_keys_and_values(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    kernel = AttentionKernel(12, heads=6, key_heads=2)
    operator: Any = IntegralOperator(12, kernel, pointwise=False).double()
    field = timeline(torch.randn(2, 7, 12, dtype=torch.float64))
    q = kernel.query(field.values).unflatten(-1, (6, 2)).transpose(1, 2)
    k = kernel.key(field.values).unflatten(-1, (2, 2)).transpose(1, 2)
    v = operator.value[0](field.values).unflatten(-1, (2, 2)).transpose(1, 2)
    expected = operator.output(F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2))
    torch.testing.assert_close(operator(field).values, expected, **EXACT)


def test_alibi_is_a_bias_of_the_scores(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    kernel = AttentionKernel(8, heads=4, alibi=True, support={"causal": "t"})
    operator = IntegralOperator(8, kernel, pointwise=False).double()
    field = timeline(torch.randn(2, 7, 8, dtype=torch.float64))
    q, k = (part(field.values).unflatten(-1, (4, 2)).transpose(1, 2) for part in (kernel.query, kernel.key))
    v = operator.value(field.values).transpose(1, 2)
    place = torch.arange(7.0, dtype=torch.float64)
    bias = -torch.tensor([2**-2, 2**-4, 2**-6, 2**-8]).view(4, 1, 1) * (place[:, None] - place)
    bias = bias.masked_fill(place[:, None] < place, -math.inf)
    expected = operator.output(F.scaled_dot_product_attention(q, k, v, attn_mask=bias.double()).transpose(1, 2))
    torch.testing.assert_close(operator(field).values, expected, **EXACT)
    assert alibi_slopes(8).tolist() == [2.0**-h for h in range(1, 9)]


def test_rotation_turns_pairs_of_channels() -> None:
    torch.manual_seed(0)
    heads, places = torch.randn(2, 5, 3, 8, dtype=torch.float64), torch.rand(2, 5, dtype=torch.float64) * 50
    numbers = torch.complex(heads[..., :4], heads[..., 4:])
    angles = places[..., None, None] * torch.tensor([1.0, 0.1, 0.01, 0.001], dtype=torch.float64)
    turned = numbers * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(rotate(heads, places), torch.cat([turned.real, turned.imag], -1), **EXACT)


def test_rotary_scores_depend_on_distances_alone(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    operator = IntegralOperator(8, AttentionKernel(8, heads=2, rotary=True)).double()
    field = timeline(torch.randn(1, 6, 8, dtype=torch.float64))
    moved = Field(field.values, field.positions + 17, field.weights)
    torch.testing.assert_close(operator(moved).values, operator(field).values, **EXACT)


def test_a_point_of_weight_two_is_two_points(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    operator = IntegralOperator(8, AttentionKernel(8, heads=2), pointwise=False).double()
    values = torch.randn(1, 4, 8, dtype=torch.float64)
    query, weights = timeline(values), torch.tensor([[1.0, 2.0, 1.0, 1.0]], dtype=torch.float64)
    twice = timeline(torch.cat([values, values[:, 1:2]], dim=1))
    torch.testing.assert_close(
        operator(query, timeline(values, weights)).values, operator(query, twice).values, **EXACT
    )


def test_it_is_causal(timeline: Callable[..., Field]) -> None:
    torch.manual_seed(0)
    operator = IntegralOperator(8, AttentionKernel(8, heads=2, support={"causal": "t"})).double()
    values = torch.randn(1, 9, 8, dtype=torch.float64)
    changed = values.clone()
    changed[:, 5:] = torch.randn(1, 4, 8, dtype=torch.float64)
    torch.testing.assert_close(
        operator(timeline(changed)).values[:, :5], operator(timeline(values)).values[:, :5], **EXACT
    )


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected heads = 4 to be a multiple of key_heads = 3"):
        AttentionKernel(8, heads=4, key_heads=3)
    with pytest.raises(ShapeError, match="head_dim 0, of dim 2 and 4 heads"):
        AttentionKernel(2, heads=4)
    with pytest.raises(ShapeError, match="an even one with rotary"):
        AttentionKernel(6, heads=2, rotary=True)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4)])
@pytest.mark.parametrize("masked", [-1e10, torch.finfo(torch.float64).min])
def test_a_query_whose_keys_are_all_masked_by_a_number_has_its_gradients(
    timeline: Callable[..., Field], evaluator: Any, masked: float
) -> None:
    """PyTorch's fused attention rounds the total weight of such a query away in its backward pass."""
    torch.manual_seed(0)
    operator = IntegralOperator(8, AttentionKernel(8, heads=4), pointwise=False).double()
    field = timeline(torch.randn(2, 7, 8, dtype=torch.float64))
    mask = torch.zeros(2, 1, 7, 7, dtype=torch.float64)
    mask[1, :, 2:4] = masked
    q, k = (
        part(field.values).unflatten(-1, (4, 2)).transpose(1, 2)
        for part in map(operator.kernel.get_submodule, ("query", "key"))
    )
    v = operator.value(field.values).transpose(1, 2)
    expected = operator.output(((q @ k.mT / 2**0.5 + mask).softmax(-1) @ v).transpose(1, 2))
    operator.evaluator = evaluator
    actual = operator(field, additive=mask).values
    torch.testing.assert_close(actual, expected, **EXACT)
    gradients = (torch.autograd.grad(out.square().sum(), [*operator.parameters()]) for out in (actual, expected))
    torch.testing.assert_close(*gradients, **EXACT)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4)])
@pytest.mark.parametrize("causal", [False, True])
def test_additive_scores_are_pytorchs_attention_mask(
    timeline: Callable[..., Field], evaluator: Any, causal: bool
) -> None:
    torch.manual_seed(0)
    kernel = AttentionKernel(8, heads=4, support={"causal": "t"} if causal else {})
    operator = IntegralOperator(8, kernel, evaluator=evaluator, pointwise=False).double()
    field = timeline(torch.randn(2, 7, 8, dtype=torch.float64))
    q, k = (part(field.values).unflatten(-1, (4, 2)).transpose(1, 2) for part in (kernel.query, kernel.key))
    v = operator.value(field.values).transpose(1, 2)
    later = torch.ones(7, 7, dtype=torch.bool).triu(1)
    for shape in ((2, 4, 7, 7), (2, 1, 7, 7), (7, 7)):
        additive = torch.randn(shape, dtype=torch.float64).requires_grad_()
        mask = additive.masked_fill(later, -math.inf) if causal else additive
        expected = operator.output(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2))
        actual = operator(field, additive=additive).values
        torch.testing.assert_close(actual, expected, **EXACT)
        ours, theirs = (
            torch.autograd.grad(out.square().sum(), additive, retain_graph=True) for out in (actual, expected)
        )
        torch.testing.assert_close(ours, theirs, **EXACT)


class Chosen(Sampler):
    """Some points of the key, in a given order: shared, (M,), or of each query, (N, M)."""

    def __init__(self, dim: int, indices: Tensor, weight: float = 1.0) -> None:
        super().__init__(dim)
        self.indices, self.weight = indices, weight

    def forward(self, query: Field, key: Field) -> Nodes:
        indices = self.indices.expand(len(key.values), *self.indices.shape)
        return Nodes(indices, torch.full(indices.shape, self.weight, dtype=key.weights.dtype))


class Merged(Sampler):
    """Half as many points: the means of two that follow each other."""

    def forward(self, query: Field, key: Field) -> Field:
        values, positions = (torch.unflatten(part, 1, (-1, 2)).mean(2) for part in (key.values, key.positions))
        return Field(values, positions)


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator(), TiledEvaluator(query_tile=3, key_tile=4)])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("per_query", [False, True])
@pytest.mark.parametrize("count", [5, 8])
def test_a_bias_of_pairs_follows_the_nodes(
    timeline: Callable[..., Field], evaluator: Any, causal: bool, per_query: bool, count: int
) -> None:
    kernel = AttentionKernel(8, heads=4, support={"causal": "t"} if causal else {})
    operator = IntegralOperator(8, kernel, evaluator=evaluator, pointwise=False).double()
    field = timeline(torch.randn(2, 8, 8, dtype=torch.float64))
    order = torch.rand(8, 8).argsort(-1)[:, :count] if per_query else torch.randperm(8)[:count]
    chosen = torch.zeros(8, 8, dtype=torch.bool).scatter(1, order.expand(8, -1), True)
    bias = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    expected = operator(field, additive=bias.masked_fill(~chosen, -math.inf)).values
    operator.sampler = Chosen(8, order, 0.5)  # softmax divides by the mass, whatever it is
    torch.testing.assert_close(operator(field, additive=bias).values, expected, **EXACT)


def test_a_bias_of_pairs_that_are_merged_is_refused(timeline: Callable[..., Field]) -> None:
    operator = IntegralOperator(8, AttentionKernel(8, heads=4), Merged(8))
    field = timeline(torch.randn(2, 8, 8))
    message = r"additive\): found shape \(8, 8\); expected .* \(2, 4, 8, 4\)\. .* a sampler that selects points of the"
    with pytest.raises(ShapeError, match=message):
        operator(field, additive=torch.zeros(8, 8))
    assert operator(field, additive=torch.zeros(8, 1)).values.isfinite().all()
