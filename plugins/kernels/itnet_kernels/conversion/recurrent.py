"""Conversion of PyTorch's LSTM, GRU and RNN, and of their cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from itnet_core import Evaluator, ShapeError
from itnet_core.operator.stateless import with_parameters
from itnet_kernels.conversion.attention import sequence_field
from itnet_kernels.conversion.converted import ConvertedLayer, remove_parameters, takes_fast_path
from itnet_kernels.recurrent.layers import GRU, LSTM, RNN, Recurrent
from itnet_kernels.recurrent.recurrent import PathState

LAYERS: Mapping[str, tuple[type[Recurrent], dict[str, Any]]] = {
    "LSTM": (LSTM, {}),
    "GRU": (GRU, {}),
    "RNN_TANH": (RNN, {}),
    "RNN_RELU": (RNN, {"relu": True}),
}
"""Layers on fields and their options, by PyTorch's names of their modes."""

WEIGHTS, BIASES = ("weight_ih", "weight_hh"), ("bias_ih", "bias_hh")


class FieldRecurrent(ConvertedLayer, nn.RNNBase):
    """`torch.nn.LSTM`, `torch.nn.GRU` or `torch.nn.RNN` by integral operators.

    A sequence is a field at the times 0, 1, 2, …; a packed one is padded by points of weight 0. The kernels' fast path
    is the original's `forward`. With other evaluators, or Newton's method, dropout between layers has the module's
    probability, but draws other elements.

    Example:
        >>> lstm, x = nn.LSTM(4, 8, batch_first=True), torch.randn(2, 5, 4)
        >>> torch.allclose(FieldRecurrent(lstm)(x)[0], lstm(x)[0], atol=1e-5)
        True

    Args:
        module: an LSTM, GRU or RNN of any number of layers, both directions or one; its parameters are shared.
        evaluator: how the integrals are computed.
        options: of the kernels, such as `solver="newton"`.

    Attributes:
        template: the layers on fields, without parameters; see `layers`.
    """

    template: Recurrent

    def __init__(self, module: nn.LSTM | nn.GRU | nn.RNN, evaluator: Evaluator | None = None, **options: Any) -> None:
        super().__init__(module)
        self.steps = options.get("solver", "step") == "step"
        layer, more = LAYERS[module.mode]
        if module.proj_size:
            more = {"projection": module.proj_size}
        with torch.device("meta"):  # the weights are the module's
            self.template = layer(
                module.input_size,
                module.hidden_size,
                layers=module.num_layers,
                bidirectional=module.bidirectional,
                dropout=module.dropout,
                evaluator=evaluator,
                bias=module.bias,
                axis=0,
                **{**more, **options},
            )
        remove_parameters(self.template)

    @property
    def layers(self) -> Recurrent:
        """The layers on fields, with the module's current weights."""
        suffixes = ["", "_reverse"] if self.bidirectional else [""]
        names = [f"l{number}{suffix}" for number in range(self.num_layers) for suffix in suffixes]
        kinds = [*WEIGHTS, *(BIASES if self.bias else ()), *(["weight_hr"] if self.proj_size else [])]
        weights = {
            f"operators.{n}.kernel.recurrence.{kind}_l0": getattr(self, f"{kind}_{name}")
            for n, name in enumerate(names)
            for kind in kinds
        }
        return with_parameters(self.template, weights)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:  # noqa: A002
        """Compute all states of the last layer, and the last states of all layers, as the original.

        Args:
            input: (T, B, C), or (B, T, C) if the module has batch_first, or (T, C); or a `PackedSequence`.
            hx: (h_0, c_0) of an LSTM, h_0 of others, each (layers · directions, B, hidden); 0 by default.
        """
        packed = isinstance(input, PackedSequence)
        batched = packed or input.ndim == 3
        if hx is not None:
            hx = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
            batch = input.batch_sizes[0] if packed else input.shape[0 if self.batch_first else 1]
            self._check(hx, (int(batch),) if batched else ())
        if (not packed and 0 in input.shape) or (self.steps and takes_fast_path(*self.template.operators)):
            states = hx if hx is None or self.mode == "LSTM" else hx[0]
            return cast(tuple[Any, Any], super().forward(input, states))
        if packed:
            values, lengths = pad_packed_sequence(input, batch_first=True)
            mask = torch.arange(values.shape[1]) < lengths.unsqueeze(-1)
            out, ends = self._run(values, mask.to(values), hx)
            return _pack_like(out, lengths, input), ends
        if not batched:
            states = None if hx is None else tuple(state.unsqueeze(1) for state in hx)
            out, ends = self._run(input.unsqueeze(0), None, states)
            return out.squeeze(0), ends.squeeze(1) if isinstance(ends, Tensor) else tuple(e.squeeze(1) for e in ends)
        out, ends = self._run(input if self.batch_first else input.transpose(0, 1), None, hx)
        return out if self.batch_first else out.transpose(0, 1), ends

    def _check(self, states: tuple[Tensor, ...], batch: tuple[int, ...]) -> None:
        sizes = [self.proj_size or self.hidden_size, self.hidden_size][: 2 if self.mode == "LSTM" else 1]
        expected = [(len(self.template.operators), *batch, size) for size in sizes]
        if (found := [tuple(state.shape) for state in states]) != expected:
            raise ShapeError(
                "FieldRecurrent(hx)",
                found=f"states of shape {', '.join(map(str, found))}",
                expected=f"{len(sizes)} of shape {', '.join(map(str, expected))}",
            )

    def _run(self, values: Tensor, weights: Tensor | None, hx: tuple[Tensor, ...] | None) -> tuple[Tensor, Any]:
        states: list[PathState] | None = None if hx is None else list(zip(*hx, strict=True))
        field, ends = self.layers.with_states(sequence_field(values, weights), states)
        last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        return field.values, last if self.mode == "LSTM" else last[0]


class FieldCell(ConvertedLayer):
    """`torch.nn.LSTMCell`, `torch.nn.GRUCell` or `torch.nn.RNNCell` by an integral operator.

    A call integrates over one more point of a sequence: the integral over the points before is in the given state. The
    kernel's fast path is the original's `forward`.

    Example:
        >>> cell, x = nn.GRUCell(4, 8), torch.randn(2, 4)
        >>> torch.allclose(FieldCell(cell)(x), cell(x), atol=1e-6)
        True

    Args:
        module: the cell; its parameters are shared.

    Attributes:
        template: the layer on fields, without parameters; see `layer`.
    """

    template: Recurrent

    def __init__(self, module: nn.LSTMCell | nn.GRUCell | nn.RNNCell) -> None:
        super().__init__(module)
        if isinstance(module, nn.RNNCell):
            self.mode = f"RNN_{module.nonlinearity.upper()}"
        else:
            self.mode = "LSTM" if isinstance(module, nn.LSTMCell) else "GRU"
        layer, options = LAYERS[self.mode]
        with torch.device("meta"):  # the weights are the module's
            self.template = layer(module.input_size, module.hidden_size, bias=module.bias, axis=0, **options)
        remove_parameters(self.template)

    @property
    def layer(self) -> Recurrent:
        """The layer on fields, with the cell's current weights."""
        kinds = WEIGHTS + BIASES if self.bias else WEIGHTS
        weights = {f"operators.0.kernel.recurrence.{kind}_l0": getattr(self, kind) for kind in kinds}
        return with_parameters(self.template, weights)

    def forward(self, input: Tensor, hx: Any = None) -> Any:  # noqa: A002
        """Compute the next state, as the original.

        Args:
            input: (B, C) or (C,).
            hx: (h, c) of an LSTM, h of others, (B, hidden) or (hidden,) each; 0 by default.
        """
        if 0 in input.shape or takes_fast_path(*self.template.operators):
            return super().forward(input, hx)
        states = None if hx is None else tuple(hx) if self.mode == "LSTM" else (hx,)
        rows = None if states is None else [tuple(state.view(-1, state.shape[-1]) for state in states)]
        _, [end] = self.layer.with_states(sequence_field(input.view(-1, 1, input.shape[-1])), rows)
        end = tuple(state.view(*input.shape[:-1], -1) for state in end)
        return end if self.mode == "LSTM" else end[0]


def _pack_like(values: Tensor, lengths: Tensor, like: PackedSequence) -> PackedSequence:
    """Pack values, (B, T, C), in the order of another packed sequence."""
    if like.sorted_indices is not None:
        values, lengths = values[like.sorted_indices], lengths[like.sorted_indices.to(lengths.device)]
    packed = pack_padded_sequence(values, lengths, batch_first=True)
    return PackedSequence(packed.data, packed.batch_sizes, like.sorted_indices, like.unsorted_indices)
