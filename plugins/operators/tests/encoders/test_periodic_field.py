from __future__ import annotations

from math import pi
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from itnet_core import ConfigError, Field, FieldEncoder, IntegralOperator, MLPKernel, ShapeError
from itnet_operators.encoders.periodic_field import PeriodicFieldEncoder


@given(turns=st.lists(st.floats(-3, 3), min_size=2, max_size=2), period=st.floats(0.1, 10))
def test_distances_are_those_of_the_circle(turns: list[float], period: float) -> None:
    encoder = PeriodicFieldEncoder(4, axes="x", periods={"x": period}).double()
    positions = torch.zeros(1, 2, 4, dtype=torch.float64)
    positions[0, :, 1] = torch.tensor(turns) * period
    first, second = encoder(Field(torch.randn(1, 2, 1).double(), positions)).positions[0]
    chord = period / pi * (pi * (positions[0, 0, 1] - positions[0, 1, 1]) / period).sin().abs()
    torch.testing.assert_close((first - second).norm(), chord, rtol=1e-6, atol=1e-6 * period)


def test_near_points_keep_their_distance() -> None:
    field = Field.on_grid(torch.randn(1, 100, 1), axes="x")
    bent = PeriodicFieldEncoder(4, axes="x", periods={"x": 2})(field)
    steps = (bent.positions - bent.positions.roll(1, 1)).norm(dim=-1)
    torch.testing.assert_close(steps, torch.full_like(steps, 2 / 100), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("axes", "sizes"), [("x", (12,)), ("yx", (6, 4)), ("tx", (5, 6))])
def test_shifting_around_the_circle_permutes_the_output(axes: str, sizes: tuple[int, ...]) -> None:
    """The kernel sees distances and contents alone; one axis of `tx` is not periodic."""
    encoder = PeriodicFieldEncoder(8, channels=2, axes=axes, periods=dict.fromkeys(set(axes) - {"t"}, 2.0)).double()
    operator = IntegralOperator(8, MLPKernel(8, inputs=("query", "key", "product", "distance"))).double()
    values = torch.randn(2, *sizes, 2, dtype=torch.float64)
    along = 1 + axes.index("x")
    shifted, plain = (operator(encoder(Field.on_grid(v, axes=axes))).values for v in (values.roll(1, along), values))
    expected = plain.unflatten(1, sizes).roll(1, along).flatten(1, -2)
    torch.testing.assert_close(shifted, expected, rtol=1e-9, atol=1e-9)
    line = FieldEncoder(8, channels=2).double()
    shifted, plain = (operator(line(Field.on_grid(v, axes=axes))).values for v in (values.roll(1, along), values))
    assert not torch.allclose(shifted, plain.unflatten(1, sizes).roll(1, along).flatten(1, -2), rtol=1e-3)


def test_without_periods_it_is_the_encoder_of_fields() -> None:
    encoder, plain = PeriodicFieldEncoder(4, channels=3), FieldEncoder(4, channels=3)
    encoder.load_state_dict(plain.state_dict())
    field = plain.example()
    assert torch.equal(encoder(field).values, plain(field).values)
    assert encoder(field).points is field.points


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"axes": "txyz", "periods": {"x": 1}}, "at most 0 periodic of the axes 'txyz'"),
        ({"axes": "xyz", "periods": {"x": 1, "y": 1}}, "at most 1 periodic of the axes 'xyz'"),
        ({"axes": "x", "periods": {"y": 1}}, "periods of some of the axes 'x'"),
        ({"axes": "xx"}, "each axis once"),
        ({"axes": "u"}, "axes"),
        ({"axes": "x", "periods": {"x": 0}}, "periods.x"),
    ],
)
def test_circles_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PeriodicFieldEncoder(4, **options)


def test_positions_on_the_second_axis_of_a_circle_are_refused() -> None:
    encoder = PeriodicFieldEncoder(4, axes="x", periods={"x": 2})
    with pytest.raises(ShapeError, match="found positions other than 0 on axis y; .*Set the encoder's axes"):
        encoder(Field.on_grid(torch.randn(1, 3, 3, 1), axes="yx"))
