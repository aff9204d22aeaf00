"""Matrix-valued kernels: `values: full`. That each kernel computes Σ_h ∫ k_h M_h u dμ is in the conformance kit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from itnet_core import (
    DenseEvaluator,
    Evaluator,
    Field,
    IntegralOperator,
    MLPKernel,
    ScalarConfig,
    ShapeError,
    TiledEvaluator,
)
from itnet_registry import Registry, create
from itnet_testing.fields import on_a_line, scattered

OWN_MAPS = (
    *("convolution", "gcn", "gin", "gru", "lstm", "mamba", "message-passing", "product"),
    *("s4", "s4d", "scaled", "skeleton", "sum"),
)
"""Kernels that bring their own V and O, and those made of other kernels, which have the option."""


FULL = {"values": "full", "heads": 3}


class Largest(TorchDispatchMode):
    """The numbers of the largest tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        sizes = [tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in tensors]
        self.numbers = max([self.numbers, *sizes])
        return result


def test_every_scalar_kernel_has_the_option() -> None:
    names = {component.name for component in Registry().components() if component.kind == "kernel"}
    configs = {name: Registry().component("kernel", name).load().Config for name in names}
    with_option = {name for name, config in configs.items() if issubclass(config, ScalarConfig)}
    assert names - with_option == set(OWN_MAPS)


def test_full_values_have_no_value_map_and_a_matrix_for_each_head() -> None:
    operator = IntegralOperator(8, MLPKernel(8, heads=3, values="full"), out_dim=5, pointwise=False)
    assert not list(operator.value.parameters())
    assert {tuple(p.shape) for p in operator.output.parameters()} == {(5, 3 * 8), (5,)}


def test_full_values_have_all_channels() -> None:
    with pytest.raises(ShapeError, match="head_dim"):
        IntegralOperator(8, MLPKernel(8, heads=2, values="full"), head_dim=4)


@pytest.mark.parametrize("evaluator", [DenseEvaluator(), TiledEvaluator(query_tile=2, key_tile=100)])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_values_are_not_copied_for_each_head(evaluator: Evaluator, normalization: str) -> None:
    heads, dim, keys = 16, 8, 500
    kernel = MLPKernel(dim, heads=heads, hidden=4, rank=2, frequencies=1, values="full", normalization=normalization)
    operator = IntegralOperator(dim, kernel, evaluator=evaluator)
    values = torch.randn(1, keys, dim, requires_grad=True)
    with Largest() as largest:
        operator(scattered(1, 2, dim), Field(values, torch.rand(1, keys, 4))).values.square().sum().backward()
    assert largest.numbers <= 2 * keys * heads < keys * heads * dim


@pytest.mark.parametrize("sampler", [{"name": "monte-carlo", "points": 5, "per_query": True}, {"name": "full"}])
@pytest.mark.parametrize("kernel", [{**FULL, "name": "mlp"}, {"name": "skeleton", "pivots": 3, "mlp": FULL}])
def test_evaluators_agree_over_nodes(kernel: dict[str, Any], sampler: dict[str, Any]) -> None:
    results = []
    for evaluator in ("dense", "tiled", "auto"):
        torch.manual_seed(0)
        parts = create("kernel", dim=8, **kernel), create("sampler", dim=8, **sampler), create("evaluator", evaluator)
        results.append(IntegralOperator(8, *parts).double().eval()(on_a_line(0)).values)
    torch.testing.assert_close(results[1:], [results[0]] * 2, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("evaluator", ["dense", "tiled", "native"])
def test_as_many_heads_as_hidden_units_fold_the_second_layer(evaluator: str) -> None:
    """Σ_h O_h Σ_c W_hc σ_c = Σ_c M_c σ_c with M_c = Σ_h O_h W_hc."""
    heads, hidden, field = 3, 5, scattered(2, 300).to(torch.float64)
    folded = MLPKernel(8, heads=hidden, hidden=hidden, values="full")
    other = MLPKernel(8, heads=heads, hidden=hidden, values="full")
    assert not [name for name, _ in folded.named_parameters() if name.startswith("second")]
    other.load_state_dict(folded.state_dict(), strict=False)
    torch.nn.init.zeros_(other.second.bias)
    one, two = (
        IntegralOperator(8, kernel, evaluator=create("evaluator", evaluator), pointwise=False).double()
        for kernel in (folded, other)
    )
    (matrices, bias), (weight, other_bias) = one.output.parameters(), two.output.parameters()
    with torch.no_grad():
        matrices.copy_(torch.einsum("ohd,hc->ocd", weight.view(8, heads, 8), other.second.weight).flatten(1))
        bias.copy_(other_bias)
    torch.testing.assert_close(one(field).values, two(field).values, rtol=1e-9, atol=1e-9)
