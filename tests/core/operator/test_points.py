"""Points keep what is computed of them: once, until they are written to, and nothing of a trace."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from itnet_core import Field, FieldError, Points


def points_of(weights: Tensor | None = None) -> Points:
    return Points(torch.zeros(1, 3, 1), torch.ones(1, 3) if weights is None else weights)


class Total:
    """The sum of the weights, and of which points it was computed."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, points: Points, scale: float = 1.0) -> float:
        self.calls.append(id(points))
        return scale * float(points.weights.sum())


def test_a_function_is_computed_once_for_its_points_and_arguments() -> None:
    total, points, other = Total(), points_of(), points_of()
    results = [points.cached(total), points.cached(total), other.cached(total), points.cached(total, 2.0)]
    assert results == [3.0, 3.0, 3.0, 6.0]
    assert points.cached(total, scale=2.0) == 6.0
    assert total.calls == [id(points), id(other), id(points), id(points)]


def test_functions_do_not_share_their_results() -> None:
    points = points_of()
    assert points.cached(Total()) == 3.0
    assert points.cached(lambda points: points.weights.shape) == (1, 3)


@pytest.mark.parametrize("name", ["positions", "weights"])
def test_writes_are_seen(name: str) -> None:
    points, total = points_of(), Total()
    assert points.cached(total) == 3.0
    getattr(points, name)[0, 0] = 5.0
    assert points.cached(total) == (7.0 if name == "weights" else 3.0)
    assert len(total.calls) == 2


def test_writes_in_inference_mode_are_seen() -> None:
    total = Total()
    with torch.inference_mode():
        points = points_of()
        assert points.cached(total) == 3.0
        points.weights.add_(1)
        assert points.cached(total) == 6.0
    assert points.cached(total) == 6.0


def test_measures_and_padding_follow_writes() -> None:
    points = points_of()
    had_padding = points.has_padding
    assert points.with_measure("mean") is points.with_measure("mean")
    points.weights[0, 2] = 0.0
    assert (had_padding, points.has_padding) == (False, True)
    assert points.with_measure("counting").weights.tolist() == [[1.0, 1.0, 0.0]]
    assert points.with_measure("given") is points
    with pytest.raises(FieldError, match="with_measure: found 'sum'; expected 'mean', 'counting' or 'given'"):
        points.with_measure("sum")  # type: ignore[arg-type]


def test_the_fields_along_a_trunk_share_their_points() -> None:
    field, total = Field(torch.zeros(1, 3, 2), torch.zeros(1, 3, 1), torch.ones(1, 3)), Total()
    for other in (field, field.with_values(torch.ones(1, 3, 5)), field.map(torch.exp)):
        assert other.points.cached(total) == 3.0
    assert len(total.calls) == 1
    assert field.with_measure("mean").points is field.map(torch.exp).with_measure("mean").points


def test_a_cache_does_not_keep_tensors_alive() -> None:
    points = points_of()
    points.cached(Total())
    points.with_measure("mean")
    gone = weakref.ref(points.weights), weakref.ref(points.positions)
    del points
    gc.collect()
    assert [tensor() for tensor in gone] == [None, None]


def test_a_compiled_function_computes_each_time() -> None:
    total, weights = Total(), torch.ones(1, 3)
    points = points_of(weights)
    compiled = torch.compile(lambda values: values * points.cached(total), backend="eager")
    assert compiled(torch.ones(3)).tolist() == [3.0, 3.0, 3.0]
    weights += 1
    assert compiled(torch.ones(3)).tolist() == [6.0, 6.0, 6.0]


def test_another_thread_may_clear_the_cache_at_any_time() -> None:
    """It does where it reads after a write; here an argument stands for it, whenever a dictionary looks for the key."""
    points = points_of()

    class Clears:
        def __hash__(self) -> int:
            points._cache.clear()
            return 0

        def total(self, points: Points) -> float:
            return float(points.weights.sum())

    argument = Clears()
    assert points.cached(lambda points, other: other.total(points), argument) == 3.0


def test_results_for_earlier_numbers_are_dropped() -> None:
    kept: list[weakref.ref[Tensor]] = []

    def doubled(points: Points) -> Tensor:
        answer = 2 * points.weights
        kept.append(weakref.ref(answer))
        return answer

    points = points_of()
    for _ in range(5):
        points.weights.add_(1)
        assert points.cached(doubled) is points.cached(doubled)
    assert [reference() is None for reference in kept] == [True] * 4 + [False]


def test_points_seen_in_inference_can_be_trained_with_later() -> None:
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    field = Field(torch.randn(1, 3, 2, requires_grad=True), torch.zeros(1, 3, 1), weights)
    with torch.inference_mode():
        field.with_measure("mean")
    measured = field.with_measure("mean")
    total = (measured.weights.unsqueeze(-1) * measured.values).sum()
    assert torch.autograd.grad(total, field.values)[0].abs().sum() == 2.0


class Known(nn.Module):
    """Reads a cached measure of points of its own in its forward pass."""

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
    "jit": lambda known, values: torch.jit.trace(known, (values,)),  # type: ignore[no-untyped-call]
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


COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_starts_with_an_empty_cache(how: str) -> None:
    points, total = Points(torch.zeros(1, 4, 1), torch.ones(1, 4), (2, 2)), Total()
    points.cached(lambda points: points.weights.sum())  # a lambda cannot be pickled
    assert points.cached(total) == 4.0
    points.weights.mul_(2)  # to another version than a copy's, which a result of the old numbers may have
    again = COPIES[how](points)
    assert again.grid == (2, 2)
    assert again.cached(total) == 8.0
    assert len(total.calls) == 2


def grid(**options: Any) -> Field:
    return Field.on_grid(torch.randn(2, 3, 4, 5), axes="yx", **options)


def test_fields_on_equal_grids_share_their_points() -> None:
    assert grid().points is grid().points
    others: list[dict[str, Any]] = [{"measure": "counting"}, {"bounds": [(0, 1), (0, 1)]}]
    assert all(grid(**options).points is not grid().points for options in others)
    assert grid(measure="counting").weights.sum() == 24


def test_grids_that_were_written_to_are_not_shared() -> None:
    field = Field.on_grid(torch.randn(1, 3, 5))
    before = field.positions.clone()
    field.positions.add_(1.0)
    torch.testing.assert_close(Field.on_grid(torch.randn(1, 3, 5)).positions, before)


def test_a_shared_grid_of_inference_can_be_trained_with() -> None:
    with torch.inference_mode():
        Field.on_grid(torch.randn(1, 7, 2)).points.cached(lambda points: points.positions.square())
    scale = torch.ones(1, requires_grad=True)
    outputs = Field.on_grid(torch.randn(1, 7, 2)).positions * scale
    assert torch.autograd.grad(outputs.square().sum(), scale)[0] > 0


def test_grids_under_autocast_are_shared_with_none_outside() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        inside = grid()
    assert inside.points is not grid().points


def test_a_transform_has_a_grid_of_its_own() -> None:
    outside, inside = Field.on_grid(torch.ones(1, 9, 2)), []

    def values(values: Tensor) -> Tensor:
        inside.append(Field.on_grid(values))
        return inside[-1].values

    torch.func.vmap(values)(torch.ones(3, 1, 9, 2))
    assert inside[0].points is not outside.points
    assert Field.on_grid(torch.ones(1, 9, 2)).points is outside.points


def test_a_grid_checks_its_values() -> None:
    grid()
    with pytest.raises(FieldError, match="floating"):
        Field.on_grid(torch.ones(2, 3, 4, 5, dtype=torch.int64), axes="yx")
