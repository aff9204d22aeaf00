"""Hooks of layers run after the conversion as before, with the same values and gradients, and can be removed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune, remove_weight_norm, spectral_norm, weight_norm
from transformers import BertConfig, ViTConfig
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.vit.modeling_vit import ViTAttention

from itnet_core import DenseEvaluator, IntegralOperator
from itnet_kernels import convert, convert_model

EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-10}
SIZES: dict[str, Any] = {"hidden_size": 8, "num_attention_heads": 2, "attn_implementation": "sdpa"}


def weight_normed() -> nn.Module:
    return weight_norm(nn.Conv1d(8, 8, 3, padding=1))


def spectral_normed() -> nn.Module:
    return spectral_norm(nn.Conv1d(8, 8, 3, padding=1))


def pruned() -> nn.Module:
    pruned: nn.Module = prune.l1_unstructured(nn.Conv1d(8, 8, 3), "weight", amount=0.5)  # type: ignore[no-untyped-call]
    return pruned


def weight_normed_lstm() -> nn.Module:
    return weight_norm(nn.LSTM(8, 8, batch_first=True), "weight_hh_l0")


def pruned_attention() -> nn.Module:
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    prune.random_unstructured(attention, "in_proj_weight", amount=0.3)  # type: ignore[no-untyped-call]
    return Itself(attention)


def changed_output() -> nn.Module:
    layer = nn.AvgPool1d(3)
    layer.register_forward_hook(lambda module, inputs, output: output.sin() * module.kernel_size[0])
    return layer


def changed_inputs() -> nn.Module:
    layer: nn.Module = BertSelfAttention(BertConfig(**SIZES))  # type: ignore[no-untyped-call]
    layer.register_forward_pre_hook(
        lambda module, inputs, options: ((inputs[0].cos(), *inputs[1:]), options), with_kwargs=True
    )
    return layer


def changed_gradients() -> nn.Module:
    layer = ViTAttention(ViTConfig(**SIZES))

    def double(module: nn.Module, inputs: Any, outputs: Any) -> Any:
        return 2 * inputs[0], *inputs[1:]

    layer.register_full_backward_hook(double)
    return layer


class Itself(nn.Module):
    """Attention of a sequence to itself."""

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Any:
        return self.attention(x, x, x)


def run(model: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the first output, and the gradients of the input and the parameters."""
    x = x.requires_grad_()
    output = model(x)
    first = output[0] if isinstance(output, tuple) else output
    return [first, *torch.autograd.grad(first.square().sum(), [x, *model.parameters()], materialize_grads=True)]


@pytest.mark.parametrize(
    "build",
    [
        weight_normed,
        spectral_normed,
        pruned,
        weight_normed_lstm,
        pruned_attention,
        changed_output,
        changed_inputs,
        changed_gradients,
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_hooks_run_as_before(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(build()).double().eval(), torch.randn(2, 8, 8, dtype=torch.float64)
    expected = run(model, x)
    keys = list(model.state_dict())
    assert len(convert_model(model, example=x).converted) == 1
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(run(model, x), expected, **EXACT)
    for operator in model.modules():
        if isinstance(operator, IntegralOperator):
            operator.evaluator = DenseEvaluator()
    torch.testing.assert_close(run(model, x), expected, **EXACT)
    model.load_state_dict(model.state_dict())


def test_hooks_are_removed_by_the_same_handles() -> None:
    layer, x = nn.Conv1d(3, 4, 3), torch.randn(2, 3, 8)
    expected = layer(x)
    handles = [
        layer.register_forward_hook(lambda module, inputs, output: 0 * output),
        layer.register_forward_pre_hook(lambda module, inputs, options: (inputs, options), with_kwargs=True),
    ]
    converted = convert(layer)
    assert converted(x).abs().max() == 0
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(converted(x), expected)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated:FutureWarning")
def test_norms_and_masks_are_removed_after_the_conversion() -> None:
    x = torch.randn(2, 8, 8)
    removals: list[tuple[Any, Any]] = [
        (weight_normed, remove_weight_norm),
        (pruned, lambda layer: prune.remove(layer, "weight")),  # type: ignore[no-untyped-call]
    ]
    for build, remove in removals:
        layer = build()
        expected, converted = layer(x), convert(layer)
        remove(converted)
        assert {"weight", "bias"} == {name for name, _ in converted.named_parameters()}
        torch.testing.assert_close(converted(x), expected)


def test_weights_load_by_hooks_that_are_given_the_module() -> None:
    layer: Any = nn.Conv1d(3, 4, 3)
    found: list[nn.Module] = []
    layer.register_load_state_dict_pre_hook(lambda module, *arguments: found.append(module))
    state, converted = layer.state_dict(), convert(layer)
    del layer
    converted.load_state_dict(state)
    assert found == [converted]
