"""What the kit does not check: every instruction set, the functions' accuracy, threads, compiling, absence."""

from __future__ import annotations

import importlib
import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from itnet_core import (
    AutoEvaluator,
    ConfigError,
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    IntegralOperator,
    Kernel,
    MLPKernel,
    PointTerms,
    hookimpl,
)
from itnet_core.operator.mlp import INPUTS
from itnet_native import evaluator, library, plugin
from itnet_native.evaluator import NativeEvaluator
from itnet_native.library import Library

LOADED = Library.load()
assert LOADED is not None
SETS = LOADED.instruction_sets


@pytest.fixture(params=SETS)
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(LOADED, "instruction_set", request.param)
    return str(request.param)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def operator(evaluator: Any, dtype: torch.dtype = torch.float64, **kernel: Any) -> IntegralOperator:
    torch.manual_seed(0)
    options = {"position_dim": 2, "heads": 2, "hidden": 9, "rank": 3, "frequencies": 2, **kernel}
    return IntegralOperator(12, MLPKernel(12, **options), evaluator=evaluator).to(dtype)


def field(batch: int, points: int, dtype: torch.dtype = torch.float64) -> Field:
    torch.manual_seed(1)
    weights = torch.rand(batch, points) * (torch.rand(batch, points) > 0.2)
    weights[:, 0] = 0.5
    return Field(torch.randn(batch, points, 12), torch.randn(batch, points, 2), weights).to(dtype)


def results(operator: Any, field: Field) -> list[Tensor]:
    values = field.values.clone().requires_grad_()
    out = operator(field.with_values(values)).values
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    inputs = [values, *operator.parameters()]
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), inputs, materialize_grads=True)]


def assert_close(found: list[Tensor], expected: list[Tensor], bound: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= bound * other.abs().max().clamp(min=1e-2)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
@pytest.mark.parametrize(
    "inputs", [("query", "key", "displacement"), ("product", "fourier"), ("key", "bilinear")], ids=str
)
@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_every_instruction_set_gives_the_same(
    instruction_set: str, activation: str, inputs: tuple[str, ...], heads: int
) -> None:
    for normalization in ("none", "softmax"):
        options: dict[str, Any] = {
            "inputs": inputs,
            "activation": activation,
            "heads": heads,
            "normalization": normalization,
        }
        fields = field(2, 131)
        assert_close(
            results(operator(NativeEvaluator(), **options), fields),
            results(operator(DenseEvaluator(), **options), fields),
            1e-9,
        )


@pytest.mark.parametrize("number", range(4))
def test_functions_are_accurate_in_float32(instruction_set: str, number: int) -> None:
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.logspace(-6, 0, 500), -torch.logspace(-6, 0, 500)])
    exact = x.double()
    expected = (exact.exp(), exact.sigmoid(), 0.5 * torch.erfc(-exact / math.sqrt(2)), exact.tanh())[number]
    assert LOADED is not None
    found = torch.tensor(LOADED.function(number, x.tolist())).double()
    error = (found / expected - 1).abs()
    # The normal distribution's argument, -x²/2, is rounded before it is exponentiated; below -12 all is denormal.
    rounding = exact.square() * 2**-23 if number == 2 else torch.zeros_like(exact)
    assert (error <= 1e-6 + rounding)[exact > (-12 if number == 2 else -20.5)].all()
    assert (found - expected).abs().max() <= 1e-6 * max(1.0, float(expected.abs().max()))


def test_exponentials_of_the_extremes(instruction_set: str) -> None:
    assert LOADED is not None
    low, zero, nan = LOADED.function(0, [-math.inf, 0.0, math.nan])
    assert (low, zero) == (0.0, 1.0)
    assert math.isnan(nan)


@pytest.mark.parametrize("support", [{}, {"causal": 0}, {"radius": 0.7}])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_any_number_of_threads_gives_the_same(threads: None, support: dict[str, Any], normalization: str) -> None:
    options: dict[str, Any] = {"normalization": normalization, "support": support}
    for shape in ((1, 210), (5, 33)):
        fields = field(*shape)
        expected = results(operator(DenseEvaluator(), **options), fields)
        for count in (1, 2, 3, 40):
            torch.set_num_threads(count)
            assert_close(results(operator(NativeEvaluator(), **options), fields), expected, 1e-9)


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("heads", [1, 3, 6, 12])
def test_every_instruction_set_sums_near_pairs(
    instruction_set: str, heads: int, normalization: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator, "NEAR", math.inf)
    scattered = field(2, 150)
    positions = scattered.positions.requires_grad_()

    def gradients(way: Evaluator) -> list[Tensor]:
        summed = operator(way, heads=heads, normalization=normalization, activation=activation, support={"radius": 0.6})
        of_positions = torch.autograd.grad(summed(scattered).values.square().sum(), positions)
        return [*results(summed, scattered), *of_positions]

    assert_close(gradients(NativeEvaluator()), gradients(DenseEvaluator()), 1e-9)


GRID_INPUTS: tuple[tuple[str, ...], ...] = (INPUTS, ("query", "displacement"), ("fourier",), ("product", "distance"))


@pytest.mark.parametrize("normalization", ["none", "softmax"])
@pytest.mark.parametrize("support", [{"window": 0.55}, {"radius": 0.8}, {"causal": "x", "window": 0.6}], ids=str)
@pytest.mark.parametrize("shape", [(9, 8), (4, 1, 13)], ids=str)
def test_inputs_of_positions_are_a_table_on_a_grid(
    instruction_set: str,
    shape: tuple[int, ...],
    support: dict[str, Any],
    normalization: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluator, "NEAR", math.inf)
    values = torch.randn(2, *shape, 12, dtype=torch.float64)
    weights = torch.rand(2, math.prod(shape), dtype=torch.float64).round(decimals=1)
    grid = Field.on_grid(values, axes="tyx"[-len(shape) :], weights=weights)
    for inputs in GRID_INPUTS:
        options: dict[str, Any] = {"position_dim": 4, "support": support, "normalization": normalization}
        options["inputs"] = inputs
        native = operator(NativeEvaluator(), **options)
        [problem] = native.problems(grid)
        assert isinstance(problem.kernel, MLPKernel)
        assert problem.kernel.on_grid(problem) is not None
        assert_close(results(native, grid), results(operator(DenseEvaluator(), **options), grid), 1e-9)


def test_positions_that_change_unnoticed_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluator, "NEAR", math.inf)
    grid = Field.on_grid(torch.randn(1, 30, 30, 12, dtype=torch.float64))
    native = operator(NativeEvaluator(), support={"window": 0.2})
    results(native, grid)
    grid.positions.data.mul_(0.01)
    assert all(number.isfinite().all() for number in results(native, grid))


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh"])
@pytest.mark.parametrize("normalization", ["none", "softmax"])
def test_float32_is_as_exact_as_pytorch(instruction_set: str, activation: str, normalization: str) -> None:
    options: dict[str, Any] = {"normalization": normalization, "activation": activation}
    fields = field(1, 300)
    exact = results(operator(DenseEvaluator(), **options), fields)
    single = field(1, 300, torch.float32)
    found = results(operator(NativeEvaluator(), torch.float32, **options), single)
    theirs = results(operator(DenseEvaluator(), torch.float32, **options), single)
    names = ["out", "values", *(name for name, _ in operator(NativeEvaluator(), **options).named_parameters())]
    for name, one, other, reference in zip(names, found, theirs, exact, strict=True):
        # The gradient of b_2 is a sum over all pairs that cancels, under softmax to 0.
        cancelled = 2e-9 * 300**2 if name == "kernel.second.bias" else 0.0
        error = (one - reference).abs().max()
        assert error <= 4 * (other - reference).abs().max() + 1e-6 * reference.abs().max() + cancelled, name


def test_it_compiles_without_a_graph_break() -> None:
    fields, ours = field(2, 50), operator(NativeEvaluator())
    expected = results(ours, fields)
    torch.compiler.reset()
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True)
    assert_close(results(compiled, fields), expected, 1e-9)


def test_second_derivatives_are_refused() -> None:
    fields, ours = field(1, 20), operator(NativeEvaluator())
    values = fields.values.requires_grad_()
    [first] = torch.autograd.grad(ours(fields.with_values(values)).values.sum(), values, create_graph=True)
    with pytest.raises(DerivativeError, match="Use the evaluator 'dense'"):
        first.sum().backward()  # type: ignore[no-untyped-call]


def test_no_pair_tensor_is_kept() -> None:
    def held(points: int) -> int:
        sizes: list[int] = []

        def keep(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            operator(NativeEvaluator(), normalization="softmax")(field(1, points))
        return sum(sizes)

    fixed = held(192) - (held(384) - held(192))
    assert held(1536) - fixed == 8 * (held(192) - fixed)


def test_an_unsupported_problem_is_refused_and_left_to_others(caplog: pytest.LogCaptureFixture) -> None:
    half = operator(NativeEvaluator(), torch.bfloat16)
    fields = field(1, 9).to(torch.bfloat16)
    message = r"^NativeEvaluator: found tensors of .*bfloat16.*; expected all float32.*Use the evaluator 'auto'"
    with pytest.raises(ConfigError, match=message):
        half(fields)
    half.evaluator = AutoEvaluator(evaluators=[NativeEvaluator()])
    with caplog.at_level(logging.DEBUG, "itnet_core"):
        assert half(fields).values.isfinite().all()
    assert "DenseEvaluator for MLPKernel" in caplog.text
    reasons = dict(half.explain_choice(fields).candidates)
    assert reasons["NativeEvaluator"].startswith("found tensors of torch.bfloat16")
    assert reasons["DenseEvaluator"] == ""


class Product(Kernel[Tensor, None]):
    """No MLP: ⟨x, y⟩."""

    heads = 1

    def project(self, query: Field, key: Field) -> tuple[Tensor, Tensor]:
        return query.positions, key.positions

    def tile(self, query_terms: Tensor, key_terms: Tensor) -> Tensor:
        return (query_terms @ key_terms.transpose(1, 2)).unsqueeze(1)


class Doubled(MLPKernel):
    """Another `tile`."""

    def tile(self, query_terms: PointTerms, key_terms: PointTerms) -> Tensor:
        return 2 * super().tile(query_terms, key_terms)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (Doubled(12, position_dim=2), "found the kernel Doubled; expected MLPKernel, with its own tile and forward"),
        (MLPKernel(12, position_dim=2, support={"radius": 1.0, "edge": 0.1}), "expected a support without an edge"),
        (Product(), "found the kernel Product; expected MLPKernel"),
    ],
)
def test_other_kernels_are_refused(kernel: Kernel, message: str) -> None:
    given = field(1, 9, torch.float32)
    problem = kernel.problem(given, given, torch.randn(1, 9, kernel.heads, 3))
    assert not NativeEvaluator().supports(problem)
    with pytest.raises(ConfigError, match=message):
        NativeEvaluator()(problem)


def test_without_the_library_others_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = operator(DenseEvaluator())(field(1, 40)).values
    monkeypatch.setattr(library, "PATH", tmp_path / "nothing.so")
    library._loaded.cache_clear()
    try:
        auto = AutoEvaluator(evaluators=[NativeEvaluator()])
        assert torch.equal(operator(auto)(field(1, 40)).values, expected)
        assert "install g++" in NativeEvaluator().unavailable()
        with pytest.raises(ConfigError, match="install g\\+\\+"):
            operator(NativeEvaluator())(field(1, 40))
        [check] = plugin.itnet_doctor(1)
        assert not check.ok
        assert "pip install" in check.detail
    finally:
        monkeypatch.undo()
        library._loaded.cache_clear()


def test_the_doctor_says_which_instruction_set() -> None:
    [check] = plugin.itnet_doctor(1)
    assert check.ok
    assert SETS[0] in check.detail
    assert hookimpl is not None


def test_it_is_efficient_where_pairs_are_many() -> None:
    kernel = operator(NativeEvaluator()).kernel
    for count, expected in ((64, True), (63, False)):
        problem = kernel.problem(field(1, count), field(1, count), torch.randn(1, count, 2, 6))
        assert NativeEvaluator().is_efficient(problem) is expected


@pytest.mark.parametrize("name", SETS)
def test_the_environment_chooses_an_instruction_set(name: str) -> None:
    code = "from itnet_native.library import Library; print(Library.load().instruction_set)"
    environment = os.environ | {library.VARIABLE: name}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == name


def test_without_a_compiler_the_build_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent))
    build_library = importlib.import_module("build_library")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(OSError, match=r"no C\+\+ compiler; install (g\+\+ or )?clang\+\+, or name one in CXX"):
        build_library.build(tmp_path, tmp_path / "library.so")


def test_an_instruction_set_that_is_not_there_is_said() -> None:
    code = "from itnet_native.library import Library, missing; print(Library.load(), missing())"
    environment = os.environ | {library.VARIABLE: "abacus"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "None ITNET_NATIVE_ISA=abacus, but this processor has" in done.stdout


@pytest.mark.parametrize("inputs", [("query", "key", "displacement"), None])
@pytest.mark.parametrize("where", ["forward", "backward", "both"])
def test_autocast_leaves_the_sums_alone(inputs: tuple[str, ...] | None, where: str) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {} if inputs is None else {"inputs": inputs}
    kernel = MLPKernel(16, heads=2, hidden=8, position_dim=2, **options)
    field = Field(torch.randn(1, 40, 16), torch.rand(1, 40, 2))
    problem = kernel.problem(field, field, torch.randn(1, 40, 2, 8, requires_grad=True))
    query, key = (
        terms._replace(features=terms.features.detach().requires_grad_())
        for terms in (problem.query_terms, problem.key_terms)
    )
    problem = replace(problem, query_terms=query, key_terms=key)
    parameters = [*kernel.first.parameters(), *kernel.second.parameters()]
    leaves = [query.features, key.features, problem.values, *parameters]

    def run(cast: str) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16, enabled=cast in ("forward", "both")):
            out = NativeEvaluator()(problem)
        with torch.autocast("cpu", torch.bfloat16, enabled=cast in ("backward", "both")):
            return [out, *torch.autograd.grad(out.sum(), leaves)]

    # A backward pass under autocast does what stands around the sums in bfloat16.
    error = 1e-5 if where == "forward" else 2e-2
    for found, expected in zip(run(where), run("none"), strict=True):
        assert float((found - expected).detach().norm()) <= error * float(expected.detach().norm())
