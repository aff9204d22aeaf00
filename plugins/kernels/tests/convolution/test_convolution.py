"""Convolution is what torch calls convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from itnet_core import AutoEvaluator, ConfigError, DenseEvaluator, Field, IntegralOperator, ShapeError, TiledEvaluator
from itnet_kernels import convert
from itnet_kernels.convolution.convolution import ConvolutionKernel

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}
CLASSES: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@st.composite
def convolutions(draw: Any) -> tuple[nn.Module, tuple[int, ...]]:
    """Draw a convolution and the sizes of an input that it takes."""
    dimensions = draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dimensions))

    groups = draw(st.integers(1, 3))
    kernel_size, dilation, stride = each(1, 4), each(1, 2), each(1, 3)
    padding: Any = draw(st.sampled_from(["same", "valid", each(0, 3)])) if max(stride) == 1 else each(0, 3)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    sizes = tuple(span + extra for span, extra in zip(spans, each(0, 3), strict=True))
    module = CLASSES[dimensions](
        groups * draw(st.integers(1, 3)),
        groups * draw(st.integers(1, 3)),
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    return module, sizes


def on_numbers(values: Tensor, first: list[int], steps: tuple[int, ...]) -> Field:
    """Return (B, channels, *sizes) as a field at whole numbers: from `first` on, `steps` apart, along each axis."""
    lines = [
        a + b * torch.arange(n, dtype=torch.float64) for a, b, n in zip(first, steps, values.shape[2:], strict=True)
    ]
    positions = torch.stack(torch.meshgrid(*lines, indexing="ij"), dim=-1).flatten(0, -2).expand(len(values), -1, -1)
    return Field(values.flatten(2).transpose(1, 2), positions, grid=tuple(values.shape[2:]))


def by_an_operator(module: Any, evaluator: Any, x: Tensor) -> Tensor:
    """Return what a convolution makes of (B, channels, *sizes), by an operator with its weights."""
    sizes, dimensions = module.kernel_size, len(module.kernel_size)
    spans = [(size - 1) * dilation for size, dilation in zip(sizes, module.dilation, strict=True)]
    before = {"same": [span // 2 for span in spans], "valid": [0] * dimensions}.get(module.padding, module.padding)
    shape = [len(x), x.shape[1], *module(x).shape[2:]]
    centres = [(size - 1) // 2 * dilation for size, dilation in zip(sizes, module.dilation, strict=True)]
    query = on_numbers(x.new_zeros(shape), [c - n for c, n in zip(centres, before, strict=True)], module.stride)
    options = {"kernel_size": sizes, "dilation": module.dilation, "axes": "zyx"[-dimensions:], "groups": module.groups}
    kernel = ConvolutionKernel(module.in_channels, **options, bias=module.bias is not None, spacing=1.0)
    channels = module.out_channels
    operator: Any = IntegralOperator(
        module.in_channels, kernel, evaluator=evaluator, out_dim=channels, head_dim=channels, pointwise=False
    )
    operator.value.weight, operator.output.bias = module.weight, module.bias
    key = on_numbers(x, [0] * dimensions, (1,) * dimensions)
    actual: Tensor = operator(query, key).values
    return torch.unflatten(actual.transpose(1, 2), -1, shape[2:])


def by_its_layer(module: Any, evaluator: Any, x: Tensor) -> Tensor:
    """Return the same by the converted layer."""
    layer: Any = convert(module)
    layer.operator.evaluator = evaluator
    actual: Tensor = layer(x)
    return actual


@pytest.mark.parametrize(
    ("way", "evaluator"),
    [
        (by_an_operator, AutoEvaluator()),
        (by_an_operator, DenseEvaluator()),
        (by_an_operator, TiledEvaluator(query_tile=3, key_tile=4)),
        (by_its_layer, DenseEvaluator()),  # its fast path is torch's convolution itself
    ],
)
@settings(max_examples=30, deadline=None)
@given(drawn=convolutions(), batch=st.integers(1, 2))
def test_it_is_torchs_convolution(
    way: Callable[[nn.Module, Any, Tensor], Tensor],
    evaluator: Any,
    drawn: tuple[nn.Module, tuple[int, ...]],
    batch: int,
) -> None:
    torch.manual_seed(0)
    reference: Any = drawn[0].double()
    sizes = drawn[1]
    x = torch.randn(batch, reference.in_channels, *sizes, dtype=torch.float64, requires_grad=True)
    expected, actual = reference(x), way(reference, evaluator, x)
    torch.testing.assert_close(actual, expected, **EXACT)
    direction, leaves = torch.randn_like(expected), [x, *reference.parameters()]
    gradients = (torch.autograd.grad((out * direction).sum(), leaves) for out in (actual, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_its_fast_path_is_taken_wherever_torchs_convolution_applies(monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Conv2d(3, 4, (3, 4), stride=2, padding=(2, 1), dilation=(1, 2))
    monkeypatch.setattr(ConvolutionKernel, "tile", lambda *args: pytest.fail("a sum over pairs"))
    for way in (by_an_operator, by_its_layer):
        assert way(module, AutoEvaluator(), torch.randn(2, 3, 9, 11)).shape == (2, 4, 6, 4)


def test_a_field_on_a_grid_is_convolved_with_itself() -> None:
    torch.manual_seed(0)
    reference = nn.Conv2d(5, 5, 3, padding="same").double()
    operator: Any = IntegralOperator(5, ConvolutionKernel(5), pointwise=False).double()
    operator.value.weight, operator.output.bias = reference.weight, reference.bias
    image = torch.randn(2, 6, 7, 5, dtype=torch.float64)
    expected = reference(image.permute(0, 3, 1, 2)).flatten(2).transpose(1, 2)
    for axes in (None, "yx"):
        for measure in ("mean", "counting"):
            field = Field.on_grid(image, axes=axes, measure=measure)
            torch.testing.assert_close(operator(field).values, expected, **EXACT)


def test_taps_of_a_given_spacing_stay_where_they_are_at_another_resolution() -> None:
    """Twice as fine a grid has two points in each cell."""
    torch.manual_seed(0)
    operator = IntegralOperator(2, ConvolutionKernel(2, kernel_size=[3], axes="x", spacing=0.5), pointwise=False)
    coarse = torch.randn(1, 4, 2)
    fine = coarse.repeat_interleave(2, dim=1)
    actual = operator(Field.on_grid(coarse), Field.on_grid(fine)).values - operator.output.bias
    torch.testing.assert_close(actual, 2 * (operator(Field.on_grid(coarse)).values - operator.output.bias))


def test_frames_of_a_film_do_not_mix() -> None:
    torch.manual_seed(0)
    operator = IntegralOperator(2, ConvolutionKernel(2, spacing=0.5), pointwise=False)
    images = [Field.on_grid(torch.randn(1, 4, 4, 2), axes="yx") for _ in range(2)]
    late = [Field(f.values, f.positions + torch.tensor([float(t), 0, 0, 0])) for t, f in enumerate(images)]
    film = Field(torch.cat([f.values for f in late], dim=1), torch.cat([f.positions for f in late], dim=1))
    actual = operator(film).values.split(16, dim=1)
    for image, frame in zip(images, actual, strict=True):
        torch.testing.assert_close(frame, operator(image).values)


def test_a_causal_convolution_sees_the_last_taps() -> None:
    torch.manual_seed(0)
    reference = nn.Conv1d(4, 4, 3, dilation=2, groups=4, padding=4).double()
    kernel = ConvolutionKernel(4, kernel_size=[3], dilation=[2], groups=4, axes="t", causal=True)
    operator: Any = IntegralOperator(4, kernel, pointwise=False).double()
    operator.value.weight, operator.output.bias = reference.weight, reference.bias
    series = torch.randn(2, 9, 4, dtype=torch.float64)
    expected = reference(series.transpose(1, 2))[..., :9].transpose(1, 2)
    for axes in (None, "t"):
        torch.testing.assert_close(operator(Field.on_grid(series, axes=axes)).values, expected, **EXACT)
    state = None
    field = Field.on_grid(series, axes="t")
    for time in range(9):
        one = Field(series[:, time : time + 1], field.positions[:, time : time + 1])
        state, out = operator.step(state, one)
        torch.testing.assert_close(out.values[:, 0], expected[:, time], **EXACT)


def chebyshev(values: torch.Tensor) -> Field:
    """Return a field whose points are as many as a grid's, but denser towards the ends."""
    regular = Field.on_grid(values)
    return Field(values.flatten(1, -2), (torch.pi / 2 * regular.positions).sin(), grid=regular.grid)


def test_points_that_are_no_regular_grid_are_summed_pair_by_pair() -> None:
    field = chebyshev(torch.randn(2, 9, 8, 4).double())
    operator = IntegralOperator(4, ConvolutionKernel(4, spacing=0.2)).double()
    dense = IntegralOperator(4, operator.kernel, evaluator=DenseEvaluator()).double()
    dense.load_state_dict(operator.state_dict())
    assert not operator.kernel.can_transform(field, field)
    torch.testing.assert_close(operator(field).values, dense(field).values, **EXACT)
    with pytest.raises(ConfigError, match=r"the grid \(9, 8\), whose points lie up to 0\.\d+ off a regular one"):
        IntegralOperator(4, ConvolutionKernel(4)).double()(field)


def test_one_point_off_the_grid_is_detected() -> None:
    """In any sample, and where a fast path has read the points before they move."""
    operator = IntegralOperator(4, ConvolutionKernel(4)).double()
    field = Field.on_grid(torch.randn(2, 6, 6, 4).double())
    field = Field(field.values, field.positions.clone(), field.weights, grid=field.grid)
    assert operator.kernel.can_transform(field, field)
    field.positions[1, 20, 0] += 0.05
    with pytest.raises(ConfigError, match="off a regular one"):
        operator(field)


def test_invalid_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected axes = 'yx' to be 1 different letters"):
        ConvolutionKernel(8, kernel_size=[3])
    with pytest.raises(ConfigError, match="expected one axis with causal, not 2"):
        ConvolutionKernel(8, causal=True)
    with pytest.raises(ConfigError, match="expected 2 numbers in dilation"):
        ConvolutionKernel(8, dilation=[2])
    with pytest.raises(ConfigError, match=r"groups: found 3; expected a divisor of dim = 8"):
        ConvolutionKernel(8, groups=3)
    operator = IntegralOperator(8, ConvolutionKernel(8))
    with pytest.raises(ConfigError, match="a grid of 2 dimensions, or a spacing"):
        operator(Field(torch.randn(1, 5, 8), torch.rand(1, 5, 4)))
    with pytest.raises(ShapeError, match="positions of 3 coordinates; expected 2, one for each of the axes 'yx', or 4"):
        operator(Field.on_grid(torch.randn(1, 2, 2, 2, 8)))
    with pytest.raises(ShapeError, match="head_dim 4; expected the result's channels, 8"):
        IntegralOperator(8, ConvolutionKernel(8), head_dim=4)


def test_points_on_the_border_of_cells_lie_in_one_cell_whatever_their_rounding() -> None:
    """As the means of two neighbours on a grid do: rounding half to even would put both of ±1/2 in the middle one."""
    middles = torch.arange(-3.5, 4.0).view(1, -1, 1) / 10
    places = torch.zeros(1, 1, 1)
    for offset in (0.0, 3e-9, -3e-9):
        kernel = ConvolutionKernel(2, kernel_size=[5], axes="x", spacing=0.1 + offset)
        query, key = Field(torch.zeros(1, 1, 2), places), Field(torch.zeros(1, 8, 2), middles)
        k = kernel.tile(*kernel.project(query, key))[0, :, 0]
        assert k.sum(0).tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
        assert k.sum(1).tolist() == [1, 1, 1, 1, 1]
