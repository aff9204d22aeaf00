"""Attention that layers write out, found in a run and computed by an integral operator."""

from __future__ import annotations

import copy
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from itnet_core import Sampler
from itnet_kernels import ConversionError, convert_model, unlock
from itnet_kernels.conversion.attention import LinearAttentionProduct
from itnet_kernels.conversion.following import Attention, Following
from itnet_kernels.conversion.mixing import count_mixing
from itnet_kernels.conversion.written import WrittenAttention


def softmax(scores: Tensor) -> Tensor:
    return F.dropout(scores.softmax(-1), 0.5, training=False)


def masked(scores: Tensor) -> Tensor:
    return torch.ones_like(scores, dtype=torch.bool).tril()


def changed_in_place(scores: Tensor) -> Tensor:
    scores = scores / 2
    scores += torch.arange(scores.shape[-1])
    scores[..., 1] = -3.0
    return scores


def joined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute attention by `bmm`, as many layers do; weights have four axes once."""
    q, k, v = (side.flatten(0, 1) for side in (q, k, v))
    weights = torch.bmm(q, k.transpose(1, 2)).view(2, 3, q.shape[1], -1).softmax(-1)
    return torch.bmm(weights.view(6, q.shape[1], -1), v).view(2, 3, -1, 5)


WRITTEN: dict[str, tuple[bool, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "a product": (True, lambda q, k, v: softmax(q @ k.mT) @ v),
    "a scale": (True, lambda q, k, v: softmax((q @ k.transpose(-1, -2)).mul(0.3) / math.sqrt(5)) @ v),
    "a scale of each head": (True, lambda q, k, v: softmax(q @ k.mT * torch.rand(3, 1, 1)) @ v),
    "joined heads": (True, joined),
    "points as the last axis": (True, lambda q, k, v: (v.mT @ softmax(q @ k.mT).transpose(-2, -1)).mT),
    "a single precision": (True, lambda q, k, v: softmax((q @ k.mT).float()).to(v.dtype) @ v),
    "an einsum": (
        True,
        lambda q, k, v: torch.einsum(
            "bhnm,bmhc->bnhc", softmax(torch.einsum("bhnd,mbhd->bhnm", q, k.permute(2, 0, 1, 3))), v.transpose(1, 2)
        ).transpose(1, 2),
    ),
    "an einsum of lists": (
        True,
        lambda q, k, v: torch.einsum("...nm,...mc->...nc", [softmax(torch.einsum("...md,...nd->...nm", [k, q])), v]),
    ),
    "a bias": (False, lambda q, k, v: softmax(torch.rand(4, 6) + q @ k.mT) @ v),
    "a mask": (False, lambda q, k, v: softmax((q @ k.mT).masked_fill(~masked(q @ k.mT), -torch.inf)) @ v),
    "a choice": (False, lambda q, k, v: softmax(torch.where(masked(q @ k.mT), q @ k.mT, -1e9)) @ v),
    "a bound": (False, lambda q, k, v: softmax((q @ k.mT).clamp(max=0.5).tanh()) @ v),
    "changes in place": (False, lambda q, k, v: softmax(changed_in_place(q @ k.mT)) @ v),
    "a shift": (False, lambda q, k, v: softmax((q @ F.pad(k, (0, 0, 1, 0)).mT)[..., 1:]) @ v),
    "a sum of products": (
        False,
        lambda q, k, v: softmax(torch.baddbmm(q[:, 0] @ k[:, 0].mT, q[:, 1], k[:, 1].mT, alpha=2)) @ v[:, 0],
    ),
}


class Found(Following):
    """Compute the attention that is found, and keep it."""

    def __init__(self) -> None:
        super().__init__([])
        self.attention: list[Attention] = []

    def integrate(self, attention: Attention, calls: tuple[Any, ...]) -> Tensor:
        self.attention.append(attention)
        scores = attention.query @ attention.key.mT
        return (scores if attention.mask is None else scores + attention.mask).softmax(-1) @ attention.value


@pytest.mark.parametrize("name", WRITTEN)
def test_attention_is_found_however_it_is_written(name: str) -> None:
    plain, compute = WRITTEN[name]
    q, k, v = (torch.randn(2, 3, points, 5, dtype=torch.float64) for points in (4, 6, 6))
    torch.manual_seed(0)
    expected = compute(q, k, v)
    torch.manual_seed(0)
    with Found() as found:
        actual = compute(q, k, v)
    [attention] = found.attention
    assert (attention.mask is None) == plain
    if name != "a shift":  # scores of other pairs than q kᵀ
        assert attention.query.any()
        assert attention.key.any()
    near: dict[str, Any] = dict.fromkeys(("rtol", "atol"), 1e-6 if "single" in name else 1e-12)
    torch.testing.assert_close(actual, expected, **near)


def changed(weights: Tensor) -> Tensor:
    weights[..., 0] = 0
    return weights


OTHERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "weights changed in place": lambda x, w: changed((x @ x.mT).softmax(-1)) @ x,
    "weights changed through a view": lambda x, w: ((a := (x @ x.mT).softmax(-1)).view(-1).mul_(2), a)[1] @ x,
    "queries changed in place": lambda x, w: ((a := (q := x + 1) @ x.mT), q.mul_(2), a.softmax(-1) @ x)[2],
    "weights of a linear map": lambda x, w: F.linear(x, w).softmax(-1) @ x,
    "a mixture of weights": lambda x, w: (x @ x.mT).softmax(-1) @ w,
    "experts": lambda x, w: torch.einsum("bne,bnec->bnc", (x @ w).softmax(-1), torch.stack(5 * [x], dim=2)),
    "a sum over queries": lambda x, w: (x @ x.mT).softmax(-1).transpose(1, 2) @ x,
    "a softmax over queries": lambda x, w: (x @ x.mT).softmax(1) @ x,
    "linear attention of weights": lambda x, w: w @ (x.softmax(1).mT @ x),
    "a changed sum of products": lambda x, w: x.softmax(-1) @ (x.softmax(1).mT @ x).tanh(),
}


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight, self.function = nn.Parameter(torch.randn(5, 5)), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


@pytest.mark.parametrize("name", OTHERS)
def test_gates_routers_and_other_products_are_not_attention(name: str) -> None:
    model = nn.Sequential(Calls(OTHERS[name]))
    assert not count_mixing(model, torch.randn(2, 5, 5)).attention
    assert not convert_model(model, example=torch.randn(2, 5, 5)).converted


def two_sizes(x: Tensor, w: Tensor) -> Tensor:
    return (x @ x.mT).softmax(-1) @ x + ((x[..., :2] @ x[..., :2].mT).softmax(-1) @ x)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (two_sizes, r"\(heads, d, key heads, channels, linear\) = \(1, 2, 1, 5, False\), \(1, 5, 1, 5, False\)"),
        (lambda x, w: (x @ x.mT).softmax(-1) @ x + x @ (x.mT @ x), r"\(1, 5, 1, 5, False\), \(1, 5, 1, 5, True\)"),
        (lambda x, w: (x @ x.mT).softmax(-1) @ x + (x @ x.mT).tanh() @ x, r"found attention, and matmul \(2\)"),
    ],
)
def test_layers_that_compute_more_than_attention_are_left_with_the_reason(function: Any, reason: str) -> None:
    report = convert_model(nn.Sequential(Calls(function)), example=torch.randn(2, 6, 5))
    assert re.search(reason, report.left["0"])


def test_products_of_a_mask_belong_to_the_attention() -> None:
    def masked_by_products(x: Tensor, w: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=(x @ x.mT) / 2)

    report = convert_model(nn.Sequential(Calls(masked_by_products)), example=torch.randn(2, 6, 5))
    assert str(report) == "1 converted, 0 left\n  0: Calls"


LINEAR: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "a product": lambda q, k, v: q @ (k.mT @ v),
    "a scale": lambda q, k, v: q @ (k.mT @ v / 3),
    "points as the last axis": lambda q, k, v: ((v.mT @ k) @ q.mT).mT,
    "a transpose": lambda q, k, v: q @ (v.mT @ k).transpose(-2, -1),
    "joined heads": lambda q, k, v: torch.bmm(q.flatten(0, 1), (k.mT @ v).flatten(0, 1)).view(
        *q.shape[:-1], v.shape[-1]
    ),
    "an einsum": lambda q, k, v: torch.einsum("bhnd,bhdc->bhnc", q, torch.einsum("bhmd,bhmc->bhdc", k, v)),
    "an einsum in another order": lambda q, k, v: torch.einsum(
        "bhdc,bhnd->bhnc", torch.einsum("bhmc,bhmd->bhdc", v, k), q
    ),
}


class Linear(nn.Module):
    num_heads = 3

    def __init__(self, name: str) -> None:
        super().__init__()
        self.attend = LINEAR[name]

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k.relu(), v)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_attention_is_an_integral_without_a_softmax(name: str, by_pairs: Callable[[nn.Module], Any]) -> None:
    model: Any = nn.ModuleDict({"inner": Linear(name)})
    model.forward = lambda *inputs: model["inner"](*inputs)
    sides = [
        torch.randn(2, 3, points, channels, dtype=torch.float64, requires_grad=True)
        for points, channels in ((4, 5), (6, 5), (6, 7))
    ]
    expected = model(*sides)
    gradients = torch.autograd.grad(expected.square().sum(), sides)
    report = convert_model(model, example=tuple(sides))
    assert (report.converted, report.left) == ({"inner": "Linear"}, {})
    layer = model["inner"]
    assert (type(layer.operator.kernel), layer.operator.kernel.heads) == (LinearAttentionProduct, 3)
    for ours in (model, by_pairs(model)):
        actual = ours(*sides)
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
        found = torch.autograd.grad(actual.square().sum(), sides)
        torch.testing.assert_close(found, gradients, rtol=1e-9, atol=1e-9)


def attention(dropout: float = 0.0) -> tuple[Any, Tensor]:
    """Return two layers that write attention out, and their input."""
    layers = (timm.layers.attention.Attention(8, 2, qkv_bias=True, attn_drop=dropout) for _ in range(2))
    torch.manual_seed(0)
    model: Any = nn.Sequential(*layers).double().eval()
    model[0].fused_attn = False
    return model, torch.randn(2, 6, 8, dtype=torch.float64)


def test_weights_are_dropped_in_training_as_the_original_drops_them(half: type[Sampler]) -> None:
    theirs, x = attention(dropout=0.5)
    ours = copy.deepcopy(theirs)
    convert_model(ours, example=x)
    torch.manual_seed(0)
    expected = theirs.train()(x)
    torch.manual_seed(0)
    torch.testing.assert_close(ours.train()(x), expected)
    for layer in ours:
        layer.operator.sampler = half(8)
        with pytest.raises(ConversionError, match="weights dropped in training, and the sampler Half"):
            layer(x)


def test_a_converted_model_is_copied_and_uses_its_operators(half: type[Sampler]) -> None:
    model, x = attention()
    expected = model(x)
    convert_model(model, example=x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(again(x), expected)
    for layer in model:
        before = model(x)
        layer.operator.sampler = half(8)
        assert not torch.allclose(model(x), before)


def test_a_converted_model_and_its_operators_are_not_converted_again() -> None:
    model, x = attention()
    assert len(convert_model(model, example=x).converted) == 2
    assert str(convert_model(model, example=x)) == "0 converted, 0 left"
    assert not count_mixing(model, x).attention


def test_a_module_inside_of_written_attention_is_converted_too(by_pairs: Callable[[nn.Module], Any]) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            q = self.conv(x.mT).mT
            return F.max_pool1d((q @ x.mT).softmax(-1) @ x, 1)

    model, x = nn.Sequential(Block()), torch.randn(2, 6, 8)
    expected = model(x)
    report = convert_model(model, example=x)
    assert report.converted == {"0": "Block", "0.conv": "Conv1d"}
    assert report.left == {"0": "Block calls max_pool1d (1), outside of what was converted"}
    torch.testing.assert_close(by_pairs(model)(x), expected)


def test_a_sampler_stands_for_the_keys_of_all_pairs(half: type[Sampler]) -> None:
    layer = convert_written(lambda x, w: ((x @ x.mT) + torch.arange(6.0)).softmax(-1) @ x)
    layer.operator.sampler, x = half(5), torch.randn(2, 6, 5, dtype=torch.float64)
    even = x[:, ::2]
    expected = (x @ even.mT + torch.arange(0, 6, 2)).softmax(-1) @ even
    torch.testing.assert_close(layer(x), expected)


def convert_written(function: Callable[[Tensor, Tensor], Tensor]) -> Any:
    model = nn.Sequential(Calls(function))
    convert_model(model, example=torch.randn(2, 6, 5, dtype=torch.float64))
    assert isinstance(model[0], WrittenAttention)
    return model[0]


def test_an_unlocked_model_starts_as_the_original_and_learns() -> None:
    model, x = attention()
    expected = model(x)
    convert_model(model, example=x)
    assert unlock(model) == ["0.operator", "1.operator"]
    torch.testing.assert_close(model(x), expected)
    model(x).square().sum().backward()
    gates = [item for name, item in model.named_parameters() if name.endswith("gate")]
    assert len(gates) == 2
    assert all(gate.grad is not None and gate.grad.any() for gate in gates)


def test_weights_that_a_call_changes_are_used_by_plain_operators_alone(half: type[Sampler]) -> None:
    def halved(x: Tensor, w: Tensor) -> Tensor:
        weights = (x @ x.mT).softmax(-1)
        return (weights if x.shape[1] == 6 else weights * 0.5) @ x

    layer, x = convert_written(halved), torch.randn(2, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), halved(x, x))
    layer.operator.sampler = half(5)
    with pytest.raises(ConversionError, match="weights that are changed between softmax and values"):
        layer(x)


class OwnSoftmax(torch.autograd.Function):
    """A softmax with its own derivative, as SEW-D's."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        ctx.save_for_backward(weights := scores.clamp(min=-3).softmax(-1))
        return weights

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (weights,) = ctx.saved_tensors
        return weights * (gradient - (gradient * weights).sum(-1, keepdim=True))


def without_gradients(function: Callable[..., Tensor], *args: Any) -> Tensor:
    with torch.no_grad():
        return function(*args)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, w: OwnSoftmax.apply(x @ w @ x.mT) @ x,
        lambda x, w: without_gradients(torch.softmax, x @ w @ x.mT, -1) @ x,
        lambda x, w: without_gradients(lambda: (x @ w @ x.mT).softmax(-1)) @ x,
        lambda x, w: without_gradients(torch.mul, x @ w @ x.mT, 2).softmax(-1) @ x,
        lambda x, w: (x @ w @ x.mT).detach().softmax(-1) @ x,
        lambda x, w: (x @ w @ x.mT).softmax(-1).detach() @ x,
    ],
)
def test_weights_with_another_derivative_keep_it(
    function: Callable[[Tensor, Tensor], Tensor], by_pairs: Callable[[nn.Module], Any]
) -> None:
    model, x = nn.Sequential(Calls(function)).double(), torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)

    def gradients() -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(model(x).square().sum(), [x, *model.parameters()], allow_unused=True)

    expected = gradients()
    convert_model(model, example=x)
    for _ in map(by_pairs, (nn.Identity(), model)):
        for actual, theirs in zip(gradients(), expected, strict=True):
            actual, theirs = (torch.zeros(()) if side is None else side for side in (actual, theirs))
            torch.testing.assert_close(actual, theirs, rtol=1e-9, atol=1e-9, check_dtype=False)


def test_a_sampler_is_refused_where_weights_have_another_derivative(half: type[Sampler]) -> None:
    layer = convert_written(lambda x, w: OwnSoftmax.apply(x @ x.mT) @ x)
    layer.operator.sampler = half(5)
    x = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ConversionError, match="a softmax with a derivative of its own"):
        layer(x)


def test_gradients_reach_a_batch_norm_in_evaluation(by_pairs: Callable[[nn.Module], Any]) -> None:
    torch.manual_seed(0)
    layer = timm.models.efficientformer_v2.Attention2dDownsample(dim=8, key_dim=4, num_heads=2, resolution=4)
    model = nn.Sequential(layer).double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.5)
    x = torch.randn(1, 8, 4, 4, dtype=torch.float64, requires_grad=True)
    leaves, out = [x, *model.parameters()], model(x)
    directions = torch.randn_like(out)
    expected = torch.autograd.grad(out, leaves, directions)
    assert convert_model(model, example=x).converted["0"] == "Attention2dDownsample"
    for ours in (model, by_pairs(model)):
        layer.attention_bias_cache.clear()  # filled without gradients
        converted: Any = ours[0]
        converted.attention_bias_cache.clear()
        torch.testing.assert_close(torch.autograd.grad(ours(x), leaves, directions), expected, rtol=1e-9, atol=1e-9)


class Latents(nn.Module):
    """Attention of learned queries, as of a Perceiver: they are computed from weights alone."""

    def __init__(self) -> None:
        super().__init__()
        self.latents, self.project = nn.Parameter(torch.randn(4, 8)), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        query = self.project(self.latents).expand(len(x), -1, -1)
        return (query @ x.mT).softmax(-1) @ x


def test_queries_may_be_learned_latents(by_pairs: Callable[[nn.Module], Any]) -> None:
    model, x = nn.Sequential(Latents()), torch.randn(2, 5, 8)
    expected = model(x)
    report = convert_model(model, example=x)
    assert (report.converted, report.left) == ({"0": "Latents"}, {})
    torch.testing.assert_close(by_pairs(model)(x), expected)
