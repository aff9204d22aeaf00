"""Kernels far from the origin and over long domains: as near to float64 as their dtype allows, by every evaluator."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import DenseEvaluator, Evaluator, Field, IntegralOperator, Kernel, MLPKernel
from itnet_registry import create

DIM = 16
ADDITIVE: dict[str, Any] = {"inputs": ("query", "key", "displacement")}
FIELDS = {
    "text of 512 tokens": lambda: text(512),
    "text of 32,768 tokens, some of them": lambda: text(32_768, some=400),
    "text far from 0": lambda: text(256, start=1e6),
    "image in [-1, 1]": lambda: image(1.0),
    "image of extent 100": lambda: image(100.0),
    "image of extent 1e6": lambda: image(1e6),
    "image in [-1, 1] at 1e6": lambda: image(1.0, offset=1e6),
    "cloud of extent 1e4 at 1e5": lambda: cloud(1e4, offset=1e5),
    "cloud of extent 1e6 at -1e6": lambda: cloud(1e6, offset=-1e6),
}


def text(tokens: int, *, some: int = 0, start: float = 0.0) -> Tensor:
    """Tokens at every eighth of a unit of time; `some` at the beginning and at the end, so that few pairs are far."""
    index = torch.arange(tokens)
    index = torch.cat([index[: some // 2], index[-some // 2 :]]) if some else index
    positions = torch.zeros(1, len(index), 4)
    positions[0, :, 0] = start + index / 8
    return positions


def image(extent: float, offset: float = 0.0) -> Tensor:
    """A grid of 16 × 16 pixels that covers [-extent, extent]²."""
    line = (torch.arange(16) + 0.5) / 8 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(1, -1, 2) * extent + offset
    return torch.cat([torch.zeros(1, 256, 1), grid, torch.zeros(1, 256, 1)], -1)


def cloud(extent: float, offset: float) -> Tensor:
    """Pairs of near points all over a cube."""
    corners = (2 * torch.rand(1, 128, 3) - 1) * extent + offset
    points = torch.cat([corners, corners + 0.5 * torch.randn(1, 128, 3)], 1)
    return torch.cat([torch.zeros(1, 256, 1), points], -1)


def error(kernel: Kernel, field: Field, evaluator: Evaluator, autocast: bool = False) -> float:
    """Return the relative error of the integral against `dense` in float64, in the 2-norm."""
    operator = IntegralOperator(DIM, kernel, evaluator=evaluator, pointwise=False)
    for name, parameter in operator.output.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.zeros_(parameter)
    exact = copy.deepcopy(operator).double()
    exact.evaluator = DenseEvaluator()
    with torch.no_grad():
        expected = exact(field.to(torch.float64)).values
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            actual = operator(field).values
    return float((actual.double() - expected).norm() / expected.norm())


def given(place: str, **options: Any) -> tuple[MLPKernel, Field]:
    torch.manual_seed(0)
    positions = FIELDS[place]()
    kernel = MLPKernel(DIM, heads=2, hidden=16, rank=4, frequencies=4, **options)
    return kernel, Field(torch.randn(1, positions.shape[1], DIM), positions)


@pytest.mark.parametrize("place", FIELDS)
@pytest.mark.parametrize("evaluator", ["dense", "tiled", "native"])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_float32_is_near_to_float64(evaluator: str, normalization: str, place: str) -> None:
    kernel, field = given(place, normalization=normalization)
    assert error(kernel, field, create("evaluator", evaluator)) < 1e-5


@pytest.mark.parametrize("place", FIELDS)
@pytest.mark.parametrize("evaluator", ["dense", "tiled"])
def test_bfloat16_under_autocast_is_near_to_float64(evaluator: str, place: str) -> None:
    kernel, field = given(place)
    assert error(kernel, field, create("evaluator", evaluator), autocast=True) < 1e-2


@pytest.mark.parametrize("place", FIELDS)
@pytest.mark.parametrize(("evaluator", "activation"), [("dense", "relu"), ("native", "relu"), ("sorted", "relu")])
def test_additive_kernels_are_near_to_float64(evaluator: str, activation: str, place: str) -> None:
    kernel, field = given(place, activation=activation, **ADDITIVE)
    assert error(kernel, field, create("evaluator", evaluator)) < 1e-5


@pytest.mark.parametrize("extent", [1e3, 1e4, 1e6])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_near_pairs_of_an_additive_kernel_that_is_bounded(normalization: str, extent: float) -> None:
    """Two clusters far apart, where far pairs weigh no more than near ones."""
    kernel, _ = given("text of 512 tokens", activation="tanh", normalization=normalization, **ADDITIVE)
    positions = torch.rand(1, 300, 4) + extent * (torch.arange(300) < 150).view(1, -1, 1)
    field = Field(torch.randn(1, 300, DIM), positions)
    for name in ("dense", "tiled", "native"):
        assert error(kernel, field, create("evaluator", name)) < 1e-5, name


@pytest.mark.parametrize("evaluator", ["dense", "tiled"])
@pytest.mark.parametrize("tokens", [2048, 32_768])
def test_bfloat16_keeps_large_logits(evaluator: str, tokens: int) -> None:
    """Without the squared distance the logits of an additive kernel grow with the distance."""
    kernel, field = given("text of 512 tokens", normalization="softmax", **ADDITIVE)
    field = Field(field.values, text(tokens)[:, :: tokens // 512])
    assert error(kernel, field, create("evaluator", evaluator), autocast=True) < 1e-2


@pytest.mark.parametrize("place", [name for name in FIELDS if "1e4" not in name and "extent 1e6" not in name])
def test_chebyshev_keeps_its_tolerance(place: str) -> None:
    """Extents for which the range of the activation's argument takes no more nodes than the most."""
    kernel, field = given(place, activation="silu", **ADDITIVE)
    with torch.no_grad():
        kernel.first.weight[:, kernel.inputs.columns["displacement"]] /= field.positions.std(1).max()
    assert error(kernel, field, create("evaluator", "chebyshev", tolerance=1e-6)) < 1e-5


@pytest.mark.parametrize("evaluator", ["dense", "tiled", "native"])
@pytest.mark.parametrize("options", [{}, ADDITIVE], ids=["all inputs", "additive"])
@pytest.mark.parametrize("support", [{"radius": 1.0}, {"window": 1.0}, {"causal": "t", "radius": 2.0}])
def test_near_pairs_of_a_long_text(evaluator: str, options: dict[str, Any], support: dict[str, Any]) -> None:
    kernel, field = given("text of 32,768 tokens, some of them", support=support, **options)
    assert error(kernel, field, create("evaluator", evaluator)) < 1e-5


OTHERS: dict[str, dict[str, Any]] = {
    "gaussian": {},
    "continuous-convolution": {},
    "attention": {"rotary": True},
    "attention, causal": {"rotary": True, "support": {"causal": "t"}},
    "attention, alibi": {"alibi": True, "support": {"causal": "t"}},
    "retention": {},
    "s4": {},
    "s4d": {},
    "mamba": {},
    "mamba2": {},
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    "place",
    [
        "text of 32,768 tokens, some of them",
        "text far from 0",
        "cloud of extent 1e4 at 1e5",
        "cloud of extent 1e6 at -1e6",
    ],
)
def test_other_kernels_that_read_positions(name: str, place: str) -> None:
    torch.manual_seed(0)
    positions = FIELDS[place]()
    field = Field(torch.randn(1, positions.shape[1], DIM), positions)
    kernel = create("kernel", name.partition(",")[0], dim=DIM, **OTHERS[name])
    assert error(kernel, field, create("evaluator", "auto")) < 1e-5
    assert error(kernel, field, create("evaluator", "auto"), autocast=True) < 1e-2


@pytest.mark.parametrize("place", FIELDS)
def test_gradients_are_near_to_float64(place: str) -> None:
    """To values, positions and parameters, by `native` too, where float32 can hold them."""
    kernel, field = given(place)
    expected = gradients(copy.deepcopy(kernel).double(), field.to(torch.float64), DenseEvaluator())
    for name in ("dense", "tiled", "native"):
        actual = gradients(kernel, field, create("evaluator", name))
        for what, exact in expected.items():
            off = float((actual[what].double() - exact).norm())
            assert off <= 1e-5 * float(exact.norm()) + 1e-6, f"{name}: {what}"  # of pairs all far apart it is 0


def gradients(kernel: MLPKernel, field: Field, evaluator: Evaluator) -> dict[str, Tensor]:
    positions = field.positions.clone().requires_grad_()
    values = field.values.clone().requires_grad_()
    torch.manual_seed(1)
    operator = IntegralOperator(DIM, kernel, evaluator=evaluator, pointwise=False).to(values.dtype)
    out = operator(Field(values, positions, field.weights)).values
    leaves = {"values": values, "positions": positions, **dict(kernel.named_parameters())}
    torch.manual_seed(2)
    actual = torch.autograd.grad((out * torch.randn(out.shape).to(out.dtype)).sum(), list(leaves.values()))
    return dict(zip(leaves, actual, strict=True))


@pytest.mark.parametrize("extent", [1e10, 1e15, 1e17])
@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
def test_however_far_the_integral_is_a_number(activation: str, extent: float) -> None:
    torch.manual_seed(0)
    kernel = MLPKernel(DIM, heads=2, hidden=16, rank=4, frequencies=4, activation=activation)
    field = Field(torch.randn(1, 40, DIM), torch.randn(1, 40, 4) * extent)
    for name in ("dense", "tiled", "native"):
        operator = IntegralOperator(DIM, kernel, evaluator=create("evaluator", name))
        assert operator(field).values.isfinite().all()
