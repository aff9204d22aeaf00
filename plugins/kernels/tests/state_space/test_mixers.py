"""The mixers are transformers', and stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import Field
from itnet_kernels.conversion.mamba import FieldMamba
from itnet_kernels.errors import ConversionError
from itnet_kernels.state_space.mixers import Mamba2Mixer, MambaMixer

transformers = pytest.importorskip("transformers")


def mixer(kind: str, **options: Any) -> nn.Module:
    """Return one of transformers' mixers with weights that leave nothing at 0."""
    torch.manual_seed(0)
    if kind == "mamba":
        config: Any = transformers.MambaConfig(hidden_size=12, state_size=5, **options)
        actual = transformers.models.mamba.modeling_mamba.MambaMixer(config, 0)
    else:
        given = {"num_heads": 4, "head_dim": 6, "n_groups": 2, "chunk_size": 16, **options}
        config = transformers.Mamba2Config(hidden_size=12, state_size=5, **given)
        actual = transformers.models.mamba2.modeling_mamba2.Mamba2Mixer(config, 0)
    for parameter in actual.parameters():
        nn.init.normal_(parameter, std=0.5)
    return actual.eval()


VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("mamba", {}),
    ("mamba", {"use_bias": True, "use_conv_bias": False, "conv_kernel": 3, "time_step_rank": 3}),
    ("mamba2", {}),
    ("mamba2", {"use_bias": True, "use_conv_bias": False, "n_groups": 1, "time_step_limit": (0.1, 0.5)}),
]


@pytest.mark.parametrize(("kind", "options"), VARIANTS)
@pytest.mark.parametrize("steps", [1, 3, 50, 130])
def test_it_is_the_mixer_of_transformers(
    kind: str, options: dict[str, Any], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64, where theirs asks for float32 too; values and gradients, to 1e-9 of the largest number."""
    theirs = mixer(kind, **options).double()
    ours = FieldMamba(theirs)
    to: Any = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda x, *a, **k: to(x, *(torch.float64 if i is torch.float32 else i for i in a), **k)
    )
    x = torch.randn(2, steps, 12, requires_grad=True, dtype=torch.float64)
    actual, expected = ours(x), theirs(x)
    assert expected.dtype == torch.float64
    direction = torch.randn_like(expected)
    mine, other = (
        torch.autograd.grad((out * direction).sum(), [x, *theirs.parameters()]) for out in (actual, expected)
    )
    for left, right in zip((actual, *mine), (expected, *other), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-9 * float(right.detach().abs().max()))


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_padding_has_no_influence(kind: str) -> None:
    theirs = mixer(kind)
    ours = FieldMamba(theirs)
    x, mask = torch.randn(3, 20, 12), torch.ones(3, 20)
    mask[0, :7], mask[1, 15:] = 0, 0
    expected = theirs(x, attention_mask=mask)
    torch.testing.assert_close(ours(x, attention_mask=mask), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_padding_with_influence_runs_the_original(kind: str) -> None:
    x, before, between = torch.randn(1, 20, 12), torch.ones(1, 20), torch.ones(1, 20)
    before[0, :7], between[0, 5] = 0, 0
    for options, mask in (({}, between), ({}, 0 * before), ({"use_bias": True}, before)):
        theirs = mixer(kind, **options)
        expected = theirs(x, attention_mask=mask)
        torch.testing.assert_close(FieldMamba(theirs)(x, attention_mask=mask), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    "layer",
    [MambaMixer(6, state=3, bias=True), Mamba2Mixer(6, head_dim=3, state=4, groups=2)],
    ids=["mamba", "mamba2"],
)
def test_steps_agree_with_the_whole_field(layer: Any) -> None:
    torch.manual_seed(0)
    layer = layer.double()
    field = Field.on_grid(torch.randn(2, 9, 6, dtype=torch.float64), axes="t", measure="counting")
    state, steps = None, []
    for n in range(9):
        one = Field(field.values[:, n : n + 1], field.positions[:, n : n + 1], field.weights[:, n : n + 1])
        state, out = layer.step(state, one)
        steps.append(out.values)
    torch.testing.assert_close(torch.cat(steps, dim=1), layer(field).values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_other_activations_are_refused(kind: str) -> None:
    with pytest.raises(ConversionError, match="activation: found 'gelu'; expected 'silu' or 'swish'"):
        FieldMamba(mixer(kind, hidden_act="gelu"))


@pytest.mark.parametrize("kind", ["mamba", "mamba2"])
def test_models_give_the_same_with_it(kind: str) -> None:
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "hidden_size": 12, "state_size": 4, "num_hidden_layers": 2}
    if kind == "mamba":
        model = transformers.MambaModel(transformers.MambaConfig(**sizes)).eval()
    else:
        heads = {"num_heads": 4, "head_dim": 6, "n_groups": 1}
        model = transformers.Mamba2Model(transformers.Mamba2Config(**sizes, **heads)).eval()
    words = torch.randint(11, (2, 40))
    expected = model(words, use_cache=False).last_hidden_state
    whole, first = model(words), model(words[:, :39])
    then = model(words[:, 39:], cache_params=first.cache_params)
    for block in model.layers:
        block.mixer = FieldMamba(block.mixer)
    torch.testing.assert_close(model(words, use_cache=False).last_hidden_state, expected, rtol=1e-4, atol=1e-5)
    for actual, theirs in zip((model(words), model(words[:, :39])), (whole, first), strict=True):
        torch.testing.assert_close(actual.last_hidden_state, theirs.last_hidden_state)
    actual = model(words[:, 39:], cache_params=model(words[:, :39]).cache_params)
    torch.testing.assert_close(actual.last_hidden_state, then.last_hidden_state)
