"""Layers on grids: the operator computes what PyTorch's functions do, wherever a layer's forward calls them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from transformers.models.bit.modeling_bit import WeightStandardizedConv2d
from transformers.models.fnet.modeling_fnet import FNetBasicFourierTransform
from transformers.models.inkling.modeling_inkling import InklingShortConvolution
from transformers.models.lasr.modeling_lasr import LasrEncoderCTCHead

from itnet_core import DenseEvaluator, FullSampler, Problem
from itnet_kernels import ConversionError, convert, convert_model

DOUBLE: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-9}
SINGLE: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}


class Counting(DenseEvaluator):
    """Sums over all pairs, and counts the calls."""

    calls = 0

    def evaluate(self, problem: Problem) -> Tensor:
        self.calls += 1
        return super().evaluate(problem)


def by_pairs(layer: nn.Module) -> Any:
    ours: Any = convert(layer)
    ours.operator.evaluator = Counting()
    return ours


def check(theirs: nn.Module, x: Tensor, **options: Any) -> None:
    """Check the outputs and gradients of a converted layer, by its fast path and by pairs."""
    close = SINGLE if x.dtype == torch.float32 else DOUBLE
    x.requires_grad_()
    expected = tensor(theirs(x, **options))
    leaves = [x, *theirs.parameters()]
    directions = torch.randn_like(expected)
    gradients = torch.autograd.grad(expected, leaves, directions)
    summed = by_pairs(theirs)
    for ours in (convert(theirs), summed):
        actual = tensor(ours(x, **options))
        torch.testing.assert_close(actual, expected, **close)
        torch.testing.assert_close(torch.autograd.grad(actual, leaves, directions), gradients, **close)
    assert summed.operator.evaluator.calls == 1
    assert [*summed.state_dict()] == [*theirs.state_dict()]


def tensor(output: Any) -> Tensor:
    """Return the output of a layer, which FNet's mixer returns in a tuple."""
    found: Tensor = output[0] if isinstance(output, tuple) else output
    return found


def draw(options: st.DataObject, dimensions: int, least: int, most: int) -> tuple[int, ...]:
    return tuple(options.draw(st.integers(least, most)) for _ in range(dimensions))


def image(options: st.DataObject, channels: int, sizes: tuple[int, ...]) -> Tensor:
    """Return a random image, with a batch or without one."""
    batch = options.draw(st.sampled_from([(), (2,)]))
    return torch.randn(*batch, channels, *sizes, dtype=torch.float64)


@settings(max_examples=60, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3), groups=st.sampled_from([1, 2]), bias=st.booleans())
def test_convolutions_in_all_padding_modes(options: st.DataObject, dimensions: int, groups: int, bias: bool) -> None:
    kernel_size, dilation = (draw(options, dimensions, 1, most) for most in (3, 2))
    same = options.draw(st.booleans())
    layer = getattr(nn, f"Conv{dimensions}d")(
        2 * groups,
        groups,
        kernel_size,
        stride=1 if same else draw(options, dimensions, 1, 2),
        padding="same" if same else draw(options, dimensions, 0, 2),
        dilation=dilation,
        groups=groups,
        bias=bias,
        padding_mode=options.draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"])),
    )
    check(layer.double(), image(options, 2 * groups, draw(options, dimensions, 5, 6)))


@settings(max_examples=40, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3), groups=st.sampled_from([1, 2]), bias=st.booleans())
def test_transposed_convolutions(options: st.DataObject, dimensions: int, groups: int, bias: bool) -> None:
    stride, dilation = (draw(options, dimensions, 1, 3) for _ in range(2))
    more = tuple(options.draw(st.integers(0, max(pair) - 1)) for pair in zip(stride, dilation, strict=True))
    layer = getattr(nn, f"ConvTranspose{dimensions}d")(
        2 * groups,
        3 * groups,
        draw(options, dimensions, 1, 3),
        stride=stride,
        padding=draw(options, dimensions, 0, 1),
        output_padding=more,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    check(layer.double(), image(options, 2 * groups, draw(options, dimensions, 3, 4)))


def test_the_output_size_of_a_transposed_convolution_is_that_of_the_call() -> None:
    layer = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1).double()
    for size in ((9, 7), (10, 8)):
        check(layer, torch.randn(2, 3, 5, 4, dtype=torch.float64), output_size=size)


@settings(max_examples=40, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3), ceil_mode=st.booleans(), include=st.booleans())
def test_average_pools(options: st.DataObject, dimensions: int, ceil_mode: bool, include: bool) -> None:
    kernel_size = draw(options, dimensions, 1, 4)
    more = {} if dimensions == 1 else {"divisor_override": options.draw(st.sampled_from([None, 3]))}
    layer = getattr(nn, f"AvgPool{dimensions}d")(
        kernel_size,
        options.draw(st.sampled_from([None, (1,) * dimensions, (3,) * dimensions])),
        padding=tuple(options.draw(st.integers(0, size // 2)) for size in kernel_size),
        ceil_mode=ceil_mode,
        count_include_pad=include,
        **more,
    )
    check(layer, image(options, 2, draw(options, dimensions, 4, 6)))


@settings(max_examples=20, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3))
def test_adaptive_average_pools(options: st.DataObject, dimensions: int) -> None:
    size: Any = draw(options, dimensions, 1, 7)
    if dimensions > 1 and options.draw(st.booleans()):
        size = (None, *size[1:])
    layer = getattr(nn, f"AdaptiveAvgPool{dimensions}d")(size)
    check(layer, image(options, 2, draw(options, dimensions, 1, 6)))


@settings(max_examples=20, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3), norm=st.sampled_from([1.0, 2.0, 3.0]), ceil_mode=st.booleans())
def test_power_average_pools(options: st.DataObject, dimensions: int, norm: float, ceil_mode: bool) -> None:
    stride = options.draw(st.sampled_from([None, 1]))
    layer = getattr(nn, f"LPPool{dimensions}d")(norm, 2, stride, ceil_mode)
    x = image(options, 2, draw(options, dimensions, 3, 5)).abs().add(0.1)
    check(layer, x)


class Causal(nn.Conv1d):
    """Pads on the left, as transformers' audio models do."""

    @cached_property
    def left_pad(self) -> int:
        return (self.kernel_size[0] - 1) * self.dilation[0]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (self.left_pad, 0)))


class Plain(nn.Conv2d):
    """Keeps `forward`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, groups=channels)


def fnet(**options: Any) -> nn.Module:
    mixer: Any = FNetBasicFourierTransform
    made: nn.Module = mixer(transformers.FNetConfig(**options))
    return made


OTHERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "a subclass that pads": (lambda: Causal(4, 4, 3, dilation=2), (2, 4, 7)),
    "a subclass that keeps forward": (lambda: Plain(4), (2, 4, 5, 6)),
    "BiT, standardised weights": (lambda: WeightStandardizedConv2d(4, 6, 3, stride=2), (2, 4, 6, 5)),  # type: ignore[no-untyped-call]
    "Lasr, channels last": (lambda: LasrEncoderCTCHead(4, 6, 1), (2, 5, 4)),
    "FNet": (fnet, (2, 7, 6)),
    "weight_norm": (lambda: weight_norm(nn.Conv1d(4, 6, 3, groups=2), dim=2), (2, 4, 7)),
    "weight_norm, transposed": (lambda: weight_norm(nn.ConvTranspose1d(4, 6, 3, stride=2)), (2, 4, 7)),
    "spectral_norm": (lambda: spectral_norm(nn.Conv2d(4, 6, 3)).eval(), (2, 4, 5, 5)),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_other_layers_whose_forward_calls_these_functions(name: str, dtype: torch.dtype) -> None:
    make, shape = OTHERS[name]
    check(make().to(dtype), torch.randn(shape, dtype=dtype))


def test_inklings_short_convolution() -> None:
    check(InklingShortConvolution(4, 3, 0, 0), torch.randn(2, 7, 4))  # it computes in float32


SINGLES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "circular": (lambda: nn.Conv2d(16, 8, 3, padding=1, padding_mode="circular"), (2, 16, 12, 12)),
    "transposed": (lambda: nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), (2, 16, 8, 8)),
    "average": (lambda: nn.AvgPool2d(3, 2, padding=1), (2, 16, 12, 12)),
    "adaptive": (lambda: nn.AdaptiveAvgPool2d(5), (16, 12, 12)),
    "FNet": (fnet, (1, 300, 8)),
}


@pytest.mark.parametrize("name", SINGLES)
def test_single_precision_and_copies(name: str) -> None:
    make, shape = SINGLES[name]
    theirs, x = make(), torch.randn(shape)
    check(theirs, x)
    ours, expected = by_pairs(theirs), tensor(theirs(x))
    for again in (copy.deepcopy(ours), ours, pickle.loads(pickle.dumps(ours)), copy.deepcopy(ours)):
        torch.testing.assert_close(tensor(again(x)), expected, **SINGLE)
        assert isinstance(again, type(theirs))


def test_a_parametrized_weight_is_read_at_each_call() -> None:
    theirs: Any = weight_norm(nn.Conv1d(4, 4, 3)).double()
    ours, x = by_pairs(theirs), torch.randn(2, 4, 7, dtype=torch.float64)
    before = ours(x)
    with torch.no_grad():
        theirs.parametrizations.weight.original0.mul_(2)
    torch.testing.assert_close(ours(x), theirs(x), **DOUBLE)
    assert not torch.allclose(ours(x), before)
    torch.testing.assert_close(copy.deepcopy(ours)(x), theirs(x), **DOUBLE)


def test_sampler_and_evaluator_are_kept_for_other_channels() -> None:
    pool = by_pairs(nn.AvgPool1d(2))
    sampler, evaluator = FullSampler(1), pool.operator.evaluator
    pool.operator.sampler = sampler
    for channels in (2, 5, 2):
        x = torch.randn(3, channels, 6)
        torch.testing.assert_close(pool(x), nn.AvgPool1d(2)(x))
        assert (pool.operator.sampler, pool.operator.evaluator) == (sampler, evaluator)
    assert evaluator.calls == 3


class Cumulative(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.cumsum(-1))


class Unfolded(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bcnk,ock->bon", x.unfold(-1, 3, 1), self.weight)


def test_other_functions_that_mix_points_in_a_converted_forward_are_reported() -> None:
    model = nn.Sequential(Cumulative(3, 3, 3), Unfolded(3, 3, 3), nn.AvgPool1d(2))
    report = convert_model(model, example=torch.randn(1, 3, 9))
    assert report.converted == {"0": "Cumulative", "1": "Unfolded", "2": "AvgPool1d"}
    outside = "outside of what was converted"
    assert report.left == {
        "0": f"Cumulative calls cumsum (1), {outside}",
        "1": f"Unfolded calls unfold (1), {outside}",
    }
    with pytest.raises(ConversionError, match=r"FieldUnfolded\.forward: found no convolution"):
        by_pairs(Unfolded(3, 3, 3))(torch.randn(1, 3, 9))


@settings(max_examples=40, deadline=None)
@given(options=st.data(), dimensions=st.integers(1, 3), scaled=st.booleans(), corners=st.booleans())
def test_interpolation(options: st.DataObject, dimensions: int, scaled: bool, corners: bool) -> None:
    smooth = ("linear", "bilinear", "trilinear")[dimensions - 1]
    mode = options.draw(
        st.sampled_from(["nearest", "nearest-exact", smooth, *(["bicubic"] if dimensions == 2 else [])])
    )
    more: dict[str, Any] = {} if "nearest" in mode else {"align_corners": corners}
    if scaled:
        more |= {"scale_factor": tuple(options.draw(st.sampled_from([0.5, 1.3, 2.0])) for _ in range(dimensions))}
        more |= {"recompute_scale_factor": options.draw(st.booleans())}
    else:
        more["size"] = draw(options, dimensions, 1, 7)
    image = torch.randn(2, 3, *draw(options, dimensions, 3, 5), dtype=torch.float64)
    check(nn.Upsample(mode=mode, **more), image)


class Calling(nn.Module):
    """Calls two functions, and has a convolution inside."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.inner, self.options = nn.Conv2d(3, 3, 3, padding=1), options

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(self.inner(x), 2)
        return F.interpolate(x, **self.options) if self.options else F.max_pool2d(x, 2)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "area"])
@pytest.mark.parametrize("antialias", [True, False])
def test_functions_that_a_layer_calls_are_integrals(mode: str, antialias: bool) -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(Calling(mode=mode, size=(5, 3), antialias=antialias and mode != "area")).double()
    x = torch.randn(2, 3, 14, 10, dtype=torch.float64, requires_grad=True)
    expected, keys = model(x), [*model.state_dict()]
    leaves = [x, *model.parameters()]
    gradients = torch.autograd.grad(expected.square().sum(), leaves)
    report = convert_model(model, example=x)
    assert (report.converted, report.left) == ({"0": "Calling", "0.inner": "Conv2d"}, {})
    assert [*model.state_dict()] == keys
    torch.testing.assert_close(model(x), expected, **DOUBLE)
    model[0].operator.evaluator = evaluator = Counting()
    torch.testing.assert_close(actual := model(x), expected, **DOUBLE)
    torch.testing.assert_close(torch.autograd.grad(actual.square().sum(), leaves), gradients, **DOUBLE)
    assert evaluator.calls == 2


def test_gradients_reach_a_batch_norm_in_evaluation() -> None:
    torch.manual_seed(0)
    norm, layer = nn.BatchNorm2d(8).double().eval(), nn.Conv2d(8, 8, 3, stride=2, padding=1).double()
    norm.weight.data.normal_()
    x = torch.randn(1, 8, 4, 4, dtype=torch.double, requires_grad=True)
    leaves, ours = [x, *norm.parameters()], by_pairs(layer)
    expected, actual = layer(norm(x)), ours(norm(x))
    directions = torch.randn_like(expected)
    gradients = (torch.autograd.grad(out, leaves, directions) for out in (actual, expected))
    torch.testing.assert_close(*gradients, **DOUBLE)


def test_sizes_of_an_interpolation_may_be_tensors() -> None:
    class Resized(nn.Module):
        def forward(self, x: Tensor, size: Tensor) -> Tensor:
            sizes: Any = size[0], size[1]
            return F.interpolate(x, size=sizes, mode="bilinear")

    model, x, size = nn.ModuleList([Resized()]), torch.randn(1, 3, 8, 8), torch.tensor([5, 6])
    model.forward = lambda *args: model[0](*args)
    expected = model(x, size)
    assert convert_model(model, example=(x, size)).converted == {"0": "Resized"}
    layer: Any = model[0]
    layer.operator.evaluator = Counting()
    torch.testing.assert_close(model(x, size), expected, **SINGLE)
    assert layer.operator.evaluator.calls == 1


def test_layers_that_call_functions_may_contain_each_other() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Calling(mode="bilinear", size=(5, 3))

        def forward(self, x: Tensor) -> Tensor:
            return F.interpolate(self.inner(x), scale_factor=2, mode="bilinear")

    model: Any = nn.Sequential(Outer())
    x = torch.randn(2, 3, 14, 10, requires_grad=True)
    expected, leaves = model(x), [x, *model.parameters()]
    gradients = torch.autograd.grad(expected.square().sum(), leaves)
    assert convert_model(model, example=x).converted == {"0": "Outer", "0.inner": "Calling", "0.inner.inner": "Conv2d"}
    layers = model[0], model[0].inner
    for layer in layers:
        layer.operator.evaluator = Counting()
    torch.testing.assert_close(actual := model(x), expected, **SINGLE)
    torch.testing.assert_close(torch.autograd.grad(actual.square().sum(), leaves), gradients, **SINGLE)
    assert all(layer.operator.evaluator.calls for layer in layers)


def test_other_functions_that_a_layer_calls_are_left_by_name() -> None:
    report = convert_model(nn.Sequential(Calling()), example=torch.randn(1, 3, 8, 8))
    assert report.converted == {"0": "Calling", "0.inner": "Conv2d"}
    assert report.left == {"0": "Calling calls max_pool2d (1), outside of what was converted"}


class OwnForward(nn.LSTM):
    def forward(self, *inputs: Any) -> Any:
        return super().forward(*inputs)


class Named(nn.LSTM):
    pass


def test_layers_that_are_left_say_why() -> None:
    model = nn.Sequential(
        nn.MaxPool2d(2),
        nn.AdaptiveMaxPool1d(2),
        nn.LPPool1d(float("inf"), 2),
        OwnForward(2, 2),
        fnet(use_tpu_fourier_optimizations=True, max_position_embeddings=5000),
        Named(2, 2),
    )
    report = convert_model(model)
    assert report.converted == {"5": "Named"}
    reasons = (
        "MaxPool2d: a maximum is no integral",
        "AdaptiveMaxPool1d: a maximum is no integral",
        "LPPool1d.norm_type: found inf, a maximum; expected a finite one",
        "OwnForward derives from LSTM, but may compute something else",
        "FNetBasicFourierTransform.fourier_transform: found <function",
    )
    assert len(report.left) == len(reasons)
    for reason, expected in zip(report.left.values(), reasons, strict=True):
        assert reason.startswith(expected)
    with pytest.raises(ConversionError, match="found MaxPool2d: a maximum is no integral"):
        convert(nn.MaxPool2d(2))


class Branches(nn.ModuleList):
    """Calls a function, and iterates over its layers."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(torch.cat([branch(x) for branch in self], 1), len(self))


class Stages(nn.Sequential):
    """Calls a function after each of its layers."""

    def forward(self, x: Tensor) -> Tensor:
        for stage in self:
            x = F.avg_pool2d(stage(x), 2)
        return x


@pytest.mark.parametrize("container", [Branches, Stages])
def test_a_container_that_calls_a_function_iterates_over_its_own_layers(
    container: Callable[[list[nn.Module]], nn.Module], by_pairs: Callable[[nn.Module], Any]
) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)]
    model: Any = nn.Sequential(container(layers) if container is Branches else Stages(*layers)).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = model(x)
    assert not convert_model(model, example=x).left
    for ours in (model, by_pairs(pickle.loads(pickle.dumps(model)))):
        torch.testing.assert_close(ours(x), expected, rtol=1e-9, atol=1e-9)
        assert len(ours[0]) == len(layers)
