from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from itnet_core.operator.remembered import remembered
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from itnet_core import Field


def counted() -> tuple[Callable[..., float], list[int]]:
    asked: list[int] = []

    @remembered
    def total(tensor: Tensor, scale: float = 1.0) -> float:
        asked.append(id(tensor))
        return scale * float(tensor.sum())

    return total, asked


def test_a_question_is_asked_once_a_tensor_and_its_arguments() -> None:
    total, asked = counted()
    tensor, other = torch.ones(3), torch.ones(3)
    assert [total(tensor), total(tensor), total(other), total(tensor, 2.0)] == [3.0, 3.0, 3.0, 6.0]
    assert asked == [id(tensor), id(other), id(tensor)]


def test_what_is_written_to_a_tensor_is_seen() -> None:
    total, _ = counted()
    tensor = torch.ones(3)
    assert total(tensor) == 3.0
    tensor[0] = 5.0
    assert total(tensor) == 7.0
    with torch.inference_mode():
        tensor = torch.ones(3)
        assert total(tensor) == 3.0
        tensor += 1
        assert total(tensor) == 6.0


def test_what_is_known_of_a_tensor_does_not_keep_it() -> None:
    total, _ = counted()
    tensor = torch.ones(3)
    total(tensor)
    gone = weakref.ref(tensor)
    del tensor
    gc.collect()
    assert gone() is None


def test_a_compiled_function_asks_each_time() -> None:
    total, _ = counted()
    compiled = torch.compile(lambda tensor: tensor * total(tensor), backend="eager")
    tensor = torch.ones(3)
    assert compiled(tensor).tolist() == [3.0, 3.0, 3.0]
    tensor += 1
    assert compiled(tensor).tolist() == [12.0, 12.0, 12.0]


def test_only_what_is_known_of_the_latest_numbers_is_kept() -> None:
    kept: list[weakref.ref[Tensor]] = []

    @remembered
    def doubled(tensor: Tensor) -> Tensor:
        kept.append(weakref.ref(answer := 2 * tensor))
        return answer

    tensor = torch.ones(3)
    for _ in range(5):
        tensor += 1
        assert doubled(tensor) is doubled(tensor)
    assert [each() is None for each in kept] == [True] * 4 + [False]


def test_what_is_asked_in_inference_can_be_trained_with_later() -> None:
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    field = Field(torch.randn(1, 3, 2, requires_grad=True), torch.zeros(1, 3, 1), weights)
    with torch.inference_mode():
        field.with_measure("mean")
    measured = field.with_measure("mean")
    total = (measured.weights.unsqueeze(-1) * measured.values).sum()
    assert torch.autograd.grad(total, field.values)[0].abs().sum() == 2.0


class Known(nn.Module):
    """Asks for what is remembered of points that are its own, on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.points = Field(torch.randn(1, 3, 2), torch.zeros(1, 3, 1), torch.tensor([[1.0, 1.0, 0.0]]))

    def forward(self, values: Tensor) -> Tensor:
        return values * self.points.with_measure("mean").weights.unsqueeze(-1)


def fake(known: Known, values: Tensor) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True):
        known(values)


TRACES: dict[str, Callable[[Known, Tensor], Any]] = {
    "fake": fake,
    "make_fx": lambda known, values: make_fx(known)(values),
    "export": lambda known, values: torch.export.export(known, (values,), strict=False),
    "functionalize": lambda known, values: torch.func.functionalize(known)(values),
    "grad": lambda known, values: torch.func.grad(lambda x: known(x).sum())(values),
    "jvp": lambda known, values: torch.func.jvp(known, (values,), (values,)),
    "vmap": lambda known, values: torch.func.vmap(known)(values[None]),
    "jit": lambda known, values: torch.jit.trace(known, (values,)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("trace", TRACES)
def test_nothing_of_a_trace_is_kept(trace: str) -> None:
    known, values = Known(), torch.randn(1, 3, 2)
    TRACES[trace](known, values)
    weights = known.points.with_measure("mean").weights
    assert type(weights) is Tensor
    assert not torch._C._functorch.is_functorch_wrapped_tensor(weights)
    assert weights.tolist() == [[0.5, 0.5, 0.0]]
