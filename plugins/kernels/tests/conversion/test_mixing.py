"""What mixes points is found in a run, and named where it stayed outside of converted layers."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_kernels import convert_model
from itnet_kernels.conversion.mixing import count_mixing


class Mixes(nn.Module):
    """Calls one function of tensors (B, channels, points)."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.inner = nn.Identity()
        self.weight = nn.Parameter(torch.randn(2, 4, 4))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        actual: Tensor = self.function(self, self.inner(x))
        return actual


COUNTED: dict[str, Any] = {
    "matmul": lambda m, x: torch.matmul((x @ x.transpose(1, 2)).tanh(), x),
    "bmm": lambda m, x: torch.bmm(x.transpose(1, 2), x),
    "einsum": lambda m, x: torch.einsum("bci,bcj->bij", x, x),
    "max_pool1d": lambda m, x: F.max_pool1d(x, 2),
    "fft_rfft": lambda m, x: torch.fft.rfft(x).abs(),
    "unfold": lambda m, x: F.unfold(x[:, None], 2),
    "cumsum": lambda m, x: x.cumsum(-1),
}
NOT_COUNTED: dict[str, Any] = {
    "a product with weights": lambda m, x: m.weight.transpose(1, 2) @ x,
    "an outer product": lambda m, x: x[:, :, :1] @ x[:, :1, :],
    "a norm": lambda m, x: F.layer_norm(x, x.shape[-1:]),
    "an order of points": lambda m, x: x.roll(1, -1).flip(-1),
    "copies of points": lambda m, x: F.interpolate(x, 3),
    "a function of weights": lambda m, x: x + F.interpolate(m.weight.mT * 2, 4, mode="linear").cumsum(-1),
    "a product with a function of weights": lambda m, x: m.weight.exp().mT @ x,
    "a function of constants": lambda m, x: x + torch.ones_like(m.weight).cumsum(-1),
    "a sum over whole numbers": lambda m, x: x + (x > 0).long().cumsum(-1),
}


@pytest.mark.parametrize("name", COUNTED)
def test_an_operation_that_mixes_points_is_named_with_its_module(name: str) -> None:
    model = nn.Sequential(nn.ReLU(), Mixes(COUNTED[name]))
    report = convert_model(model, example=torch.randn(2, 4, 4))
    count = 2 if name == "matmul" else 1
    assert report.left == {"1": f"Mixes calls {name} ({count}), outside of what was converted"}
    assert str(report).startswith("0 converted, 1 left\n  1: left: Mixes calls")


@pytest.mark.parametrize("name", NOT_COUNTED)
def test_an_operation_that_mixes_none_is_not_named(name: str) -> None:
    report = convert_model(nn.Sequential(Mixes(NOT_COUNTED[name])), example=torch.randn(2, 4, 4))
    assert str(report) == "0 converted, 0 left"


def test_weights_that_were_changed_by_points_are_points() -> None:
    def changed(module: Any, x: Tensor) -> Tensor:
        weights = module.weight + 1
        weights[:, 0] = x[:, 0]
        return weights.cumsum(-1)

    report = convert_model(nn.Sequential(Mixes(changed)), example=torch.randn(2, 4, 4))
    assert report.left == {"0": "Mixes calls cumsum (1), outside of what was converted"}


def test_a_report_without_an_example_says_so() -> None:
    report = convert_model(nn.Sequential(Mixes(COUNTED["bmm"])))
    assert str(report).splitlines() == [
        "0 converted, none known to be left",
        "  other modules that mix points are not counted; give convert_model an example of the model's inputs",
    ]


def test_operations_inside_of_converted_modules_are_not_reported() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(
        nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), Transposed(), nn.TransformerEncoder(layer, 1)
    )
    model.append(nn.LSTM(8, 4, batch_first=True))
    before = {name: item.clone() for name, item in model.state_dict().items()}
    assert [*count_mixing(model, torch.randn(2, 4, 5)).calls] == ["0", "3.layers.0.self_attn", "4"]
    report = convert_model(model, example=torch.randn(2, 4, 5))
    assert [*report.converted] == ["0", "3.layers.0.self_attn", "4"]
    assert str(report).startswith("3 converted, 0 left\n")
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())
    torch.testing.assert_close(dict(model.state_dict()), before)


class Transposed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def test_a_run_may_map_functions_over_samples() -> None:
    model, x = (
        nn.Sequential(Mixes(lambda module, x: torch.vmap(lambda sample: sample @ sample.mT)(x))),
        torch.randn(2, 4, 5),
    )
    expected = model(x)
    convert_model(model, example=x)
    assert torch.equal(model(x), expected)


def normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


def linear(x: Tensor) -> Tensor:
    return F.linear(x, torch.ones(3, x.shape[-1]))


def convolved(x: Tensor) -> Tensor:
    return F.conv2d(x[:, None], torch.ones(3, 1, 2, 2), stride=2)


LINEAR: dict[str, tuple[int, Any]] = {
    "of an MLP-Mixer": (2, lambda x: linear(linear(normed(x).transpose(1, 2)).relu()).mT),
    "of a part of the channels": (1, lambda x: linear(normed(x[..., 1:]).permute(0, 2, 1))),
    "of a sum, without a point": (1, lambda x: linear((x + normed(x))[:, 1:].swapaxes(-1, -2))),
    "after a convolution": (1, lambda x: linear(convolved(x).tanh())),
    "after a convolution, joined": (1, lambda x: linear(convolved(x).flatten(2))),
    "of features": (0, lambda x: linear(normed(linear(x)).relu())),
    "of features, moved twice": (0, lambda x: linear(normed(x).mT.contiguous().movedim(1, 2))),
    "of patches": (0, lambda x: linear(convolved(x).flatten(2).transpose(1, 2))),
    "of channels of a grid": (0, lambda x: linear(convolved(x).permute(0, 2, 3, 1))),
    "of means": (0, lambda x: linear(convolved(x).mean((2, 3)))),
    "of heads": (0, lambda x: linear(normed(x).view(2, 4, 3, 2).transpose(1, 2))),
}


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_layer_over_points_mixes_them(name: str) -> None:
    count, compute = LINEAR[name]
    calls = count_mixing(nn.Sequential(Mixes(lambda module, x: compute(x))), torch.randn(2, 4, 6)).calls
    assert sum(names["linear over points"] for names in calls.values()) == count


def test_linear_layers_over_points_are_left() -> None:
    model = timm.models.mlp_mixer.MlpMixer(img_size=64, patch_size=16, num_blocks=1, embed_dim=16)
    left = convert_model(model, example=torch.randn(1, 3, 64, 64)).left
    reason = "Linear calls linear over points (1), outside of what was converted"
    assert left == dict.fromkeys(("blocks.0.mlp_tokens.fc1", "blocks.0.mlp_tokens.fc2"), reason)
