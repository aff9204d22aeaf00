from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

from itnet_core import ConfigError, DenseEvaluator, Field, IntegralOperator, MLPKernel, ShapeError
from itnet_core.operator.mlp import CONTENT, INPUTS, PAPER, Input
from itnet_testing.reference import concatenated_mlp


def fields(batch: int, n: int, m: int, coordinates: int, offset: float = 0.0) -> tuple[Field, Field]:
    return tuple(  # type: ignore[return-value]
        Field(torch.randn(batch, points, 6), torch.randn(batch, points, coordinates) + offset) for points in (n, m)
    )


@settings(max_examples=25, deadline=None)
@given(
    inputs=st.sets(st.sampled_from(INPUTS), min_size=1),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 4)),
    activation=st.sampled_from(["relu", "silu", "gelu", "tanh"]),
)
def test_the_first_layer_separates(inputs: set[str], sizes: tuple[int, int, int, int], activation: str) -> None:
    """docs/operator.md, §2: the bilinear form equals the concatenated definition, in values and gradients."""
    torch.set_default_dtype(torch.float64)
    kernel = MLPKernel(
        6, inputs=tuple(inputs), position_dim=sizes[-1], heads=3, hidden=5, rank=4, frequencies=2, activation=activation
    )
    query, key = fields(*sizes)
    separated, definition = kernel.tile(*kernel.project(query, key)), concatenated_mlp(kernel, query, key)
    torch.testing.assert_close(separated, definition, rtol=1e-9, atol=1e-11)
    used = [p for p in kernel.parameters() if p is not kernel.content.weight or CONTENT & inputs]
    gradients = [torch.autograd.grad(k.square().sum(), used) for k in (separated, definition)]
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu"])
def test_attention_is_a_bilinear_kernel(activation: str) -> None:
    """docs/operator.md, §2: σ(s) − σ(−s) = s, so two hidden units form a head's scores ⟨W_q u(x), W_k u(y)⟩."""
    torch.set_default_dtype(torch.float64)
    query, key = torch.randn(2, 2, 9, 6)
    kernel = MLPKernel(
        6, heads=2, hidden=4, rank=6, inputs=("bilinear",), normalization="softmax", activation=activation
    )
    forms = torch.randn(2, 6, 6)  # W_qᵀ W_k / √d_h of each head
    with torch.no_grad():
        kernel.content.weight.copy_(torch.eye(6))
        kernel.first.weight.copy_(torch.cat([forms, -forms]).flatten(1))
        kernel.first.bias.zero_()
        kernel.second.weight.copy_(torch.eye(2).repeat(1, 2) * torch.tensor([1.0, 1.0, -1.0, -1.0]))
    operator = IntegralOperator(6, kernel, pointwise=False)
    out = operator(*(Field(values, torch.randn(2, 9, 4)) for values in (query, key))).values
    scores = torch.einsum("bnd,hde,bme->bhnm", query, forms, key)
    values = operator.value(key).movedim(1, 2)
    torch.testing.assert_close(out, operator.output((scores.softmax(-1) @ values).movedim(1, 2)), rtol=1e-9, atol=1e-9)


def test_positions_far_from_zero_do_not_cancel() -> None:
    kernel = MLPKernel(6, position_dim=2)
    query, key = fields(1, 40, 50, 2)
    near = kernel.tile(*kernel.project(query, key))
    single = kernel.float()
    moved = [Field(f.values.float(), (f.positions + 1000).float()) for f in (query, key)]
    # 1000 + x has an absolute precision of 6e-5 in float32; what is lost beyond that would be ours.
    rounded = [Field(f.values.double(), f.positions.double()) for f in moved]
    expected = concatenated_mlp(kernel.double(), *rounded)
    torch.testing.assert_close(single.float().tile(*single.project(*moved)).double(), expected, rtol=1e-3, atol=1e-3)
    assert not torch.equal(near, expected)


def test_no_tensor_of_all_inputs_of_all_pairs_is_made() -> None:
    kernel = MLPKernel(6, position_dim=2, hidden=8)
    query, key = fields(1, 64, 64, 2)
    sizes: list[int] = []

    class Sizes(torch.utils._python_dispatch.TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in (out if isinstance(out, tuple) else (out,)) if torch.is_tensor(t))
            return out

    with Sizes():  # type: ignore[no-untyped-call]
        kernel.tile(*kernel.project(query, key))
    assert max(sizes) == 64 * 64 * 8


def test_the_kernel_is_a_function_of_points() -> None:
    """Tiles of any sub-block equal the block of the whole, and batch samples do not see each other."""
    kernel = MLPKernel(6, position_dim=2)
    query, key = fields(2, 8, 9, 2)
    query_terms, key_terms = kernel.project(query, key)
    whole = kernel.tile(query_terms, key_terms)
    some, others = tree_map(lambda t: t[1:, 2:5], query_terms), tree_map(lambda t: t[1:, 3:], key_terms)
    torch.testing.assert_close(kernel.tile(some, others), whole[1:, :, 2:5, 3:])


def test_it_starts_local() -> None:
    """At the start a kernel differs between near and far points, on every axis that is used."""
    points = torch.linspace(-1, 1, 41).view(1, -1, 1)
    positions = torch.cat([points, *[torch.zeros_like(points)] * 3], -1)
    kernel = MLPKernel(6, hidden=64)
    k = kernel.tile(*kernel.project(*[Field(torch.zeros(1, 41, 6), positions)] * 2))[0]
    spread = k.std(-1).mean()
    assert spread > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hiden": 3}, "MLPKernel.hiden: found a field that does not exist.*Did you mean 'hidden'"),
        ({"support": {"causl": "t"}}, "MLPKernel.support.causl: .*Did you mean 'causal'"),
        ({"heads": 0}, "MLPKernel.heads: found 0"),
        ({"inputs": []}, "at least one input"),
        ({"inputs": ["query", "query"]}, "each at most once"),
        ({"inputs": ["queries"]}, "MLPKernel.inputs.0"),
        ({"activation": "swish"}, "MLPKernel.activation"),
    ],
)
def test_a_bad_configuration_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MLPKernel(6, **options)


def test_positions_of_other_coordinates_are_refused() -> None:
    kernel = MLPKernel(6)
    with pytest.raises(ShapeError, match="position_dim = 4"):
        kernel.project(*fields(1, 3, 3, 2))


def test_config_round_trip() -> None:
    kernel = MLPKernel(6, heads=2, support={"causal": "t"}, inputs=["fourier", "query"])
    again = MLPKernel(6, MLPKernel.Config.model_validate_json(kernel.config.model_dump_json()))
    assert again.config == kernel.config
    again.load_state_dict(kernel.state_dict())


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("inputs", [PAPER, ("query", "key", "displacement"), ("bilinear", "fourier")])
def test_second_derivatives(normalization: str, inputs: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {"normalization": normalization, "inputs": inputs, "position_dim": 2}
    kernel = MLPKernel(4, heads=2, hidden=4, rank=2, frequencies=2, activation="tanh", **options)
    operator = IntegralOperator(4, kernel, evaluator=DenseEvaluator()).double()
    parts = torch.randn(2, 4, 4), torch.randn(2, 4, 2), torch.rand(2, 4) + 0.1
    tensors = [part.double().requires_grad_() for part in parts]
    assert torch.autograd.gradgradcheck(lambda *given: operator(Field(*given)).values, tensors)


def test_a_bounded_kernel_stays_finite_where_another_grows_with_the_square() -> None:
    torch.manual_seed(0)
    field = Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4))
    sizes = {}
    for bounded in (False, True):
        kernel = MLPKernel(8, bounded=bounded)
        scaled = [field.with_values(scale * field.values) for scale in (1e3, 1e6)]
        sizes[bounded] = [float(kernel(*kernel.project(each, each)).abs().max()) for each in scaled]
    assert sizes[True][1] < 1.01 * sizes[True][0]
    assert sizes[False][1] > 9e5 * sizes[False][0]


def test_small_contents_are_the_same_in_a_bounded_kernel() -> None:
    field = Field(1e-3 * torch.randn(1, 5, 8), torch.rand(1, 5, 4))
    plain, bounded = MLPKernel(8), MLPKernel(8, bounded=True)
    bounded.load_state_dict(plain.state_dict())
    expected, actual = (kernel(*kernel.project(field, field)) for kernel in (plain, bounded))
    torch.testing.assert_close(actual, expected, atol=1e-6, rtol=1e-5)


def test_every_matrix_product_of_a_tile_counts_as_flops() -> None:
    kernel, n, m = MLPKernel(8, heads=3, hidden=5, rank=2, frequencies=2, position_dim=2), 7, 11
    query, key = (Field(torch.randn(1, points, 8), torch.rand(1, points, 2)) for points in (n, m))
    terms = kernel.project(query, key)
    with FlopCounterMode(display=False) as counter:
        kernel.tile(*terms)
    width, geometry = kernel.inputs.width, kernel.inputs.geometry
    queries = n * width * kernel.config.hidden * width
    pairs = n * m * kernel.config.hidden * (width + geometry + kernel.heads)
    assert counter.get_total_flops() == 2 * (queries + pairs)


@pytest.mark.parametrize("inputs", [PAPER, ("query", "key", "product"), ("displacement",)])
def test_the_hidden_layer_is_activated_in_place_of_no_view(inputs: tuple[Input, ...]) -> None:
    """Autograd would copy the gradient of the largest tensor of a tile twice."""
    kernel = MLPKernel(8, inputs=inputs, position_dim=2)
    field = Field(torch.randn(1, 9, 8, requires_grad=True), torch.rand(1, 9, 2))
    nodes: set[Any] = set()
    open_ends = [kernel.tile(*kernel.project(field, field)).grad_fn]
    while open_ends:
        if (node := open_ends.pop()) is not None and node not in nodes:
            nodes.add(node)
            open_ends += [parent for parent, _ in node.next_functions]
    assert "ReluBackward0" in {node.name() for node in nodes}
    assert "CopySlices" not in {node.name() for node in nodes}
