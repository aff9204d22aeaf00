"""Converted layers are layers of the original's class: what they answer, accept and leave alone."""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.rwkv.modeling_rwkv import RwkvSelfAttention

from itnet_core import IntegralOperator, Sampler
from itnet_kernels import ConversionError, convert, convert_model


def rwkv() -> nn.Module:
    config: Any = transformers.RwkvConfig(hidden_size=8, attention_hidden_size=8)
    layer: nn.Module = RwkvSelfAttention(config, 0)  # type: ignore[no-untyped-call]
    for parameter in layer.parameters():  # some of which have no values yet
        nn.init.normal_(parameter, std=0.5)
    return layer


MAMBA: dict[str, Any] = {"hidden_size": 8, "state_size": 3}
MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), (2, 4, 9)),
    "Conv2d": (lambda: nn.Conv2d(3, 4, (3, 2), padding="same"), (2, 3, 5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2, bias=False), (2, 2, 3, 3, 3)),
    "circular": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), (2, 3, 5, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3, stride=2, padding=1), (2, 3, 4, 4)),
    "LSTM": (lambda: nn.LSTM(4, 5, num_layers=2, bidirectional=True, batch_first=True), (2, 6, 4)),
    "GRU": (lambda: nn.GRU(4, 5, bias=False, batch_first=True), (2, 6, 4)),
    "RNN": (lambda: nn.RNN(4, 5, num_layers=2, batch_first=True), (2, 6, 4)),
    "attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), (2, 5, 8)),
    "Bert": (lambda: BertSelfAttention(bert_config()), (2, 5, 8)),  # type: ignore[no-untyped-call]
    "Mamba": (lambda: MambaMixer(transformers.MambaConfig(**MAMBA, use_bias=True), 0), (2, 7, 8)),
    "Mamba2": (
        lambda: Mamba2Mixer(transformers.Mamba2Config(**MAMBA, num_heads=4, head_dim=4, n_groups=2), 0),
        (2, 7, 8),
    ),
    "RWKV": (rwkv, (2, 7, 8)),
}
TORCHS = ["Conv1d", "Conv2d", "Conv3d", "circular", "transposed", "LSTM", "GRU", "RNN", "attention"]
EXACT: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}


def bert_config() -> Any:
    options: dict[str, Any] = {"attn_implementation": "sdpa"}
    return transformers.BertConfig(hidden_size=8, num_attention_heads=2, **options)


def call(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """Return the tensors that a layer makes of one input, which is query, key and value of attention."""
    inputs = (x,) * (3 if isinstance(layer, nn.MultiheadAttention) else 1)
    return [leaf for leaf in tree_leaves(layer(*inputs)) if isinstance(leaf, Tensor)]


@pytest.fixture(params=MAKERS)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    """Return a layer, and an input that it takes."""
    make, shape = MAKERS[request.param]
    return make().eval(), torch.randn(shape)


def test_attributes_and_parameters_are_the_originals(pair: tuple[nn.Module, Tensor]) -> None:
    theirs, _ = pair
    before = {name: id(item) for name, item in vars(theirs).items()}, [name for name, _ in theirs.named_modules()]
    ours = convert(theirs)
    assert isinstance(ours, type(theirs))
    assert any(isinstance(item, IntegralOperator) for item in ours.modules())
    public = [name for name in dir(theirs) if not name.startswith("_")]
    assert [name for name in public if not hasattr(ours, name)] == []
    plain = (int, float, str, bool, tuple, nn.Parameter)
    asked = [name for name in public if isinstance(getattr(theirs, name), plain)]
    assert all(getattr(ours, name) is getattr(theirs, name) for name in asked)
    assert ours.extra_repr() == theirs.extra_repr()
    assert [(name, id(p)) for name, p in ours.named_parameters()] == [
        (name, id(p)) for name, p in theirs.named_parameters()
    ]
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    assert before == (
        {name: id(item) for name, item in vars(theirs).items()},
        [name for name, _ in theirs.named_modules()],
    )
    assert not any(
        isinstance(item, nn.Linear | nn.RNNBase) and item.weight is None
        for item in ours.modules()
        if hasattr(item, "weight")
    )
    assert convert(ours) is ours


def test_published_weights_load_and_copies_are_layers_of_their_own(
    pair: tuple[nn.Module, Tensor], by_pairs: Callable[[nn.Module], Any]
) -> None:
    theirs, x = pair
    ours = convert(copy.deepcopy(theirs))
    others = {name: torch.randn_like(item) / 4 for name, item in theirs.state_dict().items()}
    ours.load_state_dict(others)
    theirs.load_state_dict(others)
    expected = call(theirs, x)
    for again in (ours, copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        torch.testing.assert_close(call(again, x), expected, **EXACT)
        torch.testing.assert_close(call(by_pairs(again), x), expected, **EXACT)
    copied = copy.deepcopy(ours)
    nn.utils.parameters_to_vector(copied.parameters()).sum()
    with torch.no_grad():
        for item in copied.parameters():
            item.zero_()
    torch.testing.assert_close(call(ours, x), expected, **EXACT)


def test_replaced_parameters_are_used(pair: tuple[nn.Module, Tensor], by_pairs: Callable[[nn.Module], Any]) -> None:
    theirs, x = pair
    layers = convert(copy.deepcopy(theirs)), by_pairs(convert(copy.deepcopy(theirs)))
    others = {name: torch.randn_like(item) / 4 for name, item in theirs.named_parameters()}
    for layer in (theirs, *layers):
        layer.load_state_dict({**layer.state_dict(), **others}, assign=True)
    expected = call(theirs, x)
    for layer in layers:
        torch.testing.assert_close(call(layer, x), expected, **EXACT)


@pytest.mark.parametrize("name", TORCHS)
def test_the_batch_may_be_empty(name: str, by_pairs: Callable[[nn.Module], Any]) -> None:
    make, shape = MAKERS[name]
    theirs, empty = make(), torch.randn(0, *shape[1:], requires_grad=True)
    for layer in (convert(theirs), by_pairs(convert(theirs))):
        actual, expected = call(layer, empty), call(theirs, empty)
        assert [item.shape for item in actual] == [item.shape for item in expected]
        gradients = torch.autograd.grad(actual[0].sum(), [empty, *layer.parameters()], allow_unused=True)
        assert all(item is None or not item.any() for item in gradients)


def test_a_sample_may_be_all_padding(by_pairs: Callable[[nn.Module], Any]) -> None:
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    nn.init.normal_(theirs.out_proj.bias)
    padding = torch.tensor([[False, False, False, True, True], [True] * 5])
    x = torch.randn(2, 5, 8)
    x[1] = torch.nan  # whatever stands there
    x.requires_grad_()
    expected, _ = theirs(x[:1], x[:1], x[:1], key_padding_mask=padding[:1])
    for ours in (convert(theirs), by_pairs(convert(theirs))):
        actual, weights = ours(x, x, x, key_padding_mask=padding)
        torch.testing.assert_close(actual[:1], expected, **EXACT)
        torch.testing.assert_close(actual[1], theirs.out_proj.bias.expand(5, -1))
        assert weights[0].isfinite().all()
        assert weights[1].isnan().all()  # as torch's
        [gradient] = torch.autograd.grad(actual[0].sum(), x)
        assert gradient[0].isfinite().all()


@pytest.mark.parametrize("name", ["attention", "Bert"])
def test_weights_are_dropped_in_training_as_the_original_drops_them(name: str, half: type[Sampler]) -> None:
    make, shape = MAKERS[name]
    theirs, x = make(), torch.randn(shape)
    dropout: Any = theirs.dropout
    if isinstance(dropout, nn.Dropout):
        dropout.p = 0.5
    else:
        theirs.dropout = 0.5  # type: ignore[assignment]
    ours: Any = convert(theirs)
    for training in (True, False):
        actual, expected = ([torch.manual_seed(0), *call(item.train(training), x)][1] for item in (ours, theirs))
        torch.testing.assert_close(actual, expected, **EXACT)
    theirs.eval().get_submodule("dropout" if name == "Bert" else "out_proj").train()
    frozen: Any = convert(theirs)  # shares its parts, which keep their modes
    assert [item.training for item in theirs.modules()].count(True) == 1
    assert not frozen.operator.kernel.training
    ours.operator.sampler = half(16)
    with pytest.raises(ConversionError, match="dropped in training, and the sampler Half"):
        call(ours.train(), x)


@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "attention", "Bert"])
def test_a_sampler_is_used(name: str, half: type[Sampler]) -> None:
    make, shape = MAKERS[name]
    ours: Any = convert(make().eval())
    x = torch.randn(*shape)
    everywhere = call(ours, x)[0]
    ours.operator.sampler = half(ours.operator.dim)
    assert not torch.allclose(call(ours, x)[0], everywhere)


def test_nested_calls_do_not_interfere() -> None:
    """While one call is at work, another one with another mask begins and ends."""
    layer: Any = convert(nn.MultiheadAttention(8, 2, batch_first=True).eval())
    x, later = torch.randn(1, 6, 8), torch.ones(6, 6, dtype=torch.bool).triu(1)
    alone = [layer(x, x, x, attn_mask=mask, need_weights=False)[0] for mask in (None, later)]
    inside: list[Tensor] = []

    def call_again(module: nn.Module, inputs: Any, output: Any) -> None:
        if not inside:
            inside.append(x)
            inside[0] = layer(x, x, x, attn_mask=masks[1], need_weights=False)[0]

    for masks in ((later, None), (None, later)):
        for part in ("query", "key"):
            inside.clear()
            handle = getattr(layer.operator.kernel, part).register_forward_hook(call_again)
            outside = layer(x, x, x, attn_mask=masks[0], need_weights=False)[0]
            handle.remove()
            for actual, mask in ((outside, masks[0]), (inside[0], masks[1])):
                torch.testing.assert_close(actual, alone[mask is not None])


def test_threads_do_not_interfere(pair: tuple[nn.Module, Tensor], by_pairs: Callable[[nn.Module], Any]) -> None:
    theirs, x = pair
    ours, inputs = by_pairs(convert(theirs)), [torch.randn_like(x) for _ in range(3)]
    interval = sys.getswitchinterval()
    with torch.no_grad(), ThreadPoolExecutor(4) as pool:
        expected = [call(ours, item)[0] for item in inputs]
        sys.setswitchinterval(1e-5)
        try:
            actual = [*pool.map(torch.no_grad()(lambda n: call(ours, inputs[n % 3])[0]), range(24))]
        finally:
            sys.setswitchinterval(interval)
    for number, item in enumerate(actual):
        torch.testing.assert_close(item, expected[number % 3])


@pytest.mark.parametrize(
    ("name", "strict"), [*((name, False) for name in TORCHS), ("Conv2d", True), ("attention", True)]
)
def test_it_can_be_exported(name: str, strict: bool, by_pairs: Callable[[nn.Module], Any]) -> None:
    make, shape = MAKERS[name]
    x, layer, other = torch.randn(shape), convert(make().eval()), by_pairs(convert(make().eval()))
    expected = call(layer, x), call(other, x)
    inputs = (x,) * (3 if name == "attention" else 1)
    for item in (layer, other):
        exported = torch.export.export(item, inputs, strict=strict).module()
        actual = [leaf for leaf in tree_leaves(exported(*inputs)) if isinstance(leaf, Tensor)]
        torch.testing.assert_close(actual, expected[item is other], **EXACT)
    torch.testing.assert_close((call(layer, x), call(other, x)), expected)


class Asking(nn.Module):
    """Asks its layers for what models ask: dtypes, sizes, directions."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(4, 4, 3, padding=1)
        self.lstm = nn.LSTM(4, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.attention = nn.MultiheadAttention(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x.to(self.convolution.weight.dtype)).view(len(x), self.convolution.out_channels, -1)
        h = x.new_zeros(self.lstm.num_layers * (1 + self.lstm.bidirectional), len(x), self.lstm.hidden_size)
        y = self.lstm(x.transpose(1, 2), (h, h))[0]
        places = y + torch.linspace(0, 1, self.attention.embed_dim)
        out: Tensor = self.attention(places, places, value=y)[0]  # as DETR's: values without places
        return out


def test_models_that_read_attributes_of_their_layers_still_work(by_pairs: Callable[[nn.Module], Any]) -> None:
    vision: dict[str, Any] = {
        "image_size": 16,
        "patch_size": 8,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = transformers.ViTConfig(**vision, intermediate_size=8)
    models: list[tuple[nn.Module, Tensor]] = [
        (Asking(), torch.randn(2, 4, 7)),
        (transformers.ViTModel(config), torch.randn(2, 3, 16, 16)),
    ]
    for model, x in models:
        expected = call(model.eval(), x)
        assert convert_model(model).converted
        torch.testing.assert_close(call(model, x), expected, **EXACT)
        convert_model(model)  # again: nothing is left to convert, and nothing is left
        assert not convert_model(model).left
        torch.testing.assert_close(call(by_pairs(model), x), expected, **EXACT)
