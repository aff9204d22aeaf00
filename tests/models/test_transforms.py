"""Every installed evaluator under torch.func, forward-mode derivatives and DTensors: right, or refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, distribute_module, distribute_tensor

from itnet_core import (
    ConfigError,
    DenseEvaluator,
    DerivativeError,
    Evaluator,
    Field,
    IntegralOperator,
    ITNetError,
    MLPKernel,
)
from itnet_registry import Registry
from itnet_testing.derivatives import transforms

EVALUATORS = [component.id for component in Registry().components() if component.kind == "evaluator"]
POINTS = 300
"""More pairs than `native` needs to be taken by `auto`."""


def operator_with(evaluator: Evaluator, activation: str = "tanh") -> IntegralOperator:
    torch.manual_seed(0)
    options: dict[str, Any] = {"activation": activation, "inputs": ("key", "displacement"), "position_dim": 2}
    kernel = MLPKernel(4, heads=2, hidden=4, rank=2, **options)
    return IntegralOperator(4, kernel, evaluator=evaluator).double()


def activation_for(evaluator: str) -> str:
    return "relu" if evaluator.endswith("/sorted") else "tanh"


@pytest.fixture
def field() -> Field:
    torch.manual_seed(1)
    return Field(torch.randn(1, POINTS, 4).double(), torch.rand(1, POINTS, 2).double())


@pytest.mark.parametrize("name", EVALUATORS)
def test_transforms_are_right_or_refused(name: str, field: Field) -> None:
    operator = operator_with(Registry().create("evaluator", name), activation_for(name))
    dense = operator_with(DenseEvaluator(), activation_for(name))
    refused = []
    for what, transformed, _ in transforms(lambda u: operator(field.with_values(u)).values, field.values):
        try:
            actual = transformed()
        except DerivativeError:
            refused.append(what)
        except ITNetError:
            assert Registry().create("evaluator", name).unavailable() or name == "itnet-triton/triton"
        else:
            expected = {
                item: right for item, _, right in transforms(lambda u: dense(field.with_values(u)).values, field.values)
            }
            torch.testing.assert_close(actual, expected[what](), rtol=1e-5, atol=1e-5)
    assert not (refused and name in ("itnet-core/auto", "itnet-core/dense"))  # these always know a way


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_batched_backward_pass_is_right_or_refused(name: str, field: Field) -> None:
    """`torch.autograd.functional.jacobian(vectorize=True)` batches it."""
    operator = operator_with(Registry().create("evaluator", name), activation_for(name))
    values = field.values.clone().requires_grad_()
    directions = torch.stack([torch.linspace(-1, 1, values.numel()).view_as(values).double(), values.detach()])
    try:
        out = operator(field.with_values(values)).values
        [actual] = torch.autograd.grad(out, values, directions, is_grads_batched=True)
    except ITNetError:
        return
    out = operator_with(DenseEvaluator(), activation_for(name))(field.with_values(values)).values
    expected = [torch.autograd.grad(out, values, item, retain_graph=True)[0] for item in directions]
    torch.testing.assert_close(actual, torch.stack(expected), rtol=1e-9, atol=1e-9)


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    store = dist.FileStore(str(tmp_path / "store"), 1)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", rank=0, world_size=1, store=store)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore")
def test_distributed_fields_are_summed_densely_or_refused(mesh: DeviceMesh, field: Field) -> None:
    def spread(tensor: torch.Tensor) -> DTensor:
        return distribute_tensor(tensor, mesh, [Replicate()])

    distributed = Field(spread(field.values), spread(field.positions), spread(field.weights))
    for name in EVALUATORS:
        expected = operator_with(DenseEvaluator(), activation_for(name))(field).values
        operator = operator_with(Registry().create("evaluator", name), activation_for(name))
        distribute_module(operator, mesh)
        if name in ("itnet-core/auto", "itnet-core/dense"):
            actual = operator(distributed).values
            assert isinstance(actual, DTensor)
            torch.testing.assert_close(actual.full_tensor(), expected)
        else:
            with pytest.raises(ConfigError, match="found a DTensor; expected plain tensors"):
                operator(distributed)
