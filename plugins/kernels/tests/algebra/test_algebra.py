"""Sums, products and scaled kernels equal what their formulas say, and refuse what has no meaning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator, ITNetError, Kernel
from itnet_core.operator.evaluators.dense import pair_matrix
from itnet_kernels import AttentionKernel, GaussianKernel, ProductKernel, ScaledKernel, SumKernel
from itnet_registry import create_model
from itnet_testing.fields import permuted, sample, scattered

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
MLP = {"name": "mlp", "heads": 2, "hidden": 5}
SOFTMAX_MLP = {**MLP, "normalization": "softmax"}
ENCODER = {"name": "itnet-core/field", "channels": 3}


def operator_of(kernel: Kernel, **options: Any) -> IntegralOperator:
    return IntegralOperator(8, kernel, **options).double().eval()


def field() -> Field:
    return scattered().to(torch.float64)


def matrix_of(kernel: Kernel, side: Field) -> Tensor:
    """Return the factor of the values, with their weights, (B, heads, N, N)."""
    matrix = pair_matrix(kernel.problem(side, side, side.values.unsqueeze(2)))
    return matrix * side.weights[:, None, None, :] if kernel.normalization == "none" else matrix


def applied(matrix: Tensor, value: nn.Module, output: nn.Module, side: Field) -> Tensor:
    out: Tensor = output(torch.einsum("bhnm,bmhd->bnhd", matrix, value(side.values)))
    return out


@pytest.mark.parametrize("evaluator", [AutoEvaluator(), DenseEvaluator()])
def test_a_sum_adds_integrals_of_different_normalizations(evaluator: Any) -> None:
    side, kernel = field(), SumKernel(8, kernels=["attention", MLP, {"name": "scaled", "kernel": MLP, "start": 0.25}])
    operator = operator_of(kernel, evaluator=evaluator, pointwise=False)
    (attention, v1, o1), (mlp, v2, o2), (scaled, v3, o3) = operator.summands
    expected = applied(matrix_of(attention, side), v1, o1, side) + applied(matrix_of(mlp, side), v2, o2, side)
    inner, output = scaled.kernel, o3.output
    assert isinstance(inner, Kernel)
    assert isinstance(output, nn.Module)
    expected = expected + 0.25 * applied(matrix_of(inner, side), v3, output, side)
    torch.testing.assert_close(operator(side).values, expected, **EXACT)


def test_kernels_with_the_same_maps_add_up_to_one_kernel() -> None:
    side, first, second = field(), GaussianKernel(8, heads=2), GaussianKernel(8, heads=2, longest=3.0)
    operator = operator_of(SumKernel.of(first, second), pointwise=False)
    value, output = operator.summands[0][1:]
    operator.value, operator.output = nn.ModuleList([value] * 2), nn.ModuleList([output] * 2)
    matrix = matrix_of(first, side) + matrix_of(second, side)
    bias = output(torch.zeros(1, 1, 2, 4, dtype=torch.float64))
    torch.testing.assert_close(operator(side).values, applied(matrix, value, output, side) + bias, **EXACT)


def test_a_product_multiplies_kernels() -> None:
    side, kernel = field(), ProductKernel(8, kernels=[MLP, {"name": "gaussian", "heads": 1}])
    operator = operator_of(kernel, pointwise=False)
    mlp, gaussian = (item for item in kernel.kernels if isinstance(item, Kernel))
    k = mlp.tile(*mlp.project(side, side)) * gaussian.tile(*gaussian.project(side, side))
    expected = applied(k * side.weights[:, None, None, :], operator.value, operator.output, side)
    torch.testing.assert_close(operator(side).values, expected, **EXACT)


def test_a_product_under_softmax_adds_logits() -> None:
    """It is attention with a learned bias, which `additive` gives it too."""
    side, kernel = field(), ProductKernel(8, kernels=[{"name": "attention", "heads": 2}, SOFTMAX_MLP])
    operator = operator_of(kernel)
    attention, mlp = (item for item in kernel.kernels if isinstance(item, Kernel))
    biased = operator_of(attention)
    biased.load_state_dict(operator.state_dict(), strict=False)
    biased.kernel, biased.value, biased.output, biased.pointwise = (
        attention, operator.value, operator.output, operator.pointwise
    )  # fmt: skip
    bias = mlp.tile(*mlp.project(side, side))
    torch.testing.assert_close(operator(side).values, biased(side, additive=bias).values, **EXACT)
    more = torch.randn(11, 11, dtype=torch.float64)
    expected = biased(side, additive=bias + more).values
    torch.testing.assert_close(operator(side, additive=more).values, expected, **EXACT)


def test_supports_of_a_product_intersect() -> None:
    kernels = [{**MLP, "support": {"causal": "t"}}, {"name": "gaussian", "heads": 2, "support": {"radius": 0.9}}]
    assert ProductKernel(8, kernels=kernels).support.model_dump(exclude_none=True) == {
        "causal": "t", "radius": 0.9, "edge": 0.0,
    }  # fmt: skip


def test_a_factor_that_starts_at_0_leaves_attention_as_it_is() -> None:
    side, attention = field(), AttentionKernel(8, heads=2)
    gated = {"name": "scaled", "kernel": SOFTMAX_MLP, "scales": "kernel"}
    product = ProductKernel(8, kernels=[{"name": "attention", "heads": 2}, gated])
    plain, operator = operator_of(attention), operator_of(product)
    operator.load_state_dict(
        {name.replace("kernel.", "kernel.kernels.0."): tensor for name, tensor in plain.state_dict().items()},
        strict=False,
    )
    torch.testing.assert_close(operator(side).values, plain(side).values, **EXACT)
    operator(side).values.square().sum().backward()
    gates = [p.grad for name, p in operator.named_parameters() if name.endswith("gate")]
    assert all(grad is not None and grad.abs().max() > 0 for grad in gates)


def test_each_summand_keeps_its_fast_path() -> None:
    convolution = {"name": "scaled", "kernel": {"name": "convolution", "spacing": None}}
    kernel = SumKernel(8, kernels=["attention", convolution, {**MLP, "position_dim": 2}])
    operator = IntegralOperator(8, kernel, evaluator=AutoEvaluator(evaluators=[]))
    choice = operator.explain_choice(Field.on_grid(torch.randn(1, 4, 4, 8)))
    assert choice.chosen == "kernel.integrate + kernel.transform + DenseEvaluator"


@pytest.mark.parametrize("kernel", [ProductKernel, SumKernel])
def test_combined_kernels_stream(kernel: type[Kernel]) -> None:
    causal = {"causal": "t"}
    kernels = [{"name": "attention", "support": causal}, {"name": "mlp", "normalization": "softmax", "support": causal}]
    operator, whole = operator_of(kernel(8, kernels=kernels)), field()
    whole = permuted(whole, whole.positions[0, :, 0].argsort())
    state, outs = None, []
    for point in range(whole.values.shape[1]):
        state, out = operator.step(state, permuted(sample(whole, 0), torch.tensor([point])))
        outs.append(out.values)
    torch.testing.assert_close(torch.cat(outs, 1), operator(sample(whole, 0)).values)


def test_nested_names_are_completed_and_positions_follow() -> None:
    kernels = ["attention", {"name": "scaled", "kernel": {"name": "mamba2", "state": 2}}]
    model: Any = create_model(width=8, depth=1, encoder=ENCODER, kernel={"name": "sum", "kernels": kernels}, heads={})
    first, second = model.config["trunk"][0]["kernel"]["kernels"]
    assert first["name"] == "itnet-kernels/attention"
    assert (second["name"], second["kernel"]["name"]) == ("itnet-kernels/scaled", "itnet-kernels/mamba2")
    assert second["kernel"]["axis"] == "t"
    assert (model.config["position"], model.config["scan"]) == ("fourier", "z-order")


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        ({"name": "sum", "kernels": ["attention", {"name": "low-rank", "rnak": 3}]}, r"model.kernel.kernels.1.rnak: "),
        ({"name": "sum", "kernels": [MLP, {"name": "scaled", "kernel": "mpl"}]}, r"model.kernel.kernels.1.kernel: "),
        ({"name": "sum", "kernels": ["attention"]}, r"model.kernel.kernels: found"),
        ({"name": "scaled"}, r"model.kernel.kernel.name: found nothing"),
        (
            {"name": "product", "kernels": ["attention", MLP]},
            r"model.trunk.0.kernel: ProductKernel.kernels: .* none and softmax",
        ),
    ],
)
def test_errors_name_the_place(kernel: dict[str, Any], message: str) -> None:
    with pytest.raises(ITNetError, match=message):
        create_model(width=8, depth=1, encoder=ENCODER, kernel=kernel, heads={})


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (["attention", {"name": "gaussian", "heads": 3, "normalization": "softmax"}], "4, 3 heads; expected 4"),
        ([MLP, {"name": "sum", "kernels": [MLP, MLP]}], "Write the sum of the products"),
        ([MLP, {"name": "scaled", "kernel": MLP}], "option scales to kernel"),
        ([{**MLP, "support": {"causal": "t"}}, {**MLP, "support": {"causal": "x"}}], "one causal axis"),
    ],
)
def test_products_without_a_meaning(kernels: list[Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ProductKernel(8, kernels=kernels)


def test_a_sum_is_not_one_problem_and_has_no_one_gate() -> None:
    kernel = SumKernel(8, kernels=[MLP, MLP])
    with pytest.raises(ConfigError, match="a sum of 2 integrals"):
        kernel.problem(field(), field(), field().values.unsqueeze(2))
    with pytest.raises(ConfigError, match="Scale each kernel"):
        ScaledKernel.of(kernel)
