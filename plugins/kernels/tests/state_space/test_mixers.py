"""The mixers are transformers', and stream."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from itnet_core import Field
from itnet_core.operator.stateless import with_parameters
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


def with_weights_of(theirs: Any) -> MambaMixer | Mamba2Mixer:
    """Return ITNet's mixer with the parameters of transformers'."""
    own = {name: getattr(theirs, name) for name in ("in_proj", "out_proj", "conv1d")}
    weights = {
        "input.weight": theirs.in_proj.weight,
        "output.weight": theirs.out_proj.weight,
        "convolution.value.weight": theirs.conv1d.weight,
        "skip": theirs.D,
        "integral.kernel.log_decay": theirs.A_log,
    }
    biases = zip(("input.bias", "output.bias", "convolution.output.bias"), own.values(), strict=True)
    weights |= {name: module.bias for name, module in biases if module.bias is not None}
    expand, taps = theirs.intermediate_size / theirs.hidden_size, theirs.conv_kernel_size
    given: dict[str, Any] = {"expand": expand, "taps": taps, "bias": own["in_proj"].bias is not None}
    given["convolution_bias"] = own["conv1d"].bias is not None
    layer: MambaMixer | Mamba2Mixer
    if hasattr(theirs, "x_proj"):
        sizes = [theirs.time_step_rank, theirs.ssm_state_size, theirs.ssm_state_size]
        parts = zip(("to_rank", "to_state", "from_state"), theirs.x_proj.weight.split(sizes), strict=True)
        weights |= {f"integral.kernel.{name}.weight": part for name, part in parts}
        weights |= {f"integral.kernel.to_step.{name}": part for name, part in theirs.dt_proj.named_parameters()}
        layer = MambaMixer(theirs.hidden_size, state=theirs.ssm_state_size, rank=theirs.time_step_rank, **given)
    else:
        weights |= {"integral.kernel.step_bias": theirs.dt_bias, "norm.weight": theirs.norm.weight}
        least, most = theirs.time_step_limit
        given |= {"groups": theirs.n_groups, "epsilon": theirs.norm.variance_epsilon, "head_dim": theirs.head_dim}
        given |= {"clamp_min": least, "clamp_max": None if most == float("inf") else most}
        layer = Mamba2Mixer(theirs.hidden_size, state=theirs.ssm_state_size, **given)
    assert weights.keys() == dict(layer.named_parameters()).keys()
    return with_parameters(layer, weights)


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
    layer = with_weights_of(theirs)
    to: Any = torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda x, *a, **k: to(x, *(torch.float64 if i is torch.float32 else i for i in a), **k)
    )
    x = torch.randn(2, steps, 12, requires_grad=True, dtype=torch.float64)
    actual, expected = layer(Field.on_grid(x, axes="t", measure="counting")).values, theirs(x)
    assert expected.dtype == torch.float64
    direction = torch.randn_like(expected)
    mine, other = (
        torch.autograd.grad((out * direction).sum(), [x, *theirs.parameters()]) for out in (actual, expected)
    )
    for left, right in zip((actual, *mine), (expected, *other), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-9 * float(right.detach().abs().max()))


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
