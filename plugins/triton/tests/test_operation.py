"""The kernels beside `dense` in float64, over ragged sizes; small, because the interpreter takes its time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import (
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    IntegralOperator,
    MLPKernel,
    Points,
    PointTerms,
    Problem,
    Support,
)
from itnet_triton import evaluator, operation, prepared
from itnet_triton.evaluator import TritonEvaluator
from itnet_triton.launch import interpreting


@dataclass
class Case:
    """A kernel with random points; `solve` gives the sums and all gradients."""

    kernel: MLPKernel
    query: Field
    key: Field
    values: Tensor
    rounding: torch.dtype

    def solve(self, evaluator: Evaluator, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Return the sums, and their gradients to the terms, values, weights and parameters, all in `dtype`."""
        kernel = MLPKernel(8, self.kernel.config).to(dtype)
        kernel.load_state_dict(self.kernel.state_dict())
        terms = self.kernel.project(self.query, self.key)
        features = [item.features.detach().to(self.rounding).to(dtype).requires_grad_() for item in terms]
        wide = torch.promote_types(dtype, torch.float32)
        positions = [item.positions.detach().to(wide, copy=True).requires_grad_() for item in terms]
        weights = self.key.weights.to(wide, copy=True).requires_grad_()
        values = self.values.detach().to(dtype, copy=True).requires_grad_()
        terms = PointTerms(features[0], positions[0]), PointTerms(features[1], positions[1])
        out = evaluator(Problem(kernel, self.query.points, Points(self.key.positions, weights), *terms, values))
        gradient = torch.linspace(-1, 1.5, out.numel(), dtype=torch.float64).view_as(out).to(out.dtype)
        torch.autograd.backward(out, gradient)
        of = {"query": features[0], "key": features[1], "values": values, "weights": weights}
        if kernel.inputs.geometry:
            of |= {"query positions": positions[0], "key positions": positions[1]}
        of |= {name: item for name, item in kernel.named_parameters() if name != "content.weight"}
        found = {"sums": out.detach()} | {name: _given(item) for name, item in of.items()}
        return found | {name: found[name][..., 1:] for name in ("query", "key")}  # the first feature is the constant 1


def case(
    sizes: tuple[int, int, int],
    *,
    head_dim: int = 3,
    grid: bool = False,
    rounding: torch.dtype = torch.float64,
    **options: Any,
) -> Case:
    """Return random points for (B, N, M); every fourth key has weight 0, and on a grid some times are equal.

    All is in half precision's own numbers, the terms if `rounding` says so, so that its arithmetic alone is measured.
    """
    batch, n, m = sizes
    kernel = MLPKernel(8, position_dim=2, **{"hidden": 3, "rank": 3, "frequencies": 1, "heads": 2, **options})
    kernel = kernel.bfloat16().double()

    def place(points: int) -> Tensor:
        positions = 2 * torch.rand(batch, points, 2, dtype=torch.float64) - 1
        return (positions * 8).round() / 8 if grid else positions.bfloat16().double()

    weights = torch.rand(batch, m, dtype=torch.float64).bfloat16().double() + 0.5
    weights = weights * (torch.arange(m) % 4 != 1)
    key = Field(torch.randn(batch, m, 8, dtype=torch.float64), place(m), weights)
    values = torch.randn(batch, m, kernel.heads, head_dim).bfloat16().double()
    return Case(kernel, Field(torch.randn(batch, n, 8, dtype=torch.float64), place(n)), key, values, rounding)


def compare(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """Hold each tensor to a relative error, in the 2-norm."""
    for name, reference in expected.items():
        error = (found[name].double() - reference.double()).norm()
        assert error <= tolerance * reference.norm() + 1e-12, f"{name}: {error / reference.norm():.2g}"


def _given(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


@pytest.fixture
def triton() -> TritonEvaluator:
    assert interpreting(), "TRITON_INTERPRET=1 was not set before triton was imported"
    return TritonEvaluator(interpret=True)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 17, 1), (1, 33, 17), (2, 1, 64), (1, 17, 65)])
def test_ragged_sizes_equal_dense(triton: TritonEvaluator, sizes: tuple[int, int, int], normalization: str) -> None:
    given = case(sizes, normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
def test_activations_equal_dense(triton: TritonEvaluator, activation: str, normalization: str) -> None:
    given = case((1, 9, 20), activation=activation, normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("grid", [False, True])
def test_causal_equals_dense_with_times_in_any_order_and_equal_ones(
    triton: TritonEvaluator, grid: bool, normalization: str
) -> None:
    given = case((2, 35, 40), grid=grid, support=Support(causal=1), normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_causal_skips_blocks_of_sorted_times_and_queries_before_all_keys(
    triton: TritonEvaluator, normalization: str
) -> None:
    given = case((1, 70, 70), support=Support(causal=0), normalization=normalization)
    for field in (given.query, given.key):
        field.positions[..., 0] = torch.linspace(-1, 1, 70, dtype=torch.float64)
    given.query.positions[..., 0] -= 0.1
    found = given.solve(triton)
    assert not found["sums"][:, 0].any()
    compare(found, given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("local", [{"window": 0.3}, {"radius": 0.5}, {"causal": 1, "radius": 0.8}])
def test_near_tiles_equal_dense(
    triton: TritonEvaluator, monkeypatch: pytest.MonkeyPatch, local: dict[str, Any], normalization: str
) -> None:
    monkeypatch.setattr(evaluator, "NEAR", 1.0)
    given = case((2, 19, 40), support=local, normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_local_supports_equal_dense_where_all_tiles_are_computed(
    triton: TritonEvaluator, monkeypatch: pytest.MonkeyPatch, normalization: str
) -> None:
    monkeypatch.setattr(evaluator, "NEAR", 0.0)
    given = case((2, 9, 40), support=Support(causal=0, radius=0.9, window=0.6), normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


def test_a_point_on_the_boundary_is_inside(triton: TritonEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    for near, local in product((0.0, 1.0), ({"window": 0.25}, {"radius": 0.25})):
        monkeypatch.setattr(evaluator, "NEAR", near)
        given = case((1, 20, 34), grid=True, support=local)  # distances are multiples of 1/8
        compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


def test_points_without_a_near_tile_get_zero(triton: TritonEvaluator) -> None:
    given = case((2, 9, 10), support=Support(radius=0.1), normalization="softmax")
    given.query.positions.add_(10.0)
    found = given.solve(triton)
    assert not any(tensor.any() for tensor in found.values())


def test_a_compiled_operator_with_a_window_is_one_node(triton: TritonEvaluator) -> None:
    kernel = MLPKernel(8, position_dim=2, hidden=2, rank=2, frequencies=1, heads=2, support={"window": 0.2})
    operator = IntegralOperator(8, kernel, evaluator=triton).eval()
    field = Field.on_grid(torch.randn(2, 8, 9, 8))
    assert triton.is_opaque(kernel.problem(field, field, operator.value(field.values)))
    expected = operator(field).values
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(operator, backend="aot_eager")(field).values, expected)


@pytest.mark.parametrize(
    "inputs", [("query",), ("product", "distance"), ("bilinear", "fourier"), ("query", "key", "displacement")]
)
def test_parts_of_the_inputs_equal_dense(triton: TritonEvaluator, inputs: tuple[str, ...]) -> None:
    given = case((1, 5, 9), inputs=inputs)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize(("heads", "head_dim"), [(1, 1), (5, 2), (6, 17), (3, 100)])
def test_heads_and_their_channels_equal_dense(triton: TritonEvaluator, heads: int, head_dim: int) -> None:
    given = case((1, 5, 9), heads=heads, head_dim=head_dim, normalization="softmax")
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


def test_chunks_of_queries_equal_dense(triton: TritonEvaluator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "CHUNK_NUMBERS", 16 * 16 * 7)  # 7 of 20 queries; of near tiles, blocks of 8
    monkeypatch.setattr(evaluator, "NEAR", 1.0)
    for support in (Support(), Support(causal=0), Support(window=0.4)):
        given = case((1, 20, 10), support=support, normalization="softmax")
        compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_hidden_units_in_parts_equal_dense(
    triton: TritonEvaluator, monkeypatch: pytest.MonkeyPatch, normalization: str
) -> None:
    monkeypatch.setattr(prepared, "UNITS", 16)
    given = case((1, 9, 20), hidden=37, normalization=normalization)
    compare(given.solve(triton), given.solve(DenseEvaluator()), 1e-9)


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
def test_lower_precision_keeps_to_its_errors(
    triton: TritonEvaluator, dtype: torch.dtype, tolerance: float, normalization: str
) -> None:
    given = case((1, 40, 40), hidden=8, rounding=dtype, activation="silu", normalization=normalization)
    found, expected = given.solve(triton, dtype), given.solve(DenseEvaluator())
    if normalization == "softmax":
        expected.pop("second.bias")  # it is 0: a constant beside k changes nothing
    compare(found, expected, tolerance)
    assert found["sums"].dtype == dtype


def test_under_autocast_positions_keep_more_than_half_precision(triton: TritonEvaluator) -> None:
    given = case((1, 40, 40), hidden=8, inputs=("displacement", "distance"), rounding=torch.float32)
    for field in (given.query, given.key):
        field.positions.add_(1000.0)
    with torch.no_grad():  # bumps of radius 1/8 in a domain of length 2
        given.kernel.first.weight[:, given.kernel.inputs.columns["distance"]] = -64.0
        given.kernel.first.weight[:, given.kernel.inputs.columns["displacement"]] = 4.0
    expected = {"sums": given.solve(DenseEvaluator())["sums"]}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, coarse = (given.solve(item, torch.float32)["sums"] for item in (triton, DenseEvaluator()))
    assert found.dtype == torch.bfloat16
    compare({"sums": found}, expected, 1e-2)
    compare({"sums": coarse}, expected, 1e-2)


def test_second_derivatives_are_refused(triton: TritonEvaluator) -> None:
    given = case((1, 3, 4))
    out = triton(given.kernel.problem(given.query, given.key, given.values.requires_grad_()))
    with pytest.raises(DerivativeError, match="dense"):
        torch.autograd.grad(out.sum(), given.values, create_graph=True)


def test_operations_are_ones_that_torch_accepts() -> None:
    given = case((1, 5, 6), normalization="softmax")
    kernel = given.kernel
    terms = kernel.project(given.query, given.key)
    query, key = (item.features.detach().requires_grad_() for item in terms)
    positions = [item.positions.detach().requires_grad_() for item in terms]
    forms = kernel.inputs(kernel.first.weight, kernel.first.bias).detach()
    second = kernel.second.weight.detach(), kernel.second.bias.detach()
    bias = torch.zeros(1, 6, dtype=torch.float64)
    arguments = (query, key, forms, *positions, *second, given.values, bias, None, None, None, None)
    options = (True, True, "silu", torch.float64, "ieee", False)
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(operation.mlp_sum, (*arguments, *options), test_utils=checks)
