from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import torch
from torch import Tensor

from itnet_core.remembered import remembered


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
